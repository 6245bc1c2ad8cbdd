/**
 * The log: one line of JSON an event in a file of the home, and the same in short on the terminal (openclaw-facts.md §E9).
 *
 * Owns the file (0600), its size and the three before it. Known secrets and what `logging.redactPatterns` says are taken out
 * of every line first, also of what goes to the terminal. A file that can't be written is said on the terminal once and
 * stops nothing; writing begins again when it works.
 */
import { chmodSync, closeSync, fstatSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../core/ports.ts'

export const levels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const
export type Level = (typeof levels)[number]

/** Read at each line, so that a change counts at once. */
export interface LogSettings {
  level: Level
  consoleLevel: Level
  consoleStyle: 'pretty' | 'json'
  maxFileBytes: number
  redactPatterns: readonly string[]
}

export interface LogTail {
  file: string
  /** Where to go on: pass it as `cursor`. */
  cursor: number
  size: number
  lines: readonly string[]
  /** Older lines were left out. */
  truncated: boolean
  /** The file is another one than the cursor was for. */
  reset: boolean
}

export interface Logbook {
  readonly file: string
  write(
    level: Exclude<Level, 'silent'>,
    subsystem: string,
    message: string,
    fields?: Readonly<Record<string, unknown>>,
  ): void
  /** To the file alone, as info: what the terminal is told in other words. */
  note(subsystem: string, message: string, fields?: Readonly<Record<string, unknown>>): void
  /** Whole lines of the current file: the newest, or those after `cursor`. At most `limit` lines and `maxBytes` bytes. */
  tail(options: { cursor?: number | undefined; limit: number; maxBytes: number }): Promise<LogTail>
  close(): void
}

const keptFiles = 3
const newline = 10

export function openLogbook(options: {
  file: string
  clock: Clock
  settings(): LogSettings
  hide<T>(value: T): T
  console(line: string): void
}): Logbook {
  const { file, clock, hide } = options
  let fd: number | null = null
  let size = 0
  let failed = false
  let patterns: { of: readonly string[]; made: RegExp[] } = { of: [], made: [] }

  function redact(text: string): string {
    const { redactPatterns } = options.settings()
    if (patterns.of !== redactPatterns)
      patterns = { of: redactPatterns, made: redactPatterns.map(pattern => new RegExp(pattern, 'g')) }
    return patterns.made.reduce((shown, pattern) => shown.replace(pattern, '***'), text)
  }

  function append(line: string): void {
    try {
      fd ??= openFile()
      const bytes = Buffer.from(`${line}\n`)
      if (size > 0 && size + bytes.length > options.settings().maxFileBytes) {
        rotate()
        fd = openFile()
      }
      writeSync(fd, bytes)
      size += bytes.length
      failed = false
    } catch (error) {
      if (fd !== null) closeSync(fd)
      fd = null
      if (!failed) options.console(`error the log ${file} can't be written: ${(error as Error).message}`)
      failed = true
    }
  }

  function openFile(): number {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    const opened = openSync(file, 'a', 0o600)
    size = fstatSync(opened).size
    chmodSync(file, 0o600)
    return opened
  }

  function rotate(): void {
    if (fd !== null) closeSync(fd)
    fd = null
    for (let age = keptFiles - 1; age >= 0; age--) {
      const from = age === 0 ? file : `${file}.${age}`
      if (statSync(from, { throwIfNoEntry: false })) renameSync(from, `${file}.${age + 1}`)
    }
  }

  type Fields = Readonly<Record<string, unknown>>

  function entry(level: Level, subsystem: string, message: string, fields: Fields = {}) {
    const time = new Date(clock.now()).toISOString()
    // Values before they are written as JSON, which would spell a quote in one of them otherwise.
    const shown = { message: hide(message), fields: hide(fields) }
    const json = redact(JSON.stringify({ time, level, subsystem, message: shown.message, ...shown.fields }))
    return { shown, json }
  }

  const upTo = (level: Level, limit: Level) => levels.indexOf(level) <= levels.indexOf(limit)

  return {
    file,
    write(level, subsystem, message, fields) {
      const { level: inFile, consoleLevel, consoleStyle } = options.settings()
      const [toFile, toConsole] = [upTo(level, inFile), upTo(level, consoleLevel)]
      if (!toFile && !toConsole) return
      const { shown, json } = entry(level, subsystem, message, fields)
      if (toFile) append(json)
      if (!toConsole) return
      options.console(consoleStyle === 'json' ? json : redact(inShort(level, shown)))
    },
    note(subsystem, message, fields) {
      if (upTo('info', options.settings().level)) append(entry('info', subsystem, message, fields).json)
    },
    tail: asked => tailOf(file, asked),
    close() {
      if (fd !== null) closeSync(fd)
      fd = null
    },
  }
}

function inShort(level: Level, { message, fields }: { message: string; fields: object }): string {
  const more = Object.keys(fields).length > 0 ? ` ${JSON.stringify(fields)}` : ''
  return `${level === 'info' ? '' : `${level} `}${message}${more}`
}

async function tailOf(
  file: string,
  asked: { cursor?: number | undefined; limit: number; maxBytes: number },
): Promise<LogTail> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (!handle) return { file, cursor: 0, size: 0, lines: [], truncated: false, reset: (asked.cursor ?? 0) > 0 }
  try {
    const { size } = await handle.stat()
    const reset = asked.cursor !== undefined && asked.cursor > size
    const wanted = asked.cursor === undefined || reset ? 0 : asked.cursor
    const start = Math.max(wanted, size - asked.maxBytes)
    const bytes = Buffer.alloc(size - start)
    await handle.read(bytes, 0, bytes.length, start)
    // Whole lines only: what was cut off at the front is left out, what has no end yet comes with the next call.
    const from = start > wanted ? bytes.indexOf(newline) + 1 : 0
    const to = bytes.lastIndexOf(newline) + 1
    const all = to <= from ? [] : bytes.toString('utf8', from, to - 1).split('\n')
    const lines = all.slice(-asked.limit)
    return { file, cursor: start + to, size, lines, truncated: start > wanted || lines.length < all.length, reset }
  } finally {
    await handle.close()
  }
}
