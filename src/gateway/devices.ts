/**
 * Devices as the door has them: who is let in with what, what live connections hold, and what follows from decisions.
 *
 * Owns the standing of every connected device: it is read from here at each call, and changed here first thing after each
 * commit, so that an approval widens and a revocation ends live connections at once. Also the timer of pending requests,
 * the ending of runs whose authority was taken, and when devices were last seen. Never decides (core/pairing.ts, by
 * store/pairing.ts). Invariants: 1. a connection holds nothing from the commit on that took its authority. 2. runs that have
 * to end are ended also when the process dies in between: they are a row until they are. 3. nothing is written on the way
 * in that the answer does not depend on.
 */
import type { Clock } from '../core/ports.ts'
import {
  type Actor,
  type Counters,
  isAlive,
  type Pairing,
  type PairingEffect,
  type PairingRequest,
  pendingOf,
  scopesOf,
  tokenOf,
  unknownDevice,
} from '../core/pairing.ts'
import { missingScopes } from '../core/authorize.ts'
import { nameOf } from '../core/principal.ts'
import { covers, scopes as everyScope, intersect, type Scope } from '../protocol/scopes.ts'
import type { Store } from '../store/open.ts'
import { openPairings } from '../store/pairing.ts'
import type { Ask } from '../store/pairing-connect.ts'
import { type Decided, type Ending, ended, endings, loadRequest } from '../store/pairing-rows.ts'
import { listDevices, pendingView } from '../store/pairing-view.ts'
import { makeCode } from '../store/setup-codes.ts'
import type { Decider, DeviceCell, DeviceChange, DeviceClaim, Devices, Log } from './types.ts'

export interface DeviceOptions {
  store: Pick<Store, 'read' | 'write'>
  /** The gateway's own (store/key.ts). */
  key: Buffer
  clock: Clock
  uuid: () => string
  /** Ends what works under a device's authority since before `ending.at`; how many runs. */
  endRuns(ending: Ending): Promise<number>
  log: Log
}

