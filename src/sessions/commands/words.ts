/**
 * How answers read on a phone: short lines of plain words, no tables, no signs. Owns the forms of times, amounts and refusals.
 * Invariant: words from outside (tasks, labels, a model's text) come in as one clipped line without control characters, so
 * that no task can write lines of its own into an answer.
 */
import type { Run } from '../../core/types.ts'
import type { DeputyError } from '../../protocol/errors.ts'

/** Characters of a line that fits a phone without turning over more than once. */
const lineLength = 72

/** One line of somebody else's words. Direction marks go too: they would turn the rest of the line around. */
export function line(text: string, length = lineLength): string {
  const flat = text
    .slice(0, length * 8)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .trim()
  const characters = [...flat]
  return characters.length > length ? `${characters.slice(0, length - 1).join('')}…` : flat
}

/** `45s`, `3m`, `2h 5m`, `4d`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 60) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return minutes % 60 === 0 ? `${hours}h` : `${hours}h ${minutes % 60}m`
  return `${Math.floor(hours / 24)}d`
}

/** `812`, `1.2k`, `3.4M`. */
export function amount(n: number): string {
  if (n < 1000) return String(n)
  return n < 999_950 ? `${(n / 1000).toFixed(1)}k` : `${(n / 1_000_000).toFixed(1)}M`
}

/** Nano-USD as `$0.0123`; nothing below a hundredth of a cent but zero reads as zero. */
export function money(nano: number): string {
  if (nano === 0) return '$0'
  if (nano < 100_000) return '< $0.0001'
  return `$${(nano / 1e9).toFixed(nano < 1e9 ? 4 : 2)}`
}

export function used(tokens: number, nano: number): string {
  return nano > 0 ? `${amount(tokens)} tokens, ${money(nano)}` : `${amount(tokens)} tokens`
}

/** `3 sub-agents`, `1 sub-agent`. */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`
}

/** How a run stands: `working 12s`, `waiting 3m`, `succeeded after 4s`. */
export function standing(
  run: Pick<Run, 'state' | 'paused' | 'outcome' | 'createdAt' | 'startedAt' | 'endedAt'>,
  now: number,
): string {
  const from = run.startedAt ?? run.createdAt
  if (run.state === 'done') {
    const took = span((run.endedAt ?? now) - from)
    return `${(run.outcome ?? 'ended').replaceAll('_', ' ')} after ${took}`
  }
  const state = run.paused ? 'paused' : run.state === 'running' ? 'working' : run.state
  return `${state} ${span(now - from)}`
}

/** Longest sentence of a refusal: it may quote what was written. */
const longest = 300

/** A refusal says what was wrong, by which rule, and what to do. */
export function refusal(error: DeputyError): string {
  const { rule, key } = error.details
  const named = typeof rule === 'string' ? [`Rule: ${rule}${typeof key === 'string' ? ` (${key})` : ''}`] : []
  return lines([line(error.message, longest), ...named, line(error.fix, longest)])
}

export function lines(all: readonly (string | null | false)[]): string {
  return all.filter(each => each !== null && each !== false && each !== '').join('\n')
}
