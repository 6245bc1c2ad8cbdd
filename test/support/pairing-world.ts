/**
 * An onlooker of the pairing machine: keeps what was shown under which id, what was approved, which tokens died and which
 * sockets are open, as plain sets, and fails when the machine does not agree with it: P1–P8 of design.md 5, and that
 * nobody who may is ever refused. Never uses the machine's own arithmetic of scopes.
 */
import {
  type Actor,
  isAlive,
  type On,
  type Pairing,
  type PairingEvent,
  type PairingRequest,
  type PairingStep,
  pendingTtlMs,
  type Role,
  scopesOf,
  type step,
  unknownDevice,
} from '../../src/core/pairing.ts'
import { covers, type Scope, scopes as everyScope } from '../../src/protocol/scopes.ts'

export const roles: Role[] = ['operator', 'node']
/** Who decides besides the devices themselves. */
export const people: Record<string, readonly Scope[]> = {
  owner: ['operator.admin'],
  writer: ['operator.write', 'operator.approvals'],
  pairer: ['operator.pairing'],
  lead: ['operator.pairing', 'operator.write'],
}

export type Step = typeof step
type Held = { key: string; roles: Map<Role, Set<Scope>>; approved: Set<Scope> }
type Socket = { device: string; role: Role; generation: number; rotation: number; asked: readonly Scope[] }

const all = (scopes: readonly Scope[]) => new Set(everyScope.filter(scope => covers(scopes, scope)))
const has = (held: ReadonlySet<Scope>, asked: readonly Scope[]) => asked.every(scope => held.has(scope))
const same = (one: Iterable<Scope>, other: Iterable<Scope>) => equal([...one].sort(), [...other].sort())
const equal = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other)

/** Plain, since it is asked millions of times. */
function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

export class World {
  now = 1_000_000
  ids = 0
  states = new Map<string, Pairing>()
  held = new Map<string, Held>()
  shown = new Map<string, PairingRequest>()
  closed = new Map<string, string>()
  tokens = new Map<string, { generation: number; rotation: number }[]>()
  dead = new Set<string>()
  sockets: Socket[] = []
  step: Step
  constructor(step: Step) {
    this.step = step
  }

  state(device: string): Pairing {
    return this.states.get(device) ?? unknownDevice
  }

  /** Live scopes of a device, as its own connection has them. */
  actor(name: string): Actor {
    const person = people[name]
    if (person) return { name, scopes: person, device: null }
    return { name, scopes: [...(this.held.get(name)?.roles.get('operator') ?? [])], device: name }
  }

  act(device: string, event: PairingEvent): void {
    const before = this.state(device)
    const result = this.step(before, event)
    if (event.on === 'connect') this.connected(before, event, result)
    else if (event.on === 'approve' || event.on === 'reject') this.decided(event, result)
    else if (event.on !== 'expire') this.taken(device, event, result)
    if (!result.ok) return
    this.states.set(device, result.state)
    const lost = this.close(result)
    const takes = ['remove', 'revoke', 'narrow', 'rotate', 'clear'].includes(event.on) || this.replaced
    must(takes || lost.length === 0, `P7 ${event.on} closed a socket`)
    this.audit(device, before)
    this.replaced = false
  }
  replaced = false

