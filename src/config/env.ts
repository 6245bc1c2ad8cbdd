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
  const near = join(options.cwd, '.env')
  const home = readEnvFile(options.envFile, warnings)
  const local = near === options.envFile ? {} : withoutSteering(near, readEnvFile(near, warnings), warnings)
  return { env: { ...home, ...local, ...own }, warnings }
}

/**
 * A working directory may hold somebody else's project. Its `.env` may bring keys, and must not decide where the gateway
 * connects to or how it starts.
 */
function withoutSteering(file: string, env: Record<string, string | undefined>, warnings: Finding[]) {
  const steers = /^(DEPUTY|OPENCLAW|NODE|LD|DYLD)_|_(URL|URI|HOST|ENDPOINT|PROXY)$|^PATH$/i
  const taken = Object.entries(env).filter(([name]) => !steers.test(name))
  const left = Object.keys(env).filter(name => steers.test(name))
  if (left.length > 0) warnings.push({ path: file, message: `${left.join(', ')} not taken from the working directory` })
  return Object.fromEntries(taken)
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
