/**
 * Lives through one scenario: starts the gateway over and over, lets people write, approve, deny, cancel and start over at
 * random, kills it as planned, and says at the end which promises were broken.
 */
import { readFileSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Plan, taskOf } from '../../bench/plan.ts'
import { sleep } from '../../bench/processes.ts'
import type { Provider } from '../../bench/provider.ts'
import type { Wire } from '../../bench/wire.ts'
import type { Scenario } from './chaos.ts'
import { type Death, type Story, repeated, sideEffects, stuck } from './check.ts'
import { type Facts, readFacts } from './rows.ts'
import type { Life, World } from './world.ts'

/** Longest that a life may take; far beyond what it needs. */
const patienceMs = 60_000

export interface Lived {
  problems: string[]
  kills: number
  runs: number
}

interface Money {
  id: string
  parent: string | null
  detached: number
  spent_calls: number
  lent_calls: number
  /** What it was given. */
  purse: number | null
  own: number
}

function query<T>(home: string, sql: string): T[] {
  const db = new DatabaseSync(join(home, 'deputy.sqlite'), { readOnly: true, timeout: 1000 })
  try {
    return db.prepare(sql).all() as T[]
  } finally {
    db.close()
  }
}

/** Two agents: one does what it is told, one asks before it writes. */
export function configure(home: string): void {
  const file = join(home, 'deputy.json')
  const config = JSON.parse(readFileSync(file, 'utf8'))
  config.agents.list = [
    { id: 'main', default: true, budget: { calls: 60 }, subagents: { allowAgents: ['main', 'asker'] } },
    { id: 'asker', workspace: config.agents.defaults.workspace, tools: { ask: ['write'] } },
  ]
  config.tools = { exec: { sandbox: 'off' } }
  writeFileSync(file, JSON.stringify(config))
}

const facts = (world: World, plans: readonly Plan[]) => plans.map(({ id }) => readFacts(world.home.path, id))
const over = (all: readonly (Facts | null)[]) =>
  all.every(one => one !== null && one.runs.length > 0 && one.runs.every(run => run.state === 'done'))

async function send(wire: Wire, session: string, message: string, key: string): Promise<boolean> {
  const params = { message, agentId: 'main', sessionKey: `agent:main:${session}`, idempotencyKey: key }
  return wire.ask('agent', params).then(
    () => true,
    () => false,
  )
}

/** One thing that somebody does. What fails because the gateway has just died is what this is about. */
async function meddle(world: World, wire: Wire, { plans, next }: Scenario, gentle: boolean): Promise<void> {
  const home = world.home.path
  const waiting = query<{ id: string }>(
    home,
    "select id from approvals where state = 'pending' order by created_at, id",
  )
  const plan = plans[Math.floor(next() * plans.length)]!
  const what = next()
  const quietly = (call: Promise<unknown>) => call.catch(() => null)
  if (waiting.length > 0 && (gentle || what < 0.6)) {
    const { id } = waiting[Math.floor(next() * waiting.length)]!
    const word = next() < 0.7 ? 'allow-once' : 'deny'
    await send(wire, plan.id, `/approve ${id} ${word}`, `approve-${id}-${Math.floor(next() * 1e9)}`)
  } else if (gentle) return
  else if (what < 0.7) {
    const live = query<{ id: string }>(home, "select id from runs where state <> 'done' order by created_at, id")
    const run = live[Math.floor(next() * live.length)]
    if (run) await quietly(wire.ask('runs.cancel', { run: run.id }))
  } else if (what < 0.8) await send(wire, plan.id, 'And one thing more.', `more-${Math.floor(next() * 1e9)}`)
  else if (what < 0.83) await quietly(wire.ask('sessions.reset', { key: `agent:main:${plan.id}` }))
}

/** True when everything has ended; false when the life did first. */
async function live(world: World, life: Life, wire: Wire, story: Scenario, last: boolean): Promise<boolean> {
  const since = performance.now()
  while (!life.over()) {
    if (over(facts(world, story.plans))) return true
    // Somebody ends the tale: from here on people only answer what they are asked.
    await meddle(world, wire, story, last)
    await sleep(15 + 30 * story.next())
    if (performance.now() - since > patienceMs) {
      const open = query(
        world.home.path,
        "select id, session, agent, state, wait, error from runs where state <> 'done'",
      )
      throw new Error(`seed ${story.seed} does not end: ${JSON.stringify(open)}`)
    }
  }
  return false
}

