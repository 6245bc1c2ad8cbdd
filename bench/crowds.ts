/**
 * Measures of many: crowds of children under one session, chains of them, waits, and conversations that nobody speaks in.
 * While a crowd is at work the control plane is asked all the time.
 */
import { readFileSync } from 'node:fs'
import { type Bench, count, follow, is, type Measure, newId, say, shows, times, withGateway } from './measure.ts'
import type { ChildPlan, Plan } from './plan.ts'
import { residentMb, sleep, treeOf } from './processes.ts'
import { percentile, type Result, sum, words } from './stats.ts'
import { start } from './targets.ts'

interface Crowd {
  size: number
  /** Spawns of one reply. */
  perReply: number
  /** At work at once. */
  concurrent: number
  /** Latency of each answer to a child. */
  delayMs: number
}

interface Seen {
  seconds: number
  peakMb: number
  /** Times of `health` over the socket, ms. */
  health: number[]
  /** Children whose result the parent never saw, or whose model was asked more than once. */
  wrong: number
}

/** Peak resident memory of a process tree since its start, in megabytes. */
function peakMb(root: number): number {
  const peak = (pid: number) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  return treeOf(root).reduce((total, pid) => total + peak(pid) / 1024, 0)
}

function crowd(bench: Bench, { size, perReply, concurrent, delayMs }: Crowd): Promise<Seen> {
  return withGateway(bench, { children: size, concurrent, spawns: true }, async (gateway, wire) => {
    const control = await gateway.connect()
    await say(wire, newId(), 'hello')
    const steps = Array.from({ length: size / perReply }, (_, i) => ({
      spawn: { from: i * perReply, count: perReply, child: { delayMs } },
    }))
    const plan: Plan = { id: newId(), steps, children: size }
    const health: number[] = []
    let asking = true
    const asked = (async () => {
      while (asking) {
        const startedAt = performance.now()
        await control.ask('health')
        health.push(performance.now() - startedAt)
        await sleep(10)
      }
    })()
    const told = follow(wire, plan)
    const spawned = await bench.provider.until('the first spawns', seen => is(plan.id, 0)(seen) && seen.sentAt > 0)
    const all = await bench.provider.until('all results', shows(plan.id, size), 600_000)
    asking = false
    await Promise.all([asked, told])
    await control.close()
    const calls = new Map<string, number>()
    for (const { plan: child } of bench.provider.requests)
      if (child?.startsWith(`${plan.id}.`)) calls.set(child, (calls.get(child) ?? 0) + 1)
    const missing = size - new Set(all.seen).size
    const wrong = missing + [...calls.values()].filter(n => n !== 1).length
    return { seconds: (all.inAt - spawned.sentAt) / 1e6, peakMb: peakMb(gateway.pid), health, wrong }
  })
}

const thousand: Measure = {
  figures: ['thousand-time', 'thousand-memory', 'thousand-p50', 'thousand-p99'],
  peers: false,
  run: async bench => {
    const size = { size: 1000, perReply: 50, concurrent: 64, delayMs: 0 }
    const samples = await times(count(bench, 3, 1), () => crowd(bench, size))
    const health = samples.flatMap(one => one.health)
    return {
      'thousand-time': sum(samples.map(one => one.seconds)),
      'thousand-memory': sum(samples.map(one => one.peakMb)),
      'thousand-p50': at(health, 0.5),
      'thousand-p99': at(health, 0.99),
    }
  },
}

const at = (samples: readonly number[], p: number): Result => ({
  n: samples.length,
  median: percentile(samples, p),
  low: null,
  high: null,
})

/** Fan-outs whose model takes a second: what is measured is what the gateway adds to it, and that nothing is lost. */
const fans = [
  { id: 'fan-100', n: 3, crowd: { size: 100, perReply: 50, concurrent: 100, delayMs: 1000 } },
  { id: 'fan-1000', n: 3, crowd: { size: 1000, perReply: 100, concurrent: 1000, delayMs: 1000 } },
  { id: 'fan-10000', n: 1, crowd: { size: 10_000, perReply: 500, concurrent: 1000, delayMs: 1000 } },
].map(
  ({ id, n, crowd: size }): Measure => ({
    figures: [`${id}-time`, `${id}-memory`, `${id}-lost`, `${id}-p50`, `${id}-p99`],
    peers: false,
    run: async bench => {
      const samples = await times(bench.quick ? 1 : n, () => crowd(bench, size))
      const health = samples.flatMap(one => one.health)
      return {
        [`${id}-time`]: sum(samples.map(one => one.seconds)),
        [`${id}-memory`]: sum(samples.map(one => one.peakMb)),
        [`${id}-lost`]: sum(samples.map(one => one.wrong)),
        [`${id}-p50`]: at(health, 0.5),
        [`${id}-p99`]: at(health, 0.99),
      }
    },
  }),
)

