/**
 * A store of memory: what the run machine's effects make of the world, and the views that decisions are made from.
 *
 * Owns an in-memory twin of store/apply.ts and store/facts.ts, small enough to be checked by eye; src/store/apply.test.ts
 * holds the two against each other. Used by the walks over the machine.
 */
import { released } from '../../src/core/binding.ts'
import { interimKey } from '../../src/core/ids.ts'
import type { Effect, Mailbox } from '../../src/core/run/facts.ts'
import type { Approval, Raise, Remembered } from '../../src/core/approval.ts'
import type { EndView } from '../../src/core/run/end.ts'
import { subjectOf } from '../../src/core/run/raise.ts'
import type { InboxRow, Message, ModelIntent, Route, Run, Session, Spend, Step, View } from '../../src/core/types.ts'
import type { Content } from '../../src/core/chat.ts'

export interface Usage {
  run: string
  tree: string
  step: number
  attempt: number
  state: 'reserved' | 'settled' | 'unknown'
  reserved: Spend
  charged: Spend
}

export interface OutboxLine {
  id: number
  run: string | null
  key: string
  route: Route
  content: Content
  state: 'open' | 'sent' | 'dead'
}

export interface World {
  now: number
  sessions: Map<string, Session>
  messages: Message[]
  inbox: (InboxRow & { readRun: string | null; readStep: number | null })[]
  runs: Map<string, Run>
  steps: Step[]
  usage: Usage[]
  /** Places and whose they are. */
  bindings: { place: Route; sessionKey: string; run: string; ended: boolean }[]
  /** By row number, from 1. */
  outbox: OutboxLine[]
  views: View[]
  approvals: Map<string, Approval>
  remembered: Remembered[]
  raises: Raise[]
  /** Every effect so far, for the twin. */
  journal: Effect[][]
}

export function emptyWorld(): World {
  return {
    now: 1,
    sessions: new Map(),
    messages: [],
    inbox: [],
    runs: new Map(),
    steps: [],
    usage: [],
    outbox: [],
    bindings: [],
    views: [],
    approvals: new Map(),
    remembered: [],
    raises: [],
    journal: [],
  }
}

export const live = (run: Run) => run.state !== 'done'
export const plus = (a: Spend, b: Spend): Spend => ({
  nano: a.nano + b.nano,
  tokens: a.tokens + b.tokens,
  calls: a.calls + b.calls,
})
export const limitOf = (run: Run): Spend => ({
  nano: run.grant.budget.nano ?? 0,
  tokens: run.grant.budget.tokens ?? 0,
  calls: run.grant.budget.calls ?? 0,
})
const minus = (a: Spend, b: Spend): Spend => ({
  nano: a.nano - b.nano,
  tokens: a.tokens - b.tokens,
  calls: a.calls - b.calls,
})

export function children(world: World, run: string): Run[] {
  return [...world.runs.values()].filter(one => one.parent === run && !one.detached && live(one))
}

export function liveRun(world: World, session: string): Run | null {
  return [...world.runs.values()].find(run => run.session === session && live(run)) ?? null
}

export function unread(world: World, session: string): InboxRow[] {
  return world.inbox.filter(row => row.session === session && row.state === 'unread')
}

export function mailbox(world: World, session: Session): Mailbox {
  const run = liveRun(world, session.id)
  const asked = run?.wait?.for === 'ask' ? run.wait.runs.filter(id => live(world.runs.get(id)!)).length : 0
  return {
    session,
    live: run,
    unread: unread(world, session.id),
    openChildren: run ? Math.min(2, children(world, run.id).length) : 0,
    askedOpen: asked,
  }
}

export function endView(world: World, run: Run): EndView {
  const session = world.sessions.get(run.session)!
  const home = run.returnTo === null ? undefined : world.sessions.get(run.returnTo)
  const open = lastReply(world, run.id).find(step => step.kind === 'model' && step.state === 'open')
  return {
    run,
    box: mailbox(world, session),
    sessionKey: session.key,
    home: home ? mailbox(world, home) : null,
    showing: open ? (open.intent as ModelIntent).inbox : [],
  }
}

export function stepsOf(world: World, run: string): Step[] {
  return world.steps.filter(step => step.run === run).sort((a, b) => a.n - b.n)
}

export function lastReply(world: World, run: string): Step[] {
  const steps = stepsOf(world, run)
  const at = steps.findLastIndex(step => step.kind === 'model')
  return at < 0 ? [] : steps.slice(at).filter(step => step.kind !== 'compact')
}

