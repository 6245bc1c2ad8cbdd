/**
 * Threads in a walk over the run machine: sub-agents that get one, openers that end well or not, and what must be so afterwards.
 */
import { openedFor, opener, openingThread, placeOf } from '../../src/core/opening.ts'
import { speaksTo } from '../../src/core/run/facts.ts'
import type { Route, Run, Session } from '../../src/core/types.ts'
import { carry, pick, type Walk } from './walk-kit.ts'
import { live, liveRun, type OutboxLine, type World } from './world.ts'

/** The child of a spawn with a thread: in the walk's one chat, or from where its parent speaks. */
export function withThread(walk: Walk, parent: Run, child: Run, session: Session, lasts: boolean) {
  const asked: Route = parent.route ?? { channel: 'c', account: '', to: parent.tree }
  const route = { channel: asked.channel, account: asked.account, to: asked.to, thread: openingThread(child.id) }
  const { cleanup: _, ...terms } = child.terms ?? {}
  const run: Run = {
    ...child,
    route,
    detached: child.detached || lasts,
    payer: child.detached || lasts ? null : child.payer,
    terms: { ...terms, thread: 'thread' },
  }
  return {
    run,
    session: { ...session, route },
    place: [opener(run, 'name', asked, `run:${parent.id}`, walk.world.now)],
  }
}

const openers = (world: World) => world.outbox.filter(row => row.content.opens)

/** An opener has ended: its thread is there, or is not to be had. */
export function endOpener(walk: Walk, at: number, opened: boolean): boolean {
  const { world, machine: by } = walk
  const row = pick(
    openers(world).filter(one => one.state === 'open'),
    at,
  )
  if (!row) return false
  row.state = opened ? 'sent' : 'dead'
  const ended = ending(row)
  const session = world.sessions.get(row.content.opens!.session) ?? null
  const reader = session && liveRun(world, session.id)
  const here = (route: Route | null) => route?.thread === row.route.thread
  const rows = world.outbox.filter(one => one.state === 'open' && here(one.route))
  const asked = [...world.approvals.values()].filter(one => one.state === 'pending')
  const view = {
    opener: ended,
    place: follow(world, placeOf(ended)!),
    session,
    stopped: world.runs.get(row.run!)!.outcome === 'cancelled',
    live: reader && here(reader.route) ? [reader] : [],
    rows: rows.map(({ id, key, run }) => ({
      id,
      key,
      run,
      returnTo: run === null ? null : (world.runs.get(run)?.returnTo ?? null),
    })),
    approvals: asked.filter(one => here(one.route) || one.question.chats.some(here)).map(one => one.id),
  }
  return carry(walk, { ok: true, effects: by.settle(view, world.now) })
}

function ending({ id, run, route, content, state }: OutboxLine) {
  const ended = state === 'open' ? ('pending' as const) : state
  return { state: ended, remoteId: state === 'sent' ? `t${id}` : null, error: null, run: run!, route, content }
}

/** What an opener falls back to may be a place that was being opened itself. */
function follow(world: World, route: Route): Route {
  const of = openedFor(route)
  const row = of === null ? undefined : openers(world).find(one => one.run === of)
  const place = row ? placeOf(ending(row)) : null
  return place ? follow(world, place) : route
}

/** O2, O3 of core/opening.ts, and that words have gone where they were to go. */
export function checkThreads(world: World): void {
  const fail = (rule: string, about: unknown): never => {
    throw new Error(`${rule}: ${JSON.stringify(about)}`)
  }
  for (const row of openers(world)) {
    if (row.state === 'open') continue
    const here = (route: Route | null) => route?.thread === row.route.thread
    for (const one of world.outbox)
      if (one.state === 'open' && here(one.route)) fail('O2 nothing waits for a thread that is decided about', one)
    for (const one of world.runs.values()) if (live(one) && here(one.route)) fail('O2 nobody speaks there', one)
    for (const one of world.sessions.values()) if (here(one.route)) fail('O2 no conversation is there', one)
    for (const one of world.approvals.values())
      if (one.state === 'pending' && (here(one.route) || one.question.chats.some(here))) fail('O2 nobody is asked', one)
    const bound = world.bindings.filter(one => one.run === row.run)
    const threads = bound.filter(one => one.place.thread === `t${row.id}`)
    if (bound.length !== threads.length || bound.length > (row.state === 'sent' ? 1 : 0)) fail('O3 binds', [row, bound])
    const session = world.sessions.get(row.content.opens!.session)!
    const gone = session.closedAt !== null || world.runs.get(row.run!)!.outcome === 'cancelled'
    if (row.state === 'sent' && bound.length === 0 && !gone) fail('O3 binds nothing', row)
    if (row.state === 'sent') continue
    const twice = world.outbox.find(
      one => one.key === `${row.run}/final` && one.state === 'open' && world.runs.get(row.run!)!.returnTo !== null,
    )
    if (twice) fail('O3 a result is told once', [row, twice])
  }
  for (const run of world.runs.values()) {
    if (run.state !== 'done' || !run.terms?.thread || run.error?.startsWith('ended with its parent')) continue
    const finals = world.outbox.filter(one => one.key === `${run.id}/final`).length
    const spoke = speaksTo(run) !== null && (run.outcome !== 'succeeded' || run.result !== null)
    if (finals !== (spoke ? 1 : 0)) fail('its last words go to its thread, once', [run, finals])
  }
}
