/** `thread: true`: what a spawn with a place of its own makes, says and refuses. The outbox is looked at, nobody sends it. */
import { afterEach, describe, expect, test } from 'vitest'
import { delegates, isChild, spawn } from '../../test/support/delegating.ts'
import { type HouseSetup, lastText, openTestHouse, type Said, type TestHouse } from '../../test/support/house.ts'
import type { Capabilities } from '../core/chat.ts'
import { openingThread } from '../core/opening.ts'
import type { Chats, ModelRequest } from '../core/ports.ts'
import type { Route } from '../core/types.ts'
import { boundAt } from '../store/bindings.ts'
import { loadSession } from '../store/facts.ts'
import { outboxOf } from '../store/outbox.ts'

const square = { channel: 'discord', account: 'default', to: '100' }
const inSquare = 'agent:main:discord:channel:100'
const can = (binds: Capabilities['binds']): Capabilities => ({
  edit: true,
  threads: true,
  reactions: true,
  media: true,
  typing: true,
  buttons: true,
  polls: true,
  binds,
  maxText: 2000,
})
const services: Record<string, Capabilities> = {
  discord: can({ opens: ['channel'] }),
  slack: can({ opens: ['direct', 'group', 'channel'] }),
  telegram: can('here'),
  whatsapp: can(null),
}
const chats: Chats = { any: () => true, capabilities: ({ channel }) => services[channel] ?? null }
const open: TestHouse[] = []

afterEach(async () => {
  for (const it of open.splice(0)) await it.close()
})

async function house(script: HouseSetup['script'], setup: Partial<HouseSetup> = {}): Promise<TestHouse> {
  const bindings = { context: 'isolated' as const, ...setup.bindings }
  const it = await openTestHouse({ script, chats, ...setup, bindings })
  open.push(it)
  return it
}

/** One message from a chat, to the end of everything that it starts. */
async function go(it: TestHouse, route: Route | null = square, sessionKey = inSquare) {
  const accepted = await it.say('go', { ...(route ? { route } : {}), sessionKey })
  const end = await it.done(accepted.wireId)
  await idle(it)
  const { messages } = await it.house.history(accepted.session.id, { limit: 100 })
  const told = messages.flatMap(({ role, parts }) =>
    role === 'toolResult' && parts[0]?.type === 'text' ? [JSON.parse(parts[0].text) as Record<string, unknown>] : [],
  )
  const runs = await it.house.tree(accepted.run)
  return { accepted, end, told, parent: runs[0]!.run, child: runs[1]?.run }
}

/** Detached work, and who it wakes, included. */
async function idle(it: TestHouse): Promise<void> {
  for (;;) {
    const live = await it.store.read.selectFrom('runs').select('id').where('state', '<>', 'done').execute()
    if (live.length === 0) return
    for (const { id } of live) await it.done(id)
  }
}

async function outbox(it: TestHouse) {
  const rows = await it.store.read.selectFrom('outbox').selectAll().orderBy('id').execute()
  return rows
    .map(outboxOf)
    .map(({ key, route, content }) => ({ key, thread: route.thread ?? null, text: content.text }))
}

const found = (request: ModelRequest): Said => ({ text: `found it, said ${lastText(request).slice(0, 4)}` })

