/** A login that baileys' own useMultiFileAuthState has written, read back under the ids that it was written with. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { tempDir } from '../../../test/support/temp.ts'
import { takeFolder } from './folder.ts'
import { keepPath, openKeep } from './keep.ts'
import { library } from './library.ts'

const ids = {
  'pre-key': '17',
  session: '4915100000001_1.12',
  'sender-key': '4915100000001-1456@g.us::4915100000002_1::3',
  'sender-key-memory': '4915100000001-1456@g.us',
  'app-state-sync-key': 'AAA/+b/c=',
  'app-state-sync-version': 'critical_block',
  'lid-mapping': '123_reverse',
  'device-list': '4915100000001',
}

async function folder(linked: boolean) {
  const lib = await library()
  const dir = tempDir()
  const { state, saveCreds } = await lib.useMultiFileAuthState(dir)
  if (linked) Object.assign(state.creds, { account: { details: Buffer.of(1) } })
  await saveCreds()
  const values = Object.entries(ids).map(([kind, id]) => [kind, { [id]: { is: kind, key: Buffer.of(1, 2) } }])
  await state.keys.set(Object.fromEntries(values))
  return { lib, dir, creds: state.creds }
}

test('every kind of key comes with its id, once, and the copies go', async () => {
  const { lib, dir, creds } = await folder(true)
  writeFileSync(join(dir, 'session-torn.json'), '{"a":')
  writeFileSync(join(dir, 'notes.json'), '{}')
  const logged: string[] = []
  const taking = { remove: true, log: (words: string) => void logged.push(words) }
  takeFolder(keepPath(dir), lib, taking)
  const keep = openKeep(keepPath(dir))
  expect(keep.get('creds', 'me')).toEqual(creds)
  for (const [kind, id] of Object.entries(ids)) {
    expect(keep.ids(kind)).toEqual([id])
    expect(keep.get(kind, id)).toEqual({ is: kind, key: Buffer.of(1, 2) })
  }
  expect(logged).toEqual([expect.stringContaining('session-torn.json')])
  expect(readdirSync(dir).sort()).toEqual(['notes.json', 'whatsapp.log'])
  // Logged out here: nothing of the folder may come back.
  keep.clear()
  await keep.close()
  writeFileSync(join(dir, 'creds.json'), JSON.stringify(creds, lib.BufferJSON.replacer))
  takeFolder(keepPath(dir), lib, taking)
  const later = openKeep(keepPath(dir))
  expect(later.get('creds', 'me')).toBeUndefined()
  // And what a killed process left lying goes.
  expect(existsSync(join(dir, 'creds.json'))).toBe(false)
  await later.close()
})

test('a login that no phone has linked is not taken, and a folder of the user keeps its files', async () => {
  const unlinked = await folder(false)
  takeFolder(keepPath(unlinked.dir), unlinked.lib, { remove: true, log: () => undefined })
  expect(existsSync(keepPath(unlinked.dir))).toBe(false)
  const { lib, dir } = await folder(true)
  const before = readdirSync(dir).sort()
  takeFolder(keepPath(dir), lib, { remove: false, log: () => undefined })
  expect(readdirSync(dir).sort()).toEqual([...before, 'whatsapp.log'].sort())
})
