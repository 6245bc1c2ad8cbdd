/**
 * A WhatsApp login of OpenClaw is taken over while the process is killed at any moment: it is there whole, or it is taken again.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { takeFolder } from '../../src/channels/whatsapp/folder.ts'
import { keepPath, openKeep } from '../../src/channels/whatsapp/keep.ts'
import { library } from '../../src/channels/whatsapp/library.ts'
import { tempDir } from '../support/temp.ts'

/** As many as a phone that was linked for long has. */
const sessions = 800
const kills = process.env['DEPUTY_LONG'] ? 120 : 2
const child = join(import.meta.dirname, 'login-child.ts')
let login = ''
let before = ''

beforeAll(async () => {
  const lib = await library()
  login = mkdtempSync(join(tmpdir(), 'deputy-login-'))
  const { state, saveCreds } = await lib.useMultiFileAuthState(login)
  Object.assign(state.creds, { account: { details: Buffer.of(1) } })
  await saveCreds()
  const session = Object.fromEntries(
    Array.from({ length: sessions }, (_none, n) => [`49151${n}_1.0`, { key: Buffer.alloc(600, n), n }]),
  )
  await state.keys.set({ session: session as never })
  before = hashOf(login)
})

afterAll(() => rmSync(login, { recursive: true, force: true }))

function hashOf(folder: string): string {
  const hash = createHash('sha256')
  const names = readdirSync(folder).filter(name => !name.startsWith('whatsapp.log'))
  for (const name of names.sort()) hash.update(name).update(readFileSync(join(folder, name)))
  return hash.digest('hex')
}

/** As another process, killed so long after it began. */
async function takeAndDie(folder: string, how: 'keep' | 'remove', afterMs: number): Promise<void> {
  const run = spawn(process.execPath, [child, folder, how], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(run, 'exit')
  await once(run.stdout, 'data')
  await sleep(afterMs)
  run.kill('SIGKILL')
  await ended
}

/** How long it lasted, in ms. */
async function take(folder: string, how: 'keep' | 'remove'): Promise<number> {
  const lib = await library()
  const at = performance.now()
  takeFolder(keepPath(folder), lib, { remove: how === 'remove', log: () => undefined })
  return performance.now() - at
}

async function wholeIn(folder: string): Promise<void> {
  const keep = openKeep(keepPath(folder))
  try {
    expect(keep.get('creds', 'me')).toMatchObject({ account: { details: Buffer.of(1) } })
    expect(keep.ids('session')).toHaveLength(sessions)
    expect(keep.get('session', '49151700_1.0')).toEqual({ key: Buffer.alloc(600, 700), n: 700 })
  } finally {
    await keep.close()
  }
}

test.each(['keep', 'remove'] as const)(
  '%s: nothing is lost, whenever it dies',
  async how => {
    const measured = tempDir()
    cpSync(login, measured, { recursive: true })
    const lasts = await take(measured, how)
    await wholeIn(measured)
    for (let n = 0; n < kills; n++) {
      const folder = tempDir()
      cpSync(login, folder, { recursive: true })
      await takeAndDie(folder, how, (lasts * n) / kills)
      // Not there yet: then everything that it is made of is.
      if (!existsSync(keepPath(folder))) expect(hashOf(folder)).toBe(before)
      await take(folder, how)
      await wholeIn(folder)
      if (how === 'keep') expect(hashOf(folder)).toBe(before)
      else expect(readdirSync(folder)).toEqual(['whatsapp.log'])
    }
  },
  120_000,
)
