/**
 * Measures of the command line and of a crowd: whole processes from start to exit, and a thousand children under one
 * session while the control plane is asked.
 */
import { readFileSync } from 'node:fs'
import { count, follow, is, type Measure, newId, say, shows, times, withGateway } from './measure.ts'
import type { Plan } from './plan.ts'
import { run, sleep, treeOf } from './processes.ts'
import { percentile, sum, words, type Result } from './stats.ts'

const commands = [
  ['cli-version', ['--version']],
  ['cli-devices', ['devices', 'list']],
  ['cli-status', ['status']],
] as const

const cli: Measure = {
  figures: commands.map(([id]) => id),
  peers: true,
  run: bench =>
    withGateway(bench, {}, async gateway => {
      const results: Record<string, Result> = {}
      for (const [id, args] of commands) {
        const command = bench.target.command(gateway.home, args)
        const first = await run(command)
        if (first.code !== 0) {
          results[id] = words(`exit ${first.code}`)
          continue
        }
        const samples = await times(count(bench, 20, 3), () => run(command))
        results[id] = sum(samples.map(one => one.ms / 1000))
      }
      return results
    }),
}

/** Peak resident memory of a process tree since its start, in megabytes. */
function peakMb(root: number): number {
  const peak = (pid: number) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  return treeOf(root).reduce((total, pid) => total + peak(pid) / 1024, 0)
}

const crowd = 1000
const perReply = 50

const thousand: Measure = {
  figures: ['thousand-time', 'thousand-memory', 'thousand-p50', 'thousand-p99'],
  peers: false,
  run: async bench => {
    const health: number[] = []
    const samples = await times(count(bench, 3, 1), () =>
      withGateway(bench, { children: crowd, concurrent: 64, spawns: true }, async (gateway, wire) => {
        const control = await gateway.connect()
        await say(wire, newId(), 'hello')
        const steps = Array.from({ length: crowd / perReply }, (_, i) => ({
          spawn: { from: i * perReply, count: perReply, child: {} },
        }))
        const plan: Plan = { id: newId(), steps, children: crowd }
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
        const all = await bench.provider.until('all results', shows(plan.id, crowd), 300_000)
        asking = false
        await Promise.all([asked, told])
        await control.close()
        return { seconds: (all.inAt - spawned.sentAt) / 1e6, peak: peakMb(gateway.pid) }
      }),
    )
    const one = (value: number): Result => ({ n: health.length, median: value, low: null, high: null })
    return {
      'thousand-time': sum(samples.map(one => one.seconds)),
      'thousand-memory': sum(samples.map(one => one.peak)),
      'thousand-p50': one(percentile(health, 0.5)),
      'thousand-p99': one(percentile(health, 0.99)),
    }
  },
}

export const others: readonly Measure[] = [cli, thousand]
