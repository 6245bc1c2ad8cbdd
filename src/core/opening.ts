/**
 * A thread of a chat for a sub-agent: where it can be had, the message that opens it, and what becomes of everything that was
 * said for it before it was there (openclaw-facts.md §D1 `thread`, §D6).
 *
 * Owns the place that stands for a thread until its id is known, and what replaces it once its opener has ended. The opener is
 * an outbox row of the spawn's own transaction, in the chat that is this place: whatever else is said there waits behind it
 * (core/delivery.ts D7), and nothing else does. Never sends, never reads.
 *
 * Invariants:
 * O1 no words go out to a place whose thread is not known.
 * O2 once the opener has ended, nothing that is open or live speaks of the place any more: it is the thread, or the chat that
 *    asked for it.
 * O3 a thread that could not be opened binds nothing, and whoever asked for the sub-agent tells its result: it is told once.
 */
import type { Capabilities, ChatKind, Content } from './chat.ts'
import type { Delivery } from './delivery.ts'
import { finalKey } from './ids.ts'
import { parseKey } from './route.ts'
import type { Effect } from './run/facts.ts'
import type { Route, Run, Session } from './types.ts'

const prefix = 'opening:'
const longestName = 80

/** The thread of the place that the sub-agent `run` speaks to while its thread is being opened. No service has such an id. */
export function openingThread(run: string): string {
  return `${prefix}${run}`
}

/** Whose thread that is; null for one of a service, and for none. */
export function openedFor(route: Pick<Route, 'thread'>): string | null {
  return route.thread?.startsWith(prefix) ? route.thread.slice(prefix.length) : null
}

/** Outbox key of a sub-agent's opener. */
export function openerKey(run: string): string {
  return `${run}/opener`
}

// ------------------------------------------------------------------------------------------------------------ asking

export type ThreadHow = 'thread' | 'here'

/** Whether the conversation that asks has a chat in which a sub-agent can have a place of its own, and how. */
export function threadFor(
  asks: { route: Route | null; sessionKey: string },
  can: Pick<Capabilities, 'binds'> | null,
): { ok: true; how: ThreadHow; route: Route } | { ok: false; problem: string } {
  const { route } = asks
  if (route === null) return no('this conversation is not in a chat, so there is nothing to bind the sub-agent to')
  if (can === null) return no(`the account ${route.account} of ${route.channel} is not set up here`)
  const { binds } = can
  if (binds === null) return no(`${route.channel} has no threads`)
  if (binds === 'here') return { ok: true, how: 'here', route }
  const kind = kindOf(asks.sessionKey, route)
  if (!binds.opens.includes(kind)) return no(`${route.channel} has no threads in a ${kind} chat`)
  return { ok: true, how: 'thread', route }
}

/** As the conversation's key says it; whoever speaks in a thread is in what a thread can be in. */
function kindOf(key: string, route: Route): ChatKind {
  if (route.thread !== undefined) return 'channel'
  const kind = parseKey(key, 'main')?.kind
  return kind === 'group' || kind === 'channel' ? kind : 'direct'
}

function no(problem: string): { ok: false; problem: string } {
  return { ok: false, problem }
}

/** One line that tells what the sub-agent is there for. */
export function nameOf(about: { label: string | null; task: string }): string {
  const line = (about.label ?? about.task).trim().split(/\r?\n/, 1)[0]!.replace(/\s+/g, ' ').trim()
  const short = line.length > longestName ? `${line.slice(0, longestName - 1).trimEnd()}…` : line
  return short === '' ? 'sub-agent' : short
}

type Put = Extract<Effect, { do: 'outbox.put' }>

/** The opener: what stands in the chat, and what begins a thread there. `asked`: where the one who asked speaks. */
export function opener(
  child: Pick<Run, 'id' | 'session' | 'agent'>,
  name: string,
  asked: Route,
  by: string,
  at: number,
): Put {
  const { thread, ...chat } = asked
  return {
    do: 'outbox.put',
    session: child.session,
    run: child.id,
    key: openerKey(child.id),
    route: { ...chat, thread: openingThread(child.id) },
    content: {
      text: `**${plain(name)}**\nAgent ${child.agent} works on this. What you write in the thread goes to it; /unfocus there ends that.`,
      opens: { name, session: child.session, by, back: thread ?? null },
    },
    at,
  }
}