/** Five levels, each waiting for the one below: from the first spawn to the result at the top. */
const chain: Measure = {
  figures: ['chain-5'],
  peers: false,
  run: bench =>
    withGateway(bench, { spawns: true, depth: 5 }, async (_gateway, wire) => {
      const below = (levels: number): ChildPlan =>
        levels === 0 ? {} : { steps: [{ spawn: { from: 0, count: 1, child: below(levels - 1) } }] }
      const once = async () => {
        const plan: Plan = { id: newId(), ...below(5), children: 1 }
        const told = follow(wire, plan)
        const spawned = await bench.provider.until('the first spawn', seen => is(plan.id, 0)(seen) && seen.sentAt > 0)
        const result = await bench.provider.until('the result', shows(plan.id, 1))
        await told
        return (result.inAt - spawned.sentAt) / 1000
      }
      await times(count(bench, 20, 1), once)
      return { 'chain-5': sum(await times(count(bench, 100, 5), once)) }
    }),
}

/** Parents that wait for a child which is kept waiting itself: memory of each pair, and processor time meanwhile. */
const waits: Measure = {
  figures: ['wait-memory', 'wait-cpu'],
  peers: false,
  run: bench =>
    withGateway(bench, { children: 20, concurrent: 1000, spawns: true }, async (gateway, wire) => {
      const parents = bench.quick ? 50 : 500
      await say(wire, newId(), 'hello')
      await sleep(2000)
      const before = residentMb(gateway.pid)
      const name = newId()
      const plans = Array.from({ length: parents }, (): Plan => {
        return { id: newId(), steps: [{ spawn: { from: 0, count: 1, child: { hold: { name } } } }], children: 1 }
      })
      for (const plan of plans) await follow(wire, plan)
      const held = new Set<string>()
      for (const plan of plans) {
        await bench.provider.until('a held child', seen => seen.plan === `${plan.id}.0`)
        held.add(plan.id)
      }
      await sleep(3000)
      const cpu = cpuMs(gateway.pid)
      await sleep(10_000)
      const spent = cpuMs(gateway.pid) - cpu
      const memory = residentMb(gateway.pid) - before
      bench.provider.release(name)
      for (const plan of plans) await bench.provider.until('the result', shows(plan.id, 1))
      return { 'wait-memory': sum([(memory * 1024) / held.size]), 'wait-cpu': sum([spent / 10]) }
    }),
}

/** Processor time of a process so far, ms. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Conversations that once had a turn and are silent since: what each costs in memory, on the disk, and at a start. */
const idle: Measure = {
  figures: ['idle-sessions-memory', 'idle-sessions-start', 'idle-sessions-calls'],
  peers: false,
  run: bench =>
    withGateway(bench, {}, async (gateway, wire) => {
      const sessions = bench.quick ? 500 : 10_000
      await say(wire, newId(), 'hello')
      await sleep(5000)
      const before = residentMb(gateway.pid)
      for (let i = 0; i < sessions; i += 50)
        await Promise.all(Array.from({ length: 50 }, (_, k) => say(wire, `idle-${i + k}`, 'hello')))
      bench.provider.forget()
      await sleep(15_000)
      const memory = residentMb(gateway.pid) - before
      const calls = bench.provider.requests.length
      await gateway.kill()
      const again = await start(bench.target, gateway.home)
      await again.kill()
      return {
        'idle-sessions-memory': sum([(memory * 1024) / sessions]),
        'idle-sessions-start': sum([again.helloMs / 1000]),
        'idle-sessions-calls': calls === 0 ? words('none in 15 s') : words(`${calls} in 15 s`),
      }
    }),
}

export const crowds: readonly Measure[] = [thousand, ...fans, chain, waits, idle]
