/**
 * The outbox of one home as a process of its own, to be killed: it sends what is there, lets three replies grow, and ends when
 * nothing is left. The service is at the other end of a socket and survives.
 *
 * Arguments: folder of the store, address of the service, `keyed`, `lookup` or `neither`. DEPUTY_CRASH is a crash point.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Content } from '../../src/core/chat.ts'
import type { HouseEvent, Outbound, SendOutcome } from '../../src/core/ports.ts'
import { openDeliverer } from '../../src/delivery/deliver.ts'
import { apply } from '../../src/store/apply.ts'
import { makeCrashPoints } from '../../src/store/crash.ts'
import { openStore } from '../../src/store/open.ts'
import { samples } from '../../src/store/samples.ts'
import { account, growing } from './outbox-jobs.ts'

const [dir = '', url = '', kind = ''] = process.argv.slice(2)
/** Time goes ten times as fast: waits are what they are, and a test need not sit through them. */
const now = () => Date.now() * 10
const crash = makeCrashPoints(process.env['DEPUTY_CRASH'])
const store = await openStore({ dir, crash, log: () => undefined })

async function ask(path: string, body: object): Promise<Response> {
  return fetch(url + path, { method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(5000) })
}

const outbound: Outbound = {
  channel: 'fake',
  keyed: kind === 'keyed',
  parts: (content: Content) => content.text.split('\n').map(text => ({ text })),
  async send({ route, content, key, edit, maybeRepeat }): Promise<SendOutcome> {
    try {
      const answer = await ask('/send', { chat: route.to, text: content.text, key, edit, marked: maybeRepeat })
      if (answer.ok) return { sent: true, remoteId: ((await answer.json()) as { id: string }).id }
      const retryAtMs = now() + 20
      return { sent: false, certain: true, retryable: true, code: 'rate_limit', message: '429', retryAtMs }
    } catch (error) {
      return { sent: false, certain: false, retryable: true, code: 'network', message: String(error) }
    }
  },
  ...(kind === 'lookup' && {
    async lookup({ key }) {
      const answer = await ask('/lookup', { key }).catch(() => null)
      if (!answer) return { is: 'unknown' }
      const { id } = (await answer.json()) as { id: string | null }
      return id === null ? { is: 'absent' } : { is: 'sent', remoteId: id }
    },
  }),
}

const deliverer = openDeliverer({
  store,
  outbound: () => outbound,
  grows: () => 'partial',
  clock: { now },
  crash,
  log: () => undefined,
})
await deliverer.start()
await Promise.all(growing.map(reply))
for (;;) {
  const open = await store.read.selectFrom('outbox').select('id').where('state', 'not in', ['sent', 'dead']).execute()
  if (open.length === 0) break
  await sleep(10)
  deliverer.ring()
}
await deliverer.stop()
await store.close()

/** What a run would do: words come, then they are final, in one transaction with the end of its turn. */
async function reply({ run, chat, words }: (typeof growing)[number]): Promise<void> {
  const key = `${run}:final`
  if (await store.read.selectFrom('outbox').select('id').where('key', '=', key).executeTakeFirst()) return
  const route = { channel: 'fake', account, to: chat }
  const row = { ...samples.runs, id: run, session: run, state: 'running', turn: 1, return_to: null }
  if (!(await store.read.selectFrom('runs').select('id').where('id', '=', run).executeTakeFirst())) {
    const values = { ...row, route: JSON.stringify(route) } as never
    await store.write('claim', tx => tx.insertInto('runs').values(values).execute())
  }
  const text = words.slice(0, 40)
  const event = {
    on: 'run.delta',
    run,
    step: 1,
    session: run,
    sessionKey: 'k',
    agent: 'main',
    wireId: 'w',
    text,
  } as const
  deliverer.hear({ ...event, delta: text, replace: false } satisfies HouseEvent)
  await sleep(40)
  await store.write('finish', async tx => {
    await tx.updateTable('runs').set({ state: 'done' }).where('id', '=', run).execute()
    const put = { do: 'outbox.put', session: run, run, key, route, content: { text: words }, grown: true } as const
    await apply(tx, [{ ...put, at: now() }])
  })
  deliverer.ring()
}
