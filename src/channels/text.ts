/**
 * Words for a chat service: Markdown in, parts out, each whole by itself in the service's own form and no longer than one
 * message may be.
 *
 * Owns where words are cut and how blocks stand beneath each other. How a service writes bold, what must be escaped and how
 * long a message may be is its `Writer`'s; a channel has one of its own in about 60 lines:
 *
 *   const writer: Writer = {
 *     max: 4096,
 *     escape: text => text.replace(/[&<>]/g, sign => names[sign]!),
 *     mark: (mark, inner) => `<${tags[mark]}>${inner}</${tags[mark]}>`,
 *     code: text => `<code>${html(text)}</code>`,
 *     block: (text, language) => `<pre>${html(text)}</pre>`,
 *     link: (inner, url) => `<a href="${html(url)}">${inner}</a>`,
 *     quote: inner => `<blockquote>${inner}</blockquote>`,
 *   }
 *   renderParts(markdown, writer)   // string[]; empty when there are no words
 *
 * A service whose marks have no closing escape (WhatsApp, Slack) looks at `around` to leave a mark away where it would not
 * be seen as one. `lineByLine` is for services whose marks end with the line. `plainWriter` is the words alone.
 *
 * Invariants, held by properties in text.test.ts: every part measures at most `max`; every part is well-formed (code blocks
 * are closed and opened again with their language, marks and links closed and opened again); all parts together show every
 * visible character of the text, in order, once (but for spaces and newlines at the cuts).
 */
import { type Holder, type Leaf, type Mark, readMarkdown } from './markdown.ts'

export type { Mark } from './markdown.ts'

export interface Writer {
  /** Longest message, as `measure` counts. */
  max: number
  /** Length of what was written, in the service's unit; absent: UTF-16 units. Longer text never measures less. */
  measure?(written: string): number
  /** Words as they are. `lineStart` where they begin a line: some services give signs a meaning only there. */
  escape(text: string, lineStart: boolean): string
  /** `inner` is written already, has no space at its ends, and is never empty. */
  mark(mark: Mark, inner: string, around: Around): string
  /** `text` is raw. */
  code(text: string, around: Around): string
  /** `text` is raw, `language` may be empty. */
  block(text: string, language: string): string
  /** `inner` is written, `label` are the same words raw: equal to `url` for a bare address. */
  link(inner: string, url: string, label: string): string
  /** May hold several lines and paragraphs. */
  quote(inner: string): string
  /** Absent: bold. */
  heading?(inner: string, level: number, around: Around): string
  /** Absent: indented by two spaces a level, the bullet, a space. An empty bullet goes on with an item of the part before. */
  item?(inner: string, bullet: string, depth: number): string
  /** True when a mark ends with its line: then each line gets its own. */
  lineByLine?: boolean
}

/** The raw signs next to something within its block; empty at its ends. */
export interface Around {
  before: string
  after: string
}

export const plainWriter = (max: number): Writer => ({
  max,
  escape: text => text,
  mark: (_mark, inner) => inner,
  code: text => text,
  block: text => text,
  link: (inner, url, label) => (label === url ? inner : `${inner} (${url})`),
  quote: inner => prefixLines(inner, '> '),
  heading: inner => inner,
})

/** For services that quote line by line. */
export function prefixLines(text: string, prefix: string): string {
  return text
    .split('\n')
    .map(line => prefix + line)
    .join('\n')
}

export function renderParts(markdown: string, writer: Writer): string[] {
  const measure = (text: string) => writer.measure?.(text) ?? text.length
  const keepsLink = (url: string) => measure(writer.link(writer.escape('x', false), url, 'x')) <= writer.max / 2
  const parts: string[] = []
  const begun = new Set<Holder>()
  let rest = trimEnd(trimStart(readMarkdown(markdown, keepsLink)))
  while (rest.length > 0) {
    const { head, written, tail } = firstPart(rest, writer, measure, begun)
    if (written !== '') parts.push(written)
    for (const leaf of head) for (const holder of leaf.path) begun.add(holder)
    rest = tail
  }
  return parts
}

// ------------------------------------------------------------------------------------------------------------ cut

interface Cut {
  head: Leaf[]
  written: string
  tail: Leaf[]
}

function firstPart(
  leaves: readonly Leaf[],
  writer: Writer,
  measure: (text: string) => number,
  begun: ReadonlySet<Holder>,
): Cut {
  const fits = (head: readonly Leaf[]) => {
    const written = write(head, writer, begun)
    return measure(written) <= writer.max ? written : null
  }
  // A code point is two units at most: no service counts it as less than one.
  const most = Math.min(size(leaves), writer.max * 2)
  const all = most === size(leaves) ? fits(leaves) : null
  if (all !== null) return { head: [...leaves], written: all, tail: [] }
  let [least, over] = [0, most + 1]
  while (over - least > 1) {
    const middle = (least + over) >> 1
    if (fits(split(leaves, middle).head) === null) over = middle
    else least = middle
  }
  for (let n = bestCut(leaves, least); n > 0; n = n > 64 ? n - 32 : n - 1) {
    const { head, tail } = split(leaves, whole(leaves, n))
    const written = head.length > 0 ? fits(head) : null
    if (written !== null) return { head, written, tail }
  }
  return bare(leaves, writer, measure)
}