  connected(before: Pairing, event: On<'connect'>, result: PairingStep): void {
    const { device, role, token, publicKey, scopes } = event
    if (!result.ok) throw new Error('a connect is never refused, only denied')
    const { state, effects } = result
    const kept = state === before || equal([state.device, state.tokens], [before.device, before.tokens])
    must(kept, 'P7 a connect changed what is approved')
    const held = this.held.get(device)
    const holds = held?.key === publicKey ? held.roles.get(role) : undefined
    const alive = token === null || !this.dead.has(name(device, role, token))
    const got = effects.filter(effect => effect.do === 'admit' || effect.do === 'deny')
    must(got.length === 1, 'one verdict')
    const verdict = got[0]!
    must((verdict.do === 'admit') === (holds !== undefined && alive), 'P6, P7 who is let in')
    if (verdict.do === 'admit') {
      const wanted = role === 'operator' ? all(scopes) : all([])
      const expected = [...wanted].filter(scope => holds!.has(scope))
      must(same(all(verdict.scopes), expected), 'P1, P7 what it is let in with')
      const { generation, rotation } = verdict
      this.sockets.push({ device, role, generation, rotation, asked: scopes })
    }
    if (token !== null && !(holds && alive)) return
    const asked = role === 'operator' ? scopes : []
    const old = before.requests.find(request => request.state === 'pending')
    const live = old && this.now < old.refreshedAt + pendingTtlMs ? this.shown.get(old.id)! : null
    const mine = live?.publicKey === publicKey ? live : null
    const unheld = !holds || !has(holds, asked)
    if (unheld && mine?.roles.includes(role) && has(all(mine.scopes), asked)) {
      must(verdict.pending?.id === mine.id, 'P5 the same or less keeps the id')
    } else if (unheld) {
      must(verdict.pending?.id === event.requestId, 'P5 more makes a new id')
      must(has(all(verdict.pending!.scopes), asked), 'P5 the request shows the ask')
      const seen = all([...(mine?.scopes ?? []), ...asked])
      must(
        [...all(verdict.pending!.scopes)].every(scope => seen.has(scope)),
        'P1 nobody asked for it',
      )
      const was = state.requests.find(request => request.id === old?.id)
      must(!old || was?.state === (live ? 'superseded' : 'expired'), 'P5 the old one is closed')
    }
    for (const effect of effects) {
      if (effect.do === 'tell' && effect.event === 'device.pair.requested')
        this.shown.set(effect.request.id, effect.request)
    }
  }

  decided(event: On<'approve' | 'reject'>, result: PairingStep): void {
    const shown = this.shown.get(event.request)!
    const { device, publicKey: key } = shown
    const now = this.state(device).requests.find(request => request.id === event.request)
    const open = !this.closed.has(event.request) && this.now < now!.refreshedAt + pendingTtlMs
    const node = shown.roles.includes('node')
    const holds = all(event.actor.scopes)
    const needed: Scope[] = ['operator.pairing', ...shown.scopes, ...(node ? (['operator.admin'] as const) : [])]
    const may =
      event.on === 'approve' ? has(holds, needed) : holds.has('operator.pairing') || event.actor.device === device
    must(result.ok === (open && may), `P1–P4 ${event.on}: open ${open}, may ${may}`)
    if (!result.ok || event.on === 'reject') return
    const held = this.held.get(device)
    if (held && held.key !== key) this.kill(device, null)
    this.replaced = held !== undefined && held.key !== key
    const next: Held = held?.key === key ? held : { key, roles: new Map(), approved: new Set() }
    next.approved = all([...next.approved, ...(shown.roles.includes('operator') ? shown.scopes : [])])
    for (const role of shown.roles) {
      next.roles.set(role, all([...(next.roles.get(role) ?? []), ...(role === 'operator' ? shown.scopes : [])]))
    }
    this.held.set(device, next)
    const was = this.state(device).device?.generation
    must(held?.key !== key || result.state.device?.generation === was, 'P7 approval keeps the generation')
  }

