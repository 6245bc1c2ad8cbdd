/**
 * Reports of what was stopped, put together. Owns nothing else.
 */
import type { CancelReport } from './types.ts'

export function together(reports: readonly CancelReport[]): CancelReport {
  return {
    runs: reports.flatMap(report => report.runs),
    alreadyDone: reports.flatMap(report => report.alreadyDone),
    dropped: reports.flatMap(report => report.dropped),
    processes: {
      ended: reports.reduce((sum, report) => sum + report.processes.ended, 0),
      stillAlive: reports.flatMap(report => report.processes.stillAlive),
    },
  }
}
