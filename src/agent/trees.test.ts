/**
 * Random trees of agents, policies and requests through the whole house, and what stands in the rows afterwards: no child
 * ever has more than its parent, in scopes, tools, agents, depth, budget or time; sums of money always balance.
 * (core/grant.test.ts and core/budget.test.ts try the same of the decisions alone, over far more trees.)
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { firstText, openTestHouse } from '../../test/support/house.ts'
import type { AgentPolicy } from '../core/grant.ts'
import { grantCovers } from '../core/grant.ts'
import type { Purse, Run, Spend } from '../core/types.ts'

const long = process.env['DEPUTY_LONG'] ? 20 : 1
const ids = ['main', 'writer', 'digger'] as const
const fields = ['nano', 'tokens', 'calls'] as const

interface Node {
  args: Record<string, unknown>
  cost: number
  children: Node[]
}

const budget = fc.record(
  {
    usd: fc.constantFrom(0.0001, 0.005, 0.02),
    tokens: fc.constantFrom(50, 3000, 30_000),
    calls: fc.constantFrom(1, 2, 6),
  },
  { requiredKeys: [] },
)
/** Once in so many. */
const some = <T>(arbitrary: fc.Arbitrary<T>, times = 4) =>
  fc.oneof({ weight: times - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary })
const args = fc.record({
  agentId: some(fc.constantFrom(...ids, ...ids, ...ids, 'nobody'), 2),
  tools: some(fc.subarray(['read', 'exec', 'sessions_spawn', 'sessions_yield', 'message'], { minLength: 1 }), 6),
  budget: some(budget),
  runTimeoutSeconds: some(fc.constantFrom(0, 60, 600)),
  expectsCompletionMessage: some(fc.constant(false)),
})
const nodeOf = (below: number): fc.Arbitrary<Node> =>
  fc.record({
    args,
    cost: fc.nat(120_000),
    children: below === 0 ? fc.constant([]) : fc.array(nodeOf(below - 1), { minLength: 1, maxLength: 3 }),
  })
const limit = fc.option(fc.integer({ min: 3, max: 30 }), { nil: null })
const purse = fc.record({
  nano: limit.map(n => (n === null ? null : n * 2_000_000)),
  tokens: limit.map(n => (n === null ? null : n * 3000)),
  calls: limit,
})
const policy: fc.Arbitrary<Partial<AgentPolicy>> = fc.record({
  scopes: fc.constantFrom(['operator.write'], ['operator.read'], ['operator.read', 'operator.write']),
  tools: fc
    .subarray(['read', 'exec', 'grep', 'subagents', 'agents_list'])
    .map(tools => [...tools, 'sessions_spawn', 'sessions_yield']),
  allowAgents: fc.constantFrom(null, ['*'], ['*'], ['writer', 'digger'], ['main', 'writer', 'digger']),
  maxSpawnDepth: fc.integer({ min: 2, max: 4 }),
  maxChildrenPerAgent: fc.integer({ min: 2, max: 4 }),
  budget: fc.oneof(
    { weight: 4, arbitrary: fc.constant({ nano: null, tokens: null, calls: null }) },
    { weight: 1, arbitrary: purse },
  ),
}) as never
const house = fc.tuple(policy, policy, policy)
const trees = fc.tuple(house, fc.array(nodeOf(2), { minLength: 2, maxLength: 4 }))

type Usage = { run: string } & Spend

/** Runs the tree to its end, those that go on by themselves included. */
async function grown([policies, roots]: typeof trees extends fc.Arbitrary<infer T> ? T : never) {
  const root: Node = { args: {}, cost: 1000, children: roots }
  const at = (path: string) =>
    path
      .split('.')
      .slice(1)
      .reduce((one: Node, n) => one.children[Number(n)]!, root)
  const it = await openTestHouse({
    agents: Object.fromEntries(ids.map((id, n) => [id, policies[n]!])),
    script: request => {
      const path = firstText(request).split('\n')[0]!
      const one = at(path)
      if (request.messages.length > 1) return { text: 'done', costNano: one.cost }
      const calls = one.children.map((child, n) => ({
        name: 'sessions_spawn',
        args: { task: `${path}.${n}`, ...child.args },
      }))
      return { text: 'at it', calls, costNano: one.cost }
    },
  })
  try {
    const principal = { kind: 'sender', channel: 'telegram', account: 'a', sender: '7' }
    const { run } = await it.say('node', { principal: { ...it.operator, ...principal } as never })
    await it.done(run)
    while ((await it.house.runs({ limit: 1, state: ['queued', 'running', 'waiting'] })).length > 0)
      await new Promise(resolve => setTimeout(resolve, 2))
    const runs = (await it.house.runs({ limit: 1000 })).map(view => view.run)
    const rows = await it.store.read.selectFrom('usage').selectAll().execute()
    const usage = rows.map(row => ({
      run: row.run,
      nano: row.charged_nano,
      tokens: row.charged_tokens,
      calls: row.charged_calls,
    }))
    return { runs, usage }
  } finally {
    await it.close()
  }
}

