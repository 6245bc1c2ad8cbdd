import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { type HouseSetup, lastText, openTestHouse, type TestHouse } from '../../test/support/house.ts'
import { noCaps } from '../config/budgets.ts'
import type { Approval } from '../core/approval.ts'
import { unlimited } from '../core/budget.ts'

const open: TestHouse[] = []

async function house(setup: HouseSetup): Promise<TestHouse> {
  const it = await openTestHouse(setup)
  open.push(it)
  return it
}

afterEach(async () => {
  for (const it of open.splice(0)) await it.close()
})

const chat = { channel: 'telegram', account: 'default', to: '42' }
const look = { name: 'agents_list', args: {} }
const own = (calls: number): NonNullable<HouseSetup['agents']> => ({ main: { budget: { ...unlimited, calls } } })
const daily = (calls: number) => ({
  ...noCaps,
  gateway: { key: noCaps.gateway.key, limit: { ...unlimited, calls }, seconds: null },
})
/** Looks so often, saying so, and is done then. */
const looks =
  (times: number): HouseSetup['script'] =>
  (request, n) =>
    request.messages.filter(message => message.role === 'tool').length >= times
      ? { text: 'done' }
      : { text: `look ${n}`, calls: [look] }

async function waiting(it: TestHouse, n = 1): Promise<readonly Approval[]> {
  for (let i = 0; i < 400; i++) {
    const rows = await it.store.read
      .selectFrom('approvals')
      .innerJoin('runs', 'runs.id', 'approvals.run')
      .select('approvals.id')
      .where('approvals.state', '=', 'pending')
      .where('runs.state', '=', 'waiting')
      .execute()
    if (rows.length >= n) return it.house.approvals.pending()
    await sleep(5)
  }
  throw new Error(`not ${n} questions: ${JSON.stringify(await it.house.runs({ limit: 9 }))}`)
}

const answer = (it: TestHouse, id: string, decision: 'allow-once' | 'deny' = 'allow-once') =>
  it.house.approvals.answer({ principal: it.operator, id, decision })

/** Says yes to whatever is asked until these have ended. */
async function allowAll(it: TestHouse, runs: readonly string[]): Promise<void> {
  for (;;) {
    const views = await Promise.all(runs.map(run => it.house.run(run)))
    if (views.every(view => view?.run.state === 'done')) return
    for (const one of await it.house.approvals.pending()) await answer(it, one.id)
    await sleep(5)
  }
}

const outbox = async (it: TestHouse): Promise<string[]> =>
  (await it.store.read.selectFrom('outbox').select('payload').orderBy('id').execute()).map(
    row => JSON.parse(row.payload).text,
  )

