import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { covers, type Scope, scopes } from '../protocol/scopes.ts'
import { type Account, left, lend, openAccount, unlimited } from './budget.ts'
import {
  type AgentPolicy,
  attenuate,
  grantCovers,
  grantFor,
  grantWithin,
  rootGrant,
  type SpawnAsk,
  type SpawnPolicy,
  spawnable,
} from './grant.ts'
import type { Grant, Purse } from './types.ts'

const long = process.env['DEPUTY_LONG'] ? 50 : 1
const catalogue = [
  { name: 'read', group: 'fs' },
  { name: 'write', group: 'fs' },
  { name: 'exec', group: 'runtime' },
  { name: 'agents_list', group: 'agents' },
  { name: 'sessions_spawn', group: 'sessions' },
  { name: 'sessions_yield', group: 'sessions' },
  { name: 'subagents', group: 'sessions' },
]
const tools = catalogue.map(tool => tool.name)
const ids = ['main', 'extractor', 'writer', 'critic']

function agent(id: string, over: Partial<AgentPolicy> = {}): AgentPolicy {
  return {
    id,
    scopes,
    tools,
    allowAgents: null,
    requireAgentId: false,
    maxSpawnDepth: 2,
    maxChildrenPerAgent: 5,
    budget: unlimited,
    ...over,
  }
}

function policyOf(caller: AgentPolicy, ...others: AgentPolicy[]): SpawnPolicy {
  const agents = new Map([caller, ...others].map(policy => [policy.id, policy]))
  return { caller, agents, catalogue, subagentTools: {} }
}

function ask(over: Partial<SpawnAsk> = {}): SpawnAsk {
  return { agent: null, tools: null, budget: null, depth: 0, liveChildren: 0, left: unlimited, ...over }
}

const main = agent('main', { allowAgents: ['extractor'] })
const root = rootGrant(main, { scopes: ['operator.write'], budget: null })

