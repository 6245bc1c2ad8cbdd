/**
 * Who is worked on now: the embedded dispatcher of one process.
 *
 * Owns lanes, their order and their limits (decisions.md 9). The queue in memory is a doorbell's note; the rows are the
 * truth: they are read at the start and whenever nothing is left to do, so a lost bell costs nothing but time. Never claims
 * (the worker does, in its own transaction) and never polls.
 *
 * Invariants: a slot is held only while a worker drives a run, or while one is made that it will drive; in a lane woken runs go
 * before new ones; new ones go to the tree with the fewest at work, then the oldest; one agent never takes more than its own
 * limit; nobody is given a slot before those who wait for one.
 */
import type { Lane, Run } from '../core/types.ts'
import type { Store, Tx } from '../store/open.ts'

export type Queued = Pick<Run, 'id' | 'lane' | 'tree' | 'agent' | 'woken' | 'queuedAt'>

export interface EngineOptions {
  store: Store
  /** Drives a run until it rests; never rejects. */
  drive(run: Queued): Promise<void>
  /** Slots of each lane, and of one agent (null = no limit of its own). Read at each decision. */
  limits(): { main: number; subagent: number; agent(id: string): number | null }
  log: (line: string) => void
}

/** A slot that is kept for a run. */
export interface Slot {
  /** The run is there and was taken. */
  begin(run: Queued): void
  /** There is nothing to be done for it. */
  free(): void
}

export interface Engine {
  /** Runs that have just become claimable. */
  queued(runs: readonly Queued[]): void
  /** A slot for a run that is about to be made; null when none is free or others wait for one. Begun or given back once. */
  reserve(run: Pick<Queued, 'lane' | 'agent'>): Slot | null
  /** Reads the rows and begins; called once, after recovery. */
  start(): Promise<void>
  /** No further run is begun. */
  stop(): void
  /** For status: who is at work and who waits for a slot. */
  counts(): Record<Lane, { running: number; queued: number }>
}

interface LaneState {
  /** Woken first, then by tree; arrays keep arrival order. */
  woken: Queued[]
  fresh: Map<string, Queued[]>
  size: number
  running: Map<string, Queued>
  /** Slots kept for runs that are being made. */
  reserved: number
  perTree: Map<string, number>
}

const lanes: readonly Lane[] = ['main', 'subagent']

