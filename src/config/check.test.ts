import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { anyObject, runs, validConfig } from '../../test/support/arbitrary-config.ts'
import { check } from './check.ts'
import type { AnyRule } from './kit.ts'
import { root, type Settings } from './schema.ts'

const checked = (value: unknown) => check(root, value)
const messages = (value: unknown) => checked(value).issues.map(({ path, message }) => `${path}: ${message}`)

describe('the table and what it says', () => {
  test('an empty file is all defaults', () => {
    const settings = checked({}).value as Settings
    expect(settings.gateway.port).toBe(18789)
    expect(settings.gateway.bind).toBe('loopback')
    expect(settings.gateway.auth.remoteDevices).toBe('required')
    expect(settings.agents.defaults.subagents).toMatchObject({
      maxSpawnDepth: 5,
      maxChildrenPerAgent: 5,
      maxConcurrent: 8,
      runTimeoutSeconds: 0,
      requireAgentId: false,
      archiveAfterMinutes: 60,
    })
    expect(settings.tools.exec.sandbox).toBe('bubblewrap')
  })

  test.each([
    [{ gateway: { port: '18789' } }, 'gateway.port: found "18789"; allowed: a whole number from 0 to 65535'],
    [{ gateway: { port: 70_000 } }, 'gateway.port: found 70000; allowed: a whole number from 0 to 65535'],
    [{ gateway: { port: 1.5 } }, 'gateway.port: found 1.5; allowed: a whole number from 0 to 65535'],
    [
      { gateway: { bind: 'everywhere' } },
      'gateway.bind: found "everywhere"; allowed: "auto", "loopback", "lan", "tailnet", "custom"',
    ],
    [{ gateway: null }, /^gateway: found null; allowed: an object with port/],
    [{ agents: { list: {} } }, /^agents.list: found an object; allowed: a list/],
    [
      { agents: { list: [{ id: 'main', model: 5 }] } },
      /^agents.list\[0\].model: found 5; allowed: provider|^agents.list\[0\].model: found 5; allowed: a string; or an object/,
    ],
    [
      { agents: { entries: { 'no spaces': {} } } },
      /^agents.entries\["no spaces"\]: found the name "no spaces"; allowed: letters/,
    ],
    [{ tools: { exec: { sandbox: false } } }, 'tools.exec.sandbox: found false; allowed: "bubblewrap", "off"'],
    [{ tools: { exec: { timeoutSec: 'x' } } }, /^tools.exec.timeoutSec: found "x"; allowed: a whole number/],
    [{ session: { reset: { atHour: 24 } } }, 'session.reset.atHour: found 24; allowed: a whole number from 0 to 23'],
  ])('%j', (value, expected) => {
    const found = messages(value)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(expected)
  })

  test('the value of a secret is in no message', () => {
    const found = JSON.stringify(
      checked({ gateway: { auth: { token: ['hunter2hunter2'], password: { source: 'hunter2hunter2' } } } }),
    )
    expect(checked({ gateway: { auth: { token: 5 } } }).issues).toHaveLength(1)
    expect(found).not.toContain('"found hunter2')
    expect(JSON.parse(found).issues).toHaveLength(2)
    expect(JSON.stringify(JSON.parse(found).issues)).not.toContain('hunter2')
  })

  test('unknown keys are named, with what was probably meant', () => {
    const { issues, warnings } = checked({
      gatway: {},
      gateway: { prot: 1, tailscale: {} },
      agents: { defaults: { subagents: { maxSpawnDeptth: 2 } } },
      zebra: 1,
    })
    expect(issues).toEqual([])
    expect(Object.fromEntries(warnings.map(({ path, message }) => [path, message]))).toEqual({
      gatway: 'unknown key, ignored; did you mean "gateway"?',
      'gateway.prot': 'unknown key, ignored; did you mean "port"?',
      'gateway.tailscale': 'this key of OpenClaw is not used by Deputy and is ignored',
      'agents.defaults.subagents.maxSpawnDeptth': 'unknown key, ignored; did you mean "maxSpawnDepth"?',
      zebra: 'unknown key, ignored',
    })
  })

  test('a number beyond the recommended range is taken, with a warning', () => {
    const { value, issues, warnings } = checked({ agents: { defaults: { subagents: { maxChildrenPerAgent: 1000 } } } })
    expect(issues).toEqual([])
    expect((value as Settings).agents.defaults.subagents.maxChildrenPerAgent).toBe(1000)
    expect(warnings).toEqual([
      {
        path: 'agents.defaults.subagents.maxChildrenPerAgent',
        message: '1000 is outside the recommended 1–20; it is taken as it is',
      },
    ])
  })

  test('an older name is read, the newer one wins', () => {
    const of = (exec: unknown) => (checked({ tools: { exec } }).value as Settings).tools.exec.timeoutSeconds
    expect(of({ timeoutSec: 5 })).toBe(5)
    expect(of({ timeoutSec: 5, timeoutSeconds: 7 })).toBe(7)
  })

  test('keys that every object has are ordinary keys', () => {
    const { value, issues } = checked({ auth: { order: {} }, models: { providers: {} } })
    expect(issues).toEqual([])
    expect((value as Settings).models.providers['constructor']).toBeUndefined()
    expect(checked({ constructor: 1, toString: 2 }).warnings.map(({ path }) => path)).toEqual([
      'constructor',
      'toString',
    ])
  })
})

describe('properties', () => {
  test('what fits the table has no issue, and reading the result again changes nothing', () => {
    fc.assert(
      fc.property(validConfig, value => {
        const once = checked(value)
        expect(once.issues).toEqual([])
        expect(checked(once.value).value).toEqual(once.value)
      }),
      { numRuns: runs(100) },
    )
  })

  test('unknown keys never fail, wherever they stand', () => {
    const strange = fc.stringMatching(/^zz[a-z]{3,8}$/)
    const places = objectsOf(root, [])
    fc.assert(
      fc.property(validConfig, strange, fc.constantFrom(...places), fc.jsonValue(), (value, key, place, item) => {
        const { value: withKey, at } = put(value, place, key, item)
        const { issues, warnings } = checked(withKey)
        expect(issues).toEqual([])
        if (at) expect(warnings.some(({ path }) => path.endsWith(key))).toBe(true)
      }),
      { numRuns: runs(200) },
    )
  })

  test('no input makes it throw, or changes the input', () => {
    fc.assert(
      fc.property(anyObject, value => {
        const before = structuredClone(value)
        const { issues, value: filled } = checked(value)
        expect(value).toEqual(before)
        if (issues.length === 0) expect(filled).toBeTypeOf('object')
        for (const { path, message } of issues) {
          expect(path).not.toBe('')
          expect(message).toMatch(/^found [\s\S]+; allowed: /)
        }
      }),
      { numRuns: runs(300) },
    )
  })
})

/** Paths of all objects with named keys that do not lie below a list or a map. */
function objectsOf(rule: AnyRule, path: string[]): string[][] {
  if (rule.kind !== 'object') return []
  return [path, ...Object.entries(rule.fields).flatMap(([key, field]) => objectsOf(field, [...path, key]))]
}

function put(value: unknown, [first, ...rest]: string[], key: string, item: unknown): { value: unknown; at: boolean } {
  const object = (value ?? {}) as Record<string, unknown>
  if (first === undefined) return { value: { ...object, [key]: item }, at: true }
  const below = put(object[first], rest, key, item)
  return { value: { ...object, [first]: below.value }, at: below.at }
}
