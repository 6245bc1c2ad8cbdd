/**
 * How facts look in a terminal: tables, times, amounts, colours.
 *
 * Pure functions over strings; nothing here writes or reads the clock. Words that came from a model or a person pass
 * through `plain` first, so that no text can move the cursor, set a title or colour the screen.
 */

export interface Paint {
  bold(text: string): string
  dim(text: string): string
  red(text: string): string
  green(text: string): string
  yellow(text: string): string
  cyan(text: string): string
}

export function paint(colour: boolean): Paint {
  const sgr = (open: number, close: number) => (text: string) =>
    colour && text !== '' ? `\x1b[${open}m${text}\x1b[${close}m` : text
  return {
    bold: sgr(1, 22),
    dim: sgr(2, 22),
    red: sgr(31, 39),
    green: sgr(32, 39),
    yellow: sgr(33, 39),
    cyan: sgr(36, 39),
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const escapes = /\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]?|.)?/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const controls = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g

/** Text without escape sequences, control and direction characters; tabs become spaces, newlines stay. */
export function plain(text: string): string {
  return text.replace(escapes, '').replace(/\r\n?/g, '\n').replace(/\t/g, '  ').replace(controls, '')
}

/** As `plain`, on one line. */
export function line(text: string): string {
  return plain(text).replace(/\s+/g, ' ').trim()
}

/** Columns that a painted text takes: wide for East Asian and emoji ranges, none for combining marks. */
export function width(text: string): number {
  let columns = 0
  for (const sign of text.replace(escapes, '')) columns += widthOf(sign.codePointAt(0)!)
  return columns
}

function widthOf(code: number): number {
  if (code < 0x300) return 1
  if (code <= 0x36f || (code >= 0xfe00 && code <= 0xfe0f) || (code >= 0x20d0 && code <= 0x20ff)) return 0
  const wide =
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    code >= 0x20000
  return wide ? 2 : 1
}

/** At most `columns` wide; what is cut ends in an ellipsis. Expects unpainted text. */
export function clip(text: string, columns: number): string {
  if (width(text) <= columns) return text
  if (columns < 1) return ''
  let kept = ''
  let used = 0
  for (const sign of text) {
    const next = widthOf(sign.codePointAt(0)!)
    if (used + next > columns - 1) break
    kept += sign
    used += next
  }
  return `${kept.trimEnd()}…`
}

export function padEnd(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - width(text)))
}

export function padStart(text: string, columns: number): string {
  return ' '.repeat(Math.max(0, columns - width(text))) + text
}

/** Breaks at spaces; a word longer than the line is broken inside. Newlines of the text stay; a quote's lines stay quoted. */
export function wrap(text: string, columns: number, indent = ''): string {
  const lines: string[] = []
  for (const paragraph of text.split('\n')) {
    const quote = /^(?:> )*/.exec(paragraph)![0]
    const room = Math.max(8, columns - width(indent) - width(quote))
    let current = ''
    for (let word of paragraph.slice(quote.length).split(/(?<=\s)(?=\S)/)) {
      if (current !== '' && width(current) + width(word.trimEnd()) > room) {
        lines.push(quote + current.trimEnd())
        current = ''
      }
      while (width(word.trimEnd()) > room) {
        const head = [...word].slice(0, room).join('')
        lines.push(quote + head)
        word = word.slice(head.length)
      }
      current += word
    }
    lines.push((quote + current).trimEnd())
  }
  return lines.map(each => indent + each).join('\n')
}

/** A length of time in its two largest units: `340 ms`, `2.1 s`, `3 min 20 s`, `2 h 5 min`, `4 d`. */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  const seconds = ms / 1000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return both(Math.floor(whole / 60), 'min', whole % 60, 's')
  if (whole < 86_400) return both(Math.floor(whole / 3600), 'h', Math.floor((whole % 3600) / 60), 'min')
  return both(Math.floor(whole / 86_400), 'd', Math.floor((whole % 86_400) / 3600), 'h')
}

function both(much: number, unit: string, little: number, small: string): string {
  return little === 0 ? `${much} ${unit}` : `${much} ${unit} ${little} ${small}`
}

/** How long ago, in one unit: `now`, `12 s ago`, `5 min ago`. */
export function ago(at: number, now: number): string {
  const seconds = Math.round((now - at) / 1000)
  if (seconds < 2) return 'now'
  if (seconds < 60) return `${seconds} s ago`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`
  return `${Math.floor(seconds / 86_400)} d ago`
}

/** `2026-11-22 21:16`, in the machine's time zone. */
export function moment(at: number): string {
  const date = new Date(at)
  const two = (n: number) => String(n).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`
}

/** `842`, `12.4k`, `1.2M`. */
export function count(n: number): string {
  if (n < 10_000) return String(n)
  return n < 1e6 ? `${(n / 1000).toFixed(1)}k` : `${(n / 1e6).toFixed(1)}M`
}

/** Nano-dollars as dollars; less than a cent shows more digits, nothing shows as nothing. */
export function money(nano: number): string {
  if (nano === 0) return ''
  const dollars = nano / 1e9
  if (dollars < 0.0001) return '<$0.0001'
  return dollars < 0.01 ? `$${dollars.toFixed(4)}` : `$${dollars.toFixed(2)}`
}

export function bytes(n: number): string {
  if (n < 1024) return `${n} B`
  return n < 1024 * 1024 ? `${(n / 1024).toFixed(1)} kB` : `${(n / 1024 / 1024).toFixed(1)} MB`
}

export interface Column {
  title: string
  right?: boolean
  /** The column that gives way when the table is wider than the line; one a table. */
  elastic?: boolean
}

/** Rows in aligned columns, never wider than `columns`. Cells may be painted, except those of the elastic column. */
export function table(
  head: readonly Column[],
  rows: readonly (readonly string[])[],
  columns: number,
  p: Paint,
): string[] {
  const widths = head.map((column, at) => Math.max(width(column.title), ...rows.map(row => width(row[at] ?? ''))))
  const gaps = 2 * (head.length - 1)
  const over = widths.reduce((sum, each) => sum + each, gaps) - columns
  const elastic = head.findIndex(column => column.elastic)
  if (over > 0 && elastic >= 0) widths[elastic] = Math.max(8, widths[elastic]! - over)
  const draw = (cells: readonly string[]) =>
    cells
      .map((cell, at) => {
        const fitted = at === elastic ? clip(cell, widths[at]!) : cell
        return head[at]!.right ? padStart(fitted, widths[at]!) : padEnd(fitted, widths[at]!)
      })
      .join('  ')
      .trimEnd()
  return [p.dim(draw(head.map(column => column.title))), ...rows.map(draw)]
}

/** `name  value` lines with the names aligned. */
export function pairs(rows: readonly (readonly [string, string])[], p: Paint): string[] {
  const widest = Math.max(0, ...rows.map(([name]) => width(name)))
  return rows.map(([name, value]) => `${p.dim(padEnd(name, widest))}  ${value}`)
}
