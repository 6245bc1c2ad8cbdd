/**
 * Where the value of a secret reference comes from: a variable, a file, a program (openclaw-facts.md §E6).
 *
 * Never keeps a value and never puts one into an error. A file or program that other users can write is refused: they
 * could choose the secret.
 */
import { readFileSync, statSync } from 'node:fs'
import { DeputyError } from '../protocol/errors.ts'
import type { Config, SecretRef } from './config.ts'
import type { Env } from './env.ts'
import { askProgram } from './exec-secrets.ts'
import { expand, reason } from './home.ts'

/** One string per secret. */
export function keyOf(ref: SecretRef): string {
  return JSON.stringify([ref.source, ref.provider, ref.id])
}

/** Asks every program once for all that is wanted of it; by keyOf, the value or what is wrong. */
export async function askPrograms(
  refs: readonly SecretRef[],
  config: Config,
  env: Env,
): Promise<Map<string, string | DeputyError>> {
  const answers = new Map<string, string | DeputyError>()
  const byProvider = Map.groupBy(refs, ref => ref.provider)
  await Promise.all(
    [...byProvider].map(async ([provider, wanted]) => {
      const settings = config.secrets.providers[provider]
      const ids = [...new Set(wanted.map(ref => ref.id))]
      const values = settings?.source === 'exec' ? await askProgram(provider, settings, ids, env) : null
      for (const ref of wanted) {
        const value = values?.get(ref.id) ?? unresolved(ref, `secrets.providers.${provider} is not a program`)
        answers.set(
          keyOf(ref),
          value instanceof DeputyError || typeof value === 'string' ? value : unresolved(ref, value.problem),
        )
      }
    }),
  )
  return answers
}

/** Throws `CONFIG_SECRET_UNRESOLVED`. */
export function fromEnv(ref: SecretRef, config: Config, env: Env): string {
  const settings = config.secrets.providers[ref.provider]
  if (settings && settings.source !== 'env')
    throw unresolved(ref, `secrets.providers.${ref.provider} is of another kind`)
  if (settings?.allowlist && !settings.allowlist.includes(ref.id))
    throw unresolved(ref, `secrets.providers.${ref.provider}.allowlist does not name it`)
  const value = Object.hasOwn(env, ref.id) ? env[ref.id] : undefined
  if (!value)
    throw unresolved(ref, 'the variable is not set', `Set ${ref.id} in the environment or in ${config.home.envFile}.`)
  return value
}

/** Throws `CONFIG_SECRET_UNRESOLVED`. */
export function fromFile(ref: SecretRef, config: Config): string {
  const settings = config.secrets.providers[ref.provider]
  if (settings?.source !== 'file' || !settings.path)
    throw unresolved(ref, `secrets.providers.${ref.provider} names no file`)
  const path = expand(settings.path, config.home.user, config.home.dir)
  let text: string
  try {
    const facts = statSync(path)
    if (!facts.isFile()) throw unresolved(ref, `${path} is not a file`)
    if ((facts.mode & 0o022) !== 0) throw unresolved(ref, `${path} can be written by other users`, `chmod go-w ${path}`)
    if (facts.size > (settings.maxBytes ?? 1024 * 1024)) throw unresolved(ref, `${path} is too large`)
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (cause instanceof DeputyError) throw cause
    throw unresolved(ref, `${path} cannot be read: ${reason(cause)}`)
  }
  if (settings.mode === 'singleValue') {
    const value = text.replace(/\r?\n$/, '')
    if (value === '') throw unresolved(ref, `${path} is empty`)
    return value
  }
  const value = pointer(parseJson(text, ref, path), ref.id)
  if (typeof value !== 'string' || value === '') throw unresolved(ref, `${path} has no string at ${ref.id}`)
  return value
}

function parseJson(text: string, ref: SecretRef, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's message quotes the text, which holds secrets: it must not be passed on.
    throw unresolved(ref, `${path} is not valid JSON`)
  }
}

/** JSON pointer (RFC 6901); `a/b` is taken as `/a/b`. */
function pointer(value: unknown, written: string): unknown {
  const parts = written.replace(/^\//, '').split('/')
  return parts
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>(
      (at, part) =>
        typeof at === 'object' && at !== null && Object.hasOwn(at, part)
          ? (at as Record<string, unknown>)[part]
          : undefined,
      value,
    )
}

export function unresolved(ref: SecretRef, why: string, fix?: string): DeputyError {
  const message = `The secret ${ref.id} (${ref.source}, ${ref.provider}) is not there: ${why}.`
  return new DeputyError('CONFIG_SECRET_UNRESOLVED', message, { details: { ...ref }, ...(fix && { fix }) })
}