export function openEngine(options: EngineOptions): Engine {
  const { store } = options
  const state: Record<Lane, LaneState> = { main: emptyLane(), subagent: emptyLane() }
  const known = new Set<string>()
  const perAgent = new Map<string, number>()
  let started = false
  let stopped = false
  let looking = false

  function note(run: Queued): void {
    if (known.has(run.id)) return
    known.add(run.id)
    const lane = state[run.lane]
    lane.size += 1
    if (run.woken) lane.woken.push(run)
    else {
      const line = lane.fresh.get(run.tree)
      if (line) line.push(run)
      else lane.fresh.set(run.tree, [run])
    }
  }

  function mayBegin(): boolean {
    return started && !stopped && store.health().claiming
  }

  function hasSlot(name: Lane): boolean {
    const { running, reserved } = state[name]
    return running.size + reserved < options.limits()[name]
  }

  function look(): void {
    if (!mayBegin()) return
    for (const name of lanes) {
      const lane = state[name]
      while (lane.size > 0 && hasSlot(name)) {
        const run = take(lane)
        if (!run) break
        begin(name, run)
      }
    }
  }

  /** The next run of a lane whose agent has a slot; null when nobody's turn it is. */
  function take(lane: LaneState): Queued | null {
    const woken = lane.woken.findIndex(run => ready(lane, run))
    if (woken >= 0) {
      lane.size -= 1
      return lane.woken.splice(woken, 1)[0] ?? null
    }
    let best: { tree: string; line: Queued[]; at: number; busy: number } | null = null
    for (const [tree, line] of lane.fresh) {
      const at = line.findIndex(run => ready(lane, run))
      const run = line[at]
      if (!run) continue
      const busy = lane.perTree.get(tree) ?? 0
      const first = best?.line[best.at]
      if (!best || busy < best.busy || (busy === best.busy && first && run.queuedAt < first.queuedAt))
        best = { tree, line, at, busy }
    }
    if (!best) return null
    lane.size -= 1
    const [run] = best.line.splice(best.at, 1)
    if (best.line.length === 0) lane.fresh.delete(best.tree)
    return run ?? null
  }

  /** Woken before its worker has left, a run waits for that worker; an agent waits for a slot of its own. */
  function ready(lane: LaneState, run: Queued): boolean {
    return !lane.running.has(run.id) && mayWork(run.agent)
  }

  function mayWork(agent: string): boolean {
    const limit = options.limits().agent(agent)
    return limit === null || (perAgent.get(agent) ?? 0) < limit
  }

  function reserve({ lane: name, agent }: Pick<Queued, 'lane' | 'agent'>): Slot | null {
    const lane = state[name]
    if (!mayBegin() || lane.size > 0 || !hasSlot(name) || !mayWork(agent)) return null
    lane.reserved += 1
    add(perAgent, agent, 1)
    const leave = () => {
      lane.reserved -= 1
      add(perAgent, agent, -1)
    }
    return {
      begin(run) {
        leave()
        begin(name, run)
      },
      free() {
        leave()
        look()
      },
    }
  }

  function begin(name: Lane, run: Queued): void {
    const lane = state[name]
    lane.running.set(run.id, run)
    add(lane.perTree, run.tree, 1)
    add(perAgent, run.agent, 1)
    // A run that is woken while its worker is still leaving rings again and must be noted again.
    known.delete(run.id)
    options
      .drive(run)
      .catch(error => options.log(`engine: a worker failed: ${error instanceof Error ? error.message : String(error)}`))
      .finally(() => {
        lane.running.delete(run.id)
        add(lane.perTree, run.tree, -1)
        add(perAgent, run.agent, -1)
        look()
        if (idle()) void reread()
      })
  }

  function idle(): boolean {
    return lanes.every(name => state[name].size === 0 && state[name].running.size === 0)
  }

  /** What the rows say is claimable; finds runs whose bell was lost. */
  async function reread(): Promise<void> {
    if (looking || stopped) return
    looking = true
    try {
      const rows = await store.read.ask(claimable)
      for (const row of rows) {
        const lane = row.lane as Lane
        if (!state[lane].running.has(row.id))
          note({ id: row.id, lane, tree: row.tree, agent: row.agent, woken: row.woken === 1, queuedAt: row.queued_at })
      }
    } catch (error) {
      if (!stopped)
        options.log(`engine: the queue could not be read: ${error instanceof Error ? error.message : String(error)}`)
    } finally {
      looking = false
    }
    look()
  }

  store.onTrouble(trouble => {
    if (trouble === null && started) void reread()
  })

  return {
    queued(runs) {
      for (const run of runs) note(run)
      look()
    },
    reserve,
    async start() {
      started = true
      await reread()
    },
    stop() {
      stopped = true
    },
    counts: () => ({
      main: { running: state.main.running.size + state.main.reserved, queued: state.main.size },
      subagent: { running: state.subagent.running.size + state.subagent.reserved, queued: state.subagent.size },
    }),
  }
}

const claimable = (db: Tx) =>
  db
    .selectFrom('runs')
    .select(['id', 'lane', 'tree', 'agent', 'woken', 'queued_at'])
    .where('state', '=', 'queued')
    .where('paused', '=', 0)
    .orderBy('queued_at')
    .orderBy('id')

function emptyLane(): LaneState {
  return { woken: [], fresh: new Map(), size: 0, running: new Map(), reserved: 0, perTree: new Map() }
}

function add(counts: Map<string, number>, key: string, by: number): void {
  const next = (counts.get(key) ?? 0) + by
  if (next === 0) counts.delete(key)
  else counts.set(key, next)
}