/** Not even one sign fits with what it stands in: it goes without. */
function bare(leaves: readonly Leaf[], writer: Writer, measure: (text: string) => number): Cut {
  const [first, ...others] = leaves as [Leaf, ...Leaf[]]
  const sign = String.fromCodePoint(first.text.codePointAt(0)!)
  const written = writer.escape(sign, true)
  if (measure(written) > writer.max) throw new RangeError(`a message of ${writer.max} holds nothing`)
  const left = { ...first, text: first.text.slice(sign.length) }
  return { head: [{ ...first, text: sign }], written, tail: trimStart(left.text === '' ? others : [left, ...others]) }
}

function size(leaves: readonly Leaf[]): number {
  return leaves.reduce((sum, leaf) => sum + leaf.text.length, 0)
}

/** Two documents; spaces and newlines at the cut are dropped, but never the indentation of code. */
function split(leaves: readonly Leaf[], at: number): { head: Leaf[]; tail: Leaf[] } {
  const head: Leaf[] = []
  const tail: Leaf[] = []
  let seen = 0
  for (const leaf of leaves) {
    const here = at - seen
    seen += leaf.text.length
    if (here >= leaf.text.length) head.push(leaf)
    else if (here <= 0) tail.push(leaf)
    else {
      head.push({ ...leaf, text: leaf.text.slice(0, here) })
      tail.push({ ...leaf, text: leaf.text.slice(here) })
    }
  }
  return { head: trimEnd(head), tail: trimStart(tail) }
}

function trimStart(leaves: readonly Leaf[]): Leaf[] {
  const kept = [...leaves]
  while (kept[0]) {
    const first = kept[0]
    const text = isCode(first) ? first.text.replace(/^(?:[ \t]*\n)+/, '') : first.text.trimStart()
    if (text.trim() !== '' || isBullet(first)) {
      kept[0] = { ...first, text: text === '' ? first.text : text }
      break
    }
    kept.shift()
  }
  return kept
}

function trimEnd(leaves: readonly Leaf[]): Leaf[] {
  const kept = [...leaves]
  for (let last = kept.at(-1); last; last = kept.at(-1)) {
    const text = last.text.trimEnd()
    if (text !== '' || isBullet(last)) {
      kept[kept.length - 1] = { ...last, text: text === '' ? last.text : text }
      break
    }
    kept.pop()
  }
  return kept
}

/** The empty words of an item that has none: its bullet is what is seen. */
function isBullet(leaf: Leaf): boolean {
  return leaf.path.at(-1)?.is === 'item'
}

function isCode(leaf: Leaf): boolean {
  return leaf.path.at(-1)?.is === 'block'
}

