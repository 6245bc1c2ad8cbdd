import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startChild } from './child.ts'
import { takeHomeLock } from './lock.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-lock-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

const holder = () =>
  startChild(
    `const { takeHomeLock } = await import(store('lock.ts'))
     const lock = takeHomeLock(process.env.DIR)
     console.log('held')
     process.stdin.on('data', () => { lock.release(); console.log('released') })`,
    { DIR: dir },
  )
const locked = (pid: number) => expect.objectContaining({ code: 'HOME_LOCKED', details: { pid } })

test('one process holds a home; it is free at once when that one is killed', async () => {
  const child = holder()
  expect(await child.line()).toBe('held')
  expect(() => takeHomeLock(dir)).toThrow(locked(child.pid))
  expect(() => takeHomeLock(dir)).toThrow(new RegExp(String(child.pid)))
  child.kill()
  await child.end
  const lock = takeHomeLock(dir)
  expect(readFileSync(join(dir, 'deputy.pid'), 'utf8')).toBe(`${process.pid}\n`)
  lock.release()
})

test('released, it is free for the next, and no pidfile is left', async () => {
  const child = holder()
  await child.line()
  child.send('release')
  expect(await child.line()).toBe('released')
  expect(existsSync(join(dir, 'deputy.pid'))).toBe(false)
  const lock = takeHomeLock(dir)
  child.kill()
  await child.end
  lock.release()
  lock.release()
})

test('a second taker in the same process is refused, and that does not let the first one go', async () => {
  const lock = takeHomeLock(dir)
  expect(() => takeHomeLock(dir)).toThrow(locked(process.pid))
  const child = holder()
  const { code, errors } = await child.end
  expect([code, errors.includes(`Process ${process.pid} holds`)]).toEqual([1, true])
  lock.release()
})

test('without a pidfile the holder is unknown, the refusal is the same', () => {
  const lock = takeHomeLock(dir)
  rmSync(join(dir, 'deputy.pid'))
  expect(() => takeHomeLock(dir)).toThrow(expect.objectContaining({ code: 'HOME_LOCKED', details: {} }))
  lock.release()
})

test('a home that is no folder cannot be held', () => {
  writeFileSync(join(dir, 'file'), '')
  expect(() => takeHomeLock(join(dir, 'file'))).toThrow(expect.objectContaining({ code: 'HOME_UNWRITABLE' }))
  expect(() => takeHomeLock(join(dir, 'none'))).toThrow(expect.objectContaining({ code: 'HOME_UNWRITABLE' }))
})
