/**
 * Changes the text of a JSON5 file without touching what did not change: comments, order and style stay.
 *
 * Owns the positions of values in a text; never decides what a value should be. Invariant: the text that comes out means
 * exactly `after`; where an edit in place can't give that, it is written anew as JSON and its comments are lost (the
 * backup has them).
 */
import { isDeepStrictEqual } from 'node:util'
import JSON5 from 'json5'
import { isRecord } from './check.ts'
import { differences } from './merge.ts'
import { parseText } from './parse.ts'
import type { Path } from './path.ts'

/** `text` means `before`; the result means `after`. `kept` = comments and style were kept. */
export function rewrite(
  text: string,
  before: Record<string, unknown>,
  after: Record<string, unknown>,
): { text: string; kept: boolean } {
  // Strict JSON has no comments to keep, and stays strict.
  const indent = jsonIndent(text)
  if (indent !== null) return { text: `${JSON.stringify(after, null, indent)}\n`, kept: true }
  let edited: string | null = text
  for (const { path, value } of differences(before, after)) {
    edited = edited === null ? null : editAt(edited, path, value)
  }
  if (edited !== null && means(edited, after)) return { text: edited, kept: true }
  return { text: `${JSON.stringify(after, null, 2)}\n`, kept: false }
}

function means(text: string, value: unknown): boolean {
  try {
    return isDeepStrictEqual(parseText(text, ''), value)
  } catch {
    return false
  }
}

/** The indentation of a strict JSON text; null for a text that needs JSON5. */
function jsonIndent(text: string): string | null {
  try {
    JSON.parse(text)
    return /\n([ \t]+)\S/.exec(text)?.[1] ?? '  '
  } catch {
    return null
  }
}

/** One value of the text: where it stands, and what is in it. */
interface Node {
  start: number
  end: number
  members: { key: string; start: number; value: Node }[] | null
  items: Node[] | null
}

/** Puts `value` at `path`, or takes the member away when it is undefined. Null when the text has no place for it. */
function editAt(text: string, path: Path, value: unknown): string | null {
  const whole = scan(text)
  if (whole === null) return null
  let node = whole
  for (const [index, part] of path.entries()) {
    const next = node.items ? node.items[Number(part)] : node.members?.find(({ key }) => key === part)?.value
    if (next === undefined)
      return node.members && value !== undefined ? addMember(text, node, path.slice(index), value) : null
    if (index === path.length - 1 && value === undefined)
      return node.members ? removeMember(text, node, String(part)) : null
    node = next
  }
  return value === undefined ? null : splice(text, node.start, node.end, literal(value, indentAt(text, node.start)))
}

function addMember(text: string, object: Node, path: Path, value: unknown): string {
  const [key, ...rest] = path as [string, ...Path]
  const nested = rest.reduceRight<unknown>((inner, part) => ({ [part]: inner }), value)
  const last = object.members!.at(-1)
  const multiline = last === undefined || text.slice(object.start, last.start).includes('\n')
  const indent = last && multiline ? indentAt(text, last.start) : `${indentAt(text, object.start)}  `
  const member = `${nameOf(key)}: ${literal(nested, indent)}`
  if (last === undefined) {
    const close = text.slice(object.start + 1, object.end - 1)
    // Comments may be all that is in it; they stay, on their own lines.
    const inside = close.trim() === '' ? '' : close.trimEnd()
    return splice(
      text,
      object.start + 1,
      object.end - 1,
      `${inside}\n${indent}${member},\n${indentAt(text, object.start)}`,
    )
  }
  const comma = skip(text, last.value.end)
  const hasComma = text[comma] === ','
  const at = hasComma ? comma + 1 : last.value.end
  if (!multiline) return splice(text, at, at, `${hasComma ? '' : ','} ${member}`)
  // A comment at the end of the last member's line belongs to that member.
  const line = endOfLine(text, at, object.end - 1)
  return `${text.slice(0, last.value.end)}${hasComma ? text.slice(last.value.end, at) : ','}${text.slice(at, line)}\n${indent}${member},${text.slice(line)}`
}