/** Where to cut so that the least is torn: between blocks, at a line's end, a sentence's, a word's; all before `most`. */
function bestCut(leaves: readonly Leaf[], most: number): number {
  const best = [0, 0, 0, 0, 0]
  let unbroken = 0
  let seen = 0
  let last: Leaf | null = null
  for (const leaf of leaves) {
    if (seen > most) break
    if (last && blockOf(last) !== blockOf(leaf)) best[last.path[0] === leaf.path[0] ? 1 : 0] = seen
    const tearable = !leaf.path.some(holder => holder.is === 'link' || holder.is === 'code')
    if (tearable) {
      const text = leaf.text.slice(0, Math.max(0, most - seen))
      const ends = (sign: RegExp) => {
        const found = [...text.matchAll(sign)].at(-1)
        return found ? seen + found.index + found[0].length : 0
      }
      best[2] = Math.max(best[2]!, ends(/\n/g))
      if (!isCode(leaf)) best[3] = Math.max(best[3]!, ends(/[.!?…。！？]["')\]]*\s+/g))
      best[4] = Math.max(best[4]!, ends(/\s/g))
      unbroken = Math.min(most, seen + leaf.text.length)
    }
    last = leaf
    seen += leaf.text.length
  }
  const enough = [0.3, 0.4, 0.5, 0.5, 0.1]
  const kind = best.findIndex((at, i) => at >= most * enough[i]! && at > 0)
  if (kind >= 0) return best[kind]!
  return unbroken > 0 ? unbroken : most
}

function blockOf(leaf: Leaf): Holder | undefined {
  return leaf.path.findLast(holder => holder.is === 'paragraph' || holder.is === 'heading' || holder.is === 'block')
}

/** The nearest place before `at` that is not within one visible sign, however many code points that has. */
function whole(leaves: readonly Leaf[], at: number): number {
  let seen = 0
  for (const { text } of leaves) {
    const here = at - seen
    if (here <= 0) break
    if (here < text.length) {
      const from = Math.max(0, here - 64)
      const sign = new Intl.Segmenter().segment(text.slice(from, here + 16)).containing(here - from)
      const start = from + (sign?.index ?? here - from)
      // A sign that is longer than a message is torn all the same, but no code point is.
      if (start > 0 || seen > 0) return seen + start
      return at - Number(/[\ud800-\udbff]/.test(text[here - 1]!))
    }
    seen += text.length
  }
  return at
}

// ---------------------------------------------------------------------------------------------------------- write

function write(leaves: readonly Leaf[], writer: Writer, begun: ReadonlySet<Holder>): string {
  return writeBlocks(leaves, 0, '\n\n', writer, begun)
}

function writeBlocks(
  leaves: readonly Leaf[],
  depth: number,
  between: string,
  writer: Writer,
  begun: ReadonlySet<Holder>,
): string {
  const written = groups(leaves, depth).map(([holder, inside]) => {
    switch (holder?.is) {
      case 'quote':
        return writer.quote(writeBlocks(inside, depth + 1, '\n\n', writer, begun))
      case 'list':
        return writeBlocks(inside, depth + 1, '\n', writer, begun)
      case 'item': {
        const inner = writeBlocks(inside, depth + 1, '\n', writer, begun)
        const bullet = begun.has(holder) ? '' : holder.bullet
        const below = ['block', 'list', 'quote'].includes(inside[0]!.path[depth + 1]?.is ?? '')
        return (writer.item ?? plainItem)(below && bullet ? `\n${inner}` : inner, bullet, holder.depth)
      }
      case 'block':
        return writer.block(inside.map(leaf => leaf.text).join(''), holder.language)
      case 'heading': {
        const inner = writeInline(inside, depth + 1, noneAround, writer)
        if (inner.trim() === '') return ''
        return writer.heading?.(inner, holder.level, noneAround) ?? writer.mark('bold', inner, noneAround)
      }
      default:
        return writeInline(inside, depth + 1, noneAround, writer)
    }
  })
  return written.filter(text => text !== '').join(between)
}

const noneAround: Around = { before: '', after: '' }

function plainItem(inner: string, bullet: string, depth: number): string {
  return bullet === '' ? inner : `${'  '.repeat(depth)}${bullet} ${inner}`
}

function writeInline(leaves: readonly Leaf[], depth: number, around: Around, writer: Writer): string {
  const parts = groups(leaves, depth)
  return parts
    .map(([holder, inside], i) => {
      const text = inside.map(leaf => leaf.text).join('')
      const before = parts[i - 1]?.[1].at(-1)?.text.at(-1) ?? around.before
      const after = parts[i + 1]?.[1][0]?.text.at(0) ?? around.after
      if (holder === null) return writer.escape(text, before === '' || before === '\n')
      if (text.trim() === '') return text
      if (holder.is === 'code') return writer.code(text, { before, after })
      if (holder.is === 'link') {
        return writer.link(writeInline(inside, depth + 1, { before, after }, writer), holder.url, holder.label)
      }
      return marked(holder.is as Mark, inside, depth, { before, after }, writer)
    })
    .join('')
}

/** A mark holds no space at its ends, and where it ends with the line, no newline. */
function marked(mark: Mark, inside: readonly Leaf[], depth: number, around: Around, writer: Writer): string {
  const lines = writer.lineByLine ? byLine(inside) : [inside]
  return lines
    .map((line, i) => {
      const text = line.map(leaf => leaf.text).join('')
      const [lead, trail] = [/^\s*/.exec(text)![0], /\s*$/.exec(text)![0]]
      const kept = trimEnd(trimStart(line))
      if (kept.length === 0) return text
      const before = lead.at(-1) ?? (i > 0 ? '\n' : around.before)
      const after = trail.at(0) ?? (i < lines.length - 1 ? '\n' : around.after)
      const inner = writeInline(kept, depth + 1, noneAround, writer)
      return lead + writer.mark(mark, inner, { before, after }) + trail
    })
    .join(writer.lineByLine ? '\n' : '')
}

function byLine(leaves: readonly Leaf[]): Leaf[][] {
  const lines: Leaf[][] = [[]]
  for (const leaf of leaves) {
    leaf.text.split('\n').forEach((text, i) => {
      if (i > 0) lines.push([])
      if (text !== '') lines.at(-1)!.push({ ...leaf, text })
    })
  }
  return lines
}

/** Neighbours that stand in the same thing at `depth`; those that stand in nothing there, each by itself. */
function groups(leaves: readonly Leaf[], depth: number): [Holder | null, Leaf[]][] {
  const found: [Holder | null, Leaf[]][] = []
  for (const leaf of leaves) {
    const holder = leaf.path[depth] ?? null
    const last = found.at(-1)
    if (last && last[0] === holder && holder !== null) last[1].push(leaf)
    else found.push([holder, [leaf]])
  }
  return found
}
