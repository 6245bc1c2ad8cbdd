import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { machine, openWalk } from '../../test/support/walk.ts'
import { apply } from '../store/apply.ts'
import { openStore, type Store } from '../store/open.ts'
import { openEngine, type Queued } from './engine.ts'

let dir: string
let store: Store

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-engine-'))
  store = await openStore({ dir, log: () => undefined })
})

afterEach(async () => {
  await store.close()
  rmSync(dir, { recursive: true, force: true })
})

/** A dispatcher whose workers rest when they are told to. */
function dispatcher(limits: { main?: number; subagent?: number; agents?: Record<string, number> } = {}) {
  const begun: string[] = []
  const rest = new Map<string, () => void>()
  const engine = openEngine({
    store,
    drive({ id }) {
      begun.push(id)
      return new Promise(resolve => rest.set(id, resolve))
    },
    limits: () => ({
      main: limits.main ?? 4,
      subagent: limits.subagent ?? 8,
      agent: id => limits.agents?.[id] ?? null,
    }),
    log: () => undefined,
  })
  const end = async (run: string) => {
    rest.get(run)?.()
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  return { engine, begun, end }
}

const run = (id: string, more: Partial<Queued> = {}): Queued => ({
  id,
  lane: 'subagent',
  tree: 't',
  agent: 'main',
  woken: false,
  queuedAt: 0,
  ...more,
})

test('a lane begins as many as it has slots, and the next when one rests', async () => {
  const { engine, begun, end } = dispatcher({ subagent: 2 })
  await engine.start()
  engine.queued(['a', 'b', 'c'].map((id, at) => run(id, { queuedAt: at })))
  expect(begun).toEqual(['a', 'b'])
  expect(engine.counts().subagent).toEqual({ running: 2, queued: 1 })
  await end('a')
  expect(begun).toEqual(['a', 'b', 'c'])
})

test('lanes are apart: sub-agents never take the slots of people', async () => {
  const { engine, begun } = dispatcher({ main: 1, subagent: 1 })
  await engine.start()
  engine.queued([run('s1'), run('s2'), run('m1', { lane: 'main' })])
  expect(begun).toEqual(expect.arrayContaining(['s1', 'm1']))
  expect(begun).toHaveLength(2)
})

test('woken runs go before new ones', async () => {
  const { engine, begun, end } = dispatcher({ subagent: 1 })
  await engine.start()
  engine.queued([run('first')])
  engine.queued([run('new', { queuedAt: 1 }), run('woken', { queuedAt: 2, woken: true })])
  await end('first')
  expect(begun).toEqual(['first', 'woken'])
})

test('a small tree does not wait behind a large one', async () => {
  const { engine, begun, end } = dispatcher({ subagent: 2 })
  await engine.start()
  engine.queued(Array.from({ length: 50 }, (_, at) => run(`big${at}`, { tree: 'big', queuedAt: at })))
  engine.queued([run('small', { tree: 'small', queuedAt: 100 })])
  expect(begun).toEqual(['big0', 'big1'])
  await end('big0')
  expect(begun.at(-1)).toBe('small')
})

test('an agent never takes more than its own limit, and holds up nobody else', async () => {
  const { engine, begun, end } = dispatcher({ agents: { slow: 1 } })
  await engine.start()
  engine.queued([run('s1', { agent: 'slow' }), run('s2', { agent: 'slow' }), run('q1', { agent: 'quick' })])
  expect(begun).toEqual(['s1', 'q1'])
  await end('s1')
  expect(begun.at(-1)).toBe('s2')
})

test('a run that is woken before its worker has left waits for that worker', async () => {
  const { engine, begun, end } = dispatcher()
  await engine.start()
  engine.queued([run('a')])
  engine.queued([run('a', { woken: true })])
  expect(begun).toEqual(['a'])
  await end('a')
  expect(begun).toEqual(['a', 'a'])
})

test('runs whose bell was lost are found in the rows, at the start and when nothing else is left', async () => {
  const walk = openWalk(machine)
  const [home] = walk.world.sessions.values()
  const fresh = {
    id: 'lost',
    grant: { scopes: [], tools: [], agents: [], depth: 0, budget: { nano: null, tokens: null, calls: null } },
    model: 'm',
    deadlineAt: null,
  }
  const queued = machine.newRun(home!, fresh, { now: 5, task: 't', route: null, lane: 'main' })
  await store.write('accept', tx =>
    apply(tx, [
      { do: 'session.put', session: home! },
      { do: 'run.put', run: queued },
    ]),
  )
  const { engine, begun, end } = dispatcher()
  expect(begun).toEqual([])
  await engine.start()
  expect(begun).toEqual(['lost'])
  await store.write('finish', tx =>
    apply(tx, [{ do: 'run.set', run: 'lost', to: { state: 'done', outcome: 'succeeded' } }]),
  )
  const second = { ...queued, id: 'lost2' }
  await store.write('accept', tx => apply(tx, [{ do: 'run.put', run: second }]))
  await end('lost')
  await new Promise(resolve => setTimeout(resolve, 20))
  expect(begun).toEqual(['lost', 'lost2'])
})

test('nothing begins after a stop', async () => {
  const { engine, begun } = dispatcher()
  await engine.start()
  engine.stop()
  engine.queued([run('a')])
  expect(begun).toEqual([])
})

test('a slot that is kept counts as taken, until it is begun or given back', async () => {
  const { engine, begun, end } = dispatcher({ subagent: 2, agents: { shy: 1 } })
  expect(engine.reserve(run('early'))).toBeNull()
  await engine.start()
  const slot = engine.reserve(run('a'))!
  engine.queued([run('b'), run('c')])
  expect(begun).toEqual(['b'])
  slot.begin(run('a'))
  expect(begun).toEqual(['b', 'a'])
  await end('b')
  expect(begun).toEqual(['b', 'a', 'c'])
  await end('a')
  const other = engine.reserve(run('d'))!
  engine.queued([run('e')])
  expect([begun.includes('e'), engine.counts().subagent.queued]).toEqual([false, 1])
  other.free()
  expect(begun).toEqual(['b', 'a', 'c', 'e'])
})

test('no slot is kept before those who wait for one, nor above the limit of an agent', async () => {
  const { engine, begun, end } = dispatcher({ subagent: 2, agents: { shy: 1 } })
  await engine.start()
  const shy = engine.reserve(run('s', { agent: 'shy' }))!
  expect(engine.reserve(run('t', { agent: 'shy' }))).toBeNull()
  engine.queued([run('u', { agent: 'shy' })])
  // One waits in this lane: who comes now stands behind it, although a slot is free.
  expect(engine.reserve(run('v'))).toBeNull()
  expect(engine.reserve(run('w', { lane: 'main' }))).not.toBeNull()
  shy.begin(run('s', { agent: 'shy' }))
  expect(begun).toEqual(['s'])
  await end('s')
  expect(begun).toEqual(['s', 'u'])
  engine.stop()
  expect(engine.reserve(run('x'))).toBeNull()
})
