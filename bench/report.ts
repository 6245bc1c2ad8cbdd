/**
 * The rows as a table for people: median, spread, number of samples, beside the goal and what was measured of the peers
 * before. Pure.
 */
import type { Figure } from './figures.ts'
import type { Result } from './stats.ts'

export interface Row {
  figure: Figure
  /** By target; null where it was not measured. */
  results: Record<string, Result | null>
}

export interface Host {
  cores: number
  node: string
  at: string
  loadBefore: number
  loadAfter: number
}

/** Three digits that mean something. */
export function digits(value: number): string {
  if (value >= 100) return value.toFixed(0)
  if (value >= 10) return value.toFixed(1)
  return value.toFixed(value >= 1 ? 2 : 3)
}

export function cell(result: Result | null): string {
  if (!result) return '–'
  if (result.text !== undefined) return `${result.text}, n ${result.n}`
  const spread = result.low === null || result.n < 2 ? '' : ` (${digits(result.low)}–${digits(result.high!)})`
  return `${digits(result.median!)}${spread}, n ${result.n}`
}

/** Markdown that also reads well as plain text: columns are padded. */
export function report(host: Host, targets: readonly string[], rows: readonly Row[]): string {
  const head = ['figure', 'unit', 'goal', ...targets, '4.12 before', '9.6 before']
  const lines = rows.map(({ figure, results }) => [
    figure.name,
    figure.unit,
    figure.goal,
    ...targets.map(name => cell(results[name] ?? null)),
    ...figure.before,
  ])
  const widths = head.map((title, i) => Math.max(title.length, ...lines.map(line => line[i]!.length)))
  const draw = (line: readonly string[]) => `| ${line.map((text, i) => text.padEnd(widths[i]!)).join(' | ')} |`
  const rule = `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`
  const about = `${host.at} · ${host.cores} cores · Node ${host.node} · load ${digits(host.loadBefore)} before, ${digits(host.loadAfter)} after`
  return [
    about,
    'median (quartiles; extremes below 4 samples), n samples',
    '',
    draw(head),
    rule,
    ...lines.map(draw),
  ].join('\n')
}
