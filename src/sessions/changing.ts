/**
 * What a person changes of a conversation besides talking: opening it, its label and settings, words put into it.
 *
 * Owns the check of what may be set. Each is one transaction, told after it; none starts a run.
 */
import type { AgentOptions } from '../agent/room.ts'
import { announce } from '../agent/commit.ts'
import { placeFor } from '../agent/place.ts'
import { nameOf } from '../core/principal.ts'
import type { Message, Session, SessionSettings } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import { apply } from '../store/apply.ts'
import { openSessionByKey } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { knownAgent, pickModel } from './accepting.ts'
import { meant, newSession } from './keys.ts'
import type { House, OpenInput, PatchInput, SettingsPatch } from './types.ts'

export async function openSession(options: AgentOptions, input: OpenInput): ReturnType<House['open']> {
  const at = meant(input, options.policies.defaultAgent())
  knownAgent(options, at.agent)
  const settings = checked(options, at.agent, input.settings ?? {})
  const now = options.clock.now()
  const id = options.uuid()
  const result = await options.store.write('session', async tx => {
    const found = await openSessionByKey(tx, at.key)
    if (found) return { session: found, created: false }
    await freeLabel(tx, input.label ?? null, null)
    const session = { ...newSession(id, at, now, null), label: input.label ?? null, settings: merged({}, settings) }
    await apply(tx, [{ do: 'session.put', session }])
    return { session, created: true }
  })
  if (result.created) tellChanged(options, result.session, 'create', now)
  return result
}

export async function patchSession(options: AgentOptions, input: PatchInput): Promise<Session> {
  const at = meant({ sessionKey: input.sessionKey }, options.policies.defaultAgent())
  const settings = checked(options, at.agent, input.settings ?? {})
  const now = options.clock.now()
  const session = await options.store.write('session', async tx => {
    const found = await openSessionByKey(tx, at.key)
    if (!found) throw new DeputyError('UNKNOWN_SESSION', `There is no session ${at.key}.`)
    if (input.expected !== undefined && input.expected !== found.id)
      throw new DeputyError('SESSION_CLOSED', `The session ${at.key} was reset in the meantime.`)
    if (input.label) await freeLabel(tx, input.label, found.id)
    const to = {
      ...(input.label === undefined ? {} : { label: input.label }),
      settings: merged(found.settings ?? {}, settings),
    }
    await apply(tx, [{ do: 'session.set', session: found.id, to, at: now }])
    return { ...found, ...to, updatedAt: now }
  })
  tellChanged(options, session, 'patch', now)
  return session
}

export async function injectWords(options: AgentOptions, input: Parameters<House['inject']>[0]): Promise<Message> {
  const at = meant({ sessionKey: input.sessionKey }, options.policies.defaultAgent())
  const now = options.clock.now()
  const id = options.uuid()
  const text = options.secrets.hide(input.text)
  const done = await options.store.write('session', async tx => {
    const session = await openSessionByKey(tx, at.key)
    if (!session) throw new DeputyError('UNKNOWN_SESSION', `There is no session ${at.key}.`)
    const message: Message = {
      session: session.id,
      seq: session.seq + 1,
      ord: await placeFor(tx, session),
      id,
      role: 'assistant',
      parts: [{ type: 'text', text }],
      run: null,
      step: null,
      at: now,
      meta: { from: nameOf(input.principal), injected: input.label },
    }
    const effects = [{ do: 'message.put' as const, message }]
    return { message, session, effects, applied: await apply(tx, effects) }
  })
  const { message, session, effects, applied } = done
  const after = { effects, applied, sessions: new Map([[session.id, session]]), runs: new Map(), turn: null, at: now }
  announce({ ...after, wireIds: new Map() }, silent, options.tell)
  return message
}

/** Nothing is queued or ended by words that were put in. */
const silent = { queued: () => undefined, ended: () => undefined, timer: () => undefined, outbox: () => undefined }

/** A label names one open session, so that it can be used to find it. */
async function freeLabel(tx: Tx, label: string | null, but: string | null): Promise<void> {
  if (label === null) return
  const taken = await tx
    .selectFrom('sessions')
    .select('key')
    .where('closed_at', 'is', null)
    .where('label', '=', label)
    .where('depth', '=', 0)
    .where('id', '<>', but ?? '')
    .executeTakeFirst()
  if (taken)
    throw new DeputyError('INVALID_PARAMS', `label already in use: ${label} (by ${taken.key})`, {
      fix: 'Choose another label.',
    })
}

function checked(options: AgentOptions, agent: string, patch: SettingsPatch): SettingsPatch {
  return typeof patch.model === 'string' ? { ...patch, model: pickModel(options, agent, patch.model) } : patch
}

function merged(settings: SessionSettings, patch: SettingsPatch): SessionSettings {
  const all = Object.entries({ ...settings, ...patch })
  return Object.fromEntries(all.filter(([, value]) => value !== null && value !== undefined && value !== false))
}

function tellChanged(options: AgentOptions, session: Session, reason: string, at: number): void {
  const { id, key: sessionKey, agent } = session
  options.tell({ on: 'session.changed', session: id, sessionKey, agent, reason, at })
}