function endOfLine(text: string, from: number, limit: number): number {
  const newline = text.indexOf('\n', from)
  const end = newline < 0 || newline > limit ? from : newline
  // Only when nothing but comments lies between.
  return /^[ \t]*(\/\*((?!\*\/).)*\*\/[ \t]*)*(\/\/.*)?$/.test(text.slice(from, end)) ? end : from
}

function removeMember(text: string, object: Node, key: string): string {
  const member = object.members!.findLast(other => other.key === key)!
  const comma = skip(text, member.value.end)
  const end = text[comma] === ',' ? comma + 1 : member.value.end
  const lineStart = text.lastIndexOf('\n', member.start - 1) + 1
  const rest = /^[ \t]*(\/\/.*)?\r?\n/.exec(text.slice(end))
  if (text.slice(lineStart, member.start).trim() === '' && rest)
    return splice(text, lineStart, end + rest[0].length, '')
  return splice(text, member.start, end, '')
}

function splice(text: string, start: number, end: number, put: string): string {
  return text.slice(0, start) + put + text.slice(end)
}

/** A value as JSON5, on one line when it is short, else its further lines below `indent`. */
function literal(value: unknown, indent: string): string {
  const line = onOneLine(value)
  if (line.length <= 80) return line
  const deeper = `${indent}  `
  if (Array.isArray(value)) return `[\n${value.map(item => `${deeper}${literal(item, deeper)},\n`).join('')}${indent}]`
  if (!isRecord(value)) return line
  const members = Object.entries(value).map(([key, item]) => `${deeper}${nameOf(key)}: ${literal(item, deeper)},\n`)
  return `{\n${members.join('')}${indent}}`
}

function onOneLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(onOneLine).join(', ')}]`
  if (!isRecord(value)) return JSON.stringify(value)
  const members = Object.entries(value).map(([key, item]) => `${nameOf(key)}: ${onOneLine(item)}`)
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`
}

function nameOf(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? key : JSON.stringify(key)
}

/** White space that the line of `at` begins with. */
function indentAt(text: string, at: number): string {
  const line = text.slice(text.lastIndexOf('\n', at - 1) + 1, at)
  return /^[ \t]*/.exec(line)![0]
}

/** The next place that is neither white space nor comment. */
function skip(text: string, from: number): number {
  const blank = /(?:\s|\uFEFF|\/\/[^\n\r\u2028\u2029]*|\/\*[\s\S]*?\*\/)*/y
  blank.lastIndex = from
  blank.exec(text)
  return blank.lastIndex
}

/** Positions of all values of a valid JSON5 text; null when this scanner does not understand it. */
function scan(text: string): Node | null {
  const scalar = /"(?:[^"\\]|\\[\s\S])*"|'(?:[^'\\]|\\[\s\S])*'|[^\s,:[\]{}"'/]+/y
  let at = 0
  const token = (): string | null => {
    scalar.lastIndex = at
    const match = scalar.exec(text)
    if (match) at = scalar.lastIndex
    return match ? match[0] : null
  }
  const value = (): Node | null => {
    at = skip(text, at)
    const start = at
    const opener = text[at]
    if (opener !== '{' && opener !== '[')
      return token() === null ? null : { start, end: at, members: null, items: null }
    at++
    const members: Node['members'] = []
    const items: Node[] = []
    for (;;) {
      at = skip(text, at)
      if (text[at] === (opener === '{' ? '}' : ']')) break
      const memberStart = at
      if (opener === '{') {
        const name = token()
        at = skip(text, at)
        if (name === null || text[at++] !== ':') return null
        const inner = value()
        if (inner === null) return null
        members.push({ key: keyOf(name), start: memberStart, value: inner })
      } else {
        const inner = value()
        if (inner === null) return null
        items.push(inner)
      }
      at = skip(text, at)
      if (text[at] === ',') at++
    }
    at++
    return { start, end: at, members: opener === '{' ? members : null, items: opener === '[' ? items : null }
  }
  return value()
}

function keyOf(name: string): string {
  return /^["']/.test(name)
    ? (JSON5.parse(name) as string)
    : name.includes('\\')
      ? Object.keys(JSON5.parse(`{${name}:0}`))[0]!
      : name
}
