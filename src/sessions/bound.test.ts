/** What is written at a place whose binding may end at any moment: it is counted as life there, or it is not taken. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openTestHouse, type TestHouse } from '../../test/support/house.ts'
import { message } from '../../test/support/arbitrary-chat.ts'
import { readConfig } from '../config/config.ts'
import { homeOf } from '../config/home.ts'
import type { Binding } from '../core/binding.ts'
import type { Principal } from '../core/principal.ts'
import { openIngest } from '../gateway/ingest.ts'
import { bind, bindingById, endBinding } from '../store/bindings.ts'
import { bindPlace, limitPlace, unbindPlace } from './binding.ts'

const key = 'agent:main:subagent:1'
const home = 'agent:main:telegram:group:-100:topic:7'
const place = { channel: 'telegram', account: 'default', to: '-100', thread: '7' }
const ann: Principal = {
  kind: 'sender',
  channel: 'telegram',
  account: 'default',
  sender: '21',
  scopes: ['operator.read', 'operator.write'],
}

let it: TestHouse
let binding: Binding
beforeEach(async () => {
  it = await openTestHouse({ script: () => ({ text: 'fine' }), senders: { allowFrom: { '*': ['*'] }, owners: [] } })
  await it.house.open({ principal: it.operator, sessionKey: key })
  binding = await it.store.write('bind', tx =>
    bind(tx, { place, session: { agent: 'main', key }, run: null, by: 'operator', at: 1 }),
  )
})
afterEach(() => it.close())

const over = () => it.store.write('bind', tx => endBinding(tx, binding, 'unbound', 2))
const write = (text: string, id = text) =>
  it.say(text, {
    principal: ann,
    method: 'ingest',
    sessionKey: key,
    route: place,
    idempotencyKey: id,
    bound: { binding: binding.id, home },
  })
const now = () => bindingById(it.store.read, binding.id)
const keys = async () =>
  (await it.store.read.selectFrom('rpc_keys').select('key').orderBy('key').execute()).map(row => row.key)

test('a message and a command count as life, in the transaction that takes them', async () => {
  await write('hello')
  const first = (await now())!.activeAt
  expect(first).toBeGreaterThan(1)
  const row = await it.store.read
    .selectFrom('messages')
    .select('at')
    .where('role', '=', 'user')
    .executeTakeFirstOrThrow()
  expect(row.at).toBe(first)
  await it.store.write(
    'bind',
    async tx => void (await tx.updateTable('thread_bindings').set({ active_at: 1 }).execute()),
  )
  expect((await write('/status')).status).toBe('command')
  expect((await now())!.activeAt).toBeGreaterThan(1)
})

test('once it is over nothing is taken, no row is left, and what was taken before is known again', async () => {
  await write('hello')
  await over()
  for (const text of ['more', '/status', '/new'])
    await expect(write(text)).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
  expect(await keys()).toEqual(['hello'])
  expect(['answered', 'in_flight']).toContain((await write('hello')).status)
})

test('no conversation is ever opened under the key of one that is gone', async () => {
  await it.house.reset({ principal: it.operator, sessionKey: key, reason: 'delete' })
  for (const text of ['more', '/status']) await expect(write(text)).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
  expect(await it.house.sessionByKey(key)).toBeNull()
  expect(await keys()).toEqual([])
})

test('a message that came while it ended is for the conversation that the place has by itself', async () => {
  const config = readConfig(
    { channels: { telegram: { botToken: 'x', groupPolicy: 'open', requireMention: false } } },
    homeOf({ home: it.dir, env: {} }),
    {},
  ).config!
  let asked = 0
  const ingest = openIngest({
    store: it.store,
    house: it.house,
    config: () => config,
    // It is still bound when it is looked up, and not any more when the message is taken.
    async bound() {
      asked += 1
      if (asked > 1) return null
      await over()
      return binding
    },
    workspace: () => it.dir,
    clock: { now: () => Date.now() },
    uuid: () => crypto.randomUUID(),
    outbox: () => undefined,
    log: () => undefined,
  })
  const chat = { id: '-100', kind: 'group' as const, title: 'g', guild: null, thread: '7', parent: null }
  expect(await ingest.take(message({ chat, text: 'hello' }))).toEqual({ done: 'accepted' })
  const at = await it.house.sessionByKey(home)
  expect((await it.house.history(at!.id, { limit: 5 })).messages[0]).toMatchObject({ role: 'user' })
  expect((await it.house.history((await it.house.sessionByKey(key))!.id, { limit: 5 })).messages).toEqual([])
  ingest.stop()
})

test('two who bind one place at once: the later one has it, and both are in the books', async () => {
  const principal = it.operator
  const options = {
    store: it.store,
    clock: { now: () => Date.now() },
    tell: () => undefined,
    policies: { bindings: () => ({ enabled: true, idleMs: 1, maxAgeMs: 0, spawns: true, context: 'fork' }) } as never,
  }
  await it.house.open({ principal, sessionKey: 'agent:main:explicit:a' })
  await it.house.open({ principal, sessionKey: 'agent:main:explicit:b' })
  const both = await Promise.all(
    ['a', 'b'].map(id =>
      bindPlace(options, {
        principal,
        place,
        now: key,
        home,
        key: `agent:main:explicit:${id}`,
        related: false,
        letsIn: true,
      }),
    ),
  )
  expect(both.map(each => each.ok)).toEqual([true, true])
  const rows = await it.store.read
    .selectFrom('thread_bindings')
    .select(['session_key', 'ended_why'])
    .orderBy('id')
    .execute()
  expect(rows).toEqual([
    { session_key: key, ended_why: 'replaced' },
    { session_key: 'agent:main:explicit:a', ended_why: 'replaced' },
    { session_key: 'agent:main:explicit:b', ended_why: null },
  ])
  expect(await limitPlace(options, { principal, place, to: { idleMs: 0 } })).toMatchObject({ idleMs: 0 })
  expect(await unbindPlace(options, { principal, place })).toMatchObject({ sessionKey: 'agent:main:explicit:b' })
  expect(await unbindPlace(options, { principal, place })).toBeNull()
  expect(await limitPlace(options, { principal, place, to: { idleMs: 0 } })).toBeNull()
  const audit = await it.store.read.selectFrom('audit').select('what').where('what', 'like', 'binding.%').execute()
  expect(audit.map(row => row.what)).toEqual(['binding.bind', 'binding.bind', 'binding.limit', 'binding.unbind'])
})
