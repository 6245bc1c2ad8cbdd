import fc from 'fast-check'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Machine, machine, openWalk, step } from '../../test/support/walk.ts'
import { live, type World } from '../../test/support/world.ts'
import { runGoes, sessionGoes, usualRules } from '../core/retention.ts'
import { apply } from './apply.ts'
import { bind, bindingById, endBinding } from './bindings.ts'
import { openStore, type Store } from './open.ts'
import { openRetention, type RetentionOptions } from './retention.ts'

const day = 24 * 3600_000
const rules = { ...usualRules, transcripts: 10 * day, closed: 5 * day }
const moves = fc.array(fc.tuple(fc.nat(11), fc.nat(30), fc.nat(5000)), { minLength: 20, maxLength: 120, size: 'max' })

/** What the rows hold of a walk's world, after a sweep when everything in it is a year old. */
async function swept(list: [number, number, number][], decide?: RetentionOptions['decide']) {
  const walk = openWalk(machine satisfies Machine)
  for (const [what, at, dice] of list) step(walk, what, at, dice)
  const { world } = walk
  const dir = mkdtempSync(join(tmpdir(), 'deputy-retention-'))
  const store = await openStore({ dir, log: () => undefined })
  try {
    for (const effects of world.journal) await store.write('result', async tx => void (await apply(tx, effects)))
    const clock = { now: () => world.now + 365 * day }
    const retention = openRetention({
      store,
      clock,
      rules: () => rules,
      archiveAfterMs: () => day,
      ...(decide && { decide }),
    })
    await retention.sweep()
    await retention.archive()
    return { world, lost: await lostOf(store, world), left: await countsOf(store) }
  } finally {
    await store.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function countsOf({ read }: Store) {
  const count = async (table: 'messages' | 'steps' | 'usage' | 'runs') =>
    (
      await read
        .selectFrom(table)
        .select(eb => eb.fn.countAll<number>().as('n'))
        .executeTakeFirstOrThrow()
    ).n
  return {
    messages: await count('messages'),
    steps: await count('steps'),
    usage: await count('usage'),
    runs: await count('runs'),
  }
}

/** What somebody still needs and is not there any more. */
async function lostOf({ read }: Store, world: World): Promise<string[]> {
  const open = (await read.selectFrom('outbox').selectAll().execute()).filter(
    row => !['sent', 'dead'].includes(row.state),
  )
  const needed = new Set([
    ...[...world.runs.values()].filter(live).map(run => run.tree),
    ...world.inbox.filter(row => row.state === 'unread').map(row => world.sessions.get(row.session)!.tree),
    ...open.map(row => world.sessions.get(row.session)!.tree),
  ])
  const inTree = (session: string) => needed.has(world.sessions.get(session)!.tree)
  const messages = new Set(
    (await read.selectFrom('messages').selectAll().execute()).map(row => `${row.session}/${row.seq}`),
  )
  const steps = new Set((await read.selectFrom('steps').selectAll().execute()).map(row => `${row.run}/${row.n}`))
  const views = new Set((await read.selectFrom('views').select('id').execute()).map(row => row.id))
  const sessions = await read.selectFrom('sessions').selectAll().execute()
  const runs = await read.selectFrom('runs').select(['id', 'result']).execute()
  const results = new Map(runs.map(row => [row.id, row.result]))
  const outbox = new Set((await read.selectFrom('outbox').select('key').execute()).map(row => row.key))
  return [
    ...world.messages
      .filter(row => inTree(row.session) && !messages.has(`${row.session}/${row.seq}`))
      .map(row => `message ${row.id}`),
    ...world.steps
      .filter(row => needed.has(world.runs.get(row.run)!.tree) && !steps.has(`${row.run}/${row.n}`))
      .map(row => `step ${row.run}/${row.n}`),
    ...[...world.runs.values()]
      .filter(run => needed.has(run.tree) && results.get(run.id) !== run.result)
      .map(run => `result ${run.id}`),
    ...sessions.filter(row => row.view !== null && !views.has(row.view)).map(row => `view ${row.view}`),
    ...sessions
      .filter(row => needed.has(row.tree) && row.closed_at !== null && world.sessions.get(row.id)!.closedAt === null)
      .map(row => `open ${row.id}`),
    ...world.outbox.filter(row => !outbox.has(row.key)).map(row => `outbox ${row.key}`),
    ...[...world.runs.keys()].filter(id => !results.has(id)).map(id => `run ${id}`),
  ]
}

const property = (decide?: RetentionOptions['decide']) =>
  fc.asyncProperty(moves, async list => {
    const { lost, world, left } = await swept(list, decide)
    expect(lost).toEqual([])
    expect(left.usage).toBe(world.usage.length)
  })

const blind = { live: 0, unread: 0, undelivered: 0 }

describe('a sweep', () => {
  test('never takes what a live tree, an unread row or an open delivery needs', async () => {
    await fc.assert(property(), { numRuns: process.env['DEPUTY_LONG'] ? 400 : 12, seed: 5 })
  })

  test.each<[string, RetentionOptions['decide']]>([
    ['looks at age alone', { runGoes: (run, _, ...rest) => runGoes(run, blind, ...rest), sessionGoes }],
    ['forgets who writes', { runGoes, sessionGoes: (session, _, ...rest) => sessionGoes(session, blind, ...rest) }],
    [
      'sees live runs only',
      {
        runGoes,
        sessionGoes: (session, tree, ...rest) => sessionGoes(session, { ...blind, live: tree.live }, ...rest),
      },
    ],
  ])('a planted mistake is found: it %s', async (_, decide) => {
    const result = await fc.check(property(decide), { numRuns: 30, seed: 5, endOnFailure: true })
    expect(result.failed).toBe(true)
  })
})

async function house(
  work: (store: Store, at: (now: number) => ReturnType<typeof openRetention>) => Promise<void>,
  keep = usualRules,
) {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-retention-'))
  const store = await openStore({ dir, log: () => undefined })
  try {
    const walk = openWalk(machine)
    for (const [what, at, dice] of fc.sample(moves, { numRuns: 12, seed: 2 }).flat()) step(walk, what, at, dice)
    for (const effects of walk.world.journal) await store.write('result', async tx => void (await apply(tx, effects)))
    // Everything has ended, was read and was delivered.
    await store.write('result', async tx => {
      await tx.updateTable('runs').set({ state: 'done', outcome: 'succeeded', ended_at: 1000, wait: null }).execute()
      await tx.updateTable('inbox').set({ state: 'read' }).execute()
      await tx.updateTable('outbox').set({ state: 'sent' }).execute()
    })
    await work(store, now =>
      openRetention({ store, clock: { now: () => now }, rules: () => keep, archiveAfterMs: () => 60 * 60_000 }),
    )
  } finally {
    await store.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

test('what has had its time goes: results after a week, journals after a month, and the ledger never', async () => {
  await house(async (store, at) => {
    const before = await countsOf(store)
    await at(1000 + 6 * day).sweep()
    expect(await countsOf(store)).toEqual(before)
    expect((await at(1000 + 8 * day).sweep()).results).toBeGreaterThan(0)
    expect((await countsOf(store)).steps).toBe(before.steps)
    expect((await at(1000 + 31 * day).sweep()).journals).toBeGreaterThan(0)
    const after = await countsOf(store)
    expect(after).toMatchObject({ steps: 0, usage: before.usage, runs: before.runs })
    // A second time there is nothing left to do.
    expect(await at(1000 + 31 * day).sweep()).toMatchObject({ results: 0, journals: 0, transcripts: 0 })
  })
})

test('a conversation that is pinned, and an agent’s main one, stay however old they are', async () => {
  await house(async (store, at) => {
    await store.write('session', async tx => {
      await tx.updateTable('sessions').set({ key: 'agent:main:main' }).where('id', '=', 'a').execute()
      await tx.updateTable('sessions').set({ settings: '{"pinned":true}' }).where('id', '=', 'b').execute()
    })
    await at(365 * day).sweep()
    const left = await store.read.selectFrom('messages').select('session').distinct().execute()
    expect(left.map(row => row.session)).toEqual(expect.arrayContaining(['a', 'b']))
    expect(left.map(row => row.session)).not.toContainEqual(expect.stringMatching(/^s/))
  }, rules)
})

test('conversations of sub-agents are put away after their minutes, and stay readable', async () => {
  await house(async (store, at) => {
    const before = await countsOf(store)
    expect(await at(1000 + 59 * 60_000).archive()).toBe(0)
    expect(await at(1000 + 61 * 60_000).archive()).toBeGreaterThan(0)
    expect(await at(1000 + 61 * 60_000).archive()).toBe(0)
    const rows = await store.read.selectFrom('sessions').selectAll().where('closed_at', 'is', null).execute()
    for (const row of rows) expect(JSON.parse(row.settings ?? '{}').archived === true).toBe(row.depth > 0)
    expect(await countsOf(store)).toEqual(before)
  })
})

test('what people talk to at a place of its own is neither put away nor forgotten while it is bound', async () => {
  await house(async (store, at) => {
    const [deep] = await store.read.selectFrom('sessions').selectAll().where('depth', '>', 0).limit(1).execute()
    const where = { channel: 'telegram', account: 'default', to: '-1', thread: '7' }
    const bound = await store.write('bind', async tx => {
      await tx.updateTable('sessions').set({ closed_at: null }).where('id', '=', deep!.id).execute()
      return bind(tx, { place: where, session: deep!, run: null, by: 'operator', at: 1000 })
    })
    const said = async () =>
      (await store.read.selectFrom('messages').where('session', '=', deep!.id).select('id').execute()).length
    const before = await said()
    expect(before).toBeGreaterThan(0)
    await at(1000 + 61 * 60_000).archive()
    await at(365 * day).sweep()
    const { settings } = await store.read
      .selectFrom('sessions')
      .select('settings')
      .where('id', '=', deep!.id)
      .executeTakeFirstOrThrow()
    expect([settings, await said()]).toEqual([null, before])

    await store.write('bind', tx => endBinding(tx, bound, 'unbound', 365 * day))
    expect(await at(365 * day).archive()).toBeGreaterThan(0)
    await at(366 * day).sweep()
    expect(await said()).toBe(0)
    await at(401 * day).sweep()
    expect(await bindingById(store.read, bound.id)).toBeNull()
  }, rules)
})
