/**
 * The pairing machine over the real store: connects, approvals and revocations that run into each other, and restarts.
 * The onlooker of test/support/pairing-world.ts is told each result in the order of the commits and holds P1–P8 against it;
 * after every round the rows are held against what it was told.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { people, World } from '../../test/support/pairing-world.ts'
import {
  type PairingEffect,
  type PairingEvent,
  type PairingStep,
  pendingTtlMs,
  type Role,
  scopesOf,
} from '../core/pairing.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Scope } from '../protocol/scopes.ts'
import { gatewayKey } from './key.ts'
import { openStore, type Store, type Tx } from './open.ts'
import { openPairings, type PairingDesk } from './pairing.ts'
import { loadPairing, requestOf } from './pairing-rows.ts'

const rounds = process.env['DEPUTY_LONG'] ? 600 : 12
const devices = ['d1', 'd2']
const role = fc.constantFrom<Role>('operator', 'operator', 'operator', 'node')
const who = fc.constantFrom('owner', 'owner', ...Object.keys(people), ...devices)
const some = fc.uniqueArray(
  fc.constantFrom<Scope>('operator.read', 'operator.write', 'operator.admin', 'operator.approvals', 'operator.pairing'),
  { maxLength: 3 },
)
const device = fc.constantFrom(...devices)
const act = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      on: fc.constant('connect' as const),
      device,
      key: fc.constantFrom('k', 'k', 'k', 'k', 'k2'),
      role,
      scopes: some,
      token: fc.option(fc.nat(), { nil: null }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      on: fc.constantFrom('approve' as const, 'approve' as const, 'approve' as const, 'reject' as const),
      back: fc.nat(),
      who: fc.oneof({ weight: 2, arbitrary: fc.constant('owner') }, { weight: 1, arbitrary: who }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      on: fc.constantFrom('remove' as const, 'revoke' as const, 'rotate' as const, 'rename' as const),
      device,
      who,
      role,
      scopes: fc.option(some, { nil: null }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ on: 'expire' as const }) },
)
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never
/** What happens at once, how long it is until the next, and whether the process is another one then. */
const round = fc.record({
  acts: fc.array(act, { minLength: 1, maxLength: 5 }),
  passes: fc.constantFrom(0, 1_000, 40_000, pendingTtlMs),
  restart: fc.constantFrom(false, false, false, true),
})
const walks = fc.array(round, { minLength: 5, maxLength: 20, size: 'max' })

/** Spoils rows in the transaction that wrote them. */
type Bug = (tx: Tx, name: string) => Promise<unknown>

interface Home {
  world: World
  store: Store
  desk: PairingDesk
  /** The result that the onlooker is told next. */
  next: PairingStep
}

