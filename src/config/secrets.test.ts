import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/support/arbitrary-config.ts'
import { put, tempDir } from '../../test/support/temp.ts'
import { makePlaceholders } from './placeholders.ts'
import { openSecrets } from './secrets.ts'
import { openConfig } from './store.ts'

const value = 'hunter2-hunter2-hunter2'
const unresolved = (message: RegExp) =>
  expect.objectContaining({ code: 'CONFIG_SECRET_UNRESOLVED', message: expect.stringMatching(message) })

/** A home whose configuration is `settings`, and its secrets. */
function opened(settings: unknown, env: Record<string, string> = {}) {
  const home = tempDir()
  put(join(home, 'deputy.json'), JSON.stringify(settings))
  const store = openConfig({ home, env, cwd: home })
  return { home, store, secrets: openSecrets(store) }
}

const provider = (apiKey: unknown) => ({ models: { providers: { p: { baseUrl: 'http://127.0.0.1:1', apiKey } } } })
const ref = (source: string, name: string, id: string) => ({ source, provider: name, id })

describe('where values come from', () => {
  test('the file itself, and a variable', () => {
    const { secrets } = opened({}, { MY_KEY: value })
    expect(secrets.read('inline')).toBe('inline')
    expect(secrets.read({ source: 'env', provider: 'default', id: 'MY_KEY' })).toBe(value)
    expect(() => secrets.read({ source: 'env', provider: 'default', id: 'OTHER' })).toThrow(
      unresolved(/OTHER .* not set/),
    )
    expect(() => secrets.read({ source: 'env', provider: 'default', id: 'constructor' })).toThrow(unresolved(/not set/))
  })

  test('an allowlist of variables holds', () => {
    const { secrets } = opened(
      { secrets: { providers: { some: { source: 'env', allowlist: ['A'] } } } },
      { A: 'a', B: 'b' },
    )
    expect(secrets.read({ source: 'env', provider: 'some', id: 'A' })).toBe('a')
    expect(() => secrets.read({ source: 'env', provider: 'some', id: 'B' })).toThrow(unresolved(/allowlist/))
  })

  test('files of many and of one', () => {
    const dir = tempDir()
    const many = put(join(dir, 'many.json'), JSON.stringify({ a: { 'b/c': value }, n: 5 }))
    const one = put(join(dir, 'one'), `${value}\n`)
    const broken = put(join(dir, 'broken.json'), `{ "key": "${value}" oops`)
    const { secrets } = opened({
      secrets: {
        providers: {
          many: { source: 'file', path: many },
          one: { source: 'file', path: one, mode: 'singleValue' },
          broken: { source: 'file', path: broken },
          gone: { source: 'file', path: join(dir, 'gone') },
        },
      },
    })
    const read = (name: string, id: string) => secrets.read({ source: 'file', provider: name, id })
    expect(read('many', '/a/b~1c')).toBe(value)
    expect(read('one', 'value')).toBe(value)
    expect(() => read('many', '/n')).toThrow(unresolved(/no string at \/n/))
    expect(() => read('many', '/__proto__/x')).toThrow(unresolved(/no string/))
    expect(() => read('gone', 'value')).toThrow(unresolved(/it is not there/))
    expect(() => read('unheard', 'value')).toThrow(unresolved(/names no file/))
    expect(() => read('broken', '/key')).toThrow(unresolved(/not valid JSON/))
    expect(() => read('broken', '/key')).not.toThrow(/hunter2/)
    chmodSync(one, 0o666)
    const again = opened({ secrets: { providers: { one: { source: 'file', path: one, mode: 'singleValue' } } } })
    expect(() => again.secrets.read({ source: 'file', provider: 'one', id: 'value' })).toThrow(
      unresolved(/other users/),
    )
  })

  test('a program: asked once for all, its environment only what is named', async () => {
    const program = put(
      join(tempDir(), 'vault'),
      `#!/bin/sh
read -r question
case "$question" in *'"protocolVersion":1'*'"ids":["one","two","three"]'*) ;; *) echo "$question" >&2; exit 9;; esac
printf '{"protocolVersion":1,"values":{"one":"%s","two":"%s"},"errors":{"three":"sealed"}}' "$ALLOWED-value-one" "[$GIVEN][$SECRET]"
`,
      0o700,
    )
    const { secrets } = opened(
      {
        secrets: {
          providers: { vault: { source: 'exec', command: program, passEnv: ['ALLOWED'], env: { GIVEN: 'g' } } },
        },
        models: {
          providers: {
            a: { apiKey: ref('exec', 'vault', 'one') },
            b: { apiKey: ref('exec', 'vault', 'two'), headers: { x: ref('exec', 'vault', 'three') } },
          },
        },
      },
      { ALLOWED: 'yes', SECRET: 'no', PATH: process.env['PATH']! },
    )
    const one = { source: 'exec', provider: 'vault', id: 'one' } as const
    expect(() => secrets.read(one)).toThrow(unresolved(/not been asked yet/))
    const findings = await secrets.load()
    expect(secrets.read(one)).toBe('yes-value-one')
    expect(secrets.read({ ...one, id: 'two' })).toBe('[g][]')
    expect(findings).toEqual([
      { path: 'models.providers.b.headers.x', message: expect.stringContaining('reports an error for it') },
    ])
    expect(secrets.hide('say yes-value-one')).toBe(`say \${secret:models.providers.a.apiKey}`)
  })

  test.each([
    ['exit 3', /ended with 3/, 20_000],
    ['sleep 30', /did not answer within 100 ms/, 100],
    ['echo nonsense', /did not answer \{"protocolVersion"/, 20_000],
    ['head -c 100000 /dev/zero', /more than 1000 bytes/, 20_000],
  ])('a program that does %s', async (body, message, timeoutMs) => {
    const program = put(join(tempDir(), 'vault'), `#!/bin/sh\n${body}\n`, 0o700)
    const vault = {
      source: 'exec',
      command: program,
      timeoutMs,
      maxOutputBytes: 1000,
      env: { PATH: process.env['PATH'] },
    }
    const { secrets } = opened({ secrets: { providers: { vault } }, ...provider(ref('exec', 'vault', 'k')) })
    expect((await secrets.load())[0]!.message).toMatch(message)
  })

  test('a program that others can write, or that is not there', async () => {
    const program = put(join(tempDir(), 'vault'), '#!/bin/sh\necho x\n', 0o722)
    for (const [command, message] of [
      [program, /other users/],
      [`${program}-gone`, /not there/],
    ] as const) {
      const { secrets } = opened({
        secrets: { providers: { v: { source: 'exec', command } } },
        ...provider(ref('exec', 'v', 'k')),
      })
      expect((await secrets.load())[0]!.message).toMatch(message)
    }
  })

  test('without the door’s own secret nothing starts; without a provider’s all else does', async () => {
    const door = opened({ gateway: { auth: { mode: 'token', token: ref('env', 'default', 'T') } } })
    await expect(door.secrets.load()).rejects.toEqual(unresolved(/T .* not set/))
    const model = opened(provider(ref('env', 'default', 'K')))
    expect(await model.secrets.load()).toEqual([
      { path: 'models.providers.p.apiKey', message: expect.stringMatching(/K/) },
    ])
    const unused = opened({ gateway: { auth: { mode: 'none', token: ref('env', 'default', 'T') } } })
    expect(await unused.secrets.load()).toEqual([])
  })
})

describe('what is known', () => {
  test('values of the file, of references, of variables by their name, and what was added', async () => {
    const { secrets } = opened(
      {
        gateway: { auth: { token: 'token-token-token' } },
        store: { url: 'postgres://deputy:p4ssw0rd-p4ssw0rd@db/deputy' },
        env: { vars: { HOST_NAME: 'not-a-secret', VAULT_TOKEN: 'vault-vault-vault' } },
        ...provider('key-key-key-key'),
      },
      { SOME_API_KEY: 'some-some-some', HOME_PAGE: 'https://example.org' },
    )
    secrets.add('auth-profiles:main/anthropic', 'added-added-added')
    expect(Object.fromEntries(secrets.known().map(({ name, value }) => [name, value]))).toMatchObject({
      'gateway.auth.token': 'token-token-token',
      'models.providers.p.apiKey': 'key-key-key-key',
      'store.url': 'postgres://deputy:p4ssw0rd-p4ssw0rd@db/deputy',
      'store.url#password': 'p4ssw0rd-p4ssw0rd',
      'env.vars.VAULT_TOKEN': 'vault-vault-vault',
      SOME_API_KEY: 'some-some-some',
      'auth-profiles:main/anthropic': 'added-added-added',
    })
    expect(secrets.hide('curl -u x:p4ssw0rd-p4ssw0rd https://example.org not-a-secret')).toBe(
      `curl -u x:\${secret:store.url#password} https://example.org not-a-secret`,
    )
  })

  test('a changed configuration is known at once', async () => {
    const { store, secrets } = opened({ gateway: { auth: { token: 'token-token-token' } } })
    expect(secrets.hide('token-token-token new-new-new-new')).toBe(`\${secret:gateway.auth.token} new-new-new-new`)
    await store.set('gateway.auth.token', 'new-new-new-new')
    expect(secrets.hide('token-token-token new-new-new-new')).toBe(`token-token-token \${secret:gateway.auth.token}`)
  })

  test('nothing of it can be seen in the object', () => {
    const { secrets } = opened({}, { SOME_API_KEY: value })
    secrets.read({ source: 'env', provider: 'default', id: 'SOME_API_KEY' })
    expect(JSON.stringify(secrets)).not.toContain('hunter2')
    expect(Object.values(secrets).every(item => typeof item === 'function')).toBe(true)
  })
})

describe('hiding and revealing', () => {
  const table = makePlaceholders([
    { name: 'a', value: 'alpha-alpha' },
    { name: 'b', value: 'alpha-alpha-longer' },
    { name: 'short', value: 'abc' },
    { name: 'odd}name', value: 'odd.*(value' },
  ])

  test('longest first, short ones not at all, keys and lists too', () => {
    expect(table.hide('alpha-alpha-longer alpha-alpha abc')).toBe(`\${secret:b} \${secret:a} abc`)
    expect(table.hide({ 'alpha-alpha': ['odd.*(value', 5, null] })).toEqual({
      [`\${secret:a}`]: [`\${secret:odd_name}`, 5, null],
    })
  })

  test('a placeholder that somebody wrote never becomes a value', () => {
    const asked = `echo \${secret:a} \${secret!:a} \${secret:nobody}`
    expect(table.hide(asked)).toBe(`echo \${secret!:a} \${secret!!:a} \${secret!:nobody}`)
    expect(table.reveal(table.hide(asked))).toBe(asked)
  })

  test('a name without a value any more is refused', () => {
    expect(() => table.reveal(`\${secret:gone}`)).toThrow(unresolved(/secret gone /))
  })

  test('properties: reveal undoes hide, and no value is left', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        'alpha-alpha',
        'alpha-alpha-longer',
        'odd.*(value',
        `\${secret:`,
        `\${secret!`,
        '!',
        ':',
        '}',
        'a',
        '$',
        '{',
        'alpha-',
      ),
      fc.string({ maxLength: 5 }),
    )
    const text = fc.array(piece, { maxLength: 12 }).map(pieces => pieces.join(''))
    const secrets = fc.array(fc.record({ name: fc.string({ minLength: 1, maxLength: 6 }), value: text }), {
      maxLength: 4,
    })
    fc.assert(
      fc.property(
        secrets,
        text,
        fc.dictionary(
          text.filter(key => key !== '__proto__'),
          text,
        ),
        (secrets, text, object) => {
          for (const made of [table, makePlaceholders(secrets)]) {
            expect(made.reveal(made.hide(text))).toBe(text)
            expect(made.reveal(made.hide(object))).toEqual(object)
          }
          for (const { value } of table.known) expect(table.hide(text)).not.toContain(value)
        },
      ),
      { numRuns: runs(500) },
    )
  })
})
