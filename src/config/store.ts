/**
 * The configuration as it is now, and the only way to change it.
 *
 * Owns deputy.json, its backups and its last-known-good copy. Never holds a resolved secret (secrets.ts does).
 * Invariants: nothing is written that was not checked first; `current()` is always a Config that passed every check; a
 * file that does not pass leaves `current()` as it was and is told as `issues`; changes follow one another, each from the
 * file as it is on the disk then.
 */
import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { DeputyError } from '../protocol/errors.ts'
import { isRecord } from './check.ts'
import type { Config } from './config.ts'
import { rewrite } from './edit.ts'
import type { Env } from './env.ts'
import { newToken } from './first.ts'
import { type Home, homeOf, isThere, reason } from './home.ts'
import { type Issue, judge, type Loaded, load, refusal } from './load.ts'
import { differences, mergePatch } from './merge.ts'
import { parseText } from './parse.ts'
import { getAt, joinPath, type Path, parsePath, setAt } from './path.ts'
import { redact, redacted, redactText, unredact } from './redact.ts'
import { restartNeeded } from './restart.ts'
import type { Change, ConfigStore, OpenOptions } from './types.ts'
import { watchFiles } from './watch.ts'
import { keepBackup, writeWhole } from './write.ts'

export type { Change, ConfigStore, ConfigView, OpenOptions } from './types.ts'

/** Synchronous: nothing can start before it. Never throws for what is in the file; `current()` does. */
export function openConfig(options: OpenOptions): ConfigStore {
  const home = homeOf({ home: options.home, config: options.file, env: options.env })
  const around = { home, env: options.env, cwd: options.cwd ?? process.cwd() }
  const changeListeners = new Set<(change: Change) => void>()
  const issueListeners = new Set<(issues: readonly Issue[]) => void>()
  let loaded = load(around)
  let config = loaded.config
  let onLastGood = false
  let queue: Promise<unknown> = Promise.resolve()
  if (config === null && options.lastGood) {
    config = lastGoodOf(around)
    onLastGood = config !== null
  }

  const take = (next: Loaded, commentsKept: boolean): Change => {
    const both = config !== null && next.config !== null
    const differ = both ? differences(plain(config), plain(next.config)) : differences(loaded.whole, next.whole)
    const changed = differ.map(({ path }) => joinPath(path))
    loaded = next
    if (next.config) {
      config = next.config
      onLastGood = false
    }
    const change = { hash: next.hash, changed, restart: changed.filter(restartNeeded), commentsKept }
    for (const listener of changeListeners) listener(change)
    return change
  }

  const tell = (issues: readonly Issue[]) => {
    for (const listener of issueListeners) listener(issues)
  }

  /** Reads the file afresh, lets `make` say what it should be, checks that, writes it, takes it. One after the other. */
  const write = (baseHash: string | null | undefined, make: (now: Loaded) => { text: string; kept: boolean }) => {
    const work = queue.then(async () => {
      const now = load(around)
      checkBase(now, baseHash)
      const { text, kept } = make(now)
      const next = judge(text, { ...around, exists: true })
      // A variable that is missing here may be set where the gateway runs; that is no reason to refuse another change.
      const fresh = next.issues.filter(
        issue => issue.code !== 'CONFIG_SECRET_UNRESOLVED' || !now.issues.some(old => old.message === issue.message),
      )
      if (fresh.length > 0) throw refusal(home.config, fresh)
      if (now.exists && text === now.raw) return take(next, true)
      if (now.exists) await keepBackup(home.config)
      await writeWhole(home.config, text)
      return take(next, kept)
    })
    // Its caller is told of a failure; the next change goes on from the file as it is.
    queue = work.catch(() => undefined)
    return work
  }

  const store: ConfigStore = {
    home,
    get exists() {
      return loaded.exists
    },
    get raw() {
      return loaded.raw
    },
    get hash() {
      return loaded.hash
    },
    get env() {
      return loaded.env
    },
    get warnings() {
      return loaded.warnings
    },
    get issues() {
      return loaded.issues
    },
    get onLastGood() {
      return onLastGood
    },
    current() {
      if (config === null) throw refusal(home.config, loaded.issues)
      return config
    },
    get(path) {
      const at = parsePath(path)
      return getAt(plain(config), at) ?? getAt(loaded.whole, at)
    },
    view: () => ({
      path: home.config,
      exists: loaded.exists,
      raw: redactText(loaded.raw, loaded.source),
      hash: loaded.hash,
      valid: loaded.issues.length === 0,
      parsed: redact(loaded.source),
      config: redact(plain(config)),
      issues: loaded.issues,
      warnings: loaded.warnings,
    }),
    validate: text => judge(text, { ...around, exists: true }),
    set: (path, value) =>
      write(null, now => {
        const at = placed(parsePath(path), now.source)
        return edited(now, parsed => setAt(parsed, at, value) as Record<string, unknown>, home)
      }),
    patch: (raw, baseHash, replacePaths = []) =>
      write(baseHash, now => {
        const patch = parseText(raw, 'the patch')
        return edited(now, parsed => merged(parsed, patch, replacePaths), home)
      }),
    apply: (raw, baseHash) =>
      write(baseHash, now => {
        const wanted = parseText(raw, 'the new text')
        return raw.includes(redacted) ? rewrite(raw, wanted, unredacted(wanted, now.source)) : { text: raw, kept: true }
      }),
    restore: () =>
      write(null, () => {
        if (!isThere(home.lastGood))
          throw new DeputyError('CONFIG_UNREADABLE', 'There is no configuration that worked before.', {
            fix: `The versions before are beside it: ${home.config}.bak`,
          })
        return { text: readFileSync(home.lastGood, 'utf8'), kept: true }
      }),
    async ensureToken() {
      const { auth } = store.current().gateway
      const wanted = auth.mode === 'token' || (auth.mode === undefined && auth.password === undefined)
      if (!wanted || auth.token !== undefined) return false
      await store.set('gateway.auth.token', newToken())
      return true
    },
    async markGood() {
      if (loaded.config === null || !loaded.exists) return
      const text = loaded.files.length === 0 ? loaded.raw : `${JSON.stringify(loaded.whole, null, 2)}\n`
      if (isThere(home.lastGood) && readFileSync(home.lastGood, 'utf8') === text) return
      await writeWhole(home.lastGood, text)
    },
    reload() {
      const next = load(around)
      const before = loaded
      if (next.config) {
        if (onLastGood || differences(plain(config), plain(next.config)).length > 0) return take(next, true)
        loaded = next
        return null
      }
      loaded = { ...next, env: before.env }
      if (!isDeepStrictEqual(next.issues, before.issues)) tell(next.issues)
      return null
    },
    watch() {
      return watchFiles(
        () => [home.config, ...loaded.files],
        () => void store.reload(),
        error =>
          tell([
            { code: 'CONFIG_UNREADABLE', path: home.config, message: `Its changes are not seen: ${reason(error)}.` },
          ]),
      )
    },
    onChange: listener => listen(changeListeners, listener),
    onIssues: listener => listen(issueListeners, listener),
  }
  return store
}