export async function chaos(world: World<Provider>, story: Scenario): Promise<Lived> {
  const deaths: { at: string; againAt: number; facts: (Facts | null)[] }[] = []
  const lived: Lived = { problems: [], kills: 0, runs: 0 }
  const begun = new Set<string>()
  for (const kill of [...story.kills, null]) {
    const againAt = Math.floor((performance.timeOrigin + performance.now()) * 1000)
    const before = deaths.at(-1)
    if (before) before.againAt = againAt
    const life = world.start(kill && 'point' in kill ? kill.point : undefined)
    const die = (afterMs: number) => setTimeout(() => void life.kill(), afterMs)
    if (kill && 'afterMs' in kill && kill.from === 'start') die(kill.afterMs)
    try {
      const wire = await life.connect()
      if (kill && 'afterMs' in kill && kill.from === 'ready') die(kill.afterMs)
      // A point that is not reached: this life ends by the clock.
      if (kill && 'point' in kill) die(1500)
      if (wire) {
        // A client that heard no answer asks again under the same key.
        for (const plan of story.plans) {
          if (begun.has(plan.id)) continue
          if (await send(wire, plan.id, taskOf(plan), plan.id)) begun.add(plan.id)
        }
        const ended = await live(world, life, wire, story, kill === null)
        if (kill && ended) await Promise.race([life.end, sleep(30)])
        await wire.close()
        if (!kill && !ended) lived.problems.push(`the last life ended by itself (${await life.end})`)
      }
    } finally {
      if (kill) lived.kills += 1
      await life.kill()
    }
    if (kill) deaths.push({ at: JSON.stringify(kill), againAt: 0, facts: facts(world, story.plans) })
  }
  for (const [i, plan] of story.plans.entries()) {
    const end = readFacts(world.home.path, plan.id)!
    const told: Death[] = deaths.map(({ at, againAt, facts: then }) => ({ at, againAt, facts: then[i] ?? null }))
    lived.runs += end.runs.length
    lived.problems.push(...broken(world, plan, end, told))
  }
  lived.problems.push(...ledger(world.home.path))
  return lived
}

function broken(world: World<Provider>, plan: Plan, end: Facts, deaths: Death[]): string[] {
  const mine = (id: string | null) => id === plan.id || (id?.startsWith(`${plan.id}.`) ?? false)
  const log = join(world.home.workspace, 'effects.log')
  const story: Story = {
    id: plan.id,
    children: plan.children ?? 0,
    deaths,
    end,
    requests: world.provider.requests.filter(seen => mine(seen.plan)),
    effects: existsSync(log) ? readFileSync(log, 'utf8').split('\n').filter(mine) : [],
  }
  const results = end.runs
    .filter(run => run.return_to !== null)
    .flatMap(run => {
      const rows = end.inbox.filter(row => row.kind === 'result' && row.from_run === run.id)
      return rows.length === 1 ? [] : [`${run.id} has ${rows.length} results`]
    })
  const unanswered = end.keys.filter(row => row.answered !== 1).map(row => `request ${row.key} was never answered`)
  const taken = end.messages.filter(row => row.meta.includes(`"idempotencyKey":"${plan.id}"`)).length
  return [
    ...stuck(end),
    ...repeated(story),
    ...sideEffects(story),
    ...results,
    ...unanswered,
    ...(taken === 1 ? [] : [`the message of ${plan.id} was taken in ${taken} times`]),
  ]
}

/**
 * What every run used is its own calls and those of its sub-agents, and the whole purse of those that it let go; nothing is
 * still lent, no question is open.
 */
function ledger(home: string): string[] {
  const runs = query<Money>(
    home,
    `select id, parent, detached, spent_calls, lent_calls, json_extract(grant_json, '$.budget.calls') as purse,
       (select coalesce(sum(charged_calls), 0) from usage where run = runs.id) as own from runs`,
  )
  const pending = query<{ n: number }>(home, "select count(*) as n from approvals where state = 'pending'")[0]!.n
  return [
    ...(pending === 0 ? [] : [`${pending} questions are open`]),
    ...runs.flatMap(run => {
      const below = runs
        .filter(child => child.parent === run.id)
        .reduce((sum, child) => sum + (child.detached ? (child.purse ?? 0) : child.spent_calls), 0)
      return [
        ...(run.lent_calls === 0 ? [] : [`${run.id} has lent ${run.lent_calls} calls`]),
        ...(run.spent_calls === run.own + below
          ? []
          : [`${run.id} spent ${run.spent_calls}, not ${run.own} + ${below}`]),
      ]
    }),
  ]
}
