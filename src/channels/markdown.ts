/**
 * Markdown as a row of leaves: runs of words in reading order, each with the path of what it stands in.
 *
 * Owns reading; `marked` does the grammar. A leaf row can be cut anywhere and either side is a document again, which is what
 * `text.ts` needs. Kept simple for chat services: quotes within quotes are one quote, code stands outside of quotes, tables
 * are aligned text, HTML is shown as written, a single newline is a newline.
 *
 * Invariant: no word of the source is lost, but for Markdown's own marks and the titles and addresses that a link holds.
 */
import { Lexer, type Token, type Tokens } from 'marked'

export type Mark = 'bold' | 'italic' | 'strike' | 'spoiler'

/** What leaves may stand in. Two leaves are in the same one when it is the same object. */
export type Holder =
  | { is: 'paragraph' }
  | { is: 'heading'; level: number }
  | { is: 'quote' }
  | { is: 'list' }
  /** `depth` counts from 0. An item without words holds one leaf with a space. */
  | { is: 'item'; depth: number; bullet: string }
  | { is: 'block'; language: string }
  | { is: Mark }
  | { is: 'code' }
  | { is: 'link'; url: string; label: string }

export interface Leaf {
  text: string
  path: readonly Holder[]
}

/** Beyond these, words are taken as they are: the cost of marks grows with the square of their number in a paragraph. */
const longest = 200_000
const mostMarks = 1000
const deepest = 8

/** `keepsLink` is false for an address that the service cannot hold in a link: it is shown in words then. */
export function readMarkdown(markdown: string, keepsLink: (url: string) => boolean): Leaf[] {
  const source = markdown.toWellFormed().replaceAll('\0', '').replace(/\r\n?/g, '\n')
  const leaves: Leaf[] = []
  if (source.length <= longest) {
    try {
      blocks(lex(source), [], { leaves, keepsLink, lists: 0 })
      return leaves.filter(leaf => leaf.text !== '')
    } catch (error) {
      // Nested deeper than the stack: nobody means that as Markdown.
      if (!(error instanceof RangeError)) throw error
    }
  }
  return source
    .split(/\n{2,}/)
    .filter(text => text.trim() !== '')
    .map(text => ({ text, path: [{ is: 'paragraph' }] }))
}

function lex(source: string): Token[] {
  const lexer = new Lexer({ gfm: true })
  const tokens = lexer.blockTokens(source)
  for (const { src, tokens: into } of lexer.inlineQueue) {
    if ((src.match(/[*_~]/g)?.length ?? 0) <= mostMarks) lexer.inlineTokens(src, into)
    else into.push({ type: 'text', raw: src, text: src, escaped: false })
  }
  return tokens
}

interface Reading {
  leaves: Leaf[]
  keepsLink: (url: string) => boolean
  /** How many lists this stands in. */
  lists: number
}

type Path = readonly Holder[]

function blocks(tokens: readonly Token[], path: Path, to: Reading): void {
  for (const token of tokens as Tokens.Generic[]) {
    switch (token.type) {
      case 'space':
        break
      case 'code':
        block(String(token.text), String(token.lang ?? ''), path, to)
        break
      case 'table':
        block(aligned(token as Tokens.Table), '', path, to)
        break
      case 'heading':
        inline(token.tokens ?? [], [...path, { is: 'heading', level: Number(token.depth) }], to)
        break
      case 'hr':
        put('———', [...path, { is: 'paragraph' }], to)
        break
      case 'blockquote':
        blocks(token.tokens ?? [], path.some(holder => holder.is === 'quote') ? path : [...path, { is: 'quote' }], to)
        break
      case 'list':
        list(token as Tokens.List, path, to)
        break
      case 'checkbox':
        break
      default: {
        const within: Path = [...path, { is: 'paragraph' }]
        if (token.tokens) inline(token.tokens, within, to)
        else put(token.raw.trim(), within, to)
      }
    }
  }
}

function list(token: Tokens.List, path: Path, to: Reading): void {
  const within: Path = [...path, { is: 'list' }]
  const first = Number(token.start || 1)
  token.items.forEach((item, i) => {
    const box = item.task ? (item.checked ? '☑' : '☐') : ''
    const bullet = token.ordered ? `${first + i}. ${box}`.trim() : box || '•'
    const holder: Holder = { is: 'item', depth: Math.min(to.lists, deepest), bullet }
    const before = to.leaves.length
    blocks(item.tokens, [...within, holder], { ...to, lists: to.lists + 1 })
    // An item without words still counts: those after it keep their numbers, and it is seen.
    if (to.leaves.length === before) put(' ', [...within, holder], to)
  })
}