describe('a child gets no more than the rules leave', () => {
  test("what a device may is handed on as that device's", () => {
    const grant = rootGrant(main, { scopes: ['operator.write'], budget: null, device: 'd1' })
    const child = attenuate(grant, policyOf(main, agent('extractor')), ask({ agent: 'extractor' }))
    expect(child).toMatchObject({ ok: true, grant: { device: 'd1' } })
  })

  test('the seed: main spawns extractor, which may spawn once more, then no further', () => {
    const extractor = agent('extractor')
    const child = attenuate(root, policyOf(main, extractor), ask({ agent: 'extractor' }))
    expect(child).toMatchObject({ ok: true, agent: 'extractor', grant: { depth: 1, agents: ['extractor'] } })
    if (!child.ok) return
    expect(child.grant.tools).toEqual(['read', 'write', 'exec', 'sessions_spawn', 'sessions_yield', 'subagents'])
    expect(covers(child.grant.scopes, 'operator.write')).toBe(true)
    expect(covers(child.grant.scopes, 'operator.approvals')).toBe(false)

    expect(child.grant).not.toHaveProperty('device')

    const leaf = attenuate(child.grant, policyOf(extractor), ask({ depth: 1 }))
    expect(leaf).toMatchObject({ ok: true, agent: 'extractor', grant: { depth: 0, agents: [] } })
    if (!leaf.ok) return
    expect(leaf.grant.tools).toEqual(['read', 'write', 'exec', 'sessions_yield'])
    expect(attenuate(leaf.grant, policyOf(extractor), ask({ depth: 2 }))).toEqual({
      ok: false,
      code: 'SPAWN_DEPTH',
      rule: 'maxSpawnDepth',
      allowed: 2,
      key: 'agents.defaults.subagents.maxSpawnDepth',
      message: 'sessions_spawn is not allowed at this depth (current depth: 2, max: 2)',
    })
  })

  test('a depth raised later does not deepen a stored grant, one lowered later binds at once', () => {
    const shallow = { ...root, depth: 0 }
    expect(attenuate(shallow, policyOf(agent('main', { maxSpawnDepth: 5 })), ask({ depth: 1 }))).toMatchObject({
      code: 'SPAWN_DEPTH',
      message: 'sessions_spawn is not allowed at this depth (current depth: 1, max: 1)',
    })
    const lowered = policyOf(agent('main', { maxSpawnDepth: 1 }))
    expect(attenuate({ ...root, depth: 5 }, lowered, ask())).toMatchObject({ ok: true, grant: { depth: 0 } })
  })

  test('width', () => {
    expect(attenuate(root, policyOf(main), ask({ liveChildren: 5 }))).toMatchObject({
      code: 'SPAWN_CHILDREN',
      allowed: 5,
      key: 'agents.defaults.subagents.maxChildrenPerAgent',
      message: 'sessions_spawn has reached max active children for this session (5/5)',
    })
  })

  test('agents: the list, its key and what it allows', () => {
    const both = agent('main', { allowAgents: ['extractor', 'writer', 'gone'] })
    const grant = rootGrant(both, { scopes, budget: null })
    const policy = policyOf(both, agent('extractor'), agent('writer'), agent('critic'))
    expect(spawnable(grant, policy)).toEqual(['extractor', 'writer'])
    expect(attenuate(grant, policy, ask({ agent: 'critic' }))).toEqual({
      ok: false,
      code: 'SPAWN_AGENT_NOT_ALLOWED',
      rule: 'allowAgents',
      allowed: ['extractor', 'writer'],
      key: 'agents.entries.main.subagents.allowAgents',
      message: 'agentId is not allowed for sessions_spawn (allowed: extractor, writer)',
    })
    expect(attenuate(grant, policy, ask({ agent: 'gone' }))).toMatchObject({ code: 'UNKNOWN_AGENT' })
    // Narrowed since: the stored grant still names the writer, today's policy does not.
    const narrowed = { ...policy, caller: main }
    expect(attenuate(grant, narrowed, ask({ agent: 'writer' }))).toMatchObject({ allowed: ['extractor'] })
  })

  test('agents: own agent only by default, * is any configured one, requireAgentId asks for a name', () => {
    const plain = agent('main')
    const grant = rootGrant(plain, { scopes, budget: null })
    expect(attenuate(grant, policyOf(plain, agent('writer')), ask({ agent: 'writer' }))).toMatchObject({
      message: 'agentId is not allowed for sessions_spawn (allowed: main)',
    })
    expect(attenuate(grant, policyOf(plain), ask())).toMatchObject({ ok: true, agent: 'main' })
    expect(attenuate(root, policyOf(main, agent('extractor')), ask())).toMatchObject({ ok: true, agent: 'main' })

    const any = agent('main', { allowAgents: ['*'], requireAgentId: true })
    const open = rootGrant(any, { scopes, budget: null })
    expect(attenuate(open, policyOf(any, agent('writer')), ask({ agent: 'writer' }))).toMatchObject({ ok: true })
    expect(attenuate(open, policyOf(any), ask({ agent: 'nobody' }))).toMatchObject({ code: 'UNKNOWN_AGENT' })
    expect(attenuate(open, policyOf(any), ask())).toMatchObject({
      code: 'SPAWN_AGENT_REQUIRED',
      key: 'agents.entries.main.subagents.requireAgentId',
    })
  })

  test('tools: what is asked narrows, what the caller lacks is refused by name', () => {
    const reader = agent('main', { tools: ['read', 'exec'] })
    const grant = rootGrant(reader, { scopes, budget: null })
    expect(attenuate(grant, policyOf(reader), ask({ tools: ['read'] }))).toMatchObject({ grant: { tools: ['read'] } })
    expect(attenuate(grant, policyOf(reader), ask({ tools: [] }))).toMatchObject({ grant: { tools: [] } })
    expect(attenuate(grant, policyOf(reader), ask({ tools: ['read', 'write'] }))).toMatchObject({
      code: 'SPAWN_TOOLS',
      allowed: ['read', 'exec'],
      message: expect.stringContaining('write (held: read, exec)'),
    })
    const denied = { ...policyOf(reader), subagentTools: { deny: ['exec'] } }
    expect(attenuate(grant, denied, ask())).toMatchObject({ grant: { tools: ['read'] } })
  })

  test('budget: more than what is left is refused, nothing asked is a fair share', () => {
    const some: Purse = { nano: 600, tokens: null, calls: 3 }
    const policy = policyOf(main)
    const shared = attenuate(root, policy, ask({ left: some }))
    expect(shared).toMatchObject({ grant: { budget: { nano: 100, tokens: null, calls: 1 } } })
    const asked = attenuate(root, policy, ask({ left: some, budget: { nano: 600, tokens: 9, calls: null } }))
    expect(asked).toMatchObject({ grant: { budget: { nano: 600, tokens: 9, calls: 1 } } })
    const greedy = attenuate(root, policy, ask({ left: some, budget: { nano: 601, tokens: null, calls: null } }))
    expect(greedy).toMatchObject({ code: 'SPAWN_BUDGET', allowed: 600 })
    const empty = attenuate(root, policy, ask({ left: { ...some, calls: 0 } }))
    expect(empty).toMatchObject({ code: 'SPAWN_BUDGET', allowed: 0 })
    const odd = attenuate(root, policy, ask({ left: some, budget: { nano: -5, tokens: null, calls: null } }))
    expect(odd).toMatchObject({ code: 'SPAWN_BUDGET' })
  })
})

