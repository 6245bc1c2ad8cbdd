import { existsSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { runs, validConfig } from '../../test/support/arbitrary-config.ts'
import { put, tempDir } from '../../test/support/temp.ts'
import { mergePatch } from './merge.ts'
import { redacted } from './redact.ts'
import { openConfig } from './store.ts'
import type { Change } from './types.ts'

const start = '// mine\n{ gateway: { auth: { token: "a-long-enough-token" } } }\n'

function opened(
  text: string | null = start,
  options: { env?: Record<string, string>; home?: string; lastGood?: boolean } = {},
) {
  const home = options.home ?? tempDir()
  if (text !== null) put(join(home, 'deputy.json'), text)
  return openConfig({ ...options, home, env: options.env ?? {}, cwd: home })
}
const onDisk = (store: { home: { config: string } }) => readFileSync(store.home.config, 'utf8')
const code = (code: string) => expect.objectContaining({ code })

describe('one key', () => {
  test('set, get, take away; comments stay; told once', async () => {
    const store = opened()
    const told: Change[] = []
    store.onChange(change => told.push(change))
    const change = await store.set('gateway.port', 1234)
    expect(change).toMatchObject({ changed: ['gateway.port'], restart: ['gateway.port'], commentsKept: true })
    expect(store.get('gateway.port')).toBe(1234)
    expect(store.current().gateway.port).toBe(1234)
    expect(onDisk(store)).toContain('// mine')
    expect(opened(null, { home: store.home.dir }).get('gateway.port')).toBe(1234)
    await store.set('gateway.port', undefined)
    expect(store.get('gateway.port')).toBe(18789)
    expect(told.map(({ changed }) => changed)).toEqual([['gateway.port'], ['gateway.port']])
    expect(store.hash).toBe(told[1]!.hash)
  })

  test('without a file one is made, 0600', async () => {
    const store = opened(null)
    await store.set('agents.entries.main.subagents.allowAgents', ['*'])
    expect(statSync(store.home.config).mode & 0o777).toBe(0o600)
    expect(store.exists).toBe(true)
  })

  test('what is not valid is not written', async () => {
    const store = opened()
    await expect(store.set('gateway.port', 'high')).rejects.toEqual(code('CONFIG_INVALID'))
    await expect(store.set('gateway.auth.mode', 'password')).rejects.toEqual(code('CONFIG_INVALID'))
    await expect(store.set('not a key', 1)).rejects.toEqual(code('CONFIG_INVALID'))
    expect(onDisk(store)).toBe(start)
    expect(readdirSync(store.home.dir)).toEqual(['deputy.json'])
    await store.set('gateway.port', 5)
    expect(store.current().gateway.port).toBe(5)
  })

  test('an agent of an older list is found by its id', async () => {
    const store = opened('{ agents: { list: [{ id: "main" }, { id: "Extractor" }] } }')
    await store.set('agents.entries.extractor.model', 'openai/x')
    expect(onDisk(store)).toContain('{ id: "Extractor", model: "openai/x" }')
    expect(store.get('agents.entries.extractor.model')).toBe('openai/x')
    expect(store.get('agents.list[1].model')).toBe('openai/x')
  })

  test('a file that others changed in between keeps their change', async () => {
    const store = opened()
    put(store.home.config, '{ tools: { deny: ["exec"] }, gateway: { auth: { token: "a-long-enough-token" } } }')
    await store.set('gateway.port', 9)
    expect(store.current()).toMatchObject({ gateway: { port: 9 }, tools: { deny: ['exec'] } })
  })

  test('references are kept: includes and variables stay as the file says them', async () => {
    const home = tempDir()
    put(join(home, 'tools.json'), '{ deny: ["exec"] }')
    const store = opened(`{ tools: { $include: "tools.json" }, gateway: { auth: { token: "\${TOKEN_X}" } } }`, {
      home,
      env: { TOKEN_X: 'a-long-enough-token' },
    })
    await store.set('tools.exec.network', true)
    expect(store.current().tools).toMatchObject({ deny: ['exec'], exec: { network: true } })
    expect(onDisk(store)).toMatch(/\$include: "tools.json"[\s\S]*\$\{TOKEN_X\}/)
    expect(onDisk(store)).not.toContain('a-long-enough-token')
  })

  test('a variable that is set only where the gateway runs does not stand in the way', async () => {
    const store = opened(`{ gateway: { auth: { token: "\${TOKEN_X}" } } }`)
    expect(() => store.current()).toThrow(code('CONFIG_SECRET_UNRESOLVED'))
    await store.set('gateway.port', 7)
    expect(store.get('gateway.port')).toBe(7)
    await expect(store.set('gateway.auth.password', `\${OTHER}`)).rejects.toEqual(code('CONFIG_SECRET_UNRESOLVED'))
  })

  test('many changes at once all arrive', async () => {
    const store = opened()
    await Promise.all(Array.from({ length: 20 }, (_, n) => store.set(`agents.entries.a${n}.name`, `Agent ${n}`)))
    expect(Object.keys(opened(null, { home: store.home.dir }).current().agents.entries)).toHaveLength(20)
  })
})

describe('files', () => {
  test('five versions before are kept, 0600', async () => {
    const store = opened('{ meta: 0 }')
    for (let n = 1; n <= 7; n++) await store.set('meta', n)
    const names = [
      'deputy.json.bak',
      'deputy.json.bak.1',
      'deputy.json.bak.2',
      'deputy.json.bak.3',
      'deputy.json.bak.4',
    ]
    expect(readdirSync(store.home.dir).sort()).toEqual(['deputy.json', ...names])
    const kept = names.map(name =>
      openConfig({ home: store.home.dir, file: join(store.home.dir, name), env: {} }).get('meta'),
    )
    expect(kept).toEqual([6, 5, 4, 3, 2])
    for (const name of names) expect(statSync(join(store.home.dir, name)).mode & 0o777).toBe(0o600)
  })

  test('a change that changes nothing writes nothing', async () => {
    const store = opened('{ meta: 1 }')
    const change = await store.set('meta', 1)
    expect(change.changed).toEqual([])
    expect(existsSync(`${store.home.config}.bak`)).toBe(false)
  })

  test('a link stays a link, its target changes', async () => {
    const home = tempDir()
    const target = put(join(tempDir(), 'real.json'), '{ meta: 1 }')
    symlinkSync(target, join(home, 'deputy.json'))
    const store = opened(null, { home })
    await store.set('meta', 2)
    expect(readFileSync(target, 'utf8')).toContain('2')
    expect(readdirSync(home).sort()).toEqual(['deputy.json', 'deputy.json.bak'])
  })

  test('comments that could not be kept are in the backup', async () => {
    const store = opened('{ list: [1, /* one */ 2] }')
    const change = await store.set('list', [1, 2, 3])
    expect(change.commentsKept).toBe(true)
    expect(readFileSync(`${store.home.config}.bak`, 'utf8')).toContain('/* one */')
  })
})

describe('patch and apply', () => {
  test('a patch needs the hash of what it changes', async () => {
    const store = opened()
    await expect(store.patch('{}', undefined)).rejects.toEqual(code('INVALID_REQUEST'))
    await expect(store.patch('{}', 'stale')).rejects.toEqual(code('CONFIG_CONFLICT'))
    await expect(store.patch('{', store.hash)).rejects.toEqual(code('CONFIG_SYNTAX'))
    await expect(store.patch('[]', store.hash)).rejects.toEqual(code('CONFIG_INVALID'))
    const { hash } = await store.patch('{ gateway: { port: 5, auth: { token: null } } }', store.hash)
    expect(hash).toBe(store.hash)
    expect(store.current().gateway).toMatchObject({ port: 5 })
    expect(store.current().gateway.auth.token).toBeUndefined()
  })

  test('two writers with one hash: the second is told', async () => {
    const store = opened()
    const { hash } = store
    const results = await Promise.allSettled([store.patch('{ meta: 1 }', hash), store.patch('{ meta: 2 }', hash)])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(store.get('meta')).toBe(1)
  })

  test('without a file no hash is needed', async () => {
    const store = opened(null)
    await store.apply('{ meta: 1 }', undefined)
    expect(store.get('meta')).toBe(1)
  })

  test('what is shown can be written back: nothing changes, no secret is lost', async () => {
    const store = opened()
    const view = store.view()
    expect(JSON.stringify(view)).not.toContain('a-long-enough-token')
    expect(view.raw).toBe(start.replace('a-long-enough-token', redacted))
    await store.apply(view.raw!.replace('// mine', '// yours'), view.hash)
    expect(onDisk(store)).toBe(start.replace('// mine', '// yours'))
    await store.patch(`{ gateway: { port: 3, auth: { token: "${redacted}" } } }`, store.hash)
    expect(store.current().gateway).toMatchObject({ port: 3, auth: { token: 'a-long-enough-token' } })
    await expect(store.patch(`{ gateway: { auth: { password: "${redacted}" } } }`, store.hash)).rejects.toEqual(
      code('CONFIG_INVALID'),
    )
  })

  test('apply mends a broken file', async () => {
    const store = opened('{ broken')
    await expect(store.set('meta', 1)).rejects.toEqual(code('CONFIG_SYNTAX'))
    await store.apply('{ meta: 1 }', store.hash)
    expect([store.issues, store.get('meta')]).toEqual([[], 1])
    expect(readFileSync(`${store.home.config}.bak`, 'utf8')).toBe('{ broken')
  })

  test('property: what a patch says is what is read, here and by the next who opens it', async () => {
    const store = opened()
    await fc.assert(
      fc.asyncProperty(validConfig, validConfig, async (before, patch) => {
        await store.apply(JSON.stringify(before), store.hash)
        await store.patch(JSON.stringify(patch), store.hash)
        const expected = mergePatch(before, patch)
        expect(store.view().valid).toBe(true)
        expect(JSON.parse(onDisk(store))).toEqual(expected)
        expect(opened(null, { home: store.home.dir }).current()).toEqual({
          ...store.current(),
          home: expect.anything(),
        })
      }),
      { numRuns: runs(10) },
    )
  })
})

describe('last known good', () => {
  test('is kept when asked, and started on when asked', async () => {
    const store = opened()
    await store.markGood()
    expect(statSync(store.home.lastGood).mode & 0o777).toBe(0o600)
    put(store.home.config, '{ gateway: { port: "x" } }')
    const strict = opened(null, { home: store.home.dir })
    expect(() => strict.current()).toThrow(code('CONFIG_INVALID'))
    const lenient = opened(null, { home: store.home.dir, lastGood: true })
    expect(lenient.onLastGood).toBe(true)
    expect(lenient.issues).toHaveLength(1)
    expect(lenient.current().gateway.auth.token).toBe('a-long-enough-token')
  })

  test('restore puts it back as it was; the broken file is the backup', async () => {
    const store = opened()
    await expect(store.restore()).rejects.toEqual(code('CONFIG_UNREADABLE'))
    await store.markGood()
    put(store.home.config, '{ nonsense')
    const other = opened(null, { home: store.home.dir })
    await other.restore()
    expect(onDisk(other)).toBe(start)
    expect(readFileSync(`${other.home.config}.bak`, 'utf8')).toBe('{ nonsense')
  })

  test('a broken file is not kept as good, nor is a default without a file', async () => {
    for (const text of ['{ broken', null]) {
      const store = opened(text)
      await store.markGood()
      expect(existsSync(store.home.lastGood)).toBe(false)
    }
  })

  test('with includes it stands alone', async () => {
    const home = tempDir()
    put(join(home, 'tools.json'), '{ deny: ["exec"] }')
    const store = opened('{ tools: { $include: "tools.json" } }', { home })
    await store.markGood()
    rmSync(join(home, 'tools.json'))
    expect(opened(null, { home, lastGood: true }).current().tools.deny).toEqual(['exec'])
  })
})

describe('the token', () => {
  test('is made once, where one is needed', async () => {
    const store = opened('{}')
    expect(await store.ensureToken()).toBe(true)
    expect(store.current().gateway.auth.token).toMatch(/^[\w-]{43}$/)
    expect(await store.ensureToken()).toBe(false)
    expect(await opened('{ gateway: { auth: { mode: "none" } } }').ensureToken()).toBe(false)
    expect(await opened('{ gateway: { auth: { password: "a-long-enough-one" } } }').ensureToken()).toBe(false)
    expect(await opened('{}', { env: { DEPUTY_GATEWAY_TOKEN: 'given' } }).ensureToken()).toBe(false)
  })
})

describe('changes by others', () => {
  const until = async (done: () => boolean) => {
    while (!done()) await new Promise(resolve => setTimeout(resolve, 10))
  }

  test('are taken; what is not valid is told and changes nothing', async () => {
    const home = tempDir()
    put(join(home, 'tools.json'), '{}')
    const store = opened('{ tools: { $include: "tools.json" }, meta: 1 }', { home })
    onTestFinished(store.watch())
    const changed: string[] = []
    const issues: string[] = []
    store.onChange(change => changed.push(...change.changed))
    store.onIssues(list => issues.push(...list.map(({ path }) => path)))
    writeFileSync(store.home.config, '{ tools: { $include: "tools.json" }, meta: 2 }')
    await until(() => changed.includes('meta'))
    put(join(home, 'new.json'), '{ tools: { $include: "tools.json" }, gateway: { port: "x" } }')
    rmSync(store.home.config)
    writeFileSync(store.home.config, readFileSync(join(home, 'new.json')))
    await until(() => issues.includes('gateway.port'))
    expect(store.current()).toMatchObject({ meta: 2, gateway: { port: 18789 } })
    expect(store.issues).toHaveLength(1)
    writeFileSync(store.home.config, '{ tools: { $include: "tools.json" }, meta: 2 }')
    put(join(home, 'tools.json'), '{ deny: ["exec"] }')
    await until(() => changed.includes('tools.deny'))
    expect(store.issues).toEqual([])
  })

  test('an own write is not told twice, and nothing is told after the end', async () => {
    const store = opened('{}')
    const end = store.watch()
    const changes: Change[] = []
    store.onChange(change => changes.push(change))
    await store.set('meta', 1)
    await new Promise(resolve => setTimeout(resolve, 250))
    expect(changes).toHaveLength(1)
    end()
    writeFileSync(store.home.config, '{ meta: 3 }')
    await new Promise(resolve => setTimeout(resolve, 250))
    expect(changes).toHaveLength(1)
    store.reload()
    expect(changes).toHaveLength(2)
  })
})
