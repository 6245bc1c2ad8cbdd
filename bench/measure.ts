/**
 * What every measure has at hand, and the few moves they share: a warm gateway, a delegating turn, a numbered plan.
 */
import { randomUUID } from 'node:crypto'
import { type Plan, taskOf } from './plan.ts'
import { sleep } from './processes.ts'
import type { Provider } from './provider.ts'
import type { Result } from './stats.ts'
import type { Seen } from './stub.ts'
import { type Gateway, type HomeOptions, start, type Target } from './targets.ts'
import type { Wire } from './wire.ts'

export interface Bench {
  target: Target
  provider: Provider
  /** Fewer samples, for a look. */
  quick: boolean
}

/** Figures by id (figures.ts). */
export type Measured = Record<string, Result>

export interface Measure {
  figures: readonly string[]
  /** False for what is not asked of the peers. */
  peers: boolean
  run(bench: Bench): Promise<Measured>
}

export function count(bench: Bench, ours: number, peers: number): number {
  const n = bench.target.samples(ours, peers)
  return bench.quick ? Math.max(1, Math.ceil(n / 10)) : n
}

/** One after the other: samples never share the machine with each other. */
export async function times<T>(n: number, body: (i: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  for (let i = 0; i < n; i++) results.push(await body(i))
  return results
}

/** A gateway over a new home, and a connection to it; both gone afterwards, whatever happens. */
export async function withGateway<T>(
  bench: Bench,
  options: HomeOptions,
  body: (gateway: Gateway & { helloMs: number }, wire: Wire) => Promise<T>,
): Promise<T> {
  const home = await bench.target.makeHome(bench.provider.baseUrl, options)
  const gateway = await start(bench.target, home)
  try {
    const wire = await gateway.connect()
    const result = await body(gateway, wire)
    await wire.close()
    return result
  } finally {
    await gateway.stop()
    bench.provider.forget()
  }
}

export function newId(): string {
  return `p${randomUUID().slice(0, 8)}`
}

/** One turn in a session, to its end or to where it waits for children. */
export function say(wire: Wire, session: string, message: string): Promise<Record<string, unknown>> {
  return wire.turn({ message, agentId: 'main', sessionKey: `agent:main:${session}`, idempotencyKey: randomUUID() })
}

/** Gives a plan to a session of its own. */
export function follow(wire: Wire, plan: Plan): Promise<Record<string, unknown>> {
  return say(wire, plan.id, taskOf(plan))
}

export const is = (plan: string, n: number) => (seen: Seen) => seen.plan === plan && seen.n === n
export const shows = (plan: string, results: number) => (seen: Seen) =>
  seen.plan === plan && seen.seen.length >= results

export interface Delegation {
  /** The spawn call's last byte had left the provider, µs. */
  spawnedAt: number
  /** First model request of the first child, µs. */
  childAt: number
  /** First request of the parent that shows every result, µs. */
  resultAt: number
}

/** Lets a parent spawn `children` in one reply and waits until all their results have come back. */
export async function delegate(bench: Bench, wire: Wire, children: number, timeoutMs = 90_000): Promise<Delegation> {
  const id = newId()
  const plan: Plan = { id, steps: [{ spawn: { from: 0, count: children, child: {} } }], children }
  const told = follow(wire, plan)
  const spawned = await bench.provider.until(`${id} spawns`, seen => is(id, 0)(seen) && seen.sentAt > 0, timeoutMs)
  const first = (seen: Seen) => seen.n === 0 && (seen.plan?.startsWith(`${id}.`) ?? false)
  const child = await bench.provider.until(`a child of ${id}`, first, timeoutMs)
  const result = await bench.provider.until(`${id} sees ${children}`, shows(id, children), timeoutMs)
  await told
  await sleep(bench.target.settleMs)
  return { spawnedAt: spawned.sentAt, childAt: child.inAt, resultAt: result.inAt }
}
