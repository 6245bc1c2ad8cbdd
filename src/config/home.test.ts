import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { put, tempDir } from '../../test/support/temp.ts'
import { firstConfig } from './first.ts'
import { homeOf, prepareHome } from './home.ts'
import { agentOf, gatewayOf } from './read.ts'
import { openConfig } from './store.ts'

const isRoot = process.getuid?.() === 0
const mode = (path: string) => statSync(path).mode & 0o777
const at = (dir: string) => homeOf({ home: dir, env: {} })
const unwritable = (message: RegExp) =>
  expect.objectContaining({ code: 'HOME_UNWRITABLE', message: expect.stringMatching(message) })

describe('where the home is', () => {
  test('the option, then DEPUTY_HOME, then ~/.deputy', () => {
    expect(homeOf({ home: '/a', env: { DEPUTY_HOME: '/b', HOME: '/h' } }).dir).toBe('/a')
    expect(homeOf({ env: { DEPUTY_HOME: '/b', HOME: '/h' } }).dir).toBe('/b')
    expect(homeOf({ env: { HOME: '/h' } }).dir).toBe('/h/.deputy')
    expect(homeOf({ home: '~/x', env: { HOME: '/h' } }).dir).toBe('/h/x')
    expect(homeOf({ home: '/a', env: {} })).toMatchObject({ config: '/a/deputy.json', socket: '/a/deputy.sock' })
    expect(homeOf({ home: '/a', config: '/c/my.json', env: { DEPUTY_CONFIG_PATH: '/d' } }).config).toBe('/c/my.json')
    expect(homeOf({ home: '/a', env: { DEPUTY_CONFIG_PATH: '/d/my.json' } }).config).toBe('/d/my.json')
  })

  test('where agents live', () => {
    const home = at('/a')
    expect(home.authProfiles('main')).toBe('/a/agents/main/auth-profiles.json')
    expect([home.workspace('main', true), home.workspace('x', false)]).toEqual(['/a/workspace', '/a/workspace-x'])
  })
})

describe('making it', () => {
  test('a new one is 0700 whatever the umask', () => {
    const dir = join(tempDir(), 'deep/home')
    const before = process.umask(0o000)
    try {
      expect(prepareHome(at(dir))).toEqual([])
    } finally {
      process.umask(before)
    }
    expect(mode(dir)).toBe(0o700)
    expect(prepareHome(at(dir))).toEqual([])
  })

  test('an open one is closed when it is empty or ours, and it is said', () => {
    const dir = join(tempDir(), 'home')
    mkdirSync(dir)
    chmodSync(dir, 0o755)
    expect(prepareHome(at(dir))[0]).toContain('mode 755')
    expect(mode(dir)).toBe(0o700)
    put(join(dir, 'deputy.json'), '{}')
    chmodSync(dir, 0o777)
    prepareHome(at(dir))
    expect(mode(dir)).toBe(0o700)
  })

  test('a shared directory that holds other things is refused and left alone', () => {
    const dir = join(tempDir(), 'shared')
    put(join(dir, 'thesis.tex'), '')
    chmodSync(dir, 0o755)
    expect(() => prepareHome(at(dir))).toThrow(unwritable(/holds other things/))
    expect(mode(dir)).toBe(0o755)
    chmodSync(dir, 0o700)
    expect(prepareHome(at(dir))).toEqual([])
  })

  test('a file in the way, the root of the file system', () => {
    const file = put(join(tempDir(), 'file'), '')
    expect(() => prepareHome(at(file))).toThrow(unwritable(/a file is in the way/))
    expect(() => prepareHome(at(join(file, 'home')))).toThrow(unwritable(/a file is in the way/))
    expect(() => prepareHome(at('/'))).toThrow(unwritable(/root of the file system/))
  })

  test('a file system that takes nothing', () => {
    expect(() => prepareHome(at('/proc/deputy'))).toThrow(unwritable(/It cannot be made/))
  })

  test.skipIf(!isRoot)("somebody else's", () => {
    const dir = join(tempDir(), 'theirs')
    mkdirSync(dir, { mode: 0o700 })
    chownSync(dir, 12345, 12345)
    expect(() => prepareHome(at(dir))).toThrow(unwritable(/belongs to user 12345/))
  })
})

describe('the first file', () => {
  test('is 0600, holds a new token, and is valid without a warning', () => {
    const home = at(join(tempDir(), 'home'))
    prepareHome(home)
    expect(firstConfig(home)).toBe(true)
    expect(mode(home.config)).toBe(0o600)
    const store = openConfig({ home: home.dir, env: {}, cwd: home.dir })
    expect([store.issues, store.warnings]).toEqual([[], []])
    const gateway = gatewayOf(store.current())
    expect(gateway).toMatchObject({ port: 18789, hosts: ['127.0.0.1'], auth: { mode: 'token' } })
    expect(gateway.auth.token).toMatch(/^[\w-]{43}$/)
    expect(agentOf(store.current(), 'main').isDefault).toBe(true)
  })

  test('what is there stays, a broken link included', () => {
    const home = at(tempDir())
    put(home.config, '{ mine: 1 }')
    expect(firstConfig(home)).toBe(false)
    expect(readFileSync(home.config, 'utf8')).toBe('{ mine: 1 }')
    const linked = at(tempDir())
    symlinkSync('elsewhere.json', linked.config)
    expect(firstConfig(linked)).toBe(false)
  })

  test('two homes have two tokens', () => {
    const [one, two] = [at(tempDir()), at(tempDir())]
    firstConfig(one)
    firstConfig(two)
    expect(readFileSync(one.config, 'utf8')).not.toBe(readFileSync(two.config, 'utf8'))
  })
})