describe('a thread of its own', () => {
  test('is asked for in the transaction of the spawn, and the words go there as the result goes back', async () => {
    const it = await house(delegates({ thread: true, label: 'Dig *deep*' }, found))
    const { told, parent, child } = await go(it)
    const thread = openingThread(child!.id)
    expect(told).toMatchObject([
      {
        status: 'accepted',
        mode: 'session',
        context: 'isolated',
        thread: { state: 'opening', name: 'Dig *deep*', channel: 'discord', chat: '100' },
      },
    ])
    expect(child).toMatchObject({
      detached: true,
      payer: null,
      returnTo: parent.session,
      route: { ...square, thread },
      terms: { thread: 'thread' },
      outcome: 'succeeded',
    })
    const said = await outbox(it)
    expect(said.filter(row => row.thread === thread)).toEqual([
      {
        key: `${child!.id}/opener`,
        thread,
        text: expect.stringMatching(/^\*\*Dig deep\*\*\nAgent main works on this\./),
      },
      { key: `${child!.id}/final`, thread, text: expect.stringContaining('found it') },
    ])
    // The parent is told once, and says so once, where it was asked.
    const here = said.filter(row => row.thread === null).map(({ text }) => text)
    expect(here[0]).toBe('waiting')
    expect(here.slice(1)).toEqual([
      expect.stringMatching(/^told: \[Sub-agent main · Dig \*deep\* · completed\][\s\S]*found it/),
    ])
    expect((await loadSession(it.store.read, child!.session))!.route).toEqual({ ...square, thread })
  })

  test('with mode run it is a part of the work: the parent waits for it', async () => {
    const it = await house(delegates({ thread: true, mode: 'run' }, found))
    const { told, child, end } = await go(it)
    expect(told).toMatchObject([{ mode: 'run' }])
    expect(child).toMatchObject({ detached: false, payer: expect.any(String) })
    expect(end.text).toContain('told: [Sub-agent main')
  })

  test('without a result that is wanted it speaks there alone', async () => {
    const it = await house(delegates({ thread: true, expectsCompletionMessage: false }, found))
    const { child } = await go(it)
    expect(child).toMatchObject({ returnTo: null, outcome: 'succeeded' })
    const said = await outbox(it)
    expect(said.filter(({ text }) => text.includes('found it')).map(({ thread }) => thread)).toEqual([
      openingThread(child!.id),
    ])
  })

  test('begins with a copy of the conversation where the configuration says so and the agent is the same', async () => {
    const agents = { other: {} }
    const bindings = { context: 'fork' as const }
    const spawns = [{ thread: true }, { thread: true, agentId: 'other' }, { thread: true, context: 'isolated' }, {}]
    const it = await house(delegates(spawns, found), { bindings, agents })
    const { told } = await go(it)
    expect(told.map(({ context }) => context)).toEqual(['fork', 'isolated', 'isolated', 'isolated'])
  })

  test('of one that has a thread is beside it, and what falls back goes to where its asker speaks', async () => {
    let asked = false
    const it = await house(request => {
      if (!isChild(request))
        return request.messages.length === 1 ? { calls: [spawn({ thread: true })] } : { text: 'ok' }
      if (asked) return found(request)
      asked = true
      return { calls: [spawn({ thread: true, label: 'below' })] }
    })
    await go(it)
    const rows = (await it.store.read.selectFrom('outbox').selectAll().orderBy('id').execute()).map(outboxOf)
    const [first, second] = rows.filter(row => row.opens)
    expect(second!.route).toEqual({ ...square, thread: openingThread(second!.run!) })
    expect(second!.content.opens).toMatchObject({ name: 'below', back: openingThread(first!.run!) })
  })

  test('steps that wait say so there, and a late message is answered there alone', async () => {
    const late = Promise.withResolvers<void>()
    const it = await house(async request => {
      if (!isChild(request))
        return request.messages.length === 1 ? { calls: [spawn({ thread: true })] } : { text: 'ok' }
      if (lastText(request) === 'and more?') return { text: 'nothing more' }
      late.resolve()
      await it.house.accept({
        principal: it.operator,
        method: 'agent',
        sessionKey: (await childOf(it)).key,
        parts: [{ type: 'text', text: 'and more?' }],
        idempotencyKey: 'late',
        mode: 'followup',
      })
      return { text: 'found it' }
    })
    await go(it)
    const said = await outbox(it)
    const child = await childOf(it)
    expect(said.filter(({ thread }) => thread === child.route!.thread).map(({ text }) => text)).toEqual([
      expect.stringContaining('works on this'),
      'found it',
      'nothing more',
    ])
    const results = await it.store.read.selectFrom('inbox').select('key').where('kind', '=', 'result').execute()
    expect(results).toHaveLength(1)
  })
})

