/**
 * Binding the place where somebody writes to a conversation, and taking that back.
 *
 * Owns the transactions: what may be bound is decided by core/binding.ts on rows that they have read. Finds out nothing about
 * which conversation is meant: the caller says it, and whose it is.
 */
import type { AgentOptions } from '../agent/room.ts'
import { type BindAsk, type Binding, mayBind, speakAt } from '../core/binding.ts'
import { nameOf, type Principal } from '../core/principal.ts'
import type { Route, Session } from '../core/types.ts'
import { apply } from '../store/apply.ts'
import { bind, boundAt, endBinding, limitBinding } from '../store/bindings.ts'
import { liveRunOf, loadSession, openSessionByKey } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'

type Options = Pick<AgentOptions, 'store' | 'clock' | 'policies' | 'tell'>

export interface BindInput extends Omit<BindAsk, 'target' | 'enabled'> {
  principal: Principal
  key: string
}

export type BindDone = { ok: true; session: Session } | { ok: false; problem: string }

export async function bindPlace(options: Options, input: BindInput): Promise<BindDone> {
  const { place, key, principal } = input
  const now = options.clock.now()
  const enabled = place !== null && options.policies.bindings(place).enabled
  const done = await options.store.write('bind', async (tx): Promise<BindDone> => {
    const session = await openSessionByKey(tx, key)
    const may = mayBind({ ...input, enabled, target: { key, open: session !== null } })
    if (!may.ok) return may
    // Both are there, or it was refused.
    const target = session!
    const to = place!
    await bind(tx, { place: to, session: target, run: null, by: nameOf(principal), at: now })
    const { archived: _, ...settings } = target.settings ?? {}
    // What comes to a sub-agent later, of its own sub-agents, is told where people talk to it.
    const route = target.depth > 0 ? { route: to } : {}
    const live = await liveRunOf(tx, target.id)
    const asked = live?.returnTo ? await loadSession(tx, live.returnTo) : null
    const speaks = live && speakAt(live, to, asked?.route ?? null)
    await apply(tx, [
      { do: 'session.set', session: target.id, to: { settings, ...route }, at: now },
      ...(speaks ? [speaks] : []),
    ])
    await audit(tx, principal, 'binding.bind', { place: to, session: target.key }, now)
    return { ok: true, session: target }
  })
  if (done.ok) tellChanged(options, done.session, now)
  return done
}

/** Ends what the place is bound to without a word there; the binding that ended, or null. */
export async function unbindPlace(
  options: Options,
  input: { principal: Principal; place: Route },
): Promise<Binding | null> {
  const now = options.clock.now()
  return options.store.write('bind', async tx => {
    const binding = await boundAt(tx, input.place)
    if (!binding) return null
    await endBinding(tx, binding, 'unbound', now)
    await audit(tx, input.principal, 'binding.unbind', { place: input.place, session: binding.sessionKey }, now)
    return binding
  })
}

/** Sets a limit of this place alone; the binding as it is then, or null when there is none. */
export async function limitPlace(
  options: Options,
  input: { principal: Principal; place: Route; to: { idleMs?: number; maxAgeMs?: number } },
): Promise<Binding | null> {
  const now = options.clock.now()
  return options.store.write('bind', async tx => {
    const binding = await boundAt(tx, input.place)
    if (!binding || !(await limitBinding(tx, binding.id, input.to))) return null
    await audit(tx, input.principal, 'binding.limit', { place: input.place, ...input.to }, now)
    return { ...binding, ...input.to }
  })
}

async function audit(tx: Tx, by: Principal, what: string, details: object, at: number): Promise<void> {
  await tx
    .insertInto('audit')
    .values({ at, who: nameOf(by), what, details: JSON.stringify(details) })
    .execute()
}

function tellChanged(options: Options, { id, key: sessionKey, agent }: Session, at: number): void {
  options.tell({ on: 'session.changed', session: id, sessionKey, agent, reason: 'patch', at })
}
