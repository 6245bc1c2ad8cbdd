import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { anyObject, runs } from '../../test/support/arbitrary-config.ts'
import { put, tempDir } from '../../test/support/temp.ts'
import { DeputyError } from '../protocol/errors.ts'
import { openConfig } from './store.ts'

const isRoot = process.getuid?.() === 0

function opened(text: string | null, options: { env?: Record<string, string>; home?: string; cwd?: string } = {}) {
  const home = options.home ?? tempDir()
  if (text !== null) put(join(home, 'deputy.json'), text)
  return openConfig({ home, env: options.env ?? {}, cwd: options.cwd ?? home })
}

/** The error that a start with this text ends in. */
function refused(text: string | null, options: Parameters<typeof opened>[1] = {}): DeputyError {
  const store = opened(text, options)
  try {
    store.current()
  } catch (error) {
    expect(error).toBeInstanceOf(DeputyError)
    expect(store.issues.length).toBeGreaterThan(0)
    expect((error as DeputyError).fix).not.toBe('')
    return error as DeputyError
  }
  throw new Error('it was not refused')
}

describe('reading the file', () => {
  test('no file is all defaults', () => {
    const store = opened(null)
    expect(store.exists).toBe(false)
    expect(store.current().gateway.port).toBe(18789)
  })

  test('an empty file, a comment alone and a byte order mark are fine', () => {
    for (const text of ['', '  \n', '// nothing\n{}', '\uFEFF{ gateway: { port: 1 } }'])
      expect(opened(text).current().gateway.mode).toBe('local')
  })

  test('broken JSON5 names line and column', () => {
    const error = refused('{\n  gateway: {\n    port: ]\n  }\n}')
    expect(error).toMatchObject({ code: 'CONFIG_SYNTAX', details: { line: 3, column: 11 } })
    expect(error.message).toMatch(/deputy\.json is not valid JSON5 at line 3, column 11: invalid character '\]'\.$/)
  })

  test.each(['[]', '"text"', '5', 'null'])('%s is no configuration', text => {
    expect(refused(text)).toMatchObject({ code: 'CONFIG_INVALID' })
  })

  test('all that is wrong is told at once', () => {
    const error = refused('{ gateway: { port: "x", bind: 1 }, agents: [] }')
    expect(error.code).toBe('CONFIG_INVALID')
    expect(error.message).toContain('gateway.port: found "x"; allowed: a whole number from 0 to 65535. And 2 more')
    expect(error.details['issues']).toHaveLength(3)
  })

  test('a Config cannot be changed by those who read it', () => {
    const config = opened('{ agents: { entries: { main: {} } } }').current()
    expect(() => Object.assign(config.agents.entries['main']!, { model: 'x' })).toThrow(TypeError)
  })
})

