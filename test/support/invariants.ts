/**
 * What must be true of the world after every transaction of the run machine (design.md 5, decisions.md 1–12).
 */
import { childId, interimKey } from '../../src/core/ids.ts'
import { nothing, satisfied } from '../../src/core/run/facts.ts'
import { misfits } from '../../src/core/shape.ts'
import type { CompactIntent, ModelIntent, Outcome, Run, ToolIntent } from '../../src/core/types.ts'
import { allowedBesides, capped } from './walk-kit.ts'
import { checkThreads } from './walk-threads.ts'
import { limitOf, live, liveRun, mailbox, plus, stepsOf, unread, type World } from './world.ts'

const outcomes: Outcome[] = ['succeeded', 'failed', 'cancelled', 'timed_out', 'interrupted', 'budget_exhausted']

/** Of a run that has ended: its result was checked, what was wrong was said once, and its session is put away if it was to be. */
function checkResult(world: World, run: Run, fail: (rule: string, about: unknown) => never): void {
  const { outputSchema, repaired, cleanup } = run.terms ?? {}
  if (run.outcome === 'succeeded' && outputSchema && misfits(outputSchema, run.result ?? '').length > 0)
    fail('a result that succeeded has its shape', run)
  const said = world.inbox.filter(row => row.key === `repair:${run.id}`)
  if (said.length !== (repaired ? 1 : 0)) fail('what is to be mended is said', [run, said])
  if (run.errorCode === 'RUN_RESULT' && (!repaired || run.result === null || said[0]?.state !== 'read'))
    fail('it failed after one repair, with its words kept', [run, said])
  if (cleanup && !liveRun(world, run.session) && world.sessions.get(run.session)!.closedAt === null)
    fail('its session is put away', run)
}

/** Whoever hands work on, asks a person or rests has told its chat first, once (the world refuses a second row of a key). */
function checkSaid(world: World, run: Run, fail: (rule: string, about: unknown) => never): void {
  if (run.route === null || run.returnTo !== null) return
  const steps = stepsOf(world, run.id).filter(one => one.kind === 'model' || one.kind === 'tool')
  let reply = 0
  for (const step of steps) {
    if (step.kind === 'model') reply = step.n
    const asked = step.kind === 'tool' && (step.intent as ToolIntent).approval !== undefined
    const lent = step.name === 'spawn' && world.runs.has(childId(run.id, step.n))
    const last = step === steps.at(-1) && (run.wait?.for === 'children' || run.wait?.for === 'message')
    const rests = step.name === 'yield' && step.state === 'done' && last && run.state === 'waiting'
    if ((asked || lent || rests) && !world.outbox.some(row => row.key === interimKey(run.id, reply)))
      fail('interim words are said at once', [run, step])
  }
}