function block(text: string, language: string, path: Path, to: Reading): void {
  const outside = path.filter(holder => holder.is !== 'quote')
  const known = /^[\w+#.-]{1,32}/.exec(language.trim())?.[0] ?? ''
  if (text.trim() !== '') to.leaves.push({ text, path: [...outside, { is: 'block', language: known }] })
}

function inline(tokens: readonly Token[], path: Path, to: Reading): void {
  const within = (holder: Holder) =>
    path.some(outer => outer.is === holder.is) ? path : ([...path, holder] satisfies Path)
  for (const token of tokens as Tokens.Generic[]) {
    switch (token.type) {
      case 'strong':
        // A heading is bold by itself wherever it is nothing else.
        inline(token.tokens ?? [], path.some(holder => holder.is === 'heading') ? path : within({ is: 'bold' }), to)
        break
      case 'em':
        inline(token.tokens ?? [], within({ is: 'italic' }), to)
        break
      case 'del':
        inline(token.tokens ?? [], within({ is: 'strike' }), to)
        break
      case 'codespan':
        to.leaves.push({ text: String(token.text).replaceAll('\n', ' '), path: [...path, { is: 'code' }] })
        break
      case 'br':
        put('\n', path, to)
        break
      case 'checkbox':
        break
      case 'link':
      case 'image':
        link(token as unknown as Tokens.Link, path, to)
        break
      case 'escape':
        put(String(token.text), path, to)
        break
      case 'text':
        if (token.tokens) inline(token.tokens, path, to)
        else spoilers(decode(String(token.text)), path, to)
        break
      default:
        put(token.raw, path, to)
    }
  }
}

function link(token: Tokens.Link, path: Path, to: Reading): void {
  const url = token.href
  const label = plain(token.tokens ?? []) || token.text || url
  if (path.some(holder => holder.is === 'link')) {
    put(label, path, to)
    return
  }
  if (/^(https?|mailto|tel):/i.test(url) && to.keepsLink(url)) {
    const within: Path = [...path, { is: 'link', url, label }]
    if (token.type === 'link' && plain(token.tokens ?? []) !== '') inline(token.tokens, within, to)
    else put(label, within, to)
    return
  }
  // No link that a service would make: said in words.
  inline(token.tokens ?? [], path, to)
  if (plain(token.tokens ?? []) !== url) put(plain(token.tokens ?? []) === '' ? url : ` (${url})`, path, to)
}

/** `||words||`, as Discord and Telegram have it; `a||b||c` is none. */
function spoilers(text: string, path: Path, to: Reading): void {
  if (path.some(holder => holder.is === 'spoiler')) {
    put(text, path, to)
    return
  }
  let at = 0
  for (const found of text.matchAll(/(?<![\w|])\|\|(?=\S)([^|\n]+)(?<=\S)\|\|(?![\w|])/g)) {
    put(text.slice(at, found.index), path, to)
    put(found[1]!, [...path, { is: 'spoiler' }], to)
    at = found.index + found[0].length
  }
  put(text.slice(at), path, to)
}

/** Rows under each other with even columns. */
function aligned(table: Tokens.Table): string {
  const cells = (row: string) =>
    row
      .trim()
      .replace(/^\||\|$/g, '')
      .split(/(?<!\\)\|/).length
  // Cells beyond the head's would be dropped: such a table stays as it is written.
  if (
    table.raw
      .trim()
      .split('\n')
      .some(row => cells(row) > table.header.length)
  )
    return table.raw.trim()
  const rows = [table.header, ...table.rows].map(row =>
    row.map(cell => plain(cell.tokens).replaceAll('\n', ' ').trim()),
  )
  const widths = table.header.map((_, i) => Math.max(...rows.map(row => [...(row[i] ?? '')].length)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell + ' '.repeat(Math.max(0, (widths[i] ?? 0) - [...cell].length)))
      .join(' | ')
      .trimEnd()
  const [head, ...body] = rows.map(line)
  return [head, widths.map(width => '-'.repeat(width)).join('-|-'), ...body].join('\n')
}

/** The words of tokens without their marks; a link keeps its address. */
function plain(tokens: readonly Token[]): string {
  const leaves: Leaf[] = []
  inline(tokens, [], { leaves, keepsLink: () => false, lists: 0 })
  return leaves.map(leaf => leaf.text).join('')
}

function put(text: string, path: Path, to: Reading): void {
  if (text !== '') to.leaves.push({ text, path })
}

const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' }

/** References that Markdown shares with HTML; an unknown one stays as it is written. */
function decode(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]{2,5}));/gi, (whole, decimal, hex, name) => {
    if (name) return named[String(name).toLowerCase()] ?? whole
    const point = decimal ? Number(decimal) : Number.parseInt(hex, 16)
    return point >= 32 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff) ? String.fromCodePoint(point) : whole
  })
}
