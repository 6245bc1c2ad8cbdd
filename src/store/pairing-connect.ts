/**
 * A device connects: what it gets, and the request that it leaves (core/pairing.ts decides both).
 *
 * Owns the order of look and write, the reading of shown tokens, one-time codes, and the bound on what strangers leave
 * behind. Invariants: 1. a connect that changes nothing writes nothing. 2. however many keys a stranger makes, the requests
 * that wait for a decision are bounded, and whoever knows the shared secret is never counted with strangers.
 */
import { meet } from '../core/authorize.ts'
import {
  type About,
  type Actor,
  type Counters,
  isExpired,
  type PairingEffect,
  type PairingEvent,
  type PairingRequest,
  type PairingStep,
  pendingOf,
  type Role,
  step,
  tokenOf,
} from '../core/pairing.ts'
import { DeputyError } from '../protocol/errors.ts'
import { covers, normalise, type Scope } from '../protocol/scopes.ts'
import { deviceToken, isToken } from './device-tokens.ts'
import type { WriteName } from './crash.ts'
import type { Store, Tx } from './open.ts'
import { carryOut, type Decided, isKnown, type Loaded, loadPairing, pendingRows, record } from './pairing-rows.ts'
import { codeRefused, consumeCode } from './setup-codes.ts'
import { sourceOf } from './sources.ts'

/** Pending requests of those who did not show the secret: of one address, and in all. */
const strangersOfOne = 5
const strangersInAll = 100
/** Of those who did, in all. */
const knownInAll = 500
/** A repeat of a pending request is recorded at most this often. */
const refreshMs = 30_000

/** A device that proved its key. */
export interface Ask {
  device: string
  publicKey: string
  role: Role
  /** Null when it named none: what it holds, or to read and write when it holds nothing. */
  scopes: readonly Scope[] | null
  about: About
  /** What may be its token; empty when none was shown. */
  tokens: readonly string[]
  /** Whether a request may be made. */
  ask: boolean
  /** The shared secret was shown besides. */
  known: boolean
  /** A one-time code that approves it. */
  setupCode: string | null
}

export type Connected =
  | {
      in: true
      counters: Counters
      asked: readonly Scope[] | null
      byToken: boolean
      token: { value: string; issuedAt: number }
      pending: PairingRequest | null
      decided: Decided
    }
  | {
      in: false
      reason: PairingRequest['reason'] | 'token-dead'
      pending: PairingRequest | null
      crowded: boolean
      decided: Decided
    }

export interface ConnectOptions {
  read: Store['read']
  /** As of the store; tells of the decision. */
  write: (name: WriteName, body: (tx: Tx) => Promise<Connected>) => Promise<Connected>
  key: Buffer
}

/** `requestIds`: for a request, and for the one that a code approves. */
export async function connect(
  { read, write, key }: ConnectOptions,
  ask: Ask,
  about: { now: number; requestIds: readonly [string, string] },
): Promise<Connected> {
  const { now, requestIds } = about
  if (ask.setupCode === null) {
    const seen = look(key, await loadPairing(read, ask.device), ask, about, false)
    if (!seen.writes) return seen.answer
  }
  return write('pair', async tx => {
    const before = ask.setupCode === null ? [] : await letInByCode(tx, ask, requestIds[1], now)
    const loaded = await loadPairing(tx, ask.device)
    const { answer } = look(key, loaded, ask, about, await isFull(tx, ask, now))
    const { decided } = answer
    await carryOut(tx, decided.effects, { known: ask.known, by: ask.device, at: now })
    return { ...answer, decided: { ...decided, effects: [...before, ...decided.effects] } }
  })
}