const within = (less: number | null, more: number | null) => more === null || (less !== null && less <= more)

/** Every way in which the rows are wrong. */
function audit(runs: readonly Run[], usage: readonly Usage[]): string[] {
  const wrong: string[] = []
  const byId = new Map(runs.map(run => [run.id, run]))
  const total = (rows: readonly Spend[], field: (typeof fields)[number]) =>
    rows.reduce((sum, row) => sum + row[field], 0)
  for (const run of runs) {
    const say = (what: string) => wrong.push(`${run.id}: ${what}`)
    for (const field of fields) {
      const own = total(
        usage.filter(row => row.run === run.id),
        field,
      )
      const below = total(
        runs.filter(one => one.payer === run.id).map(one => one.spent),
        field,
      )
      // What a detached child was given has left for good.
      const left = runs
        .filter(one => one.parent === run.id && one.detached)
        .reduce((sum, one) => sum + (one.grant.budget[field] ?? 0), 0)
      if (run.spent[field] !== own + below + left) say(`${field} do not balance`)
      if (!within(run.spent[field], run.grant.budget[field])) say(`more ${field} than it was given`)
      if (run.lent[field] !== 0) say(`${field} still lent at its end`)
    }
    const parent = run.parent === null ? undefined : byId.get(run.parent)
    if (!parent) continue
    if (!grantCovers({ ...parent.grant, depth: parent.grant.depth - 1 }, run.grant)) say('more than its parent may')
    if (run.depth !== parent.depth + 1) say('not one deeper')
    if (run.grant.device !== parent.grant.device || run.grant.sender !== parent.grant.sender) say('of somebody else')
    for (const field of fields)
      if (!within(run.grant.budget[field], parent.grant.budget[field])) say(`a larger budget: ${field}`)
    if (!run.detached && !within(run.deadlineAt, parent.deadlineAt)) say('a later deadline')
    if ((run.payer === null) !== run.detached) say('paid by the wrong one')
  }
  return wrong
}

test('no child ever exceeds its parent, and all money balances', async () => {
  const seen = { children: 0, deep: 0, short: 0 }
  const property = fc.asyncProperty(trees, async tree => {
    const { runs, usage } = await grown(tree)
    seen.children += runs.length - 1
    seen.deep += runs.filter(run => run.depth > 1).length
    seen.short += runs.filter(run => run.outcome === 'budget_exhausted').length
    expect(audit(runs, usage)).toEqual([])
  })
  await fc.assert(property, { numRuns: 15 * long })
  // Trees that were all refused would prove nothing.
  expect(seen.children).toBeGreaterThan(15)
  expect(seen.deep).toBeGreaterThan(3)
  expect(seen.short).toBeGreaterThan(0)
}, 600_000)

const able = { scopes: ['operator.write'], tools: ['read', 'sessions_spawn', 'sessions_yield'], allowAgents: ['*'] }
const wide = { ...able, maxSpawnDepth: 3, maxChildrenPerAgent: 4, budget: { nano: null, tokens: null, calls: 200 } }
const leafOf = (more: object) => ({ args: { runTimeoutSeconds: 600, ...more }, cost: 7, children: [] })
const planted: Record<string, (run: Run) => Partial<Run>> = {
  scopes: run => ({ grant: { ...run.grant, scopes: ['operator.admin'] } }),
  tools: run => ({ grant: { ...run.grant, tools: [...run.grant.tools, 'exec'] } }),
  agents: run => ({ grant: { ...run.grant, agents: ['stranger'] } }),
  depth: run => ({ grant: { ...run.grant, depth: run.grant.depth + 1 } }),
  budget: run => ({ grant: { ...run.grant, budget: { ...run.grant.budget, calls: null } as Purse } }),
  deadline: run => ({ deadlineAt: (run.deadlineAt ?? 0) + 1_000_000 }),
  'no deadline': () => ({ deadlineAt: null }),
  'a cent too much': run => ({ spent: { ...run.spent, nano: run.spent.nano + 1 } }),
  'a loan that was not given back': run => ({ lent: { ...run.lent, tokens: 1 } }),
  'a payer forgotten': () => ({ payer: null }),
  'somebody else': run => ({ grant: { ...run.grant, sender: 'telegram:8' } }),
}

test('what is planted in the rows is found', async () => {
  const middle = { ...leafOf({ runTimeoutSeconds: 60 }), children: [leafOf({ tools: ['read', 'sessions_spawn'] })] }
  const listed = { ...wide, allowAgents: ['main', 'writer', 'digger'] }
  const { runs, usage } = await grown([
    [listed, listed, listed],
    [middle, leafOf({})],
  ] as never)
  expect(runs).toHaveLength(4)
  expect(audit(runs, usage)).toEqual([])
  const deep = runs.find(run => run.depth === 2)!
  for (const [name, spoil] of Object.entries(planted)) {
    const spoilt = runs.map(run => (run === deep ? { ...run, ...spoil(run) } : run))
    expect([name, audit(spoilt, usage).length > 0]).toEqual([name, true])
  }
})
