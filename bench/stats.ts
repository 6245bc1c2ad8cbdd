/**
 * Samples and what is said of them: median, quartiles, percentiles. Pure.
 */

/** A figure of one target: its samples summed up, or words where a number says nothing. */
export interface Result {
  n: number
  median: number | null
  /** Quartiles with 4 samples and more, else the extremes. */
  low: number | null
  high: number | null
  text?: string
}

/** Linear interpolation between the two nearest samples; `p` from 0 to 1. */
export function percentile(samples: readonly number[], p: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  const at = (sorted.length - 1) * p
  const below = sorted[Math.floor(at)]!
  return below + (sorted[Math.ceil(at)]! - below) * (at % 1)
}

export function sum(samples: readonly number[]): Result {
  const few = samples.length < 4
  return {
    n: samples.length,
    median: percentile(samples, 0.5),
    low: percentile(samples, few ? 0 : 0.25),
    high: percentile(samples, few ? 1 : 0.75),
  }
}

export function words(text: string, n = 1): Result {
  return { n, median: null, low: null, high: null, text }
}