/** The words of the reply that yields, unless they went out with its calls. */
export function unsaid(world: World, run: Run): { step: number; text: string } | null {
  const reply = lastReply(world, run.id)[0]!
  const key = interimKey(run.id, reply.n)
  return world.outbox.some(row => row.key === key) ? null : { step: reply.n, text: 'words' }
}

export function apply(world: World, effects: readonly Effect[]): void {
  world.journal.push([...effects])
  for (const effect of effects) one(world, effect)
}

function change(world: World, id: string, to: Partial<Run>): void {
  world.runs.set(id, { ...world.runs.get(id)!, ...to })
}

function one(world: World, effect: Effect): void {
  switch (effect.do) {
    case 'session.put':
      world.sessions.set(effect.session.id, effect.session)
      return
    case 'session.close':
      world.sessions.set(effect.session, {
        ...world.sessions.get(effect.session)!,
        closedAt: effect.at,
        updatedAt: effect.at,
      })
      return
    case 'session.set': {
      const { view, ...to } = effect.to
      const { view: before, ...session } = world.sessions.get(effect.session)!
      const now = view === undefined ? before : view
      world.sessions.set(effect.session, { ...session, ...to, updatedAt: effect.at, ...(now ? { view: now } : {}) })
      return
    }
    case 'view.put':
      if (world.views.some(one => one.id === effect.view.id)) throw new Error(`two views ${effect.view.id}`)
      world.views.push(effect.view)
      return
    case 'message.put': {
      const { message } = effect
      if (world.messages.some(row => row.session === message.session && row.seq === message.seq))
        throw new Error(`two messages at ${message.session}/${message.seq}`)
      world.messages.push(message)
      world.sessions.set(message.session, {
        ...world.sessions.get(message.session)!,
        seq: message.seq,
        updatedAt: message.at,
      })
      return
    }
    case 'messages.copy': {
      const shown = world.messages.filter(
        row => row.session === effect.from && row.seq <= effect.upto && row.ord !== null && row.ord <= effect.place,
      )
      world.messages.push(...shown.map(row => ({ ...row, session: effect.to, run: null, step: null })))
      return
    }
    case 'inbox.put':
      if (world.inbox.some(row => row.session === effect.row.session && row.key === effect.row.key))
        throw new Error(`two inbox rows ${effect.row.key}`)
      world.inbox.push({ ...effect.row, id: world.inbox.length + 1, readRun: null, readStep: null })
      return
    case 'inbox.mark':
      world.inbox = world.inbox.map(row =>
        effect.ids.includes(row.id) ? { ...row, state: effect.state, readRun: effect.run, readStep: effect.step } : row,
      )
      if (effect.ord !== null) {
        const seqs = world.inbox.filter(row => effect.ids.includes(row.id)).map(row => row.seq)
        world.messages = world.messages.map(row =>
          row.session === effect.session && seqs.includes(row.seq) ? { ...row, ord: effect.ord } : row,
        )
      }
      return
    case 'run.put':
      if (world.runs.has(effect.run.id)) throw new Error(`two runs ${effect.run.id}`)
      if (liveRun(world, effect.run.session)) throw new Error(`two live runs in ${effect.run.session}`)
      world.runs.set(effect.run.id, effect.run)
      return
    case 'run.set':
      change(world, effect.run, effect.to)
      return
    case 'run.money': {
      const run = world.runs.get(effect.run)!
      change(world, effect.run, { spent: plus(run.spent, effect.spent), lent: plus(run.lent, effect.lent) })
      return
    }
    case 'run.settle': {
      const run = world.runs.get(effect.run)!
      if (run.payer === null) return
      const payer = world.runs.get(run.payer)!
      change(world, payer.id, { spent: plus(payer.spent, run.spent), lent: minus(payer.lent, limitOf(run)) })
      return
    }
    case 'steps.cancel':
      world.steps = world.steps.map(step =>
        step.run === effect.run && (step.state === 'open' || step.state === 'asking')
          ? { ...step, state: 'cancelled', endedAt: effect.at }
          : step,
      )
      return
    case 'step.put':
      if (world.steps.some(step => step.run === effect.step.run && step.n === effect.step.n))
        throw new Error(`two steps ${effect.step.run}/${effect.step.n}`)
      world.steps.push(effect.step)
      return
    case 'step.set':
      world.steps = world.steps.map(step =>
        step.run === effect.run && step.n === effect.n ? { ...step, ...effect.to } : step,
      )
      return
    case 'usage.reserve':
      world.usage.push({
        run: effect.row.run,
        tree: effect.row.tree,
        step: effect.row.step,
        attempt: effect.row.attempt,
        state: 'reserved',
        reserved: effect.row.reserved,
        charged: { nano: 0, tokens: 0, calls: 0 },
      })
      return
    case 'usage.settle':
      world.usage = world.usage.map(row =>
        row.run === effect.run && row.step === effect.step && row.attempt === effect.attempt
          ? { ...row, state: 'settled', charged: effect.charged }
          : row,
      )
      return
    case 'usage.unknown':
      world.usage = world.usage.map(row =>
        row.run === effect.run && row.state === 'reserved' ? { ...row, state: 'unknown', charged: row.reserved } : row,
      )
      return
    case 'tree.end':
      endTree(world, effect)
      return
    case 'outbox.put':
      if (world.outbox.some(row => row.key === effect.key)) throw new Error(`two deliveries ${effect.key}`)
      world.outbox.push({
        id: world.outbox.length + 1,
        run: effect.run,
        key: effect.key,
        route: effect.route,
        content: effect.content,
        state: 'open',
      })
      return
    case 'outbox.move': {
      const row = world.outbox[effect.id - 1]!
      if (row.state !== 'open') throw new Error(`row ${row.id} is ${row.state} and was moved`)
      Object.assign(row, { route: effect.route, ...(effect.dead === null ? {} : { state: 'dead' }) })
      return
    }
    case 'binding.put':
      world.bindings.push({ place: effect.place, sessionKey: effect.session.key, run: effect.run, ended: false })
      return
    case 'approval.move': {
      const approval = world.approvals.get(effect.id)!
      const moved = (route: Route) => (route.thread === effect.from.thread ? effect.to : route)
      const question = { ...approval.question, chats: approval.question.chats.map(moved) }
      world.approvals.set(effect.id, { ...approval, question, route: approval.route && moved(approval.route) })
      return
    }
    case 'approval.put':
      if (world.approvals.has(effect.approval.id)) throw new Error(`two approvals ${effect.approval.id}`)
      world.approvals.set(effect.approval.id, effect.approval)
      return
    case 'approval.set':
      world.approvals.set(effect.approval.id, effect.approval)
      return
    case 'approvals.cancel':
      for (const one of world.approvals.values())
        if (one.run === effect.run && one.state === 'pending')
          world.approvals.set(one.id, { ...one, state: 'cancelled', decidedAt: effect.at })
      return
    case 'remembered.put':
      world.remembered.push(effect.remembered)
      return
    case 'cap.raise':
      if (world.raises.some(one => subjectOf(one) === subjectOf(effect.raise)))
        throw new Error(`two raises ${subjectOf(effect.raise)}`)
      world.raises.push(effect.raise)
      return
    case 'turn.answer':
    case 'turn.hand':
      return
  }
}

