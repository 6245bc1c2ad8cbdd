/**
 * OpenClaw's own clients from npm, at pinned versions, in a cache outside of the project.
 *
 * Owns where they are and puts them there when they are missing (once; a gigabyte and some minutes). `DEPUTY_PEERS` names
 * another place. Nothing of them is shipped or copied: the tests run what npm installed.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

const packages = {
  '9.6': { name: 'openclaw', version: '2026.9.6' },
  '4.12': { name: 'openclaw', version: '2026.4.12' },
  node: { name: 'openclaw-node', version: '0.14.0' },
  playwright: { name: 'playwright-core', version: '1.65.1' },
} as const

export type Peer = keyof typeof packages

/** The installed package's own folder. */
export async function peer(which: Peer): Promise<string> {
  const { name, version } = packages[which]
  const cache = process.env['DEPUTY_PEERS'] ?? join(homedir(), '.cache', 'deputy-peers')
  const dir = join(cache, `${name}-${version}`)
  const found = join(dir, 'node_modules', name)
  if (existsSync(join(found, 'package.json'))) return found
  const part = `${dir}.part-${process.pid}`
  mkdirSync(part, { recursive: true })
  writeFileSync(join(part, 'package.json'), '{ "private": true }\n')
  const env = { ...process.env, PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD: '1' }
  await run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', `${name}@${version}`], { cwd: part, env })
  // Two test files may have installed it at once: the first one's is taken.
  if (existsSync(dir)) rmSync(part, { recursive: true })
  else renameSync(part, dir)
  return found
}
