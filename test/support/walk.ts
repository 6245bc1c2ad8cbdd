/**
 * Random walks over the run machine: people write, workers work, the process dies, somebody cancels, time passes.
 *
 * Owns what may happen at random, and the invariants that must hold after each of it (design.md 5, decisions.md 1–12, 20, 21).
 * A machine is handed in, so that a planted bug can stand in for a part of it.
 */
import { childId } from '../../src/core/ids.ts'
import { accept, birth, newRun } from '../../src/core/run/accept.ts'
import { claim, intent, shown } from '../../src/core/run/claim.ts'
import { end } from '../../src/core/run/end.ts'
import { type Decision, nothing, satisfied } from '../../src/core/run/facts.ts'
import { type ReplyCall, reply } from '../../src/core/run/reply.ts'
import { ask, cooldown, fire, recover, result, yielded } from '../../src/core/run/steps.ts'
import type { ModelIntent, Outcome, Run, Session, Step, Wait } from '../../src/core/types.ts'
import {
  apply,
  children,
  emptyWorld,
  endView,
  lastReply,
  limitOf,
  live,
  liveRun,
  mailbox,
  plus,
  reserved,
  stepsOf,
  unread,
  type World,
} from './world.ts'

export const machine = {
  accept,
  claim,
  intent,
  shown,
  reply,
  result,
  yielded,
  ask,
  cooldown,
  fire,
  recover,
  end,
  newRun,
  birth,
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
  next: number
}

const limit = { nano: 1_000_000, tokens: 1_000_000, calls: 40 }
const grant = { scopes: [], tools: ['t'], agents: '*' as const, depth: 3, budget: limit }
const usage = { input: 1, output: 1, cacheRead: 0, cacheWrite: 0 }
const parts = [{ type: 'text' as const, text: 'words' }]

export function openWalk(by: Machine, slots = 3): Walk {
  const walk: Walk = {
    world: emptyWorld(),
    machine: by,
    slots,
    completed: new Set(),
    begun: new Map(),
    crashes: new Map(),
    next: 0,
  }
  for (const name of ['a', 'b']) apply(walk.world, [{ do: 'session.put', session: session(name, name, 0, null) }])
  return walk
}

