import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { people, type Step, World } from '../../test/support/pairing-world.ts'
import type { Scope } from '../protocol/scopes.ts'
import {
  type Actor,
  type On,
  type Pairing,
  type PairingEvent,
  type PairingStep,
  pendingTtlMs,
  type Role,
  step,
} from './pairing.ts'

const long = process.env['DEPUTY_LONG'] ? 40 : 1
const devices = ['d1', 'd2']
const device = fc.constantFrom(...devices)
const role = fc.constantFrom<Role>('operator', 'operator', 'operator', 'node')
const who = fc.constantFrom('owner', 'owner', ...Object.keys(people), ...devices)
const some = fc.uniqueArray(
  fc.constantFrom<Scope>('operator.read', 'operator.write', 'operator.admin', 'operator.approvals', 'operator.pairing'),
  { maxLength: 3 },
)
const command = <T>(arb: fc.Arbitrary<T>, run: (world: World, input: T) => void) =>
  arb.map(input => ({
    check: () => true,
    run: (world: World) => run(world, input),
    toString: () => JSON.stringify(input),
  }))

const connecting = command(
  fc.record({
    on: fc.constant('connect'),
    device,
    key: fc.constantFrom('k', 'k', 'k', 'k', 'k2'),
    role,
    scopes: some,
    platform: fc.constantFrom('linux', 'linux', 'linux', 'darwin', null),
    token: fc.option(fc.nat(), { nil: null }),
  }),
  (world, { device, key, role, scopes, platform, token }) => {
    const about = { displayName: null, platform, deviceFamily: null, clientId: null, clientMode: null }
    const seen = world.tokens.get(`${device}/${role}`) ?? []
    world.act(device, {
      on: 'connect',
      device,
      publicKey: key,
      role,
      scopes,
      about: { ...about, browserOrigin: null, remoteIp: null },
      token: token === null || seen.length === 0 ? null : seen[token % seen.length]!,
      requestId: `r${++world.ids}`,
      now: world.now,
    })
  },
)
const deciding = command(
  fc.record({
    on: fc.constantFrom('approve', 'approve', 'approve', 'approve', 'reject'),
    back: fc.nat(),
    who: fc.oneof({ weight: 2, arbitrary: fc.constant('owner') }, { weight: 1, arbitrary: who }),
  }),
  (world, { on, back, who }) => {
    const known = [...world.shown.keys()]
    if (known.length === 0) return
    // Mostly the latest request, sometimes one of long ago.
    const request = known[known.length - 1 - (back % 5 === 0 ? back % known.length : 0)]!
    const how = { request, actor: world.actor(who), now: world.now }
    world.act(
      world.shown.get(request)!.device,
      on === 'reject' ? { on, ...how } : { on: 'approve', via: 'owner', ...how },
    )
  },
)
const taking = command(
  fc.record({
    on: fc.constantFrom('remove', 'revoke', 'narrow', 'narrow', 'rotate', 'rotate', 'rename', 'clear'),
    device,
    who,
    role,
    scopes: fc.option(some, { nil: null }),
  }),
  (world, { on, device, who, role, scopes }) => {
    const by = { actor: world.actor(who), now: world.now }
    const events: Record<string, PairingEvent> = {
      remove: { on: 'remove', keepRuns: false, ...by },
      revoke: { on: 'revoke', role, keepRuns: false, ...by },
      narrow: { on: 'narrow', scopes: scopes ?? [], ...by },
      rotate: { on: 'rotate', role, scopes, ...by },
      rename: { on: 'rename', label: 'desk', ...by },
      clear: { on: 'clear', pendingOnly: scopes !== null, ...by },
    }
    world.act(device, events[on]!)
  },
)
const passing = command(fc.constantFrom(1_000, 1_000, 1_000, 200_000, pendingTtlMs), (world, ms) => {
  world.now += ms
})
const expiring = command(device, (world, device) => world.act(device, { on: 'expire', now: world.now }))

const walks = fc.commands(
  [connecting, connecting, connecting, deciding, deciding, deciding, taking, taking, passing, expiring],
  {
    maxCommands: 40,
    size: 'max',
  },
)
const walk = (step: Step) =>
  fc.property(walks, commands => {
    fc.modelRun(() => ({ model: new World(step), real: undefined }), commands)
  })

// -------------------------------------------------------------------------------------------------- planted bugs

type Done = Extract<PairingStep, { ok: true }>
const owner = { name: 'owner', scopes: ['operator.admin'], device: null } as const

/** The machine, asked something else than what happened. */
const misled =
  <K extends PairingEvent['on']>(on: K, mislead: (before: Pairing, event: On<K>) => [Pairing, PairingEvent]): Step =>
  (before, event) =>
    event.on === on ? step(...mislead(before, event as On<K>)) : step(before, event)

/** The machine, with its answer spoilt. */
const spoilt =
  (on: readonly PairingEvent['on'][], spoil: (done: Done, before: Pairing) => Done): Step =>
  (before, event) => {
    const done = step(before, event)
    return done.ok && on.includes(event.on) ? spoil(done, before) : done
  }
const withState = (done: Done, change: Partial<Pairing>): Done => ({ ...done, state: { ...done.state, ...change } })
const asOwner = <E extends { actor: Actor }>(event: E): E => ({
  ...event,
  actor: { ...owner, device: event.actor.device },
})
const pairingIsEnough = <E extends { actor: Actor }>(event: E): E =>
  event.actor.scopes.includes('operator.pairing') ? asOwner(event) : event

