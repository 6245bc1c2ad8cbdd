/**
 * Random walks over the run machine: people write, workers work, the process dies, somebody cancels, time passes.
 *
 * Owns what may happen at random, and the fair drain at the end. Every transaction is checked against invariants.ts.
 */
import { type Approval, approvalDecisions } from '../../src/core/approval.ts'
import type { Run } from '../../src/core/types.ts'
import { carry, endIds, fresh, id, parts, pick, runsIn, session, type Walk } from './walk-kit.ts'
import { endOpener } from './walk-threads.ts'
import { work } from './walk-worker.ts'
import { apply, endView, live, liveRun, mailbox, stepsOf, unread } from './world.ts'

export { type Machine, machine, openWalk } from './walk-kit.ts'

/** Everything that can happen; `at` and `dice` choose. Returns whether it did. */
export function step(walk: Walk, what: number, at: number, dice: number): boolean {
  const { world, machine: by } = walk
  world.now += 1
  switch (what % 16) {
    case 0: {
      const target = pick([...world.sessions.values()], at)!
      if (dice % 7 === 0)
        return carry(
          walk,
          by.wish(mailbox(world, target), { now: world.now, key: id(walk), note: null, fresh: fresh(walk) }),
        )
      const event = {
        now: world.now,
        messageId: id(walk),
        parts,
        meta: {},
        key: id(walk),
        mode: (['followup', 'steer', 'steer', 'collect'] as const)[dice % 4]!,
        joins: dice % 5 === 0,
        route: target.route,
        fresh: fresh(walk),
        task: 't',
      }
      const accepted = carry(walk, by.accept(mailbox(world, target), event))
      // A run may be taken in the very transaction that makes it.
      const made = world.runs.get(event.fresh.id)
      if (made?.state === 'queued' && dice % 5 === 0 && runsIn(walk, 'running').length < walk.slots)
        return carry(walk, by.claim({ run: made, orphaned: false }, { now: world.now })) && work(walk, made, dice)
      return accepted
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
      if (run.wait.for === 'timer' && run.wait.hold?.whose === 'line' && dice % 2 > 0) {
        const view = { run, box: mailbox(world, world.sessions.get(run.session)!), last: stepsOf(world, run.id).length }
        walk.away.delete(run.tree)
        return carry(walk, by.fire(view, { now: world.now, called: true }))
      }
      world.now = Math.max(world.now, run.wait.until)
      // Another one has asked meanwhile, and was told the same.
      if (run.wait.for === 'timer' && run.wait.hold && dice % 2 === 0)
        walk.away.set(run.tree, { until: world.now + 9, class: run.wait.hold.class })
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
    case 11: {
      const all = [...world.approvals.values()]
      const pending = all.filter(one => one.state === 'pending')
      const approval = pick(dice % 5 > 0 && pending.length > 0 ? pending : all, at)
      if (!approval) return false
      const decision = approvalDecisions[dice % 3]!
      const by_ = { now: world.now, decision, by: `person ${dice % 2}`, at: null, rememberedId: id(walk) }
      return carry(walk, by.answerAll(answerView(walk, approval, dice), othersOf(walk, approval), by_))
    }
    case 12: {
      if (dice % 4 > 0) return endOpener(walk, at, dice % 3 > 0)
      const approval = pick(
        [...world.approvals.values()].filter(one => one.state === 'pending'),
        at,
      )
      return approval !== undefined && silence(walk, approval)
    }
    case 13:
    case 14: {
      const run = pick([...world.runs.values()].filter(live), at)
      return run !== undefined && carry(walk, by.pause(run, !run.paused && dice % 2 > 0))
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

/** Those that wait for the same answer. */
function othersOf(walk: Walk, { id: named, subject }: Approval) {
  return [...walk.world.approvals.values()]
    .filter(one => subject !== undefined && one.subject === subject && one.state === 'pending' && one.id !== named)
    .map(one => answerView(walk, one))
}

function answerView(walk: Walk, approval: Approval, dice = 1) {
  const { world } = walk
  const run = world.runs.get(approval.run)!
  const step = approval.kind === 'budget' ? null : stepsOf(world, run.id).find(one => one.n === approval.step)!
  const barred = dice % 11 === 0 ? 'no' : null
  return { approval, run, box: mailbox(world, world.sessions.get(run.session)!), step, barred }
}

/** Time passes, and nobody answers: the deadline comes, or an answer that comes with it. */
function silence(walk: Walk, approval: Approval): boolean {
  const { world, machine: by } = walk
  world.now = Math.max(world.now, approval.deadlineAt)
  if (world.now % 2 === 0) return carry(walk, by.lapse(answerView(walk, approval), { now: world.now }))
  const late = { now: world.now, decision: 'allow-once' as const, by: 'late', at: null, rememberedId: id(walk) }
  return carry(walk, by.answerAll(answerView(walk, approval), othersOf(walk, approval), late))
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

/** Lets everything come to its end: fair, no new work. Throws when something is stuck. */
export function drain(walk: Walk): void {
  const { world, machine: by } = walk
  for (const run of world.runs.values()) if (live(run) && run.paused) carry(walk, by.pause(run, false))
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
        const asked = [...world.approvals.values()].find(one => one.run === now.id && one.state === 'pending')
        if (now.wait?.for === 'ask' && !now.wait.outside && asked) silence(walk, asked)
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
  for (let n = 0; endOpener(walk, 0, n % 2 === 0); n++);
  const stuck = [...world.runs.values()].filter(live)
  if (stuck.length > 0)
    throw new Error(
      `stuck: ${JSON.stringify(stuck.map(run => [run.id, run.state, run.wait, unread(world, run.session)]))}`,
    )
}