/** The invariants, after every transaction. */
export function check(world: World, slots: number, before: ReadonlyMap<string, Run>): void {
  const fail = (rule: string, about: unknown): never => {
    throw new Error(`${rule}: ${JSON.stringify(about)}`)
  }
  for (const run of world.runs.values()) {
    const was = before.get(run.id)
    if (was?.state === 'done' && JSON.stringify(was) !== JSON.stringify(run)) fail('R1 done absorbs', [was, run])
    if (run.state === 'done' && !outcomes.includes(run.outcome!)) fail('R2 one outcome', run)
    if (was && run.epoch !== was.epoch && !(was.state === 'queued' && run.state === 'running'))
      fail('R3 only a claim raises the epoch', run)
    if (was?.state === 'queued' && run.state === 'running' && run.epoch !== was.epoch + 1)
      fail('R3 a claim raises the epoch', run)
    if (was?.paused && was.state === 'queued' && run.state === 'running') fail('C3 nobody claims a paused run', run)
    const parent = run.parent === null ? undefined : world.runs.get(run.parent)
    if (live(run) && !run.detached && parent && !live(parent))
      fail('R4 no live attached child under a done parent', run)
    if (run.state === 'waiting') {
      const box = mailbox(world, world.sessions.get(run.session)!)
      if (!run.wait || satisfied(run.wait, box.unread, box.openChildren, box.askedOpen))
        fail('R9 no satisfied wait', [run, box])
    }
    checkSaid(world, run, fail)
    const charges = world.usage
      .filter(row => row.run === run.id)
      .reduce((sum, row) => plus(sum, row.state === 'reserved' ? row.reserved : row.charged), nothing)
    const ended = [...world.runs.values()]
      .filter(one => one.payer === run.id && !live(one))
      .reduce((sum, one) => plus(sum, one.spent), nothing)
    const lent = [...world.runs.values()]
      .filter(one => one.payer === run.id && live(one))
      .reduce((sum, one) => plus(sum, limitOf(one)), nothing)
    const left = [...world.runs.values()]
      .filter(one => one.parent === run.id && one.detached)
      .reduce((sum, one) => plus(sum, limitOf(one)), nothing)
    if (JSON.stringify(run.spent) !== JSON.stringify(plus(plus(charges, ended), left)))
      fail('R8 spent is the ledger', [run, charges, ended])
    if (JSON.stringify(run.lent) !== JSON.stringify(lent)) fail('R8 lent is what live children hold', [run, lent])
    if (run.state === 'done') {
      if (world.usage.some(row => row.run === run.id && row.state === 'reserved'))
        fail('R8 no open reservation after the end', run)
      if (stepsOf(world, run.id).some(one => one.state === 'open' || one.state === 'asking'))
        fail('no open step after the end', run)
      const rows = world.inbox.filter(row => row.key === `result:${run.id}`)
      if (rows.length !== (run.returnTo === null ? 0 : 1) || rows.some(row => row.session !== run.returnTo))
        fail('R6 one result at its return address', [run, rows])
      const finals = world.outbox.filter(row => row.key === `${run.id}/final`).length
      const home = world.sessions.get(run.session)!
      const spoke = run.route !== null && run.returnTo === null && (run.outcome !== 'succeeded' || run.result !== null)
      checkResult(world, run, fail)
      // What ends with its parent has no words of its own.
      if (home.depth === 0 && finals !== (spoke ? 1 : 0)) fail('R6 one delivery', [run, finals])
    }
  }
  checkThreads(world)
  for (const home of world.sessions.values()) {
    const runs = [...world.runs.values()].filter(run => run.session === home.id && live(run))
    if (runs.length > 1) fail('one live run a session', runs)
    if (runs.length === 0 && unread(world, home.id).length > 0)
      fail('R9 no unread row without a reader', [home.id, unread(world, home.id)])
  }
  for (const one of world.steps.filter(({ kind }) => kind === 'model')) {
    const ids = (one.intent as ModelIntent).inbox
    const waited = world.inbox.filter(row => ids.includes(row.id) && row.mode !== 'steer')
    if (waited.some(row => row.mode === 'followup') && waited.length > 1) fail('a followup has a turn of its own', one)
  }
  for (const row of world.inbox) {
    if (row.state === 'read' && row.readRun === null) fail('R10 read by somebody', row)
    if (row.state === 'read' && row.readStep !== null) {
      const reader = world.steps.find(one => one.run === row.readRun && one.n === row.readStep)
      const seen =
        reader?.kind === 'model' || reader?.kind === 'compact'
          ? (reader.intent as ModelIntent | CompactIntent).inbox.includes(row.id) && reader.state === 'done'
          : row.kind === 'timer' || row.kind === 'answer'
      if (!seen) fail('R10 read only by what has shown it', [row, reader])
    }
    if (row.kind === 'result' && row.state === 'unread') {
      const child = world.runs.get(row.from!)!
      const parent = child.parent === null ? undefined : world.runs.get(child.parent)
      if (!child.detached && parent && !live(parent)) fail('decisions 6: a cascade starts no turn', [row, parent])
    }
  }
  const spent = world.usage
    .filter(row => row.tree === capped.tree)
    .reduce((sum, row) => sum + (row.state === 'reserved' ? row.reserved : row.charged).calls, 0)
  if (spent > capped.calls + allowedBesides(world)) fail('B4 no cap over many runs is passed', [capped, spent])
  for (const one of world.steps) {
    if (one.kind === 'tool' || one.state !== 'done') continue
    const unreadYet = (one.intent as ModelIntent | CompactIntent).inbox.filter(
      row => world.inbox[row - 1]?.state === 'unread',
    )
    if (unreadYet.length > 0) fail('R10 a result marks what it showed', [one, unreadYet])
  }
  for (const view of world.views) {
    const step = world.steps.find(one => one.run === view.run && one.n === view.step)
    if (step?.result?.view !== view.id) fail('a view is the result of one step', [view, step])
    if (view.base !== null && !world.views.some(one => one.id === view.base)) fail('the view before stays', view)
  }
  for (const home of world.sessions.values())
    if (home.view !== undefined && !world.views.some(one => one.id === home.view)) fail('a view is there', home)
  if ([...world.runs.values()].filter(run => run.state === 'running').length > slots) fail('R5 slots', slots)
}
