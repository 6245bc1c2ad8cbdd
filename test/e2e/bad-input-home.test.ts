/**
 * A home that can't be used, a port that is taken, a second gateway, a database that is none: refused at the start with a
 * code and what to do, nothing is changed, and when the cause is gone the same home starts.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { beforeAll, describe, expect, test } from 'vitest'
import { openGateways } from '../support/gateway.ts'

const gateways = openGateways()
const config = { gateway: { port: 0 } }

/** What a gateway that can't start says: code in brackets, and below it what to do. */
async function refused(home: string): Promise<{ said: string; fix: string }> {
  const { code, out, err } = await gateways.run(home, ['gateway', 'run'])
  expect({ code, out }).toEqual({ code: 1, out: '' })
  const [said = '', fix = ''] = err.trimEnd().split('\n')
  expect(fix.trim()).not.toBe('')
  return { said, fix }
}

async function starts(home: string): Promise<void> {
  const gateway = await gateways.start(home)
  expect(await gateway.say('say here')).toMatchObject({ status: 'ok', text: 'here' })
  expect((await gateway.stop()).code).toBe(0)
}

describe('a home that cannot be used', () => {
  test.each([
    ['a file is in the way', '/dev/null/home'],
    ['a place where nothing can be made', '/proc/deputy-home'],
    ['a name that is too long', `/tmp/${'x'.repeat(300)}`],
  ])('%s', async (_, home) => {
    expect((await refused(home)).said).toMatch(/\S+ cannot be (used|read).*\[(HOME_UNWRITABLE|CONFIG_UNREADABLE)\]/)
  })

  test('a path that is too long for a unix socket', async () => {
    const home = join(gateways.home(config), 'x'.repeat(90))
    const { said, fix } = await refused(home)
    expect(said).toMatch(/longer than 107 bytes.*\[SOCKET_FAILED\]/)
    expect(fix).toContain('shorter --home')
  })

  const mounting = ['unshare', '-rm', 'sh', '-c']
  const canMount = spawnSync(mounting[0]!, [...mounting.slice(1), 'mount -t tmpfs none /mnt']).status === 0
  test.skipIf(!canMount)('a file system that is read-only, and writable again', async () => {
    const home = gateways.home(config)
    const script = `mount --bind ${home} ${home} && mount -o remount,bind,ro ${home} || exit 9
      "$@"; echo "ended with $?" >&2
      mount -o remount,bind,rw ${home} && exec "$@"`
    const gateway = await gateways.start(home, { wrap: [...mounting, script, 'sh'] })
    expect(gateway.said()).toMatch(
      /cannot be written: the file system is read-only\. \[HOME_UNWRITABLE\]\n.*write access.*\nended with 1\n/,
    )
    expect((await gateway.stop()).code).toBe(0)
  })

  test.each(['home.lock', 'deputy.pid', 'deputy.sock', 'deputy.sqlite'])('%s is a directory', async name => {
    const home = gateways.home(config)
    mkdirSync(join(home, name, 'with something in it'), { recursive: true })
    expect((await refused(home)).said).toMatch(/\[(HOME_UNWRITABLE|SOCKET_FAILED|STORE_DAMAGED)\]/)
    expect(existsSync(join(home, name, 'with something in it'))).toBe(true)
    rmSync(join(home, name), { recursive: true })
    await starts(home)
  })
})

test('a port that is taken: by whom, what to do, and nothing is left behind', async () => {
  const server = createServer()
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const home = gateways.home({ gateway: { port } })
  const { said, fix } = await refused(home)
  expect(said).toMatch(
    new RegExp(`Port ${port} on 127.0.0.1 is taken by process ${process.pid} \\(.*\\[PORT_IN_USE\\]`),
  )
  expect(fix).toContain(`deputy config set gateway.port ${port + 1}`)
  expect(existsSync(join(home, 'deputy.sock'))).toBe(false)
  await new Promise(resolve => server.close(resolve))
  await starts(home)
})

test('a second gateway on the same home: who holds it; the first goes on; a kill frees it at once', async () => {
  const home = gateways.home(config)
  const first = await gateways.start(home)
  const { said, fix } = await refused(home)
  expect(said).toMatch(new RegExp(`Process ${first.pid} holds .*\\[HOME_LOCKED\\]`))
  expect(fix).toMatch(/Stop that process|another --home/)
  expect(await first.say('say first')).toMatchObject({ status: 'ok', text: 'first' })
  await first.kill()
  await starts(home)
})

describe('a database that is none of ours, or not whole', () => {
  let whole: string
  beforeAll(async () => {
    whole = gateways.home(config)
    await starts(whole)
  })

  test.each<[string, (path: string) => void, RegExp]>([
    ['empty', path => writeFileSync(path, ''), /STORE_DAMAGED/],
    ['text', path => writeFileSync(path, 'not a database\n'.repeat(1000)), /STORE_(DAMAGED|FOREIGN)/],
    ['cut in half', path => truncateSync(path, 40_000), /STORE_DAMAGED/],
    ['of another program', path => foreign(path), /STORE_FOREIGN/],
    ['of a newer version', path => newer(path), /STORE_TOO_NEW/],
    ['a link to nothing', path => dangling(path), /link to what is not there.*STORE_DAMAGED/],
  ])('%s', async (_, spoil, code) => {
    const home = gateways.home(config)
    const path = join(home, 'deputy.sqlite')
    cpSync(join(whole, 'deputy.sqlite'), path)
    spoil(path)
    const before = existsSync(path) ? readFileSync(path) : null
    expect((await refused(home)).said).toMatch(code)
    expect(existsSync(path) ? readFileSync(path) : null).toEqual(before)
    rmSync(path)
    cpSync(join(whole, 'deputy.sqlite'), path)
    await starts(home)
  })
})

function foreign(path: string): void {
  rmSync(path)
  const db = new DatabaseSync(path)
  db.exec('create table somebody (data text)')
  db.close()
}

function newer(path: string): void {
  const db = new DatabaseSync(path)
  db.exec('pragma user_version = 9999')
  db.close()
}

function dangling(path: string): void {
  rmSync(path)
  symlinkSync('/nowhere/at/all', path)
}