const planted: Record<string, Step> = {
  'a wider ask keeps the id, so that approval grants what nobody saw': (before, event) => {
    const done = step(before, event)
    const old = before.requests.find(request => request.state === 'pending')
    if (!done.ok || event.on !== 'connect' || !old) return done
    const requests = done.state.requests
      .filter(request => request.id !== old.id)
      .map(request => (request.id === event.requestId ? { ...request, id: old.id } : request))
    const seen = done.effects.filter(effect => effect.do !== 'tell')
    return requests.length === before.requests.length ? { ...withState(done, { requests }), effects: seen } : done
  },
  'approval replaces the scopes': misled('approve', (before, event) => [
    { ...before, device: before.device && { ...before.device, scopes: [] } },
    event,
  ]),
  'approval raises the generation': spoilt(['approve'], done => {
    const generation = done.state.device!.generation + 1
    const tokens = done.state.tokens.map(token => ({ ...token, generation }))
    return withState(done, { device: { ...done.state.device!, generation }, tokens })
  }),
  'approval takes the place of the token': misled('approve', (before, event) => [{ ...before, tokens: [] }, event]),
  'anybody approves': misled('approve', (before, event) => [before, asOwner(event)]),
  'pairing alone approves everything': misled('approve', (before, event) => [before, pairingIsEnough(event)]),
  'pairing alone removes an administrator': misled('remove', (before, event) => [before, pairingIsEnough(event)]),
  'pairing alone narrows an administrator': misled('narrow', (before, event) => [before, pairingIsEnough(event)]),
  'a device gives its own token back what was taken': misled('rotate', (before, event) => [before, asOwner(event)]),
  'an expired request is approved': misled('approve', (before, event) => [before, { ...event, now: 0 }]),
  'a closed request is approved': misled('approve', (before, event) => {
    const requests = before.requests.map(each =>
      each.id === event.request ? { ...each, state: 'pending' as const } : each,
    )
    return [{ ...before, requests }, event]
  }),
  'a dead token is accepted': misled('connect', (before, event) => [before, { ...event, token: null }]),
  'another key is let in': misled('connect', (before, event) => [
    before,
    { ...event, publicKey: before.device?.publicKey ?? event.publicKey },
  ]),
  'another key inherits': misled('approve', (before, event) => {
    const publicKey = before.requests.find(request => request.id === event.request)?.publicKey
    return [{ ...before, device: before.device && publicKey ? { ...before.device, publicKey } : before.device }, event]
  }),
  'asking for more suspends what is held': spoilt(['connect'], done => {
    const effects = done.effects.map(effect =>
      effect.do === 'admit' && effect.pending
        ? ({ do: 'deny', code: 'PAIRING_REQUIRED', pending: effect.pending } as const)
        : effect,
    )
    return { ...done, effects }
  }),
  'asking for more in one word gets nothing of what is held': spoilt(['connect'], (done, before) => ({
    ...done,
    effects: done.effects.map(effect =>
      effect.do === 'admit' && before.device
        ? { ...effect, scopes: effect.scopes.filter(scope => effect.pending?.scopes.includes(scope) ?? true) }
        : effect,
    ),
  })),
  'asking for more closes the sockets': spoilt(['connect'], done => {
    const { device } = done.state
    const asks = done.effects.some(effect => effect.do === 'admit' && effect.pending)
    if (!device || !asks) return done
    const close = { do: 'close', device: device.id, generation: device.generation, role: null } as const
    return { ...done, effects: [...done.effects, { ...close, reason: 'device-scopes-narrowed' }] }
  }),
  'a connect approves itself': (before, event) => {
    const done = step(before, event)
    if (!done.ok || event.on !== 'connect') return done
    const asked = step(done.state, {
      on: 'approve',
      request: event.requestId,
      actor: owner,
      via: 'silent',
      now: event.now,
    })
    return asked.ok ? { ...done, state: asked.state } : done
  },
  'the same ask makes a new request': misled('connect', (before, event) => [{ ...before, requests: [] }, event]),
  'a removed device starts again at the first generation': spoilt(['remove', 'clear'], (done, before) =>
    before.device && done.state.device?.state === 'revoked' ? withState(done, { device: null, tokens: [] }) : done,
  ),
  'narrowing keeps the generation': spoilt(['narrow'], (done, before) => {
    const { generation } = before.device!
    const tokens = done.state.tokens.map(token => ({ ...token, generation }))
    return withState(done, { device: { ...done.state.device!, generation }, tokens })
  }),
  'rotating keeps the counter': spoilt(['rotate'], (done, before) => withState(done, { tokens: before.tokens })),
  'taking away leaves the sockets open': spoilt(['remove', 'revoke', 'narrow', 'rotate'], done => ({
    ...done,
    effects: done.effects.filter(effect => effect.do !== 'close'),
  })),
  'revoking one role takes them all': misled('revoke', (before, event) => [before, { ...event, on: 'remove' }]),
}

describe('random walks', () => {
  test('P1–P8 hold after every step, and nobody who may is refused', () => {
    fc.assert(walk(step), { numRuns: 3000 * long })
  }, 600_000)

  test.each(Object.keys(planted))('they catch: %s', name => {
    expect(fc.check(walk(planted[name]!), { numRuns: 5000, endOnFailure: true }).failed).toBe(true)
  })
})