async function walk(plan: readonly { acts: Act[]; passes: number; restart: boolean }[], bug?: Bug): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-walk-'))
  const home = {} as Home
  home.world = new World(() => home.next)
  let requests: string[] = []
  const open = async () => {
    const store = await openStore({ dir, log: () => undefined })
    home.store = store
    const spoilt: Pick<Store, 'read' | 'write'> = {
      read: store.read,
      write: (name, body) =>
        store.write(name, async (tx, is) => {
          const value = await body(tx, is)
          await bug?.(tx, name)
          return value
        }),
    }
    const uuid = () => requests.shift() ?? `spare${++home.world.ids}`
    home.desk = openPairings({
      store: spoilt,
      key: await gatewayKey(dir),
      clock: { now: () => home.world.now },
      uuid,
      decided: ({ device, event, state, effects }) => tell(home, device, event, { ok: true, state, effects }),
    })
  }
  await open()
  try {
    for (const { acts, passes, restart } of plan) {
      await Promise.all(
        acts.map(each => {
          requests = [`r${++home.world.ids}`]
          return perform(home, each, acts.length === 1)
        }),
      )
      await agrees(home)
      home.world.now += passes
      if (!restart) continue
      await home.store.close()
      await open()
      await agrees(home)
    }
  } finally {
    await home.store.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Tells the onlooker of a result at the moment it is known. */
function tell(home: Home, device: string, event: PairingEvent, result: PairingStep): void {
  const { world } = home
  if (result.ok) {
    const requests = result.state.requests.map(canon)
    const old = world.state(device).requests.filter(each => !requests.some(request => request.id === each.id))
    home.next = { ...result, state: { ...canon(result.state), requests: [...old, ...requests] } }
  } else home.next = result
  world.act(device, event)
}

/** `alone`: nothing else happens at once, so that a refusal can be judged by what was told before. */
async function perform(home: Home, what: Act, alone: boolean): Promise<void> {
  const { world, desk } = home
  const now = world.now
  if (what.on === 'connect') return connect(home, what, alone)
  if (what.on === 'expire') return void (await desk.expire())
  const actor = world.actor(what.who)
  const by = { actor, keepRuns: false }
  if ('back' in what) {
    const known = [...world.shown.keys()]
    if (known.length === 0) return
    const request = known[known.length - 1 - (what.back % 5 === 0 ? what.back % known.length : 0)]!
    const { device } = world.shown.get(request)!
    if (what.on === 'reject') await judged(desk.reject(request, by), device, { on: 'reject', request, actor, now })
    else {
      const via = 'owner'
      await judged(desk.approve(request, { actor, via }), device, { on: 'approve', request, actor, via, now })
    }
    return
  }
  const { on, device, role, scopes } = what
  if (on === 'remove') await judged(desk.remove(device, by), device, { on, ...by, now })
  else if (on === 'revoke') await judged(desk.revoke(device, { role, ...by }), device, { on, role, ...by, now })
  else if (on === 'rotate')
    await judged(desk.rotate(device, { role, scopes, actor }), device, { on, role, scopes, actor, now })
  else await judged(desk.rename(device, { label: 'desk', actor }), device, { on, label: 'desk', actor, now })

  async function judged(asked: Promise<unknown>, device: string, event: PairingEvent): Promise<void> {
    try {
      await asked
    } catch (error) {
      if (!(error instanceof DeputyError)) throw error
      const { code, message, details } = error
      if (alone) tell(home, device, event, { ok: false, code, message, details })
    }
  }
}

async function connect(home: Home, what: Act & { on: 'connect' }, alone: boolean): Promise<void> {
  const { device, key, role, scopes, token } = what
  const { world, desk } = home
  const about = { displayName: null, platform: 'linux', deviceFamily: null, clientId: null, clientMode: null }
  const seen = world.tokens.get(`${device}/${role}`) ?? []
  const counters = token === null || seen.length === 0 ? null : seen[token % seen.length]!
  const answer = await desk.connect({
    device,
    publicKey: key,
    role,
    scopes,
    about: { ...about, browserOrigin: null, remoteIp: null },
    tokens: counters ? [desk.token({ device, role, ...counters })] : [],
    ask: true,
    known: true,
    setupCode: null,
  })
  const { decided, pending } = answer
  const { state, effects, event } = decided
  // What was written has been told.
  if (effects.length > 0 || !alone) return
  const verdict: PairingEffect = answer.in
    ? { do: 'admit', ...answer.counters, scopes: scopesOf(state, role, scopes), pending }
    : {
        do: 'deny',
        code: answer.reason === 'token-dead' ? 'AUTH_DEVICE_TOKEN_MISMATCH' : 'PAIRING_REQUIRED',
        pending,
      }
  tell(home, device, { ...event, ...(counters ? { token: counters } : {}) }, { ok: true, state, effects: [verdict] })
}

/** The rows say what the onlooker was told. */
async function agrees({ world, store }: Home): Promise<void> {
  for (const device of devices) {
    const { state } = await loadPairing(store.read, device)
    const told = world.state(device)
    expect(canon([state.device, state.tokens])).toEqual(canon([told.device, told.tokens]))
  }
  const rows = (await store.read.selectFrom('pairing_requests').selectAll().execute()).map(requestOf)
  for (const row of rows) {
    expect(canon(row)).toEqual(world.state(row.device).requests.find(request => request.id === row.id))
  }
  expect(rows.length).toBe(devices.reduce((sum, device) => sum + world.state(device).requests.length, 0))
}

/** Keys and tokens in one order, so that the onlooker may compare texts. */
function canon<T>(value: T): T {
  if (Array.isArray(value)) {
    const all = value.map(canon)
    const tokens = all.every(each => each instanceof Object && 'rotation' in each)
    return (tokens ? all.sort((one, other) => one.role.localeCompare(other.role)) : all) as T
  }
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(key => [key, canon((value as Record<string, unknown>)[key])]),
  ) as T
}

const planted: Record<string, Bug> = {
  'a revoked token lives on': tx => tx.updateTable('device_tokens').set({ revoked_at: null }).execute(),
  'a generation starts again': tx => tx.updateTable('devices').set({ generation: 1 }).execute(),
  'rotating is forgotten': tx => tx.updateTable('device_tokens').set({ rotation: 0 }).execute(),
  'a request never runs out': tx => tx.updateTable('pairing_requests').set({ expires_at: 9e15 }).execute(),
  'a rejected request waits again': (tx, name) =>
    name === 'approve'
      ? tx.updateTable('pairing_requests').set({ state: 'pending' }).where('state', '=', 'rejected').execute()
      : Promise.resolve(),
  'approving loses the device': (tx, name) =>
    name === 'approve' ? tx.deleteFrom('devices').execute() : Promise.resolve(),
  'a connect pairs by itself': (tx, name) =>
    name === 'pair' ? tx.updateTable('devices').set({ state: 'paired' }).execute() : Promise.resolve(),
  'what was asked changes under its id': tx =>
    tx.updateTable('pairing_requests').set({ scopes: '["operator.admin"]' }).where('state', '=', 'pending').execute(),
}

describe('interleaved walks over the store', () => {
  test('P1–P8 hold in the order of the commits, the rows agree, and a restart changes nothing', async () => {
    await fc.assert(
      fc.asyncProperty(walks, plan => walk(plan)),
      { numRuns: rounds },
    )
  }, 600_000)

  test.each(Object.keys(planted))(
    'they catch: %s',
    async name => {
      const property = fc.asyncProperty(walks, plan => walk(plan, planted[name]))
      expect((await fc.check(property, { numRuns: 60, endOnFailure: true })).failed).toBe(true)
    },
    60_000,
  )
})