describe("a run's own budget", () => {
  test('is used up: its owner is asked once, and allowed it goes on with as much again', async () => {
    const it = await house({ script: looks(3), agents: own(2) })
    const { run } = await it.say('look thrice', { route: chat })
    const [asked, none] = await waiting(it)
    expect(none).toBeUndefined()
    expect(asked).toMatchObject({
      kind: 'budget',
      run,
      subject: `budget:run:${run}/0/calls/2`,
      question: { tool: null, decisions: ['allow-once', 'deny'], raise: { field: 'calls', limit: 2, amount: 2 } },
    })
    expect((await it.house.run(run))?.run).toMatchObject({ state: 'waiting', spent: { calls: 2 } })
    const [question] = await outbox(it)
    expect(question).toContain('Approval needed: agent main asks to go on past its budget.')
    expect(question).toContain('The budget of 2 model calls of this run is used up: 0 model calls left')
    expect(question).toContain('Allowed, it goes on with 2 model calls more, for this run.')
    expect(question).toContain(`/approve ${asked!.id.slice(0, 8)} allow-once`)
    await answer(it, asked!.id)
    expect(await it.done(run)).toMatchObject({ outcome: 'succeeded', text: 'done' })
    expect((await it.house.run(run))?.run).toMatchObject({ grant: { budget: { calls: 4 } }, spent: { calls: 4 } })
    expect(it.requests).toHaveLength(4)
  })

  test('is used up again: that is another question; denied, it ends and hands over what it has', async () => {
    const it = await house({ script: looks(9), agents: own(2) })
    const { run } = await it.say('look', { route: chat })
    await answer(it, (await waiting(it))[0]!.id)
    const [next] = await waiting(it)
    expect(next!.subject).toBe(`budget:run:${run}/0/calls/4`)
    await answer(it, next!.id, 'deny')
    const why =
      'the budget of 4 model calls of this run is used up: 0 model calls left, too little for the next model call'
    expect(await it.done(run)).toMatchObject({
      outcome: 'budget_exhausted',
      error: `${why}; more was denied by operator`,
    })
    expect((await it.house.run(run))?.run).toMatchObject({ errorCode: 'RUN_BUDGET', result: 'look 4' })
    expect((await outbox(it)).at(-1)).toBe(`look 4\n\n(Not finished: ${why}; more was denied by operator.)`)
    expect(it.requests).toHaveLength(4)
  })

  test('silence is a no, and a message meanwhile does not end the waiting', async () => {
    const it = await house({ script: looks(9), agents: own(1), asking: () => ({ timeoutMs: 300 }) })
    const { run } = await it.say('look', { route: chat })
    await waiting(it)
    const more = await it.say('and this', { route: chat })
    expect((await it.house.run(run))?.run.state).toBe('waiting')
    expect(await it.done(run)).toMatchObject({
      outcome: 'budget_exhausted',
      error: expect.stringContaining('more was denied, because nobody answered in time'),
    })
    expect(more.run).toBe(run)
    expect(it.requests).toHaveLength(1)
  })

  test('words that went out before are not said again', async () => {
    const spawn = { name: 'sessions_spawn', args: { task: 'child' } }
    const it = await house({
      script: request =>
        lastText(request) === 'go' ? { text: 'One is sent out.', calls: [spawn] } : { text: 'child' },
      agents: own(2),
    })
    const { run } = await it.say('go', { route: chat })
    await answer(it, (await waiting(it))[0]!.id, 'deny')
    expect(await it.done(run)).toMatchObject({ outcome: 'budget_exhausted' })
    const told = await outbox(it)
    expect(told.filter(text => text.includes('One is sent out.'))).toEqual(['One is sent out.'])
    expect(told.at(-1)).toMatch(/^the budget of .* denied by operator$/)
  })

  test('waits over a restart, is not asked again, and goes on when it is answered', async () => {
    const it = await house({ script: looks(1), agents: own(1) })
    const { run } = await it.say('look', { route: chat })
    const [asked] = await waiting(it)
    await it.crash()
    expect(await it.house.approvals.pending()).toEqual([asked])
    await answer(it, asked!.id)
    expect(await it.done(run)).toMatchObject({ outcome: 'succeeded' })
    expect(await it.house.approvals.decided(9)).toHaveLength(1)
  })

  test('nobody is asked where there is no chat, unless the configuration says so, and never where it says never', async () => {
    const ask: { budget: boolean | null } = { budget: null }
    const it = await house({ script: looks(9), agents: own(1), asking: () => ask })
    const ends = async (where: object) =>
      it.done((await it.say('look', { sessionKey: `agent:main:${Math.random()}`, ...where })).run)
    expect(await ends({})).toMatchObject({ outcome: 'budget_exhausted', text: 'look 1' })
    ask.budget = false
    expect(await ends({ route: chat })).toMatchObject({ outcome: 'budget_exhausted' })
    expect(await it.house.approvals.decided(9)).toEqual([])
    ask.budget = true
    const { run } = await it.say('look', { sessionKey: 'agent:main:last' })
    await answer(it, (await waiting(it))[0]!.id, 'deny')
    expect(await it.done(run)).toMatchObject({ outcome: 'budget_exhausted' })
  })

  test("a sub-agent's is its payer's to know: it ends with what it has, and nobody is asked", async () => {
    const spawn = { name: 'sessions_spawn', args: { task: 'child', budget: { calls: 1 } } }
    const it = await house({
      script(request) {
        const first = request.messages[0]?.parts.map(part => (part.type === 'text' ? part.text : '')).join('')
        if (first === 'child') return { text: 'half of it', calls: [look] }
        return lastText(request) === 'go' ? { calls: [spawn] } : { text: lastText(request) }
      },
      asking: () => ({ budget: true }),
    })
    const { run } = await it.say('go', { route: chat })
    const end = await it.done(run)
    expect(end.outcome).toBe('succeeded')
    expect(end.text).toContain('half of it')
    expect(end.text).toContain('budget')
    const [child] = (await it.house.runs({ limit: 9 })).filter(view => view.run.parent === run)
    expect(child!.run).toMatchObject({ outcome: 'budget_exhausted', errorCode: 'RUN_BUDGET', result: 'half of it' })
    expect(await it.house.approvals.decided(9)).toEqual([])
  })
})

