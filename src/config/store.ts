/**
 * The configuration as it is now, and the only way to change it.
 *
 * Owns deputy.json, its backups and its last-known-good copy. Never holds a resolved secret (secrets.ts does).
 * Invariants: nothing is written that was not checked first; `current()` is always a Config that passed every check; a
 * change of the file that does not pass leaves `current()` as it was and is told as `issues`.
 */
import { existsSync, readFileSync } from 'node:fs'
import type { Finding } from './check.ts'
import type { Config } from './config.ts'
import type { Env } from './env.ts'
import { type Home, homeOf } from './home.ts'
import { type Issue, judge, type Loaded, load, refusal } from './load.ts'
import { getAt, parsePath } from './path.ts'

export interface OpenOptions {
  /** As given by --home. Default: DEPUTY_HOME, else ~/.deputy. */
  home?: string
  /** As given by --config. Default: DEPUTY_CONFIG_PATH, else deputy.json in the home. */
  file?: string
  env: Env
  /** Where a `.env` is looked for besides the home's. */
  cwd?: string
  /** Take the last configuration that worked when the file doesn't. `current()` says so in `warnings`. */
  lastGood?: boolean
}

export interface ConfigStore {
  readonly home: Home
  /** Whether there is a file. Without one everything is default. */
  readonly exists: boolean
  readonly raw: string
  readonly hash: string
  /** Variables of the process, `.env` files and `env.vars`. */
  readonly env: Env
  readonly warnings: readonly Finding[]
  /** What is wrong with the file as it is now; empty = nothing. */
  readonly issues: readonly Issue[]
  /** Throws what is wrong (`CONFIG_SYNTAX`, `CONFIG_INVALID`, `CONFIG_UNREADABLE`, `CONFIG_SECRET_UNRESOLVED`) when there never was a valid one. */
  current(): Config
  /** What the file says at `path`, else the default; undefined when neither. */
  get(path: string): unknown
  /** What a text would do as the file. */
  validate(text: string): { issues: readonly Issue[]; warnings: readonly Finding[] }
}

export function openConfig(options: OpenOptions): ConfigStore {
  const home = homeOf({ home: options.home, config: options.file, env: options.env })
  const around = { home, env: options.env, cwd: options.cwd ?? process.cwd() }
  const loaded: Loaded = load(around)
  const good = loaded.config === null && options.lastGood ? lastGoodOf(around) : null
  const config = loaded.config ?? good
  return {
    home,
    exists: loaded.exists,
    raw: loaded.raw,
    hash: loaded.hash,
    env: loaded.env,
    warnings: loaded.warnings,
    issues: loaded.issues,
    current() {
      if (config === null) throw refusal(home.config, loaded.issues)
      return config
    },
    get: path => getAt(config ?? loaded.source, parsePath(path)),
    validate: text => judge(text, { ...around, exists: true }),
  }
}

function lastGoodOf(around: { home: Home; env: Env; cwd: string }): Config | null {
  if (!existsSync(around.home.lastGood)) return null
  return judge(readFileSync(around.home.lastGood, 'utf8'), { ...around, exists: true }).config
}
