/**
 * What an import says of each thing that it met, and reading what another program wrote.
 * Owns the shapes; never writes.
 */
import { readdirSync, readFileSync } from 'node:fs'
import type { Home } from '../../config/home.ts'
import { reason } from '../../config/home.ts'

export interface Item {
  what: string
  /** Path in the home that it comes from. */
  from: string
  /** `there`: it was here already. `failed`: it could not be read, or not be used. */
  state: 'taken' | 'there' | 'left' | 'failed'
  why: string
  /** What a person should do about it; null when nothing. */
  todo: string | null
}

export interface Importing {
  /** OpenClaw's directory. */
  source: string
  home: Home
  env: Readonly<Record<string, string | undefined>>
  /** Nothing is written. */
  dry: boolean
  /** A deputy.json that differs is replaced, its versions before kept. */
  force: boolean
}

export function item(state: Item['state'], what: string, from: string, why: string, todo: string | null = null): Item {
  return { what, from, state, why, todo }
}

/** The object in a JSON file; null when there is no file, words when it is no JSON object. */
export function readRecord(path: string): Record<string, unknown> | string | null {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return record(value) ?? 'it holds no JSON object'
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return null
    // The words of the parser would show what is in the file.
    return error instanceof SyntaxError ? 'it is not JSON' : reason(error)
  }
}

export function record(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null
}

export function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}

export function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(each => typeof each === 'string' && each !== '') : []
}

/** Names in a directory, sorted; none when it cannot be listed. */
export function names(path: string): string[] {
  try {
    return readdirSync(path).sort()
  } catch {
    return []
  }
}
