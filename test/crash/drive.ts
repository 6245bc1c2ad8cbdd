/**
 * Tells a story to a gateway that keeps dying: starts it, makes sure the message was taken in (the same request again after
 * each restart, as a client would), waits for the end or for the death, and hands the facts to the checker.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Plan, taskOf } from '../../bench/plan.ts'
import { sleep } from '../../bench/processes.ts'
import type { Wire } from '../../bench/wire.ts'
import { checkCancel, checkWork, type Death, type Story } from './check.ts'
import { type Facts, readFacts } from './rows.ts'
import type { Life, World } from './world.ts'

/** How a life ends: at a named point, or so many ms after its process was started, or after it was ready. */
export type Kill = { point: string } | { afterMs: number; from: 'start' | 'ready' }

export type Kind = 'work' | 'cancel'

export interface Tale {
  kind: Kind
  /** The parent works on while its children do. */
  busy: boolean
  kills: readonly Kill[]
}

export interface Told {
  problems: string[]
  /** Points at which it really died, and those that the story did not come to. */
  died: string[]
  missed: string[]
}

const children = 3
/** Longest that a story may take in one life; far beyond what it needs. */
const patienceMs = 30_000

const words = (kill: Kill) => ('point' in kill ? kill.point : `${kill.afterMs} ms after ${kill.from}`)

/**
 * A parent delegates three pieces of work. In every second story it works on meanwhile, with a slow model, so that results
 * arrive while one of its own calls is in flight.
 */
function planOf(id: string, kind: Kind, busy: boolean): Plan {
  const note = { name: 'exec', args: { command: 'echo {id} >> effects.log' } }
  const read = { name: 'read', args: { path: 'note.txt' } }
  const write = { name: 'write', args: { path: 'out/{id}.txt', content: 'line of {id}' } }
  const grep = { name: 'grep', args: { pattern: '{id}', path: 'out' } }
  const work = { steps: [{ calls: [read] }, { calls: [write, note] }, { calls: [grep] }] }
  const waits = { steps: [{ calls: [read] }], hold: { name: `${id}-never`, at: 1 } }
  const spawn = { from: 0, count: children, child: kind === 'work' ? work : waits }
  const meanwhile = busy ? [{ calls: [read] }, { calls: [read, note] }, { calls: [read] }] : []
  return { id, steps: [{ spawn }, ...meanwhile], children, ...(busy ? { delayMs: 25 } : {}) }
}

function linesOf(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
}

const over = (facts: Facts | null) =>
  facts !== null && facts.runs.length > 0 && facts.runs.every(run => run.state === 'done')

/** True when the story has ended; false when the life did first. */
async function untilOver(world: World, life: Life, id: string): Promise<boolean> {
  const since = performance.now()
  while (!life.over()) {
    if (over(readFacts(world.home.path, id))) return true
    if (performance.now() - since > patienceMs) throw new Error(`${id} does not end:\n${state(world, id)}`)
    await sleep(15)
  }
  return false
}

function state(world: World, id: string): string {
  const facts = readFacts(world.home.path, id)
  const runs = facts?.runs.map(run => `${run.id} ${run.state} ${run.outcome ?? ''} ${run.error ?? ''}`) ?? []
  const log = linesOf(join(world.home.path, 'gateway.log')).slice(-20)
  return [...runs, ...(facts?.inbox.map(row => `inbox ${row.kind} ${row.state} ${row.key}`) ?? []), ...log].join('\n')
}

/** Sends the message under its one key; false when the connection broke before the gateway said that it has it. */
async function send(wire: Wire, plan: Plan): Promise<boolean> {
  const params = {
    message: taskOf(plan),
    agentId: 'main',
    sessionKey: `agent:main:${plan.id}`,
    idempotencyKey: plan.id,
  }
  return wire.ask('agent', params).then(
    () => true,
    () => false,
  )
}

/** Cancels once all the children are at work, and again in the next life if the first try was cut short. */
async function cancel(world: World, wire: Wire, plan: Plan, again: boolean): Promise<void> {
  const atWork = () => {
    const facts = readFacts(world.home.path, plan.id)
    return facts?.runs.length === children + 1 && facts.runs.every(run => run.state !== 'queued')
  }
  const since = performance.now()
  while (!again && !atWork() && performance.now() - since < patienceMs) await sleep(10)
  // A broken connection is the death that this is about.
  await wire.ask('runs.cancel', { sessionKey: `agent:main:${plan.id}` }).catch(() => null)
}

/** One story over several lives. Each kill is one death; the last life has none. */
export async function tell(world: World, { kind, busy, kills }: Tale, id: string): Promise<Told> {
  const { provider, home } = world
  const plan = planOf(id, kind, busy)
  const deaths: Death[] = []
  const told: Told = { problems: [], died: [], missed: [] }
  const lives: (Kill | null)[] = [...kills, null]
  let cancelled = false

  for (const kill of lives) {
    const againAt = Math.floor((performance.timeOrigin + performance.now()) * 1000)
    const last = deaths.at(-1)
    if (last && last.againAt === 0) last.againAt = againAt
    const life = world.start(kill && 'point' in kill ? kill.point : undefined)
    const die = (from: 'start' | 'ready') => {
      if (kill && 'afterMs' in kill && kill.from === from) setTimeout(() => void life.kill(), kill.afterMs)
    }
    die('start')
    try {
      const wire = await life.connect()
      die('ready')
      if (wire && (await send(wire, plan)) && kind === 'cancel') {
        await cancel(world, wire, plan, cancelled)
        cancelled = true
      }
      const ended = await untilOver(world, life, id)
      // The rows may be there a moment before the death that follows them is known here.
      if (kill) await Promise.race([life.end, sleep(50)])
      await wire?.close()
      if (kill) (life.over() ? told.died : told.missed).push(words(kill))
      else if (!ended) throw new Error(`the last life ended by itself (${await life.end}):\n${state(world, id)}`)
    } finally {
      await life.kill()
    }
    if (kill) deaths.push({ at: words(kill), againAt: 0, facts: readFacts(home.path, id) })
  }

  const end = readFacts(home.path, id)
  if (!end) throw new Error(`${id} left no rows`)
  const mine = (plan: string | null) => plan === id || (plan?.startsWith(`${id}.`) ?? false)
  const story: Story = {
    id,
    children,
    deaths,
    end,
    requests: provider.requests.filter(seen => mine(seen.plan)),
    effects: linesOf(join(home.workspace, 'effects.log')).filter(mine),
  }
  told.problems.push(...(kind === 'work' ? checkWork(story) : checkCancel(story)))
  return told
}
