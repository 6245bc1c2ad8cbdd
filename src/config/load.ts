/**
 * One reading of the configuration from disk: text, includes, variables, check. The start path; synchronous on purpose,
 * since nothing else can be done before it and a valid file costs a few milliseconds.
 *
 * Never writes but to close loose modes. Invariant: content never makes it throw; whatever is wrong is an issue.
 */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { delimiter } from 'node:path'
import { DeputyError, type ErrorCode } from '../protocol/errors.ts'
import type { Finding } from './check.ts'
import { isRecord } from './check.ts'
import { type Config, readConfig } from './config.ts'
import { type Env, layeredEnv } from './env.ts'
import { closeFile, type Home, isThere, reason } from './home.ts'
import { include, substitute } from './include.ts'
import { maxBytes, parseText, tooLarge } from './parse.ts'
import { openDoor } from './read.ts'

export interface Issue extends Finding {
  code: ErrorCode
  fix?: string
  line?: number
  column?: number
}

export interface Loaded {
  exists: boolean
  /** Text of the file; '' when there is none. */
  raw: string
  /** sha256 of `raw`, hex: what a writer shows to prove that it read this version. */
  hash: string
  /** As the file says it: includes and variables not put in. {} when it can't be parsed. */
  source: Record<string, unknown>
  /** With includes and without variables put in. */
  whole: Record<string, unknown>
  /** Null when there is an issue. */
  config: Config | null
  issues: readonly Issue[]
  warnings: readonly Finding[]
  /** Included files. */
  files: readonly string[]
  /** Variables of the process, of `.env` files and of `env.vars`, in that order. */
  env: Env
}

export interface Surroundings {
  home: Home
  env: Env
  cwd: string
}

/** Reads and checks the file. Never throws for what is in it. */
export function load(around: Surroundings): Loaded {
  const warnings: Finding[] = []
  try {
    const exists = isThere(around.home.config)
    const raw = exists ? readClosed(around.home.config, warnings) : ''
    return judge(raw, { ...around, exists, warnings })
  } catch (error) {
    return broken({ raw: '', exists: true, warnings, env: around.env }, readable(around.home.config, error))
  }
}

/** A refusal of the system, of whatever is on the way to the file, is an issue like any other. */
function readable(file: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('syscall' in error)) return error
  return new DeputyError('CONFIG_UNREADABLE', `${file} cannot be read: ${reason(error)}.`, {
    details: { file },
    cause: error,
  })
}

function readClosed(file: string, warnings: Finding[]): string {
  try {
    const closed = closeFile(file)
    if (closed) warnings.push({ path: file, message: closed })
    const { size } = statSync(file)
    if (size > maxBytes) throw tooLarge(file, size)
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw readable(file, cause)
  }
}

/** Checks `raw` as if it were the file. */
export function judge(raw: string, around: Surroundings & { exists: boolean; warnings?: Finding[] }): Loaded {
  const { home, exists } = around
  const layered = layeredEnv(around.env, { cwd: around.cwd, envFile: home.envFile })
  const warnings = [...(around.warnings ?? []), ...layered.warnings]
  const files: string[] = []
  let source: Record<string, unknown> = {}
  let whole: Record<string, unknown> = {}
  try {
    source = parseText(raw, home.config)
    const roots = (layered.env['DEPUTY_INCLUDE_ROOTS'] ?? '').split(delimiter).filter(root => root !== '')
    whole = include(source, home.config, roots, files)
    const env = { ...varsOf(whole, layered.env), ...layered.env }
    const { value, missing } = substitute(whole, env)
    const issues = missing.map(({ path, name }): Issue => {
      const message = `found \${${name}}, and the variable ${name} is not set`
      return {
        code: 'CONFIG_SECRET_UNRESOLVED',
        path,
        message,
        fix: `Set ${name} in the environment or in ${home.envFile}.`,
      }
    })
    const read = readConfig(value as Record<string, unknown>, home, env)
    issues.push(...read.issues.map((issue): Issue => ({ code: 'CONFIG_INVALID', ...issue })))
    const open = read.config && openDoor(read.config)
    if (open)
      issues.push({
        code: 'CONFIG_UNSAFE_BIND',
        path: 'gateway.auth.mode',
        message: `found "none" while the gateway listens on ${open.join(', ')}; allowed: "token", "password" or "trusted-proxy"`,
        fix: 'Set gateway.auth.mode to token, or gateway.bind to loopback.',
      })
    const config = issues.length === 0 ? read.config : null
    return {
      exists,
      raw,
      hash: hashOf(raw),
      source,
      whole,
      config,
      issues,
      warnings: [...warnings, ...read.warnings],
      files,
      env,
    }
  } catch (error) {
    return { ...broken({ raw, exists, warnings, env: layered.env }, error), source, whole, files }
  }
}

/** `env.vars` and the older direct form, their own references put in from what goes before them. */
function varsOf(value: Record<string, unknown>, env: Env): Record<string, string> {
  if (!isRecord(value['env'])) return {}
  const { vars, ...direct } = value['env']
  const all = Object.entries({ ...direct, ...(isRecord(vars) && vars) })
  const strings = all.flatMap(([name, item]) => (typeof item === 'string' ? [[name, item] as const] : []))
  return Object.fromEntries(strings.map(([name, item]) => [name, substitute(item, env).value as string]))
}

function broken(known: { raw: string; exists: boolean; warnings: Finding[]; env: Env }, error: unknown): Loaded {
  if (!(error instanceof DeputyError)) throw error
  const { line, column, file } = error.details as { line?: number; column?: number; file?: string }
  const issue: Issue = {
    code: error.code,
    path: file ?? '',
    message: error.message,
    fix: error.fix,
    ...(line !== undefined && { line }),
    ...(column !== undefined && { column }),
  }
  return { ...known, hash: hashOf(known.raw), source: {}, whole: {}, config: null, issues: [issue], files: [] }
}

export function hashOf(raw: string): string {
  return createHash('sha256').update(raw).digest('hex')
}

/** The issues as the one error that a refusal to start shows. */
export function refusal(file: string, issues: readonly Issue[]): DeputyError {
  const [first] = issues
  if (!first) return new DeputyError('INTERNAL', 'There was no issue to refuse for.')
  const whole = ['CONFIG_SYNTAX', 'CONFIG_UNREADABLE'].includes(first.code) || first.path === file || first.path === ''
  const sentence = whole ? first.message : `${file}: ${first.path}: ${first.message}.`
  const more =
    issues.length > 1
      ? ` And ${issues.length - 1} more: ${issues
          .slice(1, 6)
          .map(issue => issue.path)
          .join(', ')}.`
      : ''
  const { line, column } = first
  return new DeputyError(first.code, sentence + more, {
    fix: first.fix ?? `Mend ${first.path}, then check it: deputy config validate`,
    details: {
      key: first.path,
      issues: issues.slice(0, 50).map(({ path, message }) => ({ path, message })),
      ...(line !== undefined && { line, column }),
    },
  })
}