/** What a connect gets, and whether rows would change. `full`: no new request has room. */
function look(
  key: Buffer,
  loaded: Loaded,
  ask: Ask,
  { now, requestIds }: { now: number; requestIds: readonly [string, string] },
  full: boolean,
): { answer: Connected; writes: boolean } {
  const { device, role, publicKey, about } = ask
  const { state } = loaded
  const paired = state.device?.state === 'paired' ? state.device : null
  const held = tokenOf(state, role)?.scopes
  const scopes = ask.scopes ?? held ?? ['operator.read', 'operator.write']
  const shown = countersOf(key, loaded, ask)
  const [requestId] = requestIds
  const event = { on: 'connect' as const, device, publicKey, role, scopes, about, token: shown, requestId, now }
  const done = step(state, event)
  if (!done.ok) throw new DeputyError('INTERNAL', 'a connect was refused by the pairing machine')
  const verdict = done.effects.find(effect => effect.do === 'admit' || effect.do === 'deny')!
  const before = pendingOf(state)
  const live = before && !isExpired(before, now) && before.publicKey === publicKey ? before : null
  const asks = done.effects.some(effect => effect.do === 'tell' && effect.event === 'device.pair.requested')
  const turnedDown = asks && full && !(paired?.publicKey === publicKey)
  const writes = ask.ask && !turnedDown && isWorthWriting(done, live, now)
  const decided: Decided = writes
    ? { device, event, state: done.state, effects: done.effects }
    : { device, event, state, effects: [] }
  const pending = writes ? verdict.pending : live
  if (verdict.do === 'admit') {
    const { generation, rotation } = verdict
    const row = tokenOf(state, role)!
    const value = ask.tokens.find(token => isOwn(key, loaded, ask, token)) ?? deviceToken(key, row)
    const token = { value, issuedAt: row.rotatedAt ?? row.createdAt }
    const counters = { generation, rotation }
    return {
      answer: { in: true, counters, asked: ask.scopes, byToken: shown !== null, token, pending, decided },
      writes,
    }
  }
  const dead = verdict.code === 'AUTH_DEVICE_TOKEN_MISMATCH'
  const reason = dead
    ? 'token-dead'
    : (verdict.pending?.reason ?? (paired === null ? 'not-paired' : 'metadata-upgrade'))
  return { answer: { in: false, reason, pending, crowded: turnedDown, decided }, writes }
}

function isOwn(key: Buffer, { state, imported }: Loaded, { role }: Ask, token: string): boolean {
  const row = tokenOf(state, role)
  return row !== null && isToken(key, row, imported[role] ?? null, token)
}

/** Null when no token was shown; counters that no token has when it is not the one of now. */
function countersOf(key: Buffer, loaded: Loaded, ask: Ask): Counters | null {
  if (ask.tokens.length === 0) return null
  const row = tokenOf(loaded.state, ask.role)
  const { generation, rotation } =
    row && ask.tokens.some(token => isOwn(key, loaded, ask, token)) ? row : { generation: 0, rotation: 0 }
  return { generation, rotation }
}

/** A stranger gets no new request while too many wait; whoever showed the secret is not a stranger. */
async function isFull(tx: Tx, ask: Ask, now: number): Promise<boolean> {
  const others = (await pendingRows(tx)).filter(row => row.device !== ask.device && row.expires_at > now)
  if (ask.known) return others.filter(isKnown).length >= knownInAll
  const strangers = others.filter(row => !isKnown(row))
  const source = sourceOf(ask.about.remoteIp)
  const same = strangers.filter(row => sourceOf((JSON.parse(row.about) as About).remoteIp) === source)
  return strangers.length >= strangersInAll || same.length >= strangersOfOne
}

/**
 * The code's own approval: what the device asks, as far as the code goes (P1). What it asked before waits no longer: the
 * rest is asked anew. Throws AUTH_BOOTSTRAP_TOKEN_INVALID.
 */
async function letInByCode(tx: Tx, ask: Ask, requestId: string, now: number): Promise<PairingEffect[]> {
  const { device, publicKey, role, about } = ask
  const code = await consumeCode(tx, ask.setupCode!, now)
  if (code.device !== null) await assertMaker(tx, code.device)
  const actor: Actor = { name: code.by, scopes: ['operator.pairing', ...code.scopes], device: null }
  const scopes = ask.scopes === null ? code.scopes : normalise(meet(ask.scopes, code.scopes))
  const effects: PairingEffect[] = []
  const decide = async (event: PairingEvent) => {
    const { state } = await loadPairing(tx, device)
    const decided = await record(tx, device, event, step(state, event))
    effects.push(...decided.effects.filter(effect => effect.do !== 'admit' && effect.do !== 'deny'))
    return pendingOf(decided.state)
  }
  const old = pendingOf((await loadPairing(tx, device)).state)
  if (old) await decide({ on: 'clear', pendingOnly: true, actor, now })
  const asked = await decide({ on: 'connect', device, publicKey, role, scopes, about, token: null, requestId, now })
  if (asked) await decide({ on: 'approve', request: asked.id, actor, via: 'bootstrap', now })
  return effects
}

/** A code that a device made is worth no more than the device is now. */
async function assertMaker(tx: Tx, device: string): Promise<void> {
  const held = tokenOf((await loadPairing(tx, device)).state, 'operator')?.scopes ?? []
  if (!covers(held, 'operator.admin')) throw codeRefused()
}

/** A refresh that comes soon after another changes nothing that anybody could see. */
function isWorthWriting(done: Extract<PairingStep, { ok: true }>, live: PairingRequest | null, now: number): boolean {
  const puts = done.effects.filter(effect => effect.do === 'putRequest')
  const repeats = puts.length === 1 && live !== null && puts[0]!.request.id === live.id
  return puts.length > 0 && !(repeats && now - live.refreshedAt < refreshMs)
}
