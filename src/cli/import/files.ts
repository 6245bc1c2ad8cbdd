/**
 * Files of an OpenClaw home that become files of ours: keys of agents, workspaces, WhatsApp's logins.
 *
 * Invariants: what is there already is left; a folder is copied beside its place and renamed, so that it is whole or not there.
 */
import { existsSync, readFileSync } from 'node:fs'
import { chmod, cp, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { accountDir, ensureDir } from '../../config/home.ts'
import { writeWhole } from '../../config/write.ts'
import { type Importing, type Item, item, names, readRecord, record } from './item.ts'

const agentName = /^[a-z0-9][a-z0-9_-]{0,63}$/i

export async function bringKeys({ source, home, dry }: Importing): Promise<Item[]> {
  const items: Item[] = []
  for (const id of names(join(source, 'agents')).filter(name => agentName.test(name))) {
    const from = join(source, 'agents', id, 'agent', 'auth-profiles.json')
    const what = `keys of ${id}`
    const profiles = readRecord(from)
    if (profiles === null) continue
    if (typeof profiles === 'string') {
      items.push(item('failed', what, from, profiles, 'Set the keys anew: docs/configuration.md'))
      continue
    }
    const to = home.authProfiles(id)
    if (existsSync(to)) {
      items.push(item('there', what, from, `${to} stays as it is`))
      continue
    }
    if (!dry) await writeWhole(to, readFileSync(from, 'utf8'))
    items.push(item('taken', what, from, `as ${to}`))
    const logins = Object.entries(record(profiles['profiles']) ?? {}).filter(
      ([, one]) => record(one)?.['type'] === 'oauth',
    )
    for (const [name] of logins)
      items.push(item('left', `login ${name}`, from, 'a login by OAuth is not used', 'Give the provider a key.'))
  }
  return items
}

/** Those that lie where OpenClaw puts them by itself; one that the configuration names stays in its place. */
export async function bringWorkspaces({ source, home, dry }: Importing): Promise<Item[]> {
  const items: Item[] = []
  for (const name of names(source).filter(name => /^workspace(-[a-z0-9][a-z0-9_-]*)?$/i.test(name))) {
    const [from, to] = [join(source, name), join(home.dir, name)]
    if ((await content(to)).length > 0) {
      items.push(item('there', name, from, `${to} stays as it is`))
      continue
    }
    if (!dry) await copyFolder(from, to)
    items.push(item('taken', name, from, `copied to ${to}`))
  }
  return items
}

/** The channel makes its own file of it when it starts (src/channels/whatsapp/folder.ts). */
export async function bringWhatsApp({ source, home, dry }: Importing): Promise<Item[]> {
  const items: Item[] = []
  const root = join(source, 'credentials', 'whatsapp')
  for (const account of names(root)) {
    const from = join(root, account)
    const what = `WhatsApp login ${account}`
    const creds = readRecord(join(from, 'creds.json'))
    const again = `Log in: deputy channels login whatsapp --account ${account}`
    if (creds === null || typeof creds === 'string') {
      items.push(item('failed', what, from, `creds.json: ${creds ?? 'it is not there'}`, again))
      continue
    }
    if (!record(creds['account']) || !record(creds['noiseKey'])) {
      items.push(item('left', what, from, 'no phone has linked it', again))
      continue
    }
    const to = accountDir(home.dir, 'whatsapp', account)
    if ((await content(to)).length > 0) {
      items.push(item('there', what, from, `${to} has a login`))
      continue
    }
    if (!dry) {
      await copyFolder(from, to, 0o600)
    }
    const stop = 'Stop OpenClaw for good before you start Deputy: two programs with one login put each other out.'
    items.push(item('taken', what, from, `copied to ${to}`, stop))
  }
  return items
}

async function content(path: string): Promise<string[]> {
  return readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
}

async function copyFolder(from: string, to: string, mode?: number): Promise<void> {
  ensureDir(dirname(to))
  const part = `${to}.part`
  await rm(part, { recursive: true, force: true })
  await cp(from, part, { recursive: true, verbatimSymlinks: true })
  await chmod(part, 0o700)
  if (mode !== undefined) for (const name of await readdir(part)) await chmod(join(part, name), mode)
  await rename(part, to)
}
