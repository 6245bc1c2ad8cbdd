/**
 * Measures of what a crash costs and of what a first command may spoil. Each sample has a gateway of its own; the provider
 * outlives it and sees what is asked again.
 */
import { count, follow, is, type Measure, newId, say, shows, times } from './measure.ts'
import type { Bench } from './measure.ts'
import type { Plan } from './plan.ts'
import { run } from './processes.ts'
import { sum, words } from './stats.ts'
import type { Seen } from './stub.ts'
import { type Gateway, type Home, start } from './targets.ts'

/** How long a restarted gateway is watched before its work is called lost. */
const patienceMs = 60_000

interface Crash {
  home: Home
  plan: Plan
  /** Number of the last request before the kill. */
  last: number
  /** When the gateway was started again, µs by the wall clock. */
  againAt: number
  gateway: Gateway
}

/** Runs a plan up to the request `until` (which the provider holds back), kills the gateway there and starts it again. */
async function crash(
  bench: Bench,
  plan: Plan,
  holds: readonly string[],
  until: (seen: Seen) => boolean,
): Promise<Crash> {
  const { provider, target } = bench
  const home = await target.makeHome(provider.baseUrl, { spawns: true })
  const first = await start(target, home)
  try {
    const wire = await first.connect()
    await say(wire, newId(), 'hello')
    const told = follow(wire, plan).catch(() => 'the socket closed')
    await provider.until(`${plan.id} waits`, seen => is(plan.id, 1)(seen) && seen.sentAt > 0)
    await Promise.race([told, new Promise(resolve => setTimeout(resolve, 3000))])
    provider.release(`${plan.id}-child`)
    await provider.until(`${plan.id} is where it dies`, until)
  } catch (error) {
    await first.stop()
    throw error
  }
  await first.kill()
  const last = provider.requests.at(-1)!.nr
  for (const name of holds) provider.release(name)
  const againAt = (performance.timeOrigin + performance.now()) * 1000
  const gateway = await start(target, home)
  return { home, plan, last, againAt, gateway }
}

/** Seconds from the restart to the request, or null when it never comes. */
async function after(bench: Bench, crash: Crash, fits: (seen: Seen) => boolean): Promise<number | null> {
  const seen = await bench.provider
    .until('after the restart', one => one.nr > crash.last && fits(one), patienceMs)
    .catch(() => null)
  return seen ? (seen.inAt - crash.againAt) / 1e6 : null
}

const seconds = (value: number) => `${value.toFixed(value < 10 ? 2 : 0)} s`

const killWork: Measure = {
  figures: ['kill-work'],
  peers: true,
  async run(bench) {
    const samples = await times(count(bench, 10, 1), async () => {
      const id = newId()
      const read = { name: 'read', args: { path: 'note.txt' } }
      const child = { steps: [{ calls: [read] }], hold: { name: `${id}-work`, at: 1 } }
      const plan: Plan = { id, steps: [{ spawn: { from: 0, count: 1, child } }], children: 1 }
      const killed = await crash(bench, plan, [`${id}-work`], is(`${id}.0`, 1))
      const [resumed, result, told] = await Promise.all([
        after(bench, killed, is(`${id}.0`, 1)),
        after(bench, killed, shows(id, 1)),
        after(bench, killed, seen => seen.plan === id),
      ])
      const repeated = bench.provider.requests.some(seen => seen.nr > killed.last && is(`${id}.0`, 0)(seen))
      await killed.gateway.stop()
      bench.provider.forget()
      return { resumed, result, told, repeated }
    })
    const back = samples.filter(one => one.result !== null)
    const resumed = samples.flatMap(one => one.resumed ?? [])
    if (back.length === samples.length && resumed.length === samples.length) {
      const again = samples.filter(one => one.repeated).length
      const note = again > 0 ? `, ${again} repeated a completed step` : ', nothing repeated'
      return { 'kill-work': { ...sum(resumed), text: `resumed after ${seconds(sum(resumed).median!)}${note}` } }
    }
    const told = samples.flatMap(one => one.told ?? [])
    const failed =
      told.length > 0
        ? `failed, parent told after ${seconds(sum(told).median!)}`
        : `lost: silent for ${patienceMs / 1000} s`
    return {
      'kill-work': words(back.length > 0 ? `${back.length} of ${samples.length} came back` : failed, samples.length),
    }
  },
}

const killDeliver: Measure = {
  figures: ['kill-deliver'],
  peers: true,
  async run(bench) {
    const samples = await times(count(bench, 10, 1), async () => {
      const id = newId()
      const child = { hold: { name: `${id}-child` } }
      const hold = { name: `${id}-parent`, at: 2 }
      const plan: Plan = { id, steps: [{ spawn: { from: 0, count: 1, child } }], children: 1, hold }
      const killed = await crash(bench, plan, [`${id}-child`, hold.name], shows(id, 1))
      const again = await after(bench, killed, shows(id, 1))
      await new Promise(resolve => setTimeout(resolve, bench.target.settleMs * 20))
      const answers = bench.provider.requests.filter(seen => shows(id, 1)(seen) && seen.sentAt > 0).length
      await killed.gateway.stop()
      bench.provider.forget()
      return { again, answers }
    })
    const again = samples.flatMap(one => one.again ?? [])
    if (again.length < samples.length)
      return { 'kill-deliver': words(`lost in ${samples.length - again.length} of ${samples.length}`, samples.length) }
    const most = Math.max(...samples.map(one => one.answers))
    const times_ = most === 1 ? 'once' : `up to ${most} times`
    return { 'kill-deliver': { ...sum(again), text: `delivered after ${seconds(sum(again).median!)}, ${times_}` } }
  },
}

const statusFirst: Measure = {
  figures: ['status-first'],
  peers: true,
  async run(bench) {
    const { provider, target } = bench
    const samples = await times(count(bench, 5, 1), async () => {
      const home = await target.makeHome(provider.baseUrl, { spawns: true })
      const gateway = await start(target, home)
      try {
        const status = await run(target.command(home, ['status']))
        const wire = await gateway.connect()
        const id = newId()
        await follow(wire, { id, steps: [{ spawn: { from: 0, count: 1, child: {} } }], children: 1 })
        const result = await provider.until('the result', shows(id, 1), 30_000).catch(() => null)
        const refused = provider.requests.find(seen => is(id, 1)(seen))?.last ?? ''
        await wire.close()
        if (status.code !== 0) return `status ended with ${status.code}`
        if (result) return 'works'
        return refused.includes('pairing required') ? '1008 pairing required' : 'no result'
      } finally {
        await gateway.stop()
        provider.forget()
      }
    })
    return { 'status-first': words([...new Set(samples)].join('; '), samples.length) }
  },
}

export const failures: readonly Measure[] = [killWork, killDeliver, statusFirst]
