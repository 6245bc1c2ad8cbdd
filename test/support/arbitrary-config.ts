/**
 * Random configurations made from the table itself: values that fit it, and values that may not.
 */
import fc from 'fast-check'
import type { AnyRule } from '../../src/config/kit.ts'
import { root } from '../../src/config/schema.ts'

/** Words that fit each pattern of the table; a pattern without one fails loudly. */
const samples = [
  'main',
  'extractor',
  'https://deputy.example.org',
  'http://127.0.0.1:11434/v1',
  '10.0.0.0/8',
  '127.0.0.1',
  '/usr/bin/vault',
  '30d',
]

function arbitraryText(rule: AnyRule & { kind: 'text' }): fc.Arbitrary<string> {
  if (rule.oneOf) return fc.constantFrom(...rule.oneOf)
  if (!rule.pattern) return fc.string({ maxLength: 12 }).filter(text => !text.includes('${'))
  const fitting = samples.filter(sample => rule.pattern!.test(sample))
  if (fitting.length === 0) throw new Error(`no sample fits ${rule.pattern}`)
  return fc.constantFrom(...fitting)
}

const ref = fc.record({
  source: fc.constantFrom('env', 'file', 'exec'),
  provider: fc.constant('default'),
  id: fc.constantFrom('SOME_KEY', '/a/b'),
})

/** Values that the rule takes. Rules between keys may still refuse the whole. */
export function fitting(rule: AnyRule): fc.Arbitrary<unknown> {
  switch (rule.kind) {
    case 'open':
      return fc.constantFrom(1, 'x', true, [1], { a: 1 })
    case 'text':
      return arbitraryText(rule)
    case 'number': {
      const max = Math.min(rule.max, rule.min + 1_000_000)
      return rule.whole
        ? fc.integer({ min: rule.min, max })
        : fc.double({ min: rule.min, max, noNaN: true }).map(Math.abs)
    }
    case 'flag':
      return fc.boolean()
    case 'secret':
      return fc.oneof(fc.stringMatching(/^sk-[a-z0-9]{8,24}$/), ref)
    case 'list':
      return fc.array(fitting(rule.of), { maxLength: 3 })
    case 'map': {
      const key = rule.key
        ? fc.constantFrom('main', 'extractor', 'third')
        : fc.constantFrom('a', 'b.c', 'constructor', 'token')
      return fc.dictionary(key, fitting(rule.of), { maxKeys: 3, noNullPrototype: true })
    }
    case 'object':
      return fc.record(Object.fromEntries(Object.entries(rule.fields).map(([key, field]) => [key, fitting(field)])), {
        requiredKeys: [],
        noNullPrototype: true,
      })
    case 'either':
      return fc.oneof(...rule.of.map(fitting))
  }
}

/** Whole configurations that pass the table and the rules between keys. */
export const validConfig = (fitting(root) as fc.Arbitrary<Record<string, unknown>>).map(value => {
  const {
    agents,
    bindings: _,
    gateway,
    logging,
    channels,
    messages,
    ...rest
  } = value as Record<string, Record<string, unknown>>
  const entries = (agents?.['entries'] ?? {}) as Record<string, Record<string, unknown>>
  const one = Object.fromEntries(Object.entries(entries).map(([id, { default: _, ...entry }]) => [id, entry]))
  return {
    ...rest,
    ...(agents && { agents: { ...agents, list: [], entries: one } }),
    ...(gateway && {
      gateway: { ...gateway, bind: 'loopback', auth: { ...(gateway['auth'] as object), mode: 'token' } },
    }),
    ...(logging && { logging: { ...logging, redactPatterns: [] } }),
    ...(channels && { channels: tame(channels) as Record<string, unknown> }),
    ...(messages && { messages: tame(messages) as Record<string, unknown> }),
  } as Record<string, unknown>
})

/** Keys of chat services whose values other keys decide about, as values that are always allowed. */
function tame(value: unknown): unknown {
  if (Array.isArray(value) || typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([key]) => key !== 'mentionPatterns' && key !== 'agentId')
  return Object.fromEntries(entries.map(([key, each]) => [key, each === 'open' ? 'disabled' : tame(each)]))
}

/** Any plain JSON object, of keys that are likely to meet the table's. */
export const anyObject = fc
  .dictionary(
    fc.oneof(
      fc.constantFrom('gateway', 'agents', 'tools', 'port', 'auth', 'constructor', 'toString'),
      fc.string({ maxLength: 6 }),
    ),
    fc.jsonValue({ maxDepth: 3 }),
    { maxKeys: 5, noNullPrototype: true },
  )
  .filter(value => !JSON.stringify(value).includes('__proto__'))
  // There is no -0 in JSON.
  .map(value => JSON.parse(JSON.stringify(value)) as Record<string, unknown>)

export const runs = (ordinary: number): number => (process.env['DEPUTY_LONG'] ? ordinary * 50 : ordinary)