// ------------------------------------------------------------------------------- over random trees of spawns

interface Node {
  parent: Node | null
  agent: string
  depth: number
  grant: Grant
  account: Account
  children: number
}

type Attenuate = typeof attenuate

const someOf = <T>(values: readonly T[]) => fc.subarray([...values], { minLength: 0 })
const amount = fc.option(fc.integer({ min: 1, max: 1000 }), { nil: null })
const purse: fc.Arbitrary<Purse> = fc.record({ nano: amount, tokens: amount, calls: amount })
const agentOf = (id: string): fc.Arbitrary<AgentPolicy> =>
  fc.record({
    id: fc.constant(id),
    scopes: someOf(scopes),
    tools: fc.subarray(tools, { minLength: 4 }),
    allowAgents: fc.oneof(fc.constant(null), fc.constant(['*']), fc.subarray(ids, { minLength: 2 })),
    requireAgentId: fc.constant(false),
    maxSpawnDepth: fc.integer({ min: 2, max: 5 }),
    maxChildrenPerAgent: fc.integer({ min: 1, max: 4 }),
    budget: fc.oneof(fc.constant(unlimited), purse),
  })
const house = fc.tuple(...ids.map(agentOf))
const move = fc.record({
  at: fc.nat(),
  // Policies change while runs live: a spawn is decided by today's.
  house: fc.oneof({ weight: 8, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: house }),
  agent: fc.option(fc.constantFrom(...ids, 'nobody'), { nil: null, freq: 2 }),
  tools: fc.oneof(
    { weight: 3, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.subarray(tools, { maxLength: 2 }) },
  ),
  budget: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: purse }),
  subagentTools: fc.record({ allow: someOf(['exec', '*']), deny: someOf(['read']) }),
})
const walks = fc.tuple(
  house,
  someOf(scopes),
  fc.oneof(fc.constant(unlimited), purse),
  fc.array(move, { minLength: 1, maxLength: 40, size: 'max' }),
)

const holds = (agents: Grant['agents'], id: string) => agents === '*' || agents.includes(id)
const atMost = (a: number | null, b: number | null) => b === null || (a !== null && a <= b)
const fields = ['nano', 'tokens', 'calls'] as const

/** Every way in which `below` is more than `above`. */
function excess(below: Grant, above: Grant): string[] {
  const more: string[] = below.scopes.filter(scope => !covers(above.scopes, scope))
  more.push(...below.tools.filter(tool => !above.tools.includes(tool)))
  if (below.agents === '*' ? above.agents !== '*' : below.agents.some(id => !holds(above.agents, id)))
    more.push('agents')
  if (below.depth >= above.depth || below.depth < 0) more.push('depth')
  more.push(...fields.filter(field => !atMost(below.budget[field], above.budget[field])))
  return more
}

