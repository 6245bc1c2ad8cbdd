/**
 * What was said in a conversation of OpenClaw: its transcript, read as messages (openclaw-facts.md §G3, JSONL version 3).
 *
 * Owns the reading. A transcript is a tree; what counts is the way from its newest entry back to its first. Words and pictures
 * are taken; what tools were asked and answered is only named, since the results speak of files and programs as they were
 * then, and no provider would take half a call. Never throws for what is in a file.
 */
import { readFileSync } from 'node:fs'
import type { BroughtSession } from '../../store/bring.ts'
import { record, text } from './item.ts'

/** `at` is 0 where the transcript does not say. */
export type Said = Omit<BroughtSession['messages'][number], 'id'>
type Part = Said['parts'][number]

/** Providers take no larger pictures: five million bytes, as base64. */
const longestPicture = 6_700_000

/** A sentence when it cannot be read. */
export function readTranscript(path: string): Said[] | string {
  let lines: string[]
  try {
    lines = readFileSync(path, 'utf8').split('\n')
  } catch (error) {
    return `it cannot be read (${(error as NodeJS.ErrnoException).code})`
  }
  const entries = lines.map(parsed).filter(entry => entry !== null)
  if (entries[0]?.['type'] !== 'session') return 'it does not begin as a transcript'
  const byId = new Map(entries.map(entry => [text(entry['id']) ?? '', entry]))
  const way: Record<string, unknown>[] = []
  const passed = new Set<unknown>()
  for (let at = entries.findLast(entry => entry['type'] !== 'session'); at && !passed.has(at); ) {
    passed.add(at)
    way.push(at)
    at = byId.get(text(at['parentId']) ?? '-')
  }
  return way.reverse().flatMap(saidIn)
}

function saidIn(entry: Record<string, unknown>): Said[] {
  const message = record(entry['message'])
  if (entry['type'] !== 'message' || !message) return []
  const { role, content, timestamp } = message
  if (role !== 'user' && role !== 'assistant') return []
  const pieces = typeof content === 'string' ? [{ type: 'text', text: content }] : Array.isArray(content) ? content : []
  const parts = pieces.flatMap(piece => partOf(record(piece) ?? {}))
  const calls = pieces.flatMap(piece =>
    record(piece)?.['type'] === 'toolCall' ? [text(record(piece)?.['name']) ?? '?'] : [],
  )
  if (calls.length > 0) parts.push({ type: 'text', text: `[used: ${calls.join(', ')}]` })
  if (parts.length === 0) return []
  const at = typeof timestamp === 'number' ? timestamp : Date.parse(text(entry['timestamp']) ?? '')
  return [{ role, parts, at: Number.isSafeInteger(at) && at > 0 ? at : 0 }]
}

function partOf(piece: Record<string, unknown>): Part[] {
  const [words, data, mimeType] = [text(piece['text']), text(piece['data']), text(piece['mimeType'])]
  if (piece['type'] === 'text' && words !== null && words.trim() !== '') return [{ type: 'text', text: words }]
  if (piece['type'] !== 'image' || data === null || mimeType === null) return []
  return data.length <= longestPicture ? [{ type: 'image', mimeType, data }] : []
}

function parsed(line: string): Record<string, unknown> | null {
  try {
    return record(JSON.parse(line))
  } catch {
    // The last line of a process that was killed.
    return null
  }
}
