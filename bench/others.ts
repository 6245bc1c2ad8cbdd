/**
 * Measures of the command line: whole processes from start to exit.
 */
import { count, type Measure, times, withGateway } from './measure.ts'
import { run } from './processes.ts'
import { type Result, sum, words } from './stats.ts'

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

export const others: readonly Measure[] = [cli]