function session(id: string, tree: string, depth: number, spawnedBy: string | null): Session {
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

const id = (walk: Walk) => `x${walk.next++}`
const fresh = (walk: Walk) => ({ id: `r${id(walk)}`, grant, model: 'm', deadlineAt: null })
const endIds = (walk: Walk) => ({
  ids: { note: id(walk), result: id(walk) },
  successor: fresh(walk),
  homeRun: fresh(walk),
})

function carry(walk: Walk, decision: Decision): boolean {
  if (!decision.ok) return false
  const before = new Map(walk.world.runs)
  apply(walk.world, decision.effects)
  check(walk, before)
  return true
}

const runsIn = (walk: Walk, state: Run['state']) => [...walk.world.runs.values()].filter(run => run.state === state)
const pick = <T>(list: readonly T[], at: number): T | undefined => list[at % Math.max(1, list.length)]

/** Everything that can happen; `at` and `dice` choose. Returns whether it did. */
export function step(walk: Walk, what: number, at: number, dice: number): boolean {
  const { world, machine: by } = walk
  world.now += 1
  switch (what % 12) {
    case 0: {
      const target = pick([...world.sessions.values()], at)!
      const event = {
        now: world.now,
        messageId: id(walk),
        parts,
        meta: {},
        key: id(walk),
        mode: dice % 3 === 0 ? ('followup' as const) : ('steer' as const),
        route: target.route,
        fresh: fresh(walk),
        task: 't',
      }
      return carry(walk, by.accept(mailbox(world, target), event))
    }
    case 1: {
      if (runsIn(walk, 'running').length >= walk.slots) return false
      const run = pick(runsIn(walk, 'queued'), at)
      const parent = run?.parent ? world.runs.get(run.parent) : undefined
      return (
        run !== undefined &&
        carry(
          walk,
          by.claim({ run, orphaned: !run.detached && parent !== undefined && !live(parent) }, { now: world.now }),
        )
      )
    }
    case 2:
    case 3:
    case 4:
    case 5:
    case 6: {
      const run = pick(runsIn(walk, 'running'), at)
      return run !== undefined && work(walk, run, dice)
    }
    case 7: {
      const run = pick([...world.runs.values()].filter(live), at)
      if (!run || dice % 4 > 0) return false
      return carry(
        walk,
        by.end(endView(world, run), {
          now: world.now,
          outcome: 'cancelled',
          code: 'RUN_CANCELLED',
          error: 'no',
          text: null,
          seq: null,
          followups: dice % 2 === 0 ? 'drop' : 'keep',
          ...endIds(walk),
        }),
      )
    }
    case 8: {
      // The process dies: everything that runs is recovered.
      if (dice % 2 > 0) return false
      for (const run of runsIn(walk, 'running')) revive(walk, run)
      return true
    }
    case 9: {
      const run = pick(
        runsIn(walk, 'waiting').filter(one => one.wait !== null && 'until' in one.wait && one.wait.until !== null),
        at,
      )
      if (!run?.wait || !('until' in run.wait) || run.wait.until === null) return false
      world.now = Math.max(world.now, run.wait.until)
      return carry(
        walk,
        by.fire(
          { run, box: mailbox(world, world.sessions.get(run.session)!), last: stepsOf(world, run.id).length },
          { now: world.now },
        ),
      )
    }
    case 10: {
      // A person spawns: detached, answering to a session.
      if (dice % 3 > 0) return false
      const home = pick(
        [...world.sessions.values()].filter(one => one.depth === 0),
        at,
      )!
      if (home.closedAt !== null) return false
      const child = session(`s${id(walk)}`, home.tree, 1, null)
      const run: Run = {
        ...by.newRun(child, fresh(walk), { now: world.now, task: 't', route: null, lane: 'subagent' }),
        detached: true,
        returnTo: home.id,
      }
      return carry(walk, {
        ok: true,
        effects: by.birth({ session: child, run, messageId: id(walk) }, world.now, 'person'),
      })
    }
    default: {
      const target = pick(
        [...world.sessions.values()].filter(one => one.depth === 0),
        at,
      )!
      if (target.closedAt !== null || dice % 8 > 0) return false
      const successor = { ...session(`n${id(walk)}`, `n${walk.next}`, 0, null) }
      apply(world, [
        { do: 'session.close', session: target.id, at: world.now },
        { do: 'session.put', session: successor },
      ])
      const run = liveRun(world, target.id)
      return (
        run === null ||
        carry(
          walk,
          by.end(endView(world, run), {
            now: world.now,
            outcome: 'cancelled',
            code: 'RUN_CANCELLED',
            error: 'reset',
            text: null,
            seq: null,
            followups: 'drop',
            ...endIds(walk),
          }),
        )
      )
    }
  }
}

function revive(walk: Walk, run: Run): void {
  const { world, machine: by } = walk
  const open = stepsOf(world, run.id).filter(one => one.state === 'open')
  const now = world.runs.get(run.id)!
  if (now.state !== 'running') return
  const decision = by.recover(
    { run: now, box: mailbox(world, world.sessions.get(run.session)!), open },
    { now: world.now, maxAttempts: 2, ids: open.map(() => id(walk)), unknown: () => 'unknown' },
  )
  const crashes = (walk.crashes.get(run.id) ?? 0) + 1
  walk.crashes.set(run.id, crashes)
  if (!decision.ok && decision.code === 'RUN_CRASHED' && crashes <= 2)
    throw new Error(`given up after ${crashes} crashes since the last completed step`)
  if (decision.ok && crashes > 2) throw new Error(`tried again after ${crashes} crashes in one step`)
  if (decision.ok) carry(walk, decision)
  else if (decision.code === 'RUN_CRASHED')
    carry(
      walk,
      by.end(endView(world, now), {
        now: world.now,
        outcome: 'interrupted',
        code: 'RUN_CRASHED',
        error: 'crashed',
        text: null,
        seq: null,
        followups: 'keep',
        ...endIds(walk),
      }),
    )
}

/** What a worker does next, read from the journal alone. `calm` spawns nothing and waits for nothing: for the drain. */
export function work(walk: Walk, run: Run, dice: number, calm = false): boolean {
  const { world, machine: by } = walk
  const box = mailbox(world, world.sessions.get(run.session)!)
  const steps = lastReply(world, run.id)
  const model = steps[0]
  const open = steps.filter(one => one.kind === 'tool' && (one.state === 'open' || one.state === 'asking'))
  if (model?.state === 'open' && dice % 5 > 0) return answer(walk, run, model, dice, calm)
  const tool = open[dice % Math.max(1, open.length)]
  if (tool) return use(walk, run, tool, dice, calm)
  const last = stepsOf(world, run.id).length
  const turnStart =
    model?.state === 'open' || steps.length <= 1 || steps.at(-1)?.name === 'yield' || steps.at(-1)?.kind === 'model'
  const reserve = { nano: 10, tokens: 10, calls: 1 }
  if (run.spent.calls + run.lent.calls + 1 > (run.grant.budget.calls ?? 0)) {
    return carry(
      walk,
      by.end(endView(world, run), {
        now: world.now,
        outcome: 'budget_exhausted',
        code: 'RUN_BUDGET',
        error: 'spent',
        text: null,
        seq: null,
        followups: 'keep',
        ...endIds(walk),
      }),
    )
  }
  return carry(
    walk,
    by.intent(
      { run, box, open: model?.state === 'open' ? model : null, last, turnStart },
      { now: world.now, epoch: run.epoch, view: null, upto: 0, reserve },
    ),
  )
}

function once(walk: Walk, step: Step): void {
  const key = `${step.run}/${step.n}`
  if (walk.completed.has(key)) throw new Error(`step ${key} was completed twice`)
  walk.completed.add(key)
  walk.crashes.delete(step.run)
  const began = walk.begun.get(key)
  if (began !== undefined && began !== walk.world.runs.get(step.run)?.epoch)
    throw new Error(`never tool ${key} began before a crash and was completed after it`)
}

function answer(walk: Walk, run: Run, model: Step, dice: number, calm: boolean): boolean {
  const { world, machine: by } = walk
  if (!calm && dice % 11 === 0) {
    return carry(
      walk,
      by.cooldown(
        {
          run,
          box: mailbox(world, world.sessions.get(run.session)!),
          step: model,
          stepReserved: reserved(world, run.id),
        },
        { now: world.now, epoch: run.epoch, until: world.now + 5, charged: nothing, usage },
      ),
    )
  }
  const calls = calm ? [] : callsOf(walk, run, model, dice)
  const event = {
    now: world.now,
    epoch: run.epoch,
    messageId: id(walk),
    parts,
    meta: {},
    calls,
    resultIds: calls.map(() => id(walk)),
    stop: dice % 17 === 0 ? ('refusal' as const) : ('stop' as const),
    usage,
    charged: { nano: 3, tokens: 3, calls: 1 },
    followups: 'keep' as const,
    ...endIds(walk),
  }
  const done = carry(
    walk,
    by.reply({ ...endView(world, run), step: model, stepReserved: reserved(world, run.id) }, event),
  )
  if (done) once(walk, model)
  return done
}

function callsOf(walk: Walk, run: Run, model: Step, dice: number): ReplyCall[] {
  const kinds = [
    [],
    [],
    ['spawn'],
    ['spawn', 'spawn', 'tool'],
    ['tool', 'never'],
    ['yield'],
    ['spawn', 'ask'],
    ['never', 'yield'],
    ['refused'],
  ][dice % 9]!
  let free = (run.grant.budget.calls ?? 0) - run.spent.calls - run.lent.calls
  return kinds.map((kind, i): ReplyCall => {
    const call = {
      callId: id(walk),
      name: kind,
      args: {},
      repeat: kind === 'never' ? ('never' as const) : ('safe' as const),
    }
    if (kind === 'refused') return { ...call, refused: 'no' }
    if (kind !== 'spawn') return call
    if (run.grant.depth === 0 || free < 6) return { ...call, spawn: { ok: false, text: 'no' } }
    free -= 4
    const child = session(
      `s${childId(run.id, model.n + 1 + i)}`,
      walk.world.sessions.get(run.session)!.tree,
      run.depth + 1,
      run.id,
    )
    const detached = dice % 7 === 0
    const plan: Run = {
      ...walk.machine.newRun(
        child,
        {
          id: childId(run.id, model.n + 1 + i),
          grant: { ...run.grant, depth: run.grant.depth - 1, budget: { nano: 100, tokens: 100, calls: 4 } },
          model: 'm',
          deadlineAt: null,
        },
        { now: walk.world.now, task: 't', route: null, lane: 'subagent' },
      ),
      parent: run.id,
      detached,
      payer: detached ? null : run.id,
      returnTo: detached ? null : run.session,
    }
    return { ...call, spawn: { ok: true, plan: { session: child, run: plan, messageId: id(walk) }, receipt: 'ok' } }
  })
}

function use(walk: Walk, run: Run, tool: Step, dice: number, calm: boolean): boolean {
  const { world, machine: by } = walk
  const box = mailbox(world, world.sessions.get(run.session)!)
  const event = { now: world.now, epoch: run.epoch, messageId: id(walk), parts, isError: false }
  const view = { run, box, step: tool }
  const others = lastReply(world, run.id).some(
    one =>
      one.kind === 'tool' && one.state === 'open' && one.n !== tool.n && one.name !== 'yield' && one.name !== 'ask',
  )
  if ((tool.name === 'yield' || tool.name === 'ask') && others) return false
  let decision: Decision
  if (tool.name === 'yield' && !calm) {
    const wait: Wait =
      box.openChildren > 0
        ? { for: 'children', mode: dice % 2 === 0 ? 'all' : 'any', until: null }
        : { for: 'message', until: world.now + 9 }
    decision = by.yielded(view, { ...event, wait, already: parts })
  } else if (tool.name === 'ask' && tool.state === 'open' && !calm) {
    const runs = children(world, run.id).map(one => one.id)
    decision = by.ask(
      { ...view, box: { ...box, askedOpen: runs.length } },
      {
        now: world.now,
        epoch: run.epoch,
        wait: {
          for: 'ask',
          n: tool.n,
          runs,
          mode: dice % 2 === 0 ? 'all' : 'any',
          until: world.now + 7,
          outside: dice % 3 > 0,
        },
      },
    )
    if (decision.ok && decision.effects.length === 0) decision = by.result(view, event)
  } else if (tool.startedAt === null && (tool.intent as { repeat?: string }).repeat === 'never') {
    walk.begun.set(`${run.id}/${tool.n}`, run.epoch)
    decision = { ok: true, effects: [{ do: 'step.set', run: run.id, n: tool.n, to: { startedAt: world.now } }] }
    return carry(walk, decision)
  } else decision = by.result(view, event)
  const done = carry(walk, decision)
  if (done && world.steps.find(one => one.run === tool.run && one.n === tool.n)?.state === 'done') once(walk, tool)
  return done
}

/** Lets everything come to its end: fair, no new work. Throws when something is stuck. */
export function drain(walk: Walk): void {
  const { world, machine: by } = walk
  for (let round = 0; round < 2000; round++) {
    const going = [...world.runs.values()].filter(live)
    if (going.length === 0) break
    for (const run of going) {
      const now = world.runs.get(run.id)!
      const running = runsIn(walk, 'running').length
      if (now.state === 'queued' && running < walk.slots)
        step(
          walk,
          1,
          runsIn(walk, 'queued').findIndex(one => one.id === run.id),
          0,
        )
      else if (now.state === 'running') work(walk, now, 1 + (round % 4), true)
      else if (now.state === 'waiting') {
        const until = now.wait && 'until' in now.wait ? now.wait.until : null
        if (until !== null) world.now = Math.max(world.now, until)
        if (until !== null)
          carry(
            walk,
            by.fire(
              { run: now, box: mailbox(world, world.sessions.get(now.session)!), last: stepsOf(world, now.id).length },
              { now: world.now },
            ),
          )
      }
    }
  }
  const stuck = [...world.runs.values()].filter(live)
  if (stuck.length > 0)
    throw new Error(
      `stuck: ${JSON.stringify(stuck.map(run => [run.id, run.state, run.wait, unread(world, run.session)]))}`,
    )
}

const outcomes: Outcome[] = ['succeeded', 'failed', 'cancelled', 'timed_out', 'interrupted', 'budget_exhausted']

/** The invariants, after every transaction. */
function check(walk: Walk, before: ReadonlyMap<string, Run>): void {
  const { world } = walk
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
    const parent = run.parent === null ? undefined : world.runs.get(run.parent)
    if (live(run) && !run.detached && parent && !live(parent))
      fail('R4 no live attached child under a done parent', run)
    if (run.state === 'waiting') {
      const box = mailbox(world, world.sessions.get(run.session)!)
      if (!run.wait || satisfied(run.wait, box.unread, box.openChildren, box.askedOpen))
        fail('R9 no satisfied wait', [run, box])
    }
    const charges = world.usage
      .filter(row => row.run === run.id)
      .reduce((sum, row) => plus(sum, row.state === 'reserved' ? row.reserved : row.charged), nothing)
    const ended = [...world.runs.values()]
      .filter(one => one.payer === run.id && !live(one))
      .reduce((sum, one) => plus(sum, one.spent), nothing)
    const lent = [...world.runs.values()]
      .filter(one => one.payer === run.id && live(one))
      .reduce((sum, one) => plus(sum, limitOf(one)), nothing)
    if (JSON.stringify(run.spent) !== JSON.stringify(plus(charges, ended)))
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
      // What ends with its parent has no words of its own.
      if (home.depth === 0 && finals !== (spoke ? 1 : 0)) fail('R6 one delivery', [run, finals])
    }
  }
  for (const home of world.sessions.values()) {
    const runs = [...world.runs.values()].filter(run => run.session === home.id && live(run))
    if (runs.length > 1) fail('one live run a session', runs)
    if (runs.length === 0 && unread(world, home.id).length > 0)
      fail('R9 no unread row without a reader', [home.id, unread(world, home.id)])
  }
  for (const row of world.inbox) {
    if (row.state === 'read' && row.readRun === null) fail('R10 read by somebody', row)
    if (row.state === 'read' && row.readStep !== null) {
      const reader = world.steps.find(one => one.run === row.readRun && one.n === row.readStep)
      const seen =
        reader?.kind === 'model'
          ? (reader.intent as ModelIntent).inbox.includes(row.id) && reader.state === 'done'
          : row.kind === 'timer' || row.kind === 'answer'
      if (!seen) fail('R10 read only by what has shown it', [row, reader])
    }
    if (row.kind === 'result' && row.state === 'unread') {
      const child = world.runs.get(row.from!)!
      const parent = child.parent === null ? undefined : world.runs.get(child.parent)
      if (!child.detached && parent && !live(parent)) fail('decisions 6: a cascade starts no turn', [row, parent])
    }
  }
  for (const one of world.steps) {
    if (one.kind !== 'model' || one.state !== 'done') continue
    const unreadYet = (one.intent as ModelIntent).inbox.filter(row => world.inbox[row - 1]?.state === 'unread')
    if (unreadYet.length > 0) fail('R10 a result marks what it showed', [one, unreadYet])
  }
  if (runsIn(walk, 'running').length > walk.slots) fail('R5 slots', runsIn(walk, 'running').length)
}
