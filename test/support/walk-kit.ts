/**
 * What a walk over the run machine is made of: the machine's parts, the state of a walk, and one checked transaction.
 * A machine is handed in, so that a planted bug can stand in for a part of it.
 */
import { accept, birth, newRun } from '../../src/core/run/accept.ts'
import { holdOn, lapse } from '../../src/core/run/approve.ts'
import { checked } from '../../src/core/run/check.ts'
import { compact, compacted, wish } from '../../src/core/run/compact.ts'
import { claim, intent, shown, started } from '../../src/core/run/claim.ts'
import { end } from '../../src/core/run/end.ts'
import { type Decision, type Effect, nothing } from '../../src/core/run/facts.ts'
import { hold } from '../../src/core/run/hold.ts'
import { settle } from '../../src/core/opening.ts'
import { reply } from '../../src/core/run/reply.ts'
import { answered, ask, cooldown, fire, recover, result, yielded } from '../../src/core/run/steps.ts'
import { type Cap, counted, reserve } from '../../src/core/budget.ts'
import { answerAll, askForMore, refusedRaise } from '../../src/core/run/raise.ts'
import { pause, standBy } from '../../src/core/run/rest.ts'
import type { Hold, Run, Session } from '../../src/core/types.ts'
import { check } from './invariants.ts'
import { checkApprovals } from './approval-rules.ts'
import { checkAsked, checkHeld } from './walk-hold.ts'
import { apply, emptyWorld, mailbox, plus, type World } from './world.ts'

export const machine = {
  accept,
  claim,
  intent,
  shown,
  compact,
  compacted,
  wish,
  started,
  reply,
  checked,
  result,
  yielded,
  ask,
  answered,
  cooldown,
  hold,
  fire,
  recover,
  holdOn,
  askForMore,
  refusedRaise,
  answerAll,
  lapse,
  end,
  newRun,
  birth,
  pause,
  standBy,
  reserve,
  counted,
  settle,
}
export type Machine = typeof machine

export interface Walk {
  world: World
  machine: Machine
  /** Slots of both lanes together. */
  slots: number
  /** Completed work by `(run, n)`: doing one twice is an error. */
  completed: Set<string>
  /** Epoch in which a `never` tool began, by `(run, n)`. */
  begun: Map<string, number>
  /** Crashes of a run since its last completed step. */
  crashes: Map<string, number>
  /** Messages between sessions whose senders are owed a reply: the step that sent it, and the run that reads it. */
  sends: { sender: string; n: number; reader: string; answered: boolean }[]
  /** Providers that can't be asked before `until`, by tree. */
  away: Map<string, { until: number; class: Hold['class'] }>
  /** How many faults the newest check of a run's deliverables found. */
  faults: Map<string, number>
  next: number
}

const limit = { nano: 1_000_000, tokens: 1_000_000, calls: 40 }
const grant = { scopes: [], tools: ['t'], agents: '*' as const, depth: 3, budget: limit }
export const usage = { input: 1, output: 1, cacheRead: 0, cacheWrite: 0 }
export const parts = [{ type: 'text' as const, text: 'words' }]

export function openWalk(by: Machine, slots = 3): Walk {
  const walk: Walk = {
    world: emptyWorld(),
    machine: by,
    slots,
    completed: new Set(),
    begun: new Map(),
    crashes: new Map(),
    sends: [],
    away: new Map(),
    faults: new Map(),
    next: 0,
  }
  for (const name of ['a', 'b']) apply(walk.world, [{ do: 'session.put', session: session(name, name, 0, null) }])
  return walk
}

export function session(id: string, tree: string, depth: number, spawnedBy: string | null): Session {
  return {
    id,
    key: `agent:main:${id}`,
    agent: 'main',
    tree,
    parentSession: null,
    spawnedBy,
    depth,
    label: null,
    route: depth === 0 ? { channel: 'c', account: '', to: id } : null,
    seq: 0,
    createdAt: 1,
    updatedAt: 1,
    closedAt: null,
  }
}

