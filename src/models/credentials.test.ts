import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type CredentialsOptions, openCredentials } from './credentials.ts'

let home: string
let log: unknown[][]

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'deputy-keys-'))
  log = []
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const dir = (agent: string) => join(home, 'agents', agent, 'agent')

function write(agent: string, content: unknown): string {
  mkdirSync(dir(agent), { recursive: true })
  const path = join(dir(agent), 'auth-profiles.json')
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

function open(more: Partial<CredentialsOptions> = {}) {
  return openCredentials({
    environment: {},
    agentDir: dir,
    mainAgent: () => 'main',
    configured: () => null,
    order: () => [],
    secret: () => null,
    now: () => 1_000,
    log: (...line) => log.push(line),
    ...more,
  })
}

const ids = (keys: readonly { id: string }[]) => keys.map(key => key.id)

test('profiles come before the configuration, and that before the environment; a key that comes twice counts once', () => {
  write('main', {
    version: 1,
    profiles: { 'anthropic:default': { type: 'api_key', provider: 'anthropic', key: 'k-1' } },
  })
  const { keysFor } = open({
    configured: () => 'k-2',
    environment: { ANTHROPIC_API_KEY: 'k-1', OPENAI_API_KEY: ' k-3 ' },
  })
  expect(keysFor('main', 'anthropic')).toEqual([
    { id: 'anthropic:default', kind: 'api_key', secret: 'k-1' },
    { id: 'config:anthropic', kind: 'api_key', secret: 'k-2' },
  ])
  expect(keysFor('main', 'openai').map(key => key.secret)).toEqual(['k-2', 'k-3'])
})

test('each of the Google variables is found, in order', () => {
  const { keysFor } = open({
    environment: { GOOGLE_GENERATIVE_AI_API_KEY: 'c', GOOGLE_API_KEY: 'b', GEMINI_API_KEY: 'a' },
  })
  expect(keysFor('main', 'google').map(key => key.secret)).toEqual(['a', 'b', 'c'])
})

test("an agent without a profile for a provider reads main's, and nothing is copied or written", () => {
  const path = write('main', { profiles: { 'openai:x': { type: 'token', provider: 'openai', token: 't-1' } } })
  write('extractor', { profiles: { 'anthropic:y': { type: 'api_key', provider: 'anthropic', key: 'k-9' } } })
  const before = readFileSync(path, 'utf8')
  const { keysFor } = open()
  expect(keysFor('extractor', 'openai')).toEqual([{ id: 'openai:x', kind: 'token', secret: 't-1' }])
  expect(ids(keysFor('extractor', 'anthropic'))).toEqual(['anthropic:y'])
  expect(ids(keysFor('main', 'anthropic'))).toEqual([])
  expect(ids(keysFor('nobody', 'openai'))).toEqual(['openai:x'])
  expect(readFileSync(path, 'utf8')).toBe(before)
  expect(readdirSync(join(home, 'agents')).sort()).toEqual(['extractor', 'main'])
  expect(readdirSync(dir('extractor'))).toEqual(['auth-profiles.json'])
})

test('the order of the configuration goes before the order of the file', () => {
  const profiles = Object.fromEntries(
    ['a', 'b', 'c'].map(name => [`anthropic:${name}`, { type: 'api_key', provider: 'anthropic', key: `k-${name}` }]),
  )
  write('main', { profiles, order: { anthropic: ['anthropic:b', 'anthropic:a'] } })
  expect(ids(open().keysFor('main', 'anthropic'))).toEqual(['anthropic:b', 'anthropic:a', 'anthropic:c'])
  const { keysFor } = open({ order: () => ['anthropic:c'] })
  expect(ids(keysFor('main', 'anthropic'))[0]).toBe('anthropic:c')
})

test('a changed file counts at the next call; an expired token and an unresolved reference do not', () => {
  const values = new Map([['A', 'v-1']])
  const { keysFor } = open({ secret: reference => values.get((reference as { id: string }).id) ?? null })
  expect(keysFor('main', 'anthropic')).toEqual([])
  write('main', {
    profiles: {
      'anthropic:old': { type: 'token', provider: 'anthropic', token: 't', expires: 999 },
      'anthropic:ref': { type: 'api_key', provider: 'anthropic', keyRef: { source: 'env', id: 'A' } },
      'anthropic:lost': { type: 'api_key', provider: 'anthropic', keyRef: { source: 'env', id: 'B' } },
    },
  })
  expect(keysFor('main', 'anthropic')).toEqual([{ id: 'anthropic:ref', kind: 'api_key', secret: 'v-1' }])
  values.set('A', 'v-22')
  expect(keysFor('main', 'anthropic')[0]?.secret).toBe('v-22')
})

test('a broken file is reported without its content, and the other sources still count', () => {
  write('main', '{"profiles": {"x": sk-live-abcdefgh')
  const { keysFor } = open({ environment: { ANTHROPIC_API_KEY: 'k' } })
  expect(ids(keysFor('main', 'anthropic'))).toEqual(['env:ANTHROPIC_API_KEY'])
  expect(JSON.stringify(log)).toContain('it is not JSON')
  expect(JSON.stringify(log)).not.toContain('sk-live')
  log.length = 0
  keysFor('main', 'anthropic')
  expect(log).toEqual([])
})

test('profiles that cannot be used are named with the reason', () => {
  write('main', {
    profiles: {
      'openai:codex': { type: 'oauth', provider: 'openai', access: 'secret-access', refresh: 'r', expires: 5 },
      'openai:empty': { type: 'api_key', provider: 'openai' },
      'openai:odd': 7,
    },
  })
  expect(open().keysFor('main', 'openai')).toEqual([])
  const said = JSON.stringify(log)
  expect(said).toMatch(/openai:codex.*oauth/)
  expect(said).toContain('openai:empty: it has no key')
  expect(said).not.toContain('secret-access')
})
