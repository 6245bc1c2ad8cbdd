import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { classify, retryAfter, scrub } from './failure.ts'

/** As a provider package throws it. */
function thrown(statusCode: number, message: string, responseBody = '', responseHeaders: Record<string, string> = {}) {
  return Object.assign(new Error(message), { name: 'AI_APICallError', statusCode, responseBody, responseHeaders })
}

function cause(code: string) {
  const inner = Object.assign(new Error('read'), { code })
  return Object.assign(new Error('Cannot connect to API: read', { cause: inner }), { name: 'AI_APICallError' })
}

test.each([
  ['auth', thrown(401, 'invalid x-api-key')],
  ['auth', thrown(403, 'Your request was blocked.')],
  ['auth', thrown(400, 'API key not valid. Please pass a valid API key.', '{"reason":"API_KEY_INVALID"}')],
  ['quota', thrown(429, 'You exceeded your current quota, please check your plan and billing details.')],
  ['quota', thrown(429, 'Error', '{"error":{"code":"insufficient_quota"}}')],
  ['quota', thrown(400, 'Your credit balance is too low to access the API.')],
  ['quota', thrown(402, 'Insufficient credits')],
  ['rate_limit', thrown(429, 'Rate limit reached for requests')],
  ['rate_limit', thrown(429, '')],
  [
    'context_length',
    thrown(400, "This model's maximum context length is 128000 tokens. However, you requested 200000."),
  ],
  ['context_length', thrown(400, 'prompt is too long: 210000 tokens > 200000 maximum')],
  [
    'context_length',
    thrown(400, 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).'),
  ],
  ['context_length', thrown(413, 'Request exceeds the maximum size')],
  ['refusal', thrown(400, 'Your request was rejected as a result of our safety system.')],
  ['refusal', thrown(400, 'The response was filtered due to the prompt triggering content management policy.')],
  ['overloaded', thrown(529, 'Overloaded')],
  ['overloaded', thrown(503, 'The model is overloaded. Please try again later.')],
  ['overloaded', thrown(500, 'Internal server error')],
  ['overloaded', thrown(408, 'timeout')],
  ['bad_request', thrown(400, 'tools.0.custom.name: String should match pattern')],
  ['bad_request', thrown(422, 'unknown field')],
  ['bad_request', thrown(404, 'model: claude-9')],
  ['overloaded', { type: 'overloaded_error', message: 'Overloaded' }],
  ['rate_limit', { type: 'rate_limit_error', message: 'Too many requests' }],
  ['overloaded', { message: 'The server had an error', type: 'server_error', code: null }],
  ['network', cause('ECONNREFUSED')],
  ['network', cause('UND_ERR_SOCKET')],
  ['network', Object.assign(new Error('terminated'), { statusCode: 200 })],
  [
    'bad_answer',
    Object.assign(new Error('JSON parsing failed: Text: socket overloaded api key'), { name: 'AI_JSONParseError' }),
  ],
  ['bad_answer', 'no idea'],
  ['bad_answer', null],
] as const)('%s: %o', (kind, error) => {
  expect(classify('acme', error, 0).class).toBe(kind)
})

test('what the provider said is kept, in one line and not without end', () => {
  const { message } = classify('acme', thrown(400, `first\n  second ${'x'.repeat(9_000)}`), 0)
  expect(message).toMatch(/^acme answered 400: first second x+…$/)
  expect(message.length).toBeLessThan(450)
})

test('a model that does not exist has its own code', () => {
  expect(classify('acme', thrown(404, 'no such model'), 0)).toMatchObject({
    class: 'bad_request',
    code: 'MODEL_UNKNOWN',
  })
})

describe('Retry-After', () => {
  test.each([
    [{ 'retry-after': '7' }, 7_000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after-ms': '120', 'retry-after': '9' }, 120],
    [{ 'retry-after': 'Thu, 01 Jan 1970 00:01:00 GMT' }, 50_000],
    [{ 'retry-after': 'Thu, 01 Jan 1970 00:00:01 GMT' }, 0],
    [{ 'retry-after': 'soon' }, undefined],
    [{}, undefined],
    [undefined, undefined],
  ])('%o', (headers, ms) => {
    expect(retryAfter(headers as Record<string, string> | undefined, 10_000)).toBe(ms)
  })
})

test('a secret never comes through, wherever it stands', () => {
  const secret = fc.stringMatching(/^[A-Za-z0-9._$*+-]{6,40}$/)
  fc.assert(
    fc.property(fc.string(), secret, fc.string(), (before, key, after) => {
      expect(scrub(`${before}${key}${after}${key}`, [key])).not.toContain(key)
    }),
  )
})

test.each([
  'Incorrect API key provided: sk-proj-abcdefghijklmnop.',
  'header Authorization: Bearer abcdefghijklmnop.qrst',
  'GET /v1?key=AIzaSyA1234567890abcdef&alt=sse',
  'used AIzaSyA1234567890abcdef',
  'token sk-ant-api03-abcdefghijklm-nopqrst_uvw',
])('what looks like a key is taken out though nobody knows it: %s', text => {
  const clean = scrub(text, [])
  expect(clean).toContain('[secret]')
  expect(clean).not.toMatch(/abcdefghij|1234567890/)
})

test('plain words stay', () => {
  const text = 'The risk-free task-runner answered 400: bearer of bad news, key=value'
  expect(scrub(text, [])).toBe(text)
})