export interface DeviceRoom extends Devices {
  /** Ends what a process before this one was to end, closes what ran out. Before the first run is claimed. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** How long "last seen" may stay unwritten, ms. */
const seenMs = 10_000

export function openDevices(options: DeviceOptions): DeviceRoom {
  const { store, clock, log } = options
  /** Devices that were let in or decided about: as many as people approved. */
  const states = new Map<string, Pairing>()
  /** What was turned down last, until the device asks again on purpose. */
  const declined = new Map<string, readonly Scope[]>()
  const listeners = new Set<(change: DeviceChange) => void>()
  /** The connection that an actor decides over. */
  const deciders = new WeakMap<Actor, string>()
  const ending = new Map<string, Promise<number>>()
  const seen = new Map<string, number>()
  let seenTimer: ReturnType<typeof setTimeout> | null = null
  let expiry: { at: number; timer: ReturnType<typeof setTimeout> } | null = null
  let stopped = false
  const desk = openPairings({ ...options, decided })

  const tell = (change: DeviceChange) => {
    for (const listener of [...listeners]) listener(change)
  }

  function decided({ device, state, event, effects }: Decided): void {
    if (state.device || states.has(device)) states.set(device, state)
    const spare = 'actor' in event ? (deciders.get(event.actor) ?? null) : null
    for (const effect of effects) follow(device, state, effect, spare)
  }

  function follow(device: string, state: Pairing, effect: PairingEffect, spare: string | null): void {
    if (effect.do === 'putRequest' && effect.request.state === 'pending') expireAt(effect.request.expiresAt)
    else if (effect.do === 'close' && effect.role !== 'node')
      tell({ change: 'closed', device, generation: effect.generation, reason: effect.reason, spare })
    else if (effect.do === 'endRuns') endAll(device)
    else if (effect.do !== 'tell') return
    else if (effect.event === 'device.pair.changed')
      tell({ change: 'told', event: effect.event, payload: { deviceId: device } })
    else if (effect.event === 'device.pair.requested')
      tell({ change: 'told', event: effect.event, payload: pendingView(effect.request, state) })
    else resolved(effect.request)
  }

  /** Begins to end a device's runs; `endedRuns` waits for it. */
  function endAll(device: string): void {
    const all = async () => {
      const due = (await endings(store.read)).filter(each => each.device === device)
      return (await Promise.all(due.map(end))).reduce((sum, count) => sum + count, 0)
    }
    const done = all()
    done.catch(error => log('error', 'runs of a revoked device could not be ended', { device, error: String(error) }))
    ending.set(device, done)
  }

  function resolved(request: PairingRequest): void {
    const { id: requestId, device: deviceId, state, decidedAt } = request
    if (state === 'pending') return
    if (state === 'rejected') declined.set(deviceId, request.scopes)
    else if (state === 'approved') declined.delete(deviceId)
    const decision = state === 'approved' ? 'approved' : 'rejected'
    const payload = { requestId, deviceId, decision, state, ts: decidedAt ?? clock.now() } as const
    tell({ change: 'told', event: 'device.pair.resolved', payload })
  }

  async function end(one: Ending): Promise<number> {
    const count = await options.endRuns(one)
    await store.write('device', tx => ended(tx, one))
    return count
  }

  async function endedRuns(device: string): Promise<{ endedRuns: number }> {
    const count = (await ending.get(device)) ?? 0
    ending.delete(device)
    return { endedRuns: count }
  }

  /** One timer for the request that runs out first, and none while nothing is pending. */
  function expireAt(at: number): void {
    if (stopped || (expiry && expiry.at <= at)) return
    if (expiry) clearTimeout(expiry.timer)
    const timer = setTimeout(
      () => {
        expiry = null
        expire().catch(error => log('error', 'pairing requests could not be closed', { error: String(error) }))
      },
      Math.max(1, at - clock.now()),
    )
    expiry = { at, timer: timer.unref() }
  }

  async function expire(): Promise<void> {
    const next = await desk.expire()
    if (next !== null) expireAt(next)
  }

  function sawNow(device: string): void {
    seen.set(device, clock.now())
    seenTimer ??= setTimeout(() => {
      flushSeen().catch(error => log('warn', 'last seen could not be recorded', { error: String(error) }))
    }, seenMs).unref()
  }

  async function flushSeen(): Promise<void> {
    if (seenTimer) clearTimeout(seenTimer)
    seenTimer = null
    if (seen.size === 0) return
    const batch = new Map(seen)
    seen.clear()
    await desk.seen(batch)
  }

  function askOf(claim: DeviceClaim): Ask {
    const { id: device, asked: scopes, publicKey, role, tokens, ask, known, setupCode, about } = claim
    const { origin: browserOrigin, address: remoteIp, ...rest } = about
    return {
      device,
      publicKey,
      role,
      scopes,
      about: { ...rest, browserOrigin, remoteIp },
      tokens,
      ask,
      known,
      setupCode,
    }
  }

  function heldBy(device: string): readonly Scope[] {
    const state = states.get(device)
    return (state && tokenOf(state, 'operator')?.scopes) ?? []
  }

  function makeCell(ask: Ask, counters: Counters): DeviceCell {
    const { device } = ask
    let asked = ask.scopes
    const alive = () => {
      const state = states.get(device)
      return state !== undefined && isAlive(state, 'operator', counters)
    }

    /** From now on the connection holds these too, as soon as they are approved. */
    function want(scopes: readonly Scope[]): void {
      asked = [...new Set([...(asked ?? heldBy(device)), ...scopes])]
    }

    async function upgrade(scopes: readonly Scope[]): Promise<{ requestId: string } | null> {
      if (!alive()) return null
      declined.delete(device)
      want(scopes)
      // The key was proved when the connection was let in.
      const answer = await desk.connect({ ...ask, scopes, tokens: [], ask: true, setupCode: null })
      return answer.in && answer.pending && missingScopes(heldBy(device), scopes).length > 0
        ? { requestId: answer.pending.id }
        : null
    }

    return {
      device,
      get generation() {
        return counters.generation
      },
      get alive() {
        return alive()
      },
      get scopes() {
        if (!alive()) return []
        return asked === null ? heldBy(device) : scopesOf(states.get(device)!, 'operator', asked)
      },
      async need(scope) {
        const pending = pendingOf(states.get(device) ?? unknownDevice)
        const waits = pending !== null && pending.expiresAt > clock.now() && covers(pending.scopes, scope)
        if (!waits) return covers(declined.get(device) ?? [], scope) ? null : upgrade([scope])
        want([scope])
        return { requestId: pending.id }
      },
      upgrade,
    }
  }

  function actorOf({ principal, connection }: Decider): Actor {
    const device = principal.kind === 'device' ? principal.device : null
    const actor: Actor = { name: nameOf(principal), scopes: principal.scopes, device }
    if (connection !== null) deciders.set(actor, connection)
    return actor
  }

  /**
   * Who takes authority away. Whoever knows the secret may ask for every scope, and the 9.6 command asks for no more than
   * pairing when it removes (openclaw-clients.md §3): what they could have asked for counts. A device is what it holds.
   */
  function takerOf(by: Decider): Actor {
    const { principal } = by
    const knows = principal.kind === 'operator' && (principal.via === 'secret' || principal.via === 'socket')
    const actor = actorOf(by)
    if (!knows || !covers(principal.scopes, 'operator.pairing')) return actor
    return Object.assign(actor, { scopes: everyScope })
  }

  return {
    async start() {
      await Promise.all((await endings(store.read)).map(end))
      await expire()
    },

    async stop() {
      stopped = true
      if (expiry) clearTimeout(expiry.timer)
      await Promise.allSettled(ending.values())
      await flushSeen()
    },

    async admit(claim) {
      const ask = askOf(claim)
      if (claim.ask) declined.delete(claim.id)
      const answer = await desk.connect(ask)
      const { pending, decided } = answer
      if (!answer.in)
        return { in: false, reason: answer.reason, requestId: pending?.id ?? null, crowded: answer.crowded }
      // What was decided meanwhile is newer than what was read.
      if (!states.has(claim.id)) states.set(claim.id, decided.state)
      if (claim.about.clientMode !== 'probe') sawNow(claim.id)
      const missing = pending ? missingScopes(heldBy(claim.id), pending.scopes) : []
      return {
        in: true,
        cell: makeCell(ask, answer.counters),
        byToken: answer.byToken,
        token: answer.token,
        pending: pending && { requestId: pending.id, scopes: missing },
      }
    },

    watch(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },

    list: connected => listDevices(store.read, clock.now(), connected),
    approve: async (request, by) => desk.approve(request, { actor: actorOf(by), via: 'owner' }),
    reject: async (request, by) => desk.reject(request, { actor: actorOf(by) }),
    async remove(device, by) {
      await desk.remove(device, { actor: takerOf(by), keepRuns: by.keepRuns })
      return endedRuns(device)
    },
    async revoke(device, by) {
      await desk.revoke(device, { role: by.role, actor: takerOf(by), keepRuns: by.keepRuns })
      return endedRuns(device)
    },
    async rotate(device, by) {
      const { role, scopes } = by
      const { state } = await desk.rotate(device, { role, scopes, actor: actorOf(by) })
      const token = tokenOf(state, role)!
      return { token: desk.token(token), scopes: token.scopes, rotatedAt: token.rotatedAt ?? clock.now() }
    },
    async rename(device, by) {
      await desk.rename(device, { label: by.label, actor: actorOf(by) })
    },
    setupCode(by) {
      const { name, device, scopes: held } = actorOf(by)
      const scopes = intersect(by.scopes, held)
      const life = by.lifeMs === undefined ? {} : { lifeMs: by.lifeMs }
      return makeCode(store, { scopes, by: name, device, now: clock.now(), ...life })
    },
    request: id => loadRequest(store.read, id),
  }
}