describe('a limit over many runs', () => {
  const elsewhere = { ...chat, to: '43' }

  test('is asked about once for all who meet it; one answer settles all, and raises it once', async () => {
    const it = await house({ script: looks(2), caps: daily(2) })
    const one = await it.say('look', { route: chat, sessionKey: 'agent:main:one' })
    const other = await it.say('look', { route: elsewhere, sessionKey: 'agent:main:other' })
    const third = await it.say('look', { route: chat, sessionKey: 'agent:main:third' })
    const [asked, more] = await waiting(it, 3)
    expect(more).toBeUndefined()
    const questions = await it.store.read.selectFrom('outbox').select(['chat', 'key']).execute()
    expect(questions.map(row => row.chat).sort()).toEqual(['42', '43'])
    expect(it.events.filter(event => event.on === 'approval')).toHaveLength(1)
    const rows = await it.store.read.selectFrom('approvals').select(['deadline_at', 'subject']).execute()
    expect(new Set(rows.map(row => row.deadline_at)).size).toBe(1)
    await answer(it, asked!.id)
    // As much again is two calls: what the three of them need besides is asked about anew.
    await allowAll(it, [one.run, other.run, third.run])
    for (const each of [one, other, third]) expect(await it.done(each.run)).toMatchObject({ outcome: 'succeeded' })
    const raises = await it.store.read.selectFrom('budget_raises').selectAll().orderBy('was').execute()
    expect(raises.map(({ whose, field, was, amount }) => [whose, field, was, amount])).toEqual([
      ['all', 'calls', 2, 2],
      ['all', 'calls', 4, 4],
      ['all', 'calls', 8, 8],
    ])
  })

  test('that was refused is refused for all, also for who comes later, until it is another limit', async () => {
    const caps = daily(1)
    const it = await house({ script: looks(1), caps })
    const one = await it.say('look', { route: chat, sessionKey: 'agent:main:one' })
    const [asked] = await waiting(it)
    const other = await it.say('look', { route: elsewhere, sessionKey: 'agent:main:other' })
    await waiting(it, 2)
    await answer(it, asked!.id, 'deny')
    for (const each of [one, other])
      expect(await it.done(each.run)).toMatchObject({
        outcome: 'budget_exhausted',
        error: expect.stringContaining('(agents.dailyBudget) is used up'),
      })
    const late = await it.say('look', { route: chat, sessionKey: 'agent:main:late' })
    expect(await it.done(late.run)).toMatchObject({
      outcome: 'budget_exhausted',
      error: expect.stringMatching(/; more was denied$/),
    })
    const told = (await outbox(it)).filter(text => text.startsWith('Approval ') && text.includes(': denied'))
    expect(told).toEqual(Array(2).fill(expect.stringMatching(/budget\): denied\.$/)))
    expect(await it.house.approvals.pending()).toEqual([])
    caps.gateway.limit = { ...unlimited, calls: 3 }
    const next = await it.say('look', { route: chat, sessionKey: 'agent:main:next' })
    expect(await it.done(next.run)).toMatchObject({ outcome: 'succeeded' })
  })

  test('of time: none of it is set aside, what commands took counts, and no call is begun once it is used up', async () => {
    const script: HouseSetup['script'] = request =>
      request.messages.at(-1)?.role === 'tool'
        ? { text: 'slept' }
        : { text: 'sleeping', calls: [{ name: 'exec', args: { command: 'sleep 1.05' } }] }
    const caps = { ...noCaps, gateway: { ...noCaps.gateway, seconds: 1 } }
    const it = await house({ script, caps })
    const { run } = await it.say('sleep', { route: chat })
    const [asked] = await waiting(it)
    expect(asked!.question.text).toContain('of 1 second of all agents today (agents.dailyBudget) is used up.')
    expect(asked!.question.raise).toMatchObject({ whose: 'all', field: 'seconds', limit: 1, code: 'RUN_CAP' })
    expect(it.requests).toHaveLength(1)
    await answer(it, asked!.id)
    expect(await it.done(run)).toMatchObject({ outcome: 'succeeded', text: 'slept' })
  })

  test('whoever asked is gone: its button answers for who waits still', async () => {
    const it = await house({ script: looks(1), caps: daily(1) })
    const one = await it.say('look', { route: chat, sessionKey: 'agent:main:one' })
    const [asked] = await waiting(it)
    const other = await it.say('look', { route: chat, sessionKey: 'agent:main:other' })
    await waiting(it, 2)
    await it.house.cancel({ principal: it.operator, target: { run: one.run }, reason: 'stop' })
    expect(await answer(it, asked!.id)).toMatchObject({ state: 'allow-once' })
    await allowAll(it, [other.run])
    expect(await it.done(other.run)).toMatchObject({ outcome: 'succeeded' })
  })
})