/** Spawns at random and returns what a child held that somebody above, or the policy of its agent, did not allow. */
function walk(spawn: Attenuate, [first, asker, budget, moves]: [AgentPolicy[], Scope[], Purse, MoveOf[]]): string[] {
  let agents = new Map(first.map(policy => [policy.id, policy]))
  const origin = agents.get('main')!
  const grant = rootGrant(origin, { scopes: asker, budget, device: 'd1', sender: 'telegram:7' })
  const nodes: Node[] = [
    { parent: null, agent: 'main', depth: 0, grant, account: openAccount(grant.budget), children: 0 },
  ]
  for (const move of moves) {
    if (move.house) agents = new Map(move.house.map(policy => [policy.id, policy]))
    const parent = nodes[move.at % nodes.length]!
    const caller = agents.get(parent.agent)!
    const policy = { caller, agents, catalogue, subagentTools: move.subagentTools }
    const { agent, tools, budget } = move
    const spent = { depth: parent.depth, liveChildren: parent.children, left: left(parent.account) }
    const made = spawn(parent.grant, policy, { agent, tools, budget, ...spent })
    if (!made.ok) continue
    const child: Node = { parent, agent: made.agent, depth: parent.depth + 1, grant: made.grant, children: 0 } as Node
    child.account = openAccount(made.grant.budget)
    parent.account = lend(parent.account, made.grant.budget)
    parent.children++
    nodes.push(child)

    for (let above: Node | null = parent; above; above = above.parent) {
      const more = excess(child.grant, above.grant)
      if (child.grant.device !== above.grant.device || child.grant.sender !== above.grant.sender) more.push('holder')
      if (more.length > 0) return more
    }
    const lent = fields.filter(field => !atMost(parent.account.lent[field], parent.grant.budget[field]))
    if (lent.length > 0) return ['lent more than there was', ...lent]
    const target = agents.get(made.agent)
    if (!target) return ['an agent that does not exist']
    const own = { ...rootGrant(target, { scopes, budget: null }), depth: caller.maxSpawnDepth }
    const over = excess(child.grant, own)
    if (over.length > 0) return ['against policy', ...over]
    if (child.depth > caller.maxSpawnDepth) return ['too deep']
    if (parent.children > caller.maxChildrenPerAgent) return ['too wide']
    if (move.tools && child.grant.tools.some(tool => !move.tools!.includes(tool))) return ['not asked for']
    if (agent && !(holds(parent.grant.agents, agent) && holds(caller.allowAgents ?? [caller.id], agent)))
      if (!caller.allowAgents?.includes('*')) return ['agent not on the list']
  }
  return []
}

type MoveOf = typeof move extends fc.Arbitrary<infer T> ? T : never

/** `attenuate` with its grant spoilt. */
function spoilt(
  change: (grant: Grant, parent: Grant, policy: SpawnPolicy, agent: string) => Partial<Grant>,
): Attenuate {
  return (parent, policy, asked) => {
    const made = attenuate(parent, policy, asked)
    return made.ok ? { ...made, grant: { ...made.grant, ...change(made.grant, parent, policy, made.agent) } } : made
  }
}

