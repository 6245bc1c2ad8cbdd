/**
 * Providers of a walk that can't be asked now: runs of one tree use the same, and are held for it together.
 * Owns what must be true of held runs. Never changes the world but through the machine.
 */
import { timersOf } from '../../src/core/ids.ts'
import { type Effect, type Mailbox, nothing } from '../../src/core/run/facts.ts'
import type { Hold, Run, Step } from '../../src/core/types.ts'
import { carry, endIds, usage, type Walk } from './walk-kit.ts'
import { endView, mailbox, unread, type World } from './world.ts'

/** So long a run is held for a provider that does not say when it is back. */
export const patience = 4

const why = { code: 'MODEL_OVERLOADED', error: 'busy' } as const

export function holdOf(run: Run, kind: Hold['class'], whose: Hold['whose'] = 'key'): Hold {
  return {
    provider: run.tree,
    model: run.model,
    whose,
    key: 'one',
    mark: 'f00',
    class: kind,
    said: 'busy',
    strikes: 1,
  }
}

/** Its provider turns the call away: it is away for a while, for everybody in the tree. */
export function turnedAway(walk: Walk, run: Run, step: Step, kind: Hold['class']): boolean {
  const { world, machine: by } = walk
  const until = world.now + 5
  walk.away.set(run.tree, { until, class: kind })
  const box = mailbox(world, world.sessions.get(run.session)!)
  const event = { now: world.now, epoch: run.epoch, until, charged: nothing, usage, hold: holdOf(run, kind), ...why }
  return carry(walk, by.cooldown({ run, box, step }, event))
}

/** Holds the run, or ends it when it has waited too long; null when its provider may be asked. */
export function held(walk: Walk, run: Run, box: Mailbox): boolean | null {
  const { world, machine: by } = walk
  const away = walk.away.get(run.tree)
  if (!away || away.until <= world.now) return null
  // Every second one that is told when to come again stands in line instead, and may be called earlier.
  const whose = away.class === 'rate_limit' && world.now % 2 === 0 ? 'line' : 'key'
  const event = { now: world.now, epoch: run.epoch, until: away.until, hold: holdOf(run, away.class, whose), ...why }
  const decision = by.hold({ run, box }, { ...event, patienceMs: patience })
  if (decision.ok || decision.code !== why.code) return carry(walk, decision)
  const verdict = { outcome: 'failed' as const, ...why, text: null, seq: null, followups: 'keep' as const }
  return carry(walk, by.end(endView(world, run), { now: world.now, ...verdict, ...endIds(walk) }))
}

/** Before a transaction: nobody sets anything aside for a provider that can't be asked. */
export function checkAsked(walk: Walk, effects: readonly Effect[]): void {
  for (const effect of effects) {
    if (effect.do !== 'usage.reserve') continue
    const away = walk.away.get(effect.row.tree)
    if (away && away.until > walk.world.now) throw new Error(`run ${effect.row.run} asks a provider that is away`)
  }
}

/** After each: a held run waits for its provider to come back, no longer, and never for ever. */
export function checkHeld(world: World, before: ReadonlyMap<string, Run>): void {
  for (const run of world.runs.values()) {
    const was = before.get(run.id)
    if (run.state === 'running' && run.error !== null) throw new Error(`run ${run.id} works, and says that it pauses`)
    if (run.state !== 'waiting' || was?.state === 'waiting') continue
    if (was?.wait === null && run.error !== null && !(run.wait?.for === 'timer' && run.wait.hold))
      throw new Error(`run ${run.id} pauses and does not say for what`)
    if (run.wait?.for !== 'timer' || run.wait.hold?.class === 'rate_limit') continue
    const pauses = unread(world, run.session).filter(row => row.key.startsWith(timersOf(run.id)))
    const since = Math.min(world.now, ...pauses.map(row => row.at))
    // A refusal of the provider itself counts its own tries.
    if (was && was.spent.calls === run.spent.calls && world.now - since > patience)
      throw new Error(`run ${run.id} is held for ever`)
  }
}
