/**
 * The pairing machine on rows: what a connect, an approval or a revocation does to a home, whoever asks for it.
 *
 * Owns the transaction of every decision about a device (decided in core/pairing.ts on rows read in it, carried out by
 * pairing-rows.ts) and its audit row, and how long closed requests are kept. The gateway and the offline CLI decide through
 * here and nowhere else. Never closes a socket and never ends a run: what must follow is told as effects, after the commit.
 * Invariant: every change of authority has an audit row.
 */
import type { Clock } from '../core/ports.ts'
import {
  type Actor,
  type Counters,
  isAlive,
  type Pairing,
  type PairingEvent,
  type Role,
  step,
  tokenOf,
} from '../core/pairing.ts'
import { DeputyError } from '../protocol/errors.ts'
import { covers, type Scope } from '../protocol/scopes.ts'
import type { WriteName } from './crash.ts'
import { deviceToken } from './device-tokens.ts'
import type { Store, Tx } from './open.ts'
import { type Ask, type Connected, type ConnectOptions, connect } from './pairing-connect.ts'
import { type Decided, loadPairing, loadRequest, pendingRows, record } from './pairing-rows.ts'

/** Closed requests are kept this long, and at most so many that nobody decided about. */
const keepMs = 7 * 24 * 3_600_000
const keepUndecided = 500

/** Whoever can open the home is the operator: the local socket, or the CLI with the gateway stopped. */
export const owner: Actor = { name: 'operator', scopes: ['operator.admin'], device: null }

export interface PairingDesk {
  /** Committed rows. */
  load(device: string): Promise<Pairing>
  connect(ask: Ask): Promise<Connected>
  /** Throws UNKNOWN_REQUEST, REQUEST_CLOSED, MISSING_SCOPE. */
  approve(request: string, by: { actor: Actor; via: string }): Promise<Decided>
  reject(request: string, by: { actor: Actor }): Promise<Decided>
  /** Throws UNKNOWN_DEVICE, MISSING_SCOPE. */
  remove(device: string, by: { actor: Actor; keepRuns: boolean }): Promise<Decided>
  revoke(device: string, by: { role: Role; actor: Actor; keepRuns: boolean }): Promise<Decided>
  rotate(device: string, by: { role: Role; scopes: readonly Scope[] | null; actor: Actor }): Promise<Decided>
  rename(device: string, by: { label: string | null; actor: Actor }): Promise<Decided>
  /** Closes what ran out, forgets what was closed long ago; the next moment at which something runs out, if anything does. */
  expire(): Promise<number | null>
  /** Records when devices were last here. */
  seen(at: ReadonlyMap<string, number>): Promise<void>
  token(of: Counters & { device: string; role: Role }): string
}

const writeOf: Record<PairingEvent['on'], WriteName> = {
  connect: 'pair',
  expire: 'pair',
  approve: 'approve',
  reject: 'approve',
  remove: 'device',
  revoke: 'device',
  rotate: 'device',
  narrow: 'device',
  rename: 'device',
  clear: 'device',
}

