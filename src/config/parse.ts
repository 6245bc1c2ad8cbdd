/**
 * Text of a configuration file → plain values, with limits that hold for hostile text.
 *
 * Never touches a file. Invariants: what it returns is made of plain objects, lists, strings, finite numbers, booleans and
 * null, is at most 64 levels deep and has no key `__proto__`.
 */
import JSON5 from 'json5'
import { DeputyError } from '../protocol/errors.ts'

/** Largest text in bytes, of the file and of each included one (openclaw-facts.md §E1). */
export const maxBytes = 2 * 1024 * 1024
const maxDepth = 64

/** Throws `CONFIG_SYNTAX` with `details.line` and `.column`, or `CONFIG_INVALID` for what is too large, too deep or no object. */
export function parseText(text: string, file: string): Record<string, unknown> {
  if (Buffer.byteLength(text) > maxBytes) throw tooLarge(file, Buffer.byteLength(text))
  const value = text.trim() === '' ? {} : json5(text, file)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DeputyError('CONFIG_INVALID', `${file} must hold an object: { … }.`, { details: { file } })
  plain(value, file, 0)
  return value as Record<string, unknown>
}

export function tooLarge(file: string, bytes: number): DeputyError {
  return new DeputyError('CONFIG_INVALID', `${file} has ${bytes} bytes; at most ${maxBytes} are allowed.`, {
    fix: 'Is it the right file? Split a long one with $include.',
    details: { file, bytes },
  })
}

function json5(text: string, file: string): unknown {
  try {
    // A byte order mark is what some editors put first.
    return JSON5.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text)
  } catch (cause) {
    const { lineNumber: line, columnNumber: column } = cause as { lineNumber?: number; columnNumber?: number }
    if (line === undefined || column === undefined) throw cause
    const what = (cause as Error).message.replace(/^JSON5: /, '').replace(/ at \d+:\d+$/, '')
    const message = `${file} is not valid JSON5 at line ${line}, column ${column}: ${what}.`
    throw new DeputyError('CONFIG_SYNTAX', message, { details: { file, line, column } })
  }
}

function plain(value: unknown, file: string, depth: number): void {
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new DeputyError('CONFIG_INVALID', `${file} holds ${value}, which is no number that can be stored.`, {
      details: { file },
    })
  if (typeof value !== 'object' || value === null) return
  if (depth >= maxDepth)
    throw new DeputyError('CONFIG_INVALID', `${file} is nested deeper than ${maxDepth} levels.`, {
      fix: 'No key is that deep; look for a bracket too many.',
      details: { file },
    })
  for (const [key, item] of Object.entries(value)) {
    if (key === '__proto__')
      throw new DeputyError('CONFIG_INVALID', `${file} has a key "__proto__", which is not allowed.`, {
        fix: 'Take it out.',
        details: { file, key },
      })
    plain(item, file, depth + 1)
  }
}