/** What is said in a chat that is a sub-agent's from now on. */
export function introduction(
  child: Pick<Run, 'id' | 'session' | 'agent'>,
  name: string,
  route: Route,
  at: number,
): Put {
  const text = `**${plain(name)}**\nAgent ${child.agent} works on this and answers in this chat now. /unfocus ends that.`
  return {
    do: 'outbox.put',
    session: child.session,
    run: child.id,
    key: openerKey(child.id),
    route,
    content: { text },
    at,
  }
}

/** A task is a model's words: no marks of theirs shape what stands around them. */
function plain(text: string): string {
  return (
    text
      .replace(/[\\*_~`|<>[\]()#@]/g, ' ')
      .replace(/ {2,}/g, ' ')
      .trim() || 'sub-agent'
  )
}

// ---------------------------------------------------------------------------------------------------------- answering

/** An opener's row, as far as its end decides. */
export interface Opener extends Pick<Delivery, 'state' | 'remoteId' | 'error'> {
  run: string
  route: Route
  content: Content
}

/** What is said in the place that `opener` opens is said there once it has ended; null until then. */
export function placeOf(opener: Pick<Opener, 'state' | 'remoteId' | 'route' | 'content'>): Route | null {
  const { thread: _, ...chat } = opener.route
  if (opener.state === 'sent' && opener.remoteId !== null) return { ...chat, thread: opener.remoteId }
  if (opener.state !== 'sent' && opener.state !== 'dead') return null
  const back = opener.content.opens?.back ?? null
  return back === null ? chat : { ...chat, thread: back }
}

export interface OpeningView {
  opener: Opener
  /** `placeOf` it; where what it falls back to is being opened itself, what stands for that. */
  place: Route
  /** The sub-agent's conversation as it is now; null when it is gone. */
  session: Session | null
  /** Somebody has stopped the sub-agent meanwhile: nobody is to be written to any more. */
  stopped: boolean
  /** Live runs that speak to the place. */
  live: readonly Run[]
  /** Open rows of the outbox for the place, and of each its run's return address. */
  rows: readonly { id: number; key: string; run: string | null; returnTo: string | null }[]
  /** Open questions whose chats are the place. */
  approvals: readonly string[]
}

/** The opener has ended: everything for the place goes to the thread, or to the chat that asked for it. */
export function settle(view: OpeningView, now: number): Effect[] {
  const { opener, place, session } = view
  const opened = opener.state === 'sent'
  const effects: Effect[] = []
  // Words for people, besides the result: those go on, wherever. A result is told by who gets it.
  for (const run of view.live)
    effects.push({
      do: 'run.set',
      run: run.id,
      to: opened || run.returnTo === null ? { route: place } : { route: null, terms: withoutThread(run) },
    })
  if (session !== null && openedFor(session.route ?? {}) === opener.run)
    effects.push({ do: 'session.set', session: session.id, to: { route: opened ? place : null }, at: now })
  for (const id of view.approvals) effects.push({ do: 'approval.move', id, from: opener.route, to: place })
  if (opened) {
    for (const { id } of view.rows) effects.push({ do: 'outbox.move', id, route: place, dead: null, at: now })
    if (session !== null && session.closedAt === null && !view.stopped) {
      const { key, agent } = session
      const by = opener.content.opens?.by ?? ''
      effects.push({ do: 'binding.put', place, session: { key, agent }, run: opener.run, by, at: now })
    }
    return effects
  }
  const name = opener.content.opens?.name ?? ''
  effects.push({
    do: 'outbox.put',
    session: view.session?.id ?? '',
    run: opener.run,
    key: `${openerKey(opener.run)}/failed`,
    route: place,
    content: {
      text: `No thread could be opened for “${plain(name)}” (${opener.error ?? 'no reason given'}). The work goes on; what comes of it is told here.`,
    },
    at: now,
  })
  for (const { id, key, run, returnTo } of view.rows) {
    const told = run !== null && key === finalKey(run) && returnTo !== null
    const dead = told ? 'no_thread: its thread could not be opened; its result went to the one who asked for it' : null
    effects.push({ do: 'outbox.move', id, route: place, dead, at: now })
  }
  return effects
}

function withoutThread(run: Run): NonNullable<Run['terms']> {
  const { thread: _, ...terms } = run.terms ?? {}
  return terms
}