export function openPairings(options: {
  store: Pick<Store, 'read' | 'write'>
  key: Buffer
  clock: Clock
  uuid: () => string
  /** Told of every decision first thing after its commit, in the order of the commits. */
  decided?: (decided: Decided) => void
}): PairingDesk {
  const { store, key, clock, uuid } = options
  /** Decisions so far, by device: a look at the rows that one of them overtook is repeated. */
  const decisions = new Map<string, number>()

  function told(decided: Decided): Decided {
    if (decided.effects.length === 0) return decided
    decisions.set(decided.device, (decisions.get(decided.device) ?? 0) + 1)
    options.decided?.(decided)
    return decided
  }

  async function decide(device: string, event: PairingEvent): Promise<Decided> {
    const request = event.on === 'approve' || event.on === 'reject' ? event.request : undefined
    return told(
      await store.write(writeOf[event.on], async tx => {
        const { state } = await loadPairing(tx, device, request)
        return record(tx, device, event, step(state, event))
      }),
    )
  }

  const connecting: ConnectOptions = {
    read: store.read,
    key,
    async write(name, body) {
      const answer = await store.write(name, body)
      told(answer.decided)
      return answer
    },
  }

  async function connectNow(ask: Ask): Promise<Connected> {
    const about = { now: clock.now(), requestIds: [uuid(), uuid()] as const }
    for (;;) {
      const before = decisions.get(ask.device)
      const answer = await connect(connecting, ask, about)
      const wrote = answer.decided.effects.length > 0
      if (wrote || decisions.get(ask.device) === before) return answer
    }
  }

  async function ofRequest(request: string, event: PairingEvent): Promise<Decided> {
    const known = await loadRequest(store.read, request)
    if (known === null)
      throw new DeputyError('UNKNOWN_REQUEST', 'unknown requestId', { details: { requestId: request } })
    return decide(known.device, event)
  }

  return {
    load: async device => (await loadPairing(store.read, device)).state,
    connect: connectNow,
    approve: (request, by) => ofRequest(request, { on: 'approve', request, ...by, now: clock.now() }),
    reject: (request, by) => ofRequest(request, { on: 'reject', request, ...by, now: clock.now() }),
    remove: (device, by) => decide(device, { on: 'remove', ...by, now: clock.now() }),
    revoke: (device, by) => decide(device, { on: 'revoke', ...by, now: clock.now() }),
    rotate: (device, by) => decide(device, { on: 'rotate', ...by, now: clock.now() }),
    rename: (device, by) => decide(device, { on: 'rename', ...by, now: clock.now() }),
    async expire() {
      const now = clock.now()
      const rows = await pendingRows(store.read)
      const due = rows.filter(row => row.expires_at <= now)
      await Promise.all(due.map(row => decide(row.device, { on: 'expire', now })))
      await forget(store, now)
      const left = rows.filter(row => row.expires_at > now).map(row => row.expires_at)
      return left.length > 0 ? Math.min(...left) : null
    },
    async seen(at) {
      await store.write('device', async tx => {
        for (const [device, last] of at) {
          await tx.updateTable('devices').set({ last_seen_at: last }).where('id', '=', device).execute()
          await tx.updateTable('device_tokens').set({ last_used_at: last }).where('device', '=', device).execute()
        }
      })
    },
    token: of => deviceToken(key, of),
  }
}

async function forget(store: Pick<Store, 'read' | 'write'>, now: number): Promise<void> {
  const old = await store.read
    .selectFrom('pairing_requests')
    .select('id')
    .where('state', '<>', 'pending')
    .where('decided_at', '<', now - keepMs)
    .execute()
  const undecided = await store.read
    .selectFrom('pairing_requests')
    .select('id')
    .where('state', 'in', ['expired', 'superseded'])
    .orderBy('decided_at', 'desc')
    .limit(100_000)
    .offset(keepUndecided)
    .execute()
  const ids = [...old, ...undecided].map(row => row.id)
  if (ids.length === 0) return
  await store.write('sweep', async tx => {
    for (let from = 0; from < ids.length; from += 400)
      await tx
        .deleteFrom('pairing_requests')
        .where('id', 'in', ids.slice(from, from + 400))
        .execute()
  })
}

/**
 * Asked again by what writes under a device's authority, in its own transaction (decisions.md 17): a revocation that came
 * in between counts. Throws MISSING_SCOPE.
 */
export async function assertStanding(tx: Tx, of: { device: string; generation: number }, needed: Scope): Promise<void> {
  const { state } = await loadPairing(tx, of.device)
  const token = tokenOf(state, 'operator')
  const stands = token !== null && isAlive(state, 'operator', { ...token, generation: of.generation })
  if (stands && covers(token.scopes, needed)) return
  throw new DeputyError('MISSING_SCOPE', `missing scope: ${needed}`, {
    fix: 'The device lost what was approved for it; connect again to ask for it.',
    details: { missingScope: needed, requiredScopes: [needed] },
  })
}
