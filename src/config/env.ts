/**
 * The variables that the configuration and the providers may use, and where each came from (openclaw-facts.md §E1).
 *
 * Order, the first that sets a name wins: the process's environment, `.env` of the working directory, `.env` of the home,
 * the configuration's `env.vars`. Never changes process.env: what a command may see is decided elsewhere.
 */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import type { Finding } from './check.ts'
import { reason } from './home.ts'

export type Env = Readonly<Record<string, string | undefined>>

/** `.env` files that exist and are safe to read, joined below the process's own variables. */
export function layeredEnv(own: Env, options: { cwd: string; envFile: string }): { env: Env; warnings: Finding[] } {
  const warnings: Finding[] = []
  const files = [...new Set([join(options.cwd, '.env'), options.envFile])]
  let env: Record<string, string | undefined> = {}
  for (const file of files.reverse()) env = { ...env, ...readEnvFile(file, warnings) }
  return { env: { ...env, ...own }, warnings }
}

function readEnvFile(file: string, warnings: Finding[]): Record<string, string | undefined> {
  try {
    const facts = statSync(file, { throwIfNoEntry: false })
    if (!facts?.isFile()) return {}
    const us = process.getuid?.()
    // Whoever can write it could hand us another provider address or key.
    if (us !== undefined && ((facts.uid !== us && facts.uid !== 0) || (facts.mode & 0o022) !== 0)) {
      warnings.push({ path: file, message: 'not read, because other users can write it' })
      return {}
    }
    if (facts.size > 1024 * 1024) {
      warnings.push({ path: file, message: 'not read, because it is larger than 1 MB' })
      return {}
    }
    return parseEnv(readFileSync(file, 'utf8'))
  } catch (error) {
    warnings.push({ path: file, message: `not read: ${reason(error)}` })
    return {}
  }
}
