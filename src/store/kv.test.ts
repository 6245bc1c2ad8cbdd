import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { gatewayKey } from './key.ts'
import { getValue, setValue } from './kv.ts'
import { openStore } from './open.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-kv-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

test('a value is put, replaced and taken away', async () => {
  const store = await openStore({ dir, log: () => undefined })
  const set = (value: string | null) => store.write('config', tx => setValue(tx, 'k', value))
  const seen = []
  seen.push(await getValue(store.read, 'k'))
  for (const value of ['a', 'b', null, null]) {
    await set(value)
    seen.push(await getValue(store.read, 'k'))
  }
  expect(seen).toEqual([null, 'a', 'b', null, null])
  await store.close()
})

test('the key of a home is made once, is the owner’s alone, and stands in no row', async () => {
  const key = await gatewayKey(dir)
  expect(key).toHaveLength(32)
  expect(await gatewayKey(dir)).toEqual(key)
  expect(statSync(join(dir, 'gateway.key')).mode & 0o777).toBe(0o600)
  const store = await openStore({ dir, log: () => undefined })
  await store.close()
  expect(readFileSync(join(dir, 'deputy.sqlite')).includes(key)).toBe(false)
})

test('a key file that holds no key is not replaced', async () => {
  writeFileSync(join(dir, 'gateway.key'), 'short')
  await expect(gatewayKey(dir)).rejects.toMatchObject({ code: 'HOME_UNWRITABLE' })
  expect(readFileSync(join(dir, 'gateway.key'), 'utf8')).toBe('short')
})
