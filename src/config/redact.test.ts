import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs, validConfig } from '../../test/support/arbitrary-config.ts'
import { redact, redacted, redactText, secretsIn, unredact } from './redact.ts'

describe('showing', () => {
  test('secrets of the table, by name, in addresses, in variables and headers; nothing else', () => {
    const ref = { source: 'env', provider: 'default', id: 'KEY' }
    expect(
      redact({
        gateway: { port: 1, auth: { mode: 'token', token: 'abc', password: ref } },
        models: {
          providers: {
            a: { baseUrl: 'https://me:pw@host/v1', apiKey: `\${KEY}`, headers: { 'x-one': 'two' } },
            b: { baseUrl: 'https://host/v1', apiKey: ref },
          },
        },
        channels: { telegram: { botToken: '123:abc', allowFrom: ['1'] } },
        mcp: { servers: { s: { env: { ANY: 'x' }, headers: { Authorization: 'Bearer x' }, args: ['--quiet'] } } },
        agents: { defaults: { maxTokens: 5 } },
        store: { url: 'postgres://localhost/deputy' },
      }),
    ).toEqual({
      gateway: { port: 1, auth: { mode: 'token', token: redacted, password: ref } },
      models: {
        providers: {
          a: { baseUrl: redacted, apiKey: `\${KEY}`, headers: { 'x-one': redacted } },
          b: { baseUrl: 'https://host/v1', apiKey: ref },
        },
      },
      channels: { telegram: { botToken: redacted, allowFrom: ['1'] } },
      mcp: { servers: { s: { env: { ANY: redacted }, headers: { Authorization: redacted }, args: ['--quiet'] } } },
      agents: { defaults: { maxTokens: 5 } },
      store: { url: redacted },
    })
  })

  test('a text that can be shown without its secrets is; one that cannot is not', () => {
    const text = '{ gateway: { auth: { token: "s3cret" } } } // mine'
    expect(redactText(text, { gateway: { auth: { token: 's3cret' } } })).toBe(text.replace('s3cret', redacted))
    const odd = '{ gateway: { auth: { token: "s3\\u0063ret" } } }'
    expect(redactText(odd, { gateway: { auth: { token: 's3cret' } } })).toBeNull()
    const short = '{ gateway: { auth: { token: "a" } }, meta: "a" }'
    expect(redactText(short, { gateway: { auth: { token: 'a' } }, meta: 'a' })).toBeNull()
  })

  test('a comment does not give a secret away', () => {
    const text = '{ gateway: { auth: { token: "s3cret" } } } // was s3cret'
    expect(redactText(text, { gateway: { auth: { token: 's3cret' } } })).not.toContain('s3cret')
  })
})

describe('putting back', () => {
  test('items of a list by their id, others by their place', () => {
    const stored = {
      x: [
        { id: 'a', token: '1' },
        { id: 'b', token: '2' },
      ],
      y: [{ token: '3' }],
    }
    const shown = { x: [{ id: 'b', token: redacted }], y: [{ token: redacted }] }
    expect(unredact(shown, stored)).toEqual({ x: [{ id: 'b', token: '2' }], y: [{ token: '3' }] })
  })

  test('nothing stored is an error that names the key', () => {
    const wrong = expect.objectContaining({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('gateway.auth.token'),
    })
    expect(() => unredact({ gateway: { auth: { token: redacted } } }, {})).toThrow(wrong)
    expect(() =>
      unredact({ gateway: { auth: { token: redacted } } }, { gateway: { auth: { token: redacted } } }),
    ).toThrow(wrong)
  })

  test('properties: no secret is shown; what is shown and written back is what was stored', () => {
    fc.assert(
      fc.property(validConfig, stored => {
        const before = structuredClone(stored)
        const shown = redact(stored)
        const text = JSON.stringify(shown)
        for (const { value } of secretsIn(stored))
          if (value.startsWith('sk-')) expect(text).not.toContain(JSON.stringify(value))
        expect(secretsIn(shown)).toEqual([])
        expect(unredact(shown, stored)).toEqual(stored)
        expect(stored).toEqual(before)
      }),
      { numRuns: runs(150) },
    )
  })
})