const planted: Record<string, Attenuate> = {
  'tools: union in place of intersection': spoilt((_, parent, policy, agent) => ({
    tools: [...new Set([...parent.tools, ...policy.agents.get(agent)!.tools])],
  })),
  "tools: the target's policy skipped": spoilt((_, parent) => ({ tools: parent.tools })),
  "tools: the parent's grant skipped": spoilt((_, __, policy, agent) => ({ tools: policy.agents.get(agent)!.tools })),
  "scopes: the target's instead of the meet": spoilt((_, __, policy, agent) => ({
    scopes: policy.agents.get(agent)!.scopes,
  })),
  "scopes: the parent's handed on whole": spoilt((_, parent) => ({ scopes: parent.scopes })),
  'depth: not lowered': spoilt((_, parent) => ({ depth: parent.depth })),
  "depth: today's policy alone": (parent, policy, asked) =>
    attenuate({ ...parent, depth: policy.caller.maxSpawnDepth }, policy, asked),
  'agents: * under a listed parent': spoilt(() => ({ agents: '*' })),
  "agents: the target's list alone": spoilt((grant, _, policy, agent) => ({
    agents: grant.depth > 0 ? (policy.agents.get(agent)!.allowAgents ?? [agent]) : [],
  })),
  'agents: the stored grant skipped': (parent, policy, asked) => attenuate({ ...parent, agents: '*' }, policy, asked),
  'budget: the limit copied instead of carved': spoilt((_, parent) => ({ budget: parent.budget })),
  'budget: none is no limit': (parent, policy, asked) => attenuate(parent, policy, { ...asked, left: unlimited }),
  'holder: the device forgotten, so that revoking it ends the parent only': spoilt(() => ({
    device: undefined as never,
  })),
  'holder: the sender forgotten, so that its limit does not count': spoilt(() => ({ sender: undefined as never })),
  'width: not counted': (parent, policy, asked) => attenuate(parent, policy, { ...asked, liveChildren: 0 }),
}

describe('over random trees of agents, policies and requests', () => {
  test('no descendant ever holds what an ancestor, or the policy of its agent, lacks', () => {
    const property = fc.property(walks, input => {
      expect(walk(attenuate, input)).toEqual([])
    })
    fc.assert(property, { numRuns: 2000 * long })
  }, 600_000)

  test.each(Object.keys(planted))('the property catches: %s', name => {
    const property = fc.property(walks, input => walk(planted[name]!, input).length === 0)
    expect(fc.check(property, { numRuns: 5000, endOnFailure: true }).failed).toBe(true)
  })
})

describe('a run that a message of another run starts', () => {
  const pairs = fc.tuple(agentOf('main'), agentOf('writer'), someOf(scopes), purse)

  test('never holds more than its sender, or than its agent may', () => {
    const property = fc.property(pairs, ([own, target, asked, budget]) => {
      const sender = { ...rootGrant(own, { scopes: asked, budget }), device: 'd1' }
      const started = grantFor(target, sender)
      expect(grantCovers(sender, started)).toBe(true)
      expect(started.device).toBe('d1')
      expect(started.tools.filter(tool => !target.tools.includes(tool))).toEqual([])
      expect(started.depth).toBeLessThanOrEqual(target.maxSpawnDepth)
    })
    fc.assert(property, { numRuns: 1000 * long })
  })

  test('nor does a run that a person starts in the conversation of a sub-agent', () => {
    const property = fc.property(pairs, someOf(scopes), ([own, target, asked, budget], held) => {
      const given = { ...rootGrant(own, { scopes: asked, budget }), device: 'd1', sender: 's1' }
      const started = grantWithin(target, given, { scopes: held, sender: 's2' })
      expect(grantCovers(given, started)).toBe(true)
      expect(grantCovers({ ...given, scopes: held }, started)).toBe(true)
      expect(started.tools.filter(tool => !target.tools.includes(tool))).toEqual([])
      for (const field of fields) expect(atMost(started.budget[field], given.budget[field])).toBe(true)
      // Under the authority of who asks, and for them.
      expect([started.device, started.sender]).toEqual([undefined, 's2'])
    })
    fc.assert(property, { numRuns: 1000 * long })
  })

  test('one grant covers another only when it lacks nothing of it', () => {
    const narrow: [string, Grant][] = [
      ['tools', { ...root, tools: root.tools.slice(1) }],
      ['agents', { ...root, agents: [] }],
      ['depth', { ...root, depth: root.depth - 1 }],
      ['scopes', { ...root, scopes: [] }],
    ]
    for (const [name, less] of narrow)
      expect([name, grantCovers(root, less), grantCovers(less, root)]).toEqual([name, true, false])
    // As many scopes, and wider ones.
    expect(grantCovers({ ...root, scopes: ['operator.read'] }, { ...root, scopes: ['operator.admin'] })).toBe(false)
    expect(grantCovers({ ...root, agents: '*' }, root)).toBe(true)
    expect(grantCovers(root, { ...root, agents: '*' })).toBe(false)
  })
})
