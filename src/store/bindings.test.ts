import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { tempDir } from '../../test/support/temp.ts'
import type { Route } from '../core/types.ts'
import {
  bind,
  bindingById,
  bindingsOf,
  boundAt,
  endBinding,
  endWithWord,
  limitBinding,
  liveBindings,
  touchBinding,
} from './bindings.ts'
import { openStore, type Store } from './open.ts'

const session = { agent: 'main', key: 'agent:main:subagent:1' }
const chat: Route = { channel: 'telegram', account: 'default', to: '-100' }
const topic: Route = { ...chat, thread: '7' }
const rules = { idleMs: 3_600_000, maxAgeMs: 0 }

let store: Store
beforeEach(async () => {
  store = await openStore({ dir: tempDir(), log: () => undefined })
  onTestFinished(() => store.close())
})

const put = (place: Route, key = session.key, at = 1) =>
  store.write('bind', tx => bind(tx, { place, session: { ...session, key }, run: null, by: 'operator', at }))

describe('a place', () => {
  test('is found again as it was bound, and nothing beside it', async () => {
    const bound = await put(topic)
    expect(await boundAt(store.read, topic)).toEqual(bound)
    expect(bound).toMatchObject({ place: topic, sessionKey: session.key, by: 'operator', activeAt: 1, endedAt: null })
    for (const other of [
      chat,
      { ...topic, thread: '77' },
      { ...topic, account: 'other' },
      { ...topic, channel: 'slack' },
      { ...topic, to: '-1007' },
    ])
      expect(await boundAt(store.read, other)).toBeNull()
  })

  test('that is bound anew belongs to the new one alone', async () => {
    const first = await put(topic)
    const second = await put(topic, 'agent:main:subagent:2', 5)
    expect((await boundAt(store.read, topic))?.id).toBe(second.id)
    expect(await bindingById(store.read, first.id)).toMatchObject({ endedAt: 5, why: 'replaced' })
    expect(await liveBindings(store.read)).toEqual([second])
  })

  test('a chat and its threads are bound each for itself; a conversation may have several places', async () => {
    await put(chat)
    await put(topic)
    await put({ ...topic, thread: '8' }, 'agent:main:subagent:2')
    expect((await bindingsOf(store.read, [session.key])).map(each => each.place)).toEqual([chat, topic])
    expect(await bindingsOf(store.read, [])).toEqual([])
  })
})

describe('what is over', () => {
  test('stays as it was', async () => {
    const bound = await put(topic)
    const { id } = bound
    const again = await store.write('bind', async tx => [
      await endBinding(tx, bound, 'unbound', 7),
      await endBinding(tx, bound, 'idle', 9),
      await touchBinding(tx, id, 9),
      await limitBinding(tx, id, { idleMs: 5 }),
    ])
    expect(again).toEqual([true, false, false, false])
    expect(await bindingById(store.read, id)).toMatchObject({ endedAt: 7, why: 'unbound', activeAt: 1, idleMs: null })
  })

  test('is said at its place once, by the name of the conversation', async () => {
    const bound = await put(topic)
    const end = () => store.write('bind', tx => endWithWord(tx, bound, { why: 'idle', rules, at: 9 }))
    expect([await end(), await end()]).toEqual([true, false])
    const rows = await store.read.selectFrom('outbox').select(['key', 'route', 'payload', 'session']).execute()
    expect(rows).toEqual([
      {
        key: `unbound:${bound.id}`,
        route: JSON.stringify(topic),
        payload: JSON.stringify({ text: 'This thread is no longer bound to main: nothing was written for 1 hour.' }),
        session: '',
      },
    ])
  })
})

test('a limit of its own is set and taken away by itself', async () => {
  const { id } = await put(topic)
  await store.write('bind', tx => limitBinding(tx, id, { idleMs: 0 }))
  await store.write('bind', tx => limitBinding(tx, id, { maxAgeMs: 60_000 }))
  expect(await bindingById(store.read, id)).toMatchObject({ idleMs: 0, maxAgeMs: 60_000 })
  await store.write('bind', tx => limitBinding(tx, id, { idleMs: null }))
  expect(await bindingById(store.read, id)).toMatchObject({ idleMs: null, maxAgeMs: 60_000 })
})