describe('hostile files', () => {
  test('10 MB', () => {
    const error = refused(`{ a: "${'x'.repeat(10 * 1024 * 1024)}" }`)
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
    expect(error.message).toContain('at most 2097152')
    expect(error.message.length).toBeLessThan(300)
  })

  test('deep nesting', () => {
    expect(refused(`{ a: ${'['.repeat(100_000)}${']'.repeat(100_000)} }`).message).toContain('nested deeper than 64')
  })

  test('__proto__ is refused and changes no object', () => {
    expect(refused('{ "__proto__": { "polluted": 1 } }').message).toContain('__proto__')
    expect(refused('{ gateway: { "__proto__": null } }').message).toContain('__proto__')
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  test('infinities are no numbers that can be stored', () => {
    expect(refused('{ gateway: { port: Infinity } }')).toMatchObject({ code: 'CONFIG_INVALID' })
    expect(refused('{ meta: { x: NaN } }')).toMatchObject({ code: 'CONFIG_INVALID' })
  })

  test.each([
    [
      '{ agents: { list: [{ id: "main" }, { id: "Main" }] } }',
      /agents.list\[1\]: found a second agent "main", the first is agents.list\[0\]/,
    ],
    ['{ agents: { list: [{ id: "a" }], entries: { a: {} } } }', /agents.entries.a: found a second agent "a"/],
    ['{ agents: { list: [{ name: "a" }] } }', /agents.list\[0\].id: found nothing/],
    [
      '{ agents: { entries: { a: { default: true }, b: { default: true } } } }',
      /agents.entries.b.default: found true for a and b/,
    ],
    ['{ bindings: [{ agentId: "b", match: { channel: "x" } }] }', /bindings\[0\].agentId: found "b"; allowed: "main"/],
    ['{ gateway: { bind: "custom" } }', /gateway.customBindHost: found nothing/],
    ['{ gateway: { auth: { mode: "password" } } }', /gateway.auth.password: found nothing/],
    ['{ gateway: { auth: { mode: "trusted-proxy" } } }', /gateway.auth.trustedProxy.userHeader: found nothing/],
    ['{ gateway: { auth: { token: "" } } }', /gateway.auth.token: found an empty string/],
    [
      '{ gateway: { auth: { identityScopes: { "a@b.c": ["operator.everything"] } } } }',
      /identityScopes\["a@b.c"\]\[0\]: found "operator.everything"; allowed: "operator.admin"/,
    ],
    [
      '{ logging: { redactPatterns: ["("] } }',
      /logging.redactPatterns\[0\]: found "\("; allowed: a regular expression/,
    ],
  ])('%s', (text, message) => {
    const error = refused(text)
    expect(error.code).toBe('CONFIG_INVALID')
    expect(error.message).toMatch(message)
  })

  test('a directory in the place of the file', () => {
    const home = tempDir()
    mkdirSync(join(home, 'deputy.json'))
    expect(refused(null, { home })).toMatchObject({ code: 'CONFIG_UNREADABLE' })
  })

  test('a link that leads nowhere, and one that leads in a circle', () => {
    const home = tempDir()
    symlinkSync('nowhere', join(home, 'deputy.json'))
    expect(refused(null, { home })).toMatchObject({ code: 'CONFIG_UNREADABLE' })
    const other = tempDir()
    symlinkSync('deputy.json', join(other, 'deputy.json'))
    expect(refused(null, { home: other }).message).toContain('links lead in a circle')
  })

  test.skipIf(!isRoot)("somebody else's file", () => {
    const home = tempDir()
    chownSync(put(join(home, 'deputy.json'), '{}'), 12345, 12345)
    const error = refused(null, { home })
    expect(error).toMatchObject({ code: 'CONFIG_UNREADABLE' })
    expect(error.message).toContain('belongs to user 12345')
  })

  test('a file that others can read is closed, and it is said', () => {
    const home = tempDir()
    const file = put(join(home, 'deputy.json'), '{}', 0o644)
    const store = opened(null, { home })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(store.warnings.map(({ message }) => message).join()).toContain('mode 644')
  })

  test('whatever the text, opening never throws and refusing is a DeputyError', () => {
    const text = fc.oneof(
      fc.string(),
      anyObject.map(value => JSON.stringify(value)),
      fc.tuple(anyObject, fc.nat(), fc.string({ maxLength: 3 })).map(([value, at, noise]) => {
        const whole = JSON.stringify(value)
        return whole.slice(0, at % whole.length) + noise + whole.slice(at % whole.length)
      }),
    )
    const store = opened(null)
    fc.assert(
      fc.property(text, text => {
        for (const issue of store.validate(text).issues) expect(issue.code).toMatch(/^CONFIG_/)
      }),
      { numRuns: runs(500) },
    )
  })
})

describe('$include', () => {
  test('siblings win over what is included, later files over earlier ones', () => {
    const home = tempDir()
    put(join(home, 'parts/a.json5'), '{ port: 1, auth: { mode: "token" } }')
    put(join(home, 'parts/b.json5'), '{ port: 2, bind: "lan" }')
    const config = opened('{ gateway: { $include: ["parts/a.json5", "./parts/b.json5"], bind: "auto" } }', {
      home,
    }).current()
    expect(config.gateway).toMatchObject({ port: 2, bind: 'auto', auth: { mode: 'token' } })
  })

  test('cycles, levels, strangers, links out and missing files are refused', () => {
    const home = tempDir()
    const away = put(join(tempDir(), 'away.json'), '{}')
    put(join(home, 'a.json'), '{ $include: "b.json" }')
    put(join(home, 'b.json'), '{ $include: "a.json" }')
    put(join(home, 'bad.json'), '{ x: }')
    for (let level = 0; level < 12; level++) put(join(home, `l${level}.json`), `{ $include: "l${level + 1}.json" }`)
    symlinkSync(away, join(home, 'link.json'))
    const message = (text: string) => refused(text, { home }).message
    expect(message('{ $include: "a.json" }')).toContain('include each other')
    expect(message('{ $include: "l0.json" }')).toContain('more than 10 levels')
    expect(message(`{ $include: "${away}" }`)).toContain('lies outside')
    expect(message('{ $include: "../../etc/passwd" }')).toMatch(/cannot be read|lies outside/)
    expect(message('{ $include: "link.json" }')).toContain('lies outside')
    expect(message('{ $include: "missing.json" }')).toContain('it is not there')
    expect(message('{ $include: 5 }')).toContain('takes a file name')
    expect(refused('{ $include: "bad.json" }', { home })).toMatchObject({ code: 'CONFIG_SYNTAX', details: { line: 1 } })
  })

  test('a directory of DEPUTY_INCLUDE_ROOTS is allowed', () => {
    const away = tempDir()
    put(join(away, 'x.json'), '{ gateway: { port: 7 } }')
    const store = opened(`{ $include: "${join(away, 'x.json')}" }`, { env: { DEPUTY_INCLUDE_ROOTS: away } })
    expect(store.current().gateway.port).toBe(7)
  })
})

describe(`\${VAR}`, () => {
  test('is put in, doubled it is itself, and a missing one is named', () => {
    const text = `{ gateway: { auth: { token: "\${MY_TOKEN}" } }, agents: { defaults: { userTimezone: "$\${MY_TOKEN} \${lower}" } } }`
    const config = opened(text, { env: { MY_TOKEN: 'from-env' } }).current()
    expect(config.gateway.auth.token).toBe('from-env')
    expect(config.agents.defaults.userTimezone).toBe(`\${MY_TOKEN} \${lower}`)
    const error = refused(text)
    expect(error).toMatchObject({ code: 'CONFIG_SECRET_UNRESOLVED' })
    expect(error.message).toContain(`gateway.auth.token: found \${MY_TOKEN}, and the variable MY_TOKEN is not set`)
    expect(error.fix).toContain('MY_TOKEN')
  })

  test('the first that sets a name wins: environment, .env here, .env of the home, env.vars', () => {
    const home = tempDir()
    const cwd = tempDir()
    put(join(home, '.env'), 'A=home\nB=home\nC="home"\n')
    put(join(cwd, '.env'), 'A=here\nB=here\n')
    const text = `{ env: { vars: { A: "vars", D: "vars", E: "\${C}!" }, F: "direct" }, meta: "\${A} \${B} \${C} \${D} \${E} \${F}" }`
    const store = opened(text, { home, cwd, env: { A: 'process' } })
    expect(store.current().meta).toBe('process here home vars home! direct')
    expect(store.env['D']).toBe('vars')
  })

  test('a .env of a working directory brings keys, and decides nothing about where to connect', () => {
    const cwd = tempDir()
    put(
      join(cwd, '.env'),
      'OPENAI_API_KEY=key\nOPENAI_BASE_URL=http://evil.example\nDEPUTY_GATEWAY_TOKEN=mine\nPATH=/evil\n',
    )
    const store = opened('{}', { cwd })
    expect(store.env).toEqual({ OPENAI_API_KEY: 'key' })
    expect(store.current().gateway.auth.token).toBeUndefined()
    expect(store.warnings[0]!.message).toContain('OPENAI_BASE_URL')
  })

  test('a .env that others can write is not read', () => {
    const home = tempDir()
    chmodSync(put(join(home, '.env'), 'A=1'), 0o666)
    expect(opened('{}', { home }).env['A']).toBeUndefined()
    expect(opened('{}', { home }).warnings[0]!.message).toContain('other users can write it')
  })

  test('the file is not changed by reading it', () => {
    const text = `{ gateway: { auth: { token: "\${MY_TOKEN}" } } }`
    const store = opened(text, { env: { MY_TOKEN: 'from-env' } })
    expect(readFileSync(store.home.config, 'utf8')).toBe(text)
    expect(store.view().parsed).toEqual({ gateway: { auth: { token: `\${MY_TOKEN}` } } })
  })
})

test('the token of the environment is used when the file has none', () => {
  const token = (text: string, env: Record<string, string>) => opened(text, { env }).current().gateway.auth.token
  const id = (name: string) => ({ source: 'env', provider: 'default', id: name })
  expect(token('{}', { DEPUTY_GATEWAY_TOKEN: 'x', OPENCLAW_GATEWAY_TOKEN: 'y' })).toEqual(id('DEPUTY_GATEWAY_TOKEN'))
  expect(token('{}', { OPENCLAW_GATEWAY_TOKEN: 'y' })).toEqual(id('OPENCLAW_GATEWAY_TOKEN'))
  expect(token('{ gateway: { auth: { token: "own" } } }', { DEPUTY_GATEWAY_TOKEN: 'x' })).toBe('own')
})