function listen<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

function lastGoodOf(around: { home: Home; env: Env; cwd: string }): Config | null {
  if (!isThere(around.home.lastGood)) return null
  return judge(readFileSync(around.home.lastGood, 'utf8'), { ...around, exists: true }).config
}

/** The values alone. */
function plain(config: Config | null): unknown {
  if (config === null) return undefined
  const { home: _, ...settings } = config
  return settings
}

function checkBase(now: Loaded, baseHash: string | null | undefined): void {
  if (baseHash === null || !now.exists) return
  if (baseHash === undefined)
    throw new DeputyError('INVALID_REQUEST', 'config base hash required; re-run config.get and retry')
  if (baseHash !== now.hash)
    throw new DeputyError('CONFIG_CONFLICT', 'config changed since last load; re-run config.get and retry', {
      details: { hash: now.hash },
    })
}

/** The file's text after a change of what it says. A file that can't be parsed can't be changed in part. */
function edited(
  now: Loaded,
  change: (parsed: Record<string, unknown>) => Record<string, unknown>,
  home: Home,
): { text: string; kept: boolean } {
  const unparsed = now.issues.find(issue => ['CONFIG_SYNTAX', 'CONFIG_UNREADABLE'].includes(issue.code))
  if (unparsed) throw refusal(home.config, [unparsed])
  return rewrite(now.raw, now.source, unredacted(change(now.source), now.source))
}

function merged(parsed: unknown, patch: unknown, replacePaths: readonly string[]): Record<string, unknown> {
  return mergePatch(parsed, patch, replacePaths) as Record<string, unknown>
}

function unredacted(wanted: Record<string, unknown>, stored: unknown): Record<string, unknown> {
  return unredact(wanted, stored) as Record<string, unknown>
}

/** `agents.entries.<id>` of a file that lists its agents means the item of the list with that id. */
function placed(path: Path, parsed: unknown): Path {
  const list = getAt(parsed, ['agents', 'list'])
  const [agents, entries, id, ...rest] = path
  if (agents !== 'agents' || entries !== 'entries' || id === undefined || !Array.isArray(list)) return path
  const index = list.findIndex(item => isRecord(item) && String(item['id']).toLowerCase() === String(id).toLowerCase())
  return index < 0 ? path : ['agents', 'list', index, ...rest]
}