/** What was stopped speaks in its thread no more. */
function unbind(world: World, id: string): void {
  for (const bound of world.bindings) {
    const session = world.sessions.get(id)!
    if (bound.ended || bound.sessionKey !== session.key) continue
    bound.ended = true
    if (session.depth > 0) for (const effect of released(session, null, bound.place)) one(world, effect)
  }
}

/** One run after the other, deepest first: the plain meaning of what the store does set-based. */
function endTree(world: World, effect: Effect & { do: 'tree.end' }): void {
  for (const child of children(world, effect.root)) {
    endTree(world, { ...effect, root: child.id })
    one(world, { do: 'usage.unknown', run: child.id })
    one(world, { do: 'steps.cancel', run: child.id, at: effect.at })
    one(world, { do: 'approvals.cancel', run: child.id, at: effect.at })
    change(world, child.id, {
      state: 'done',
      outcome: effect.outcome,
      errorCode: effect.code,
      error: effect.error,
      wait: null,
      woken: false,
      endedAt: effect.at,
    })
    unbind(world, child.session)
    one(world, { do: 'run.settle', run: child.id })
    if (child.terms?.cleanup === 'delete') one(world, { do: 'session.close', session: child.session, at: effect.at })
    world.inbox = world.inbox.map(row =>
      row.session === child.session && row.state === 'unread'
        ? { ...row, state: row.kind === 'message' ? 'dropped' : 'kept' }
        : row,
    )
    if (child.returnTo !== null)
      one(world, {
        do: 'inbox.put',
        row: {
          session: child.returnTo,
          kind: 'result',
          mode: 'steer',
          state: 'kept',
          seq: null,
          key: `result:${child.id}`,
          from: child.id,
          at: effect.at,
        },
      })
  }
}