export const id = (walk: Walk) => `x${walk.next++}`
export const fresh = (walk: Walk) => ({ id: `r${id(walk)}`, grant, model: 'm', deadlineAt: null })
export const endIds = (walk: Walk) => ({
  ids: { note: id(walk), result: id(walk) },
  successor: fresh(walk),
  homeRun: fresh(walk),
})

export const sendKey = (sender: string, n: number) => `send:${sender}/${n}`

/** Whose turn is over by these effects has answered: who waits for that inside a step is told, in the same transaction. */
function tellSenders(walk: Walk, effects: readonly Effect[]): void {
  const { world } = walk
  for (const send of walk.sends.filter(one => !one.answered)) {
    const handed = effects.find(effect => effect.do === 'turn.hand' && effect.from === send.reader)
    const row = world.inbox.find(one => one.key === sendKey(send.sender, send.n))!
    const over = effects.some(effect => effect.do === 'turn.answer' && effect.run === send.reader)
    const gone = world.runs.get(send.reader)!.state === 'done'
    if (handed?.do === 'turn.hand' && row.state === 'unread') send.reader = handed.to
    else if (gone || (over && row.state !== 'unread')) {
      send.answered = true
      const sender = world.runs.get(send.sender)!
      const step = world.steps.find(one => one.run === send.sender && one.n === send.n)!
      if (sender.state === 'done' || step.state !== 'asking') continue
      const box = mailbox(world, world.sessions.get(sender.session)!)
      const decision = walk.machine.answered(box, { now: world.now, key: `answer:${send.sender}/${send.n}` })
      if (decision.ok) apply(world, decision.effects)
      if (!world.inbox.some(one => one.key === `answer:${send.sender}/${send.n}`))
        throw new Error(`the reply to ${send.sender}/${send.n} was told to nobody`)
    }
  }
}

export function carry(walk: Walk, decision: Decision): boolean {
  if (!decision.ok) return false
  const before = new Map(walk.world.runs)
  const asked = new Map(walk.world.approvals)
  for (const effect of decision.effects)
    if (effect.do === 'step.put' && effect.step.kind === 'model' && before.get(effect.step.run)?.paused)
      throw new Error(`paused run ${effect.step.run} asks its model`)
  checkAsked(walk, decision.effects)
  apply(walk.world, decision.effects)
  tellSenders(walk, decision.effects)
  check(walk.world, walk.slots, before)
  checkHeld(walk.world, before)
  checkApprovals(walk.world, { runs: before, approvals: asked })
  for (const run of walk.world.runs.values())
    if (run.terms?.deliverables && run.outcome === 'succeeded' && walk.faults.get(run.id) !== 0)
      throw new Error(`run ${run.id} succeeded with ${walk.faults.get(run.id)} faults`)
  return true
}

/** The tree that has a limit of its own, in calls, over all its runs. */
export const capped = { tree: 'b', calls: 5 }

/** What people have allowed besides it. */
export function allowedBesides(world: World): number {
  return world.raises
    .filter(raise => raise.whose === `tree:${capped.tree}`)
    .reduce((sum, { amount }) => sum + amount, 0)
}

/** The limit of one tree, with what its runs have used or set aside together. */
export function capOf(walk: Walk): Cap {
  const used = walk.world.usage
    .filter(row => row.tree === capped.tree)
    .reduce((sum, row) => plus(sum, walk.machine.counted(row)), nothing)
  const limit = { nano: null, tokens: null, calls: capped.calls + allowedBesides(walk.world) }
  return { of: 'tree b', key: 'session.budget', whose: `tree:${capped.tree}`, since: 0, limit, used, until: null }
}

export const runsIn = (walk: Walk, state: Run['state']) =>
  [...walk.world.runs.values()].filter(run => run.state === state)
export const pick = <T>(list: readonly T[], at: number): T | undefined => list[at % Math.max(1, list.length)]