async function childOf(it: TestHouse) {
  const row = await it.store.read.selectFrom('sessions').select('id').where('depth', '=', 1).executeTakeFirstOrThrow()
  return (await loadSession(it.store.read, row.id))!
}

describe('the chat itself, where a service opens none', () => {
  const direct = { channel: 'telegram', account: 'default', to: '7' }

  test('is bound with the spawn, said so, and told its words once', async () => {
    const it = await house(delegates({ thread: true, label: 'helper' }, found))
    const { told, child } = await go(it, direct, 'agent:main:telegram:direct:7')
    expect(told).toMatchObject([{ mode: 'session', thread: { state: 'bound', channel: 'telegram', chat: '7' } }])
    expect(await boundAt(it.store.read, direct)).toMatchObject({ run: child!.id, sessionKey: (await childOf(it)).key })
    const said = await outbox(it)
    expect(said.map(({ thread }) => thread)).toEqual(said.map(() => null))
    expect(said[0]!.text).toMatch(/^\*\*helper\*\*\nAgent main works on this and answers in this chat now/)
    expect(said.filter(({ text }) => text.startsWith('found it'))).toHaveLength(1)
    const heard = it.requests.filter(request => !isChild(request)).map(lastText)
    expect(heard.at(-1)).toContain('The person has read these words')
  })
})

describe('what is refused, with a code and a way out', () => {
  const refusal = async (
    args: object,
    more: { route?: Route | null; key?: string; setup?: Partial<HouseSetup> } = {},
  ) => {
    const it = await house(delegates(args, found), more.setup)
    const { told } = await go(it, more.route === undefined ? square : more.route, more.key ?? inSquare)
    expect(await outbox(it)).toEqual(
      more.route === null ? [] : [{ key: expect.any(String), thread: null, text: 'waiting' }],
    )
    return told[0]
  }

  test.each<[string, Parameters<typeof refusal>[1], RegExp]>([
    ['no chat', { route: null, key: 'agent:main:main' }, /not in a chat/],
    ['a direct chat of Discord', { key: 'agent:main:discord:direct:5' }, /no threads in a direct chat/],
    ['WhatsApp', { route: { channel: 'whatsapp', account: 'default', to: '1' } }, /whatsapp has no threads/],
    ['an account that is not there', { route: { channel: 'irc', account: 'x', to: '1' } }, /not set up here/],
  ])('%s', async (_name, where, problem) => {
    const told = await refusal({ thread: true }, where)
    expect(told).toMatchObject({
      status: 'error',
      code: 'SPAWN_THREAD',
      fix: expect.stringContaining('without thread'),
    })
    expect(told!['error']).toMatch(problem)
  })

  test('switched off', async () => {
    const off = await refusal({ thread: true }, { setup: { bindings: { enabled: false } } })
    const key = 'session.threadBindings.enabled'
    expect(off).toMatchObject({ status: 'forbidden', code: 'SPAWN_THREADS_OFF', configure: key })
    const none = await refusal({ thread: true }, { setup: { bindings: { spawns: false } } })
    expect(none).toMatchObject({ code: 'SPAWN_THREADS_OFF', configure: 'session.threadBindings.spawnSessions' })
  })

  test('what does not go together', async () => {
    const lasting = await refusal({ mode: 'session' })
    expect(lasting).toMatchObject({ code: 'SPAWN_PARAM', error: expect.stringContaining('requires thread: true') })
    const gone = await refusal({ thread: true, cleanup: 'delete' })
    expect(gone).toMatchObject({ code: 'SPAWN_PARAM', error: expect.stringContaining('cleanup can only be "keep"') })
  })
})