  taken(
    device: string,
    event: Exclude<PairingEvent, On<'connect' | 'approve' | 'reject' | 'expire'>>,
    result: PairingStep,
  ) {
    const held = this.held.get(device)
    const own = event.actor.device === device
    const holds = all(event.actor.scopes)
    const may = own || has(holds, ['operator.pairing', ...(held?.approved ?? [])])
    const { on } = event
    if (on === 'clear' || on === 'rename') {
      if (result.ok && on === 'clear' && held && !event.pendingOnly) must(may, 'P2 clear')
    } else must(may || !result.ok, `P2 ${on}`)
    if (!held) return
    if (on === 'remove' || (on === 'clear' && !event.pendingOnly)) {
      must(result.ok === may, 'whoever may remove can')
      if (result.ok) this.forget(device)
    } else if (on === 'revoke' && result.ok) {
      this.kill(device, null)
      held.roles.delete(event.role)
      if (event.role === 'operator') held.approved = new Set()
      if (held.roles.size === 0) this.held.delete(device)
    } else if (on === 'narrow') {
      must(result.ok === (may && has(held.approved, event.scopes)), 'narrowing only ever narrows')
      if (!result.ok) return
      this.kill(device, null)
      held.approved = all(event.scopes)
      const kept = held.roles.get('operator')
      if (kept) held.roles.set('operator', new Set([...kept].filter(scope => held.approved.has(scope))))
    } else if (on === 'rotate' && result.ok) {
      this.kill(device, event.role)
      if (event.role !== 'operator' || !event.scopes) return
      const added = event.scopes.filter(scope => !held.roles.get('operator')!.has(scope))
      must(added.length === 0 || has(holds, ['operator.pairing', ...added]), 'P1 rotate')
      must(has(held.approved, event.scopes), 'P1 rotate beyond what is approved')
      held.roles.set('operator', all(event.scopes))
    }
  }

  forget(device: string): void {
    this.kill(device, null)
    this.held.delete(device)
  }

  kill(device: string, role: Role | null): void {
    for (const each of role ? [role] : roles) {
      for (const token of this.tokens.get(`${device}/${each}`) ?? []) this.dead.add(name(device, each, token))
    }
  }

  /** Closes what the effects say, and returns the sockets that were lost. */
  close(result: Extract<PairingStep, { ok: true }>): Socket[] {
    const lost = this.sockets.filter(socket =>
      result.effects.some(
        effect =>
          effect.do === 'close' &&
          effect.device === socket.device &&
          socket.generation <= effect.generation &&
          (effect.role === null || effect.role === socket.role),
      ),
    )
    this.sockets = this.sockets.filter(socket => !lost.includes(socket))
    return lost
  }

  audit(device: string, before: Pairing): void {
    const state = this.state(device)
    const held = this.held.get(device)
    must(state.requests.filter(request => request.state === 'pending').length < 2, 'P5 one pending')
    for (const request of state.requests) {
      const closed = this.closed.get(request.id)
      const now = JSON.stringify(request)
      if (closed) must(now === closed, 'P3 a closed request moved')
      else if (request.state !== 'pending') this.closed.set(request.id, now)
      else {
        const shown = this.shown.get(request.id)
        must(equal([request.scopes, request.roles], [shown?.scopes, shown?.roles]), 'P5 a request grew')
      }
    }
    must((state.device?.generation ?? 0) >= (before.device?.generation ?? 0), 'P6 a generation went back')
    must((state.device?.state === 'paired') === (held !== undefined), 'P8 paired exactly when approved')
    must(same(all(state.device?.scopes ?? []), held?.approved ?? []), 'P1, P7 what is approved')
    for (const role of roles) {
      const seen = this.tokens.get(`${device}/${role}`) ?? []
      for (const token of state.tokens.filter(token => token.role === role)) {
        const counters = { generation: token.generation, rotation: token.rotation }
        must(!held?.roles.has(role) || !this.dead.has(name(device, role, counters)), 'P6 a dead token lives')
        if (!seen.some(old => name(device, role, old) === name(device, role, counters))) seen.push(counters)
      }
      this.tokens.set(`${device}/${role}`, seen)
      const expected = role === 'operator' ? (held?.roles.get(role) ?? []) : []
      must(same(scopesOf(state, role, everyScope), expected), 'P1, P7 what a connection holds')
    }
    for (const socket of this.sockets.filter(socket => socket.device === device)) {
      must(isAlive(state, socket.role, socket), 'P6 a socket outlived its token')
      must(!this.dead.has(name(device, socket.role, socket)), 'P6 a socket outlived its token')
    }
  }
}

const name = (device: string, role: Role, token: { generation: number; rotation: number }) =>
  `${device}/${role}/${token.generation}/${token.rotation}`
