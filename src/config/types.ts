/**
 * What the configuration offers to the rest of the house, as shapes. store.ts carries it out.
 */
import type { Finding } from './check.ts'
import type { Config } from './config.ts'
import type { Env } from './env.ts'
import type { Home } from './home.ts'
import type { Issue } from './load.ts'

export interface OpenOptions {
  /** As given by --home. Default: DEPUTY_HOME, else ~/.deputy. */
  home?: string | undefined
  /** As given by --config. Default: DEPUTY_CONFIG_PATH, else deputy.json in the home. */
  file?: string | undefined
  env: Env
  /** Where a `.env` is looked for besides the home's. */
  cwd?: string
  /** Take the last configuration that worked when the file doesn't; `issues` says what is wrong with the file. */
  lastGood?: boolean
}

/** A change that is in force. */
export interface Change {
  /** Of the file now. */
  hash: string
  /** Keys whose values are other than before, as joinPath writes them. */
  changed: readonly string[]
  /** Those of them that take effect at the next start only. */
  restart: readonly string[]
  /** False when the comments of the file were lost; the backup has them. */
  commentsKept: boolean
}

/** The answer to `config.get` (openclaw-facts.md §C4), without a secret in it. */
export interface ConfigView {
  path: string
  exists: boolean
  /** Null when the text can't be shown without its secrets. */
  raw: string | null
  hash: string
  valid: boolean
  /** As the file says it. */
  parsed: unknown
  /** With defaults filled in; null while nothing valid was ever read. */
  config: unknown
  issues: readonly Issue[]
  warnings: readonly Finding[]
}

export interface ConfigStore {
  readonly home: Home
  /** Whether there is a file. Without one everything is default. */
  readonly exists: boolean
  readonly raw: string
  /** sha256 of the text. */
  readonly hash: string
  /** Variables of the process, of `.env` files and of `env.vars`. */
  readonly env: Env
  readonly warnings: readonly Finding[]
  /** What is wrong with the file as it is now; empty = nothing. */
  readonly issues: readonly Issue[]
  /** True when `current()` is the last one that worked, because the file doesn't. */
  readonly onLastGood: boolean
  /** Throws what is wrong (`CONFIG_SYNTAX`, `CONFIG_INVALID`, `CONFIG_UNREADABLE`, `CONFIG_SECRET_UNRESOLVED`) when there never was a valid one. */
  current(): Config
  /** The value at `path` with defaults and references put in; undefined when there is none. Secrets as they are. */
  get(path: string): unknown
  view(): ConfigView
  /** What a text would do as the file. */
  validate(text: string): { issues: readonly Issue[]; warnings: readonly Finding[] }
  /** Sets one key; undefined takes it away. */
  set(path: string, value: unknown): Promise<Change>
  /** Merge patch as JSON5 text. Lists at `replacePaths` are replaced, not merged by id. Throws `CONFIG_CONFLICT` for a stale hash. */
  patch(raw: string, baseHash: string | undefined, replacePaths?: readonly string[]): Promise<Change>
  /** Replaces the whole text. Throws `CONFIG_CONFLICT` for a stale hash. */
  apply(raw: string, baseHash: string | undefined): Promise<Change>
  /** Puts the last configuration that worked in the place of the file; the file stays as the newest backup. */
  restore(): Promise<Change>
  /** Makes a token and stores it when callers must show one and there is none. True when it did. */
  ensureToken(): Promise<boolean>
  /** Keeps what is in force as last known good: to be called when the gateway has started with it. */
  markGood(): Promise<void>
  /** Reads the file again. Null when nothing changed, or when it is not valid: then `issues` says why. */
  reload(): Change | null
  /** Takes changes of the file as they are saved. `onChange` and `onIssues` tell. The function returned ends it. */
  watch(): () => void
  /** Told after a change is in force. The function returned ends it. */
  onChange(listener: (change: Change) => void): () => void
  /** Told when the file was changed and can't be taken. */
  onIssues(listener: (issues: readonly Issue[]) => void): () => void
}
