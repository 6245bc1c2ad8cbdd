/**
 * `read`: a text file of the workspace, page by page.
 *
 * Owns the paging by lines and the honest word about what is left. Never holds more of a file than one page and one chunk.
 */
import type { FileHandle } from 'node:fs/promises'
import type { Tool } from '../core/ports.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Zod } from '../protocol/zod.ts'
import { makeGuard, openFile, shown } from './guard.ts'
import { makeTool, said } from './kit.ts'

const pageLines = 2000
const pageBytes = 48 * 1024
const chunkBytes = 128 * 1024
/** Lines behind a page are counted this far; beyond it only bytes are told. */
const countBytes = 64 * 1024 * 1024
const newline = 10

export function readTool(stateDir: string, zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'read',
      label: 'Read a file',
      group: 'fs',
      repeat: 'safe',
      description: `Read a text file, at most ${pageLines} lines or ${pageBytes / 1024} kB at a time; the end says what is left.`,
      aliases: { file_path: 'path', filename: 'path', file: 'path' },
      input: z =>
        z.object({
          path: z.string().describe('in the workspace'),
          offset: z.int().min(1).optional().describe('first line, from 1'),
          limit: z.int().min(1).optional().describe('lines'),
        }),
      async run({ path, offset = 1, limit = pageLines }, context) {
        const guard = await makeGuard(context.workspace, stateDir, context.folder)
        const { file, real, size } = await openFile(guard, path)
        try {
          const page = await readPage(file, offset, Math.min(limit, pageLines), context.signal)
          const left = leftOver(page, offset, size)
          const note = left ? `${page.text.endsWith('\n') ? '' : '\n'}[${left}]` : ''
          return said(page.text + note || '[The file is empty.]', { path: shown(guard, real), size, lines: page.lines })
        } finally {
          await file.close()
        }
      },
    },
    zod,
  )
}

interface Page {
  text: string
  lines: number
  /** Lines of the file; null when they were too many to count. */
  total: number | null
  /** Where the page ends in the file. */
  end: number
  /** The first line alone is longer than a page, and cut. */
  cut: boolean
}

/** One page from line `first`. Throws for a binary file and for a line behind the end. */
async function readPage(file: FileHandle, first: number, limit: number, signal: AbortSignal): Promise<Page> {
  const head = await bytesAt(file, 0, 8192)
  const before = await scan(file, 0, first - 1, Number.POSITIVE_INFINITY, signal)
  const read = await bytesAt(file, before.offset, pageBytes)
  if (head.includes(0) || read.includes(0))
    throw new DeputyError('TOOL_FAILED', 'The file is binary.', {
      fix: 'Use exec with a program that knows its format.',
    })
  if (before.lines < first - 1 || (read.length === 0 && first > 1)) {
    const total = before.lines + (before.last === newline ? 0 : 1)
    throw new DeputyError('TOOL_FAILED', `The file has ${total} lines; line ${first} lies behind its end.`, {
      fix: 'Give a smaller offset.',
    })
  }
  const page = wholeLines(read, limit)
  const end = before.offset + page.bytes.length
  const rest = await scan(file, end, Number.POSITIVE_INFINITY, countBytes, signal)
  const pageLinesSeen = page.lines + (page.bytes.length > 0 && page.bytes.at(-1) !== newline ? 1 : 0)
  const behind = rest.offset > end ? rest.lines + (rest.last === newline ? 0 : 1) : 0
  const total = page.cut ? before.lines + Math.max(behind, 1) : before.lines + pageLinesSeen + behind
  return {
    text: page.bytes.toString('utf8'),
    lines: pageLinesSeen,
    total: rest.ended ? total : null,
    end,
    cut: page.cut,
  }
}

/** As many whole lines as fit, or the start of the first one when it is longer than a page. */
function wholeLines(read: Buffer, limit: number): { bytes: Buffer; lines: number; cut: boolean } {
  let lines = 0
  let end = 0
  while (lines < limit) {
    const next = read.indexOf(newline, end)
    if (next < 0) break
    lines += 1
    end = next + 1
  }
  const partial = lines < limit && end < read.length
  if (!partial) return { bytes: read.subarray(0, end), lines, cut: false }
  if (read.length < pageBytes) return { bytes: read, lines, cut: false }
  return lines > 0
    ? { bytes: read.subarray(0, end), lines, cut: false }
    : { bytes: atCharacter(read), lines: 0, cut: true }
}

/** Without the beginning of a UTF-8 character at the end. */
function atCharacter(bytes: Buffer): Buffer {
  let end = bytes.length
  while (end > bytes.length - 3 && (bytes[end - 1]! & 0xc0) === 0x80) end -= 1
  return bytes.subarray(0, bytes[end - 1]! >= 0xc0 ? end - 1 : bytes.length)
}

function leftOver(page: Page, first: number, size: number): string | null {
  if (page.cut) {
    const more = page.total === null || page.total > first ? ` The next line is offset ${first + 1}.` : ''
    return `Line ${first} is longer than a page and was cut after ${page.end} of the file's ${size} bytes; grep or exec shows more of it.${more}`
  }
  const next = first + page.lines
  if (page.total === null) return `${size - page.end} bytes are left: offset ${next}.`
  if (next > page.total) return null
  return `Lines ${first}–${next - 1} of ${page.total}; ${page.total - next + 1} are left: offset ${next}.`
}

async function bytesAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

/** Goes over line ends from `offset` until it has seen `lines` of them, read `bytes` bytes or met the end. */
async function scan(file: FileHandle, from: number, lines: number, bytes: number, signal: AbortSignal) {
  const seen = { lines: 0, offset: from, last: newline, ended: false }
  const chunk = Buffer.allocUnsafe(lines === 0 ? 0 : chunkBytes)
  while (seen.lines < lines && seen.offset - from < bytes) {
    signal.throwIfAborted()
    const { bytesRead } = await file.read(chunk, 0, chunkBytes, seen.offset)
    if (bytesRead === 0) {
      seen.ended = true
      break
    }
    let at = chunk.subarray(0, bytesRead).indexOf(newline)
    while (at >= 0 && at < bytesRead) {
      seen.lines += 1
      if (seen.lines === lines) return { ...seen, offset: seen.offset + at + 1, last: newline }
      at = chunk.subarray(0, bytesRead).indexOf(newline, at + 1)
    }
    seen.offset += bytesRead
    seen.last = chunk[bytesRead - 1]!
  }
  return seen
}
