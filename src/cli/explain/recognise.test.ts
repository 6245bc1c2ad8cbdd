import { describe, expect, test } from 'vitest'
import { errors } from '../../protocol/errors.ts'
import { recognise } from './recognise.ts'
import { stories } from './words.ts'

const id = '0b8f6c0e-8d0f-4a54-9a0e-1f6f0c1d2e3f'

describe('what people paste', () => {
  test.each([
    // The seed's line, with and without what clients put around it.
    ['gateway closed (1008): pairing required', 'PAIRING_REQUIRED'],
    [
      'Error: gateway closed (1008): pairing required\nGateway target: ws://127.0.0.1:18789\nSource: local loopback',
      'PAIRING_REQUIRED',
    ],
    [`pairing required: device is not approved yet (requestId: ${id})`, 'PAIRING_REQUIRED'],
    ['pairing required: device is asking for more scopes than currently approved', 'PAIRING_REQUIRED'],
    ['device identity changed and must be re-approved', 'PAIRING_REQUIRED'],
    ['NOT_PAIRED', 'PAIRING_REQUIRED'],
    ['missing scope: operator.write', 'MISSING_SCOPE'],
    ['{"code":"FORBIDDEN","message":"missing scope: operator.admin"}', 'MISSING_SCOPE'],
    ['device pairing approval denied', 'MISSING_SCOPE'],
    ['unauthorized: gateway token mismatch (open the dashboard URL)', 'AUTH_TOKEN_MISMATCH'],
    ['unauthorized: gateway token missing', 'AUTH_TOKEN_MISSING'],
    ['unauthorized: device token mismatch (rotate/reissue device token)', 'AUTH_DEVICE_TOKEN_MISMATCH'],
    ['gateway closed (4001): client invalidated: device-token-revoked', 'AUTH_DEVICE_TOKEN_MISMATCH'],
    ['gateway closed (4001): gateway auth changed', 'AUTH_TOKEN_MISMATCH'],
    ['gateway closed (1008): invalid role: node', 'ROLE_NOT_SERVED'],
    ['unauthorized: gateway password mismatch', 'AUTH_PASSWORD_MISMATCH'],
    ['unauthorized: too many failed authentication attempts (retry later)', 'AUTH_RATE_LIMITED'],
    ['unauthorized: bootstrap token invalid or expired', 'AUTH_BOOTSTRAP_TOKEN_INVALID'],
    ['gateway closed (1008): device identity required', 'DEVICE_IDENTITY_REQUIRED'],
    ['device signature expired', 'DEVICE_AUTH_SIGNATURE_EXPIRED'],
    ['device nonce mismatch', 'DEVICE_AUTH_NONCE_MISMATCH'],
    ['unknown requestId', 'UNKNOWN_REQUEST'],
    ['unauthorized', 'AUTH_REQUIRED'],
    ['sessions_spawn is not allowed at this depth (current depth: 2, max: 2)', 'SPAWN_DEPTH'],
    ['sessions_spawn has reached max active children for this session (5/5)', 'SPAWN_CHILDREN'],
    ['agentId is not allowed for sessions_spawn (allowed: main)', 'SPAWN_AGENT_NOT_ALLOWED'],
    ['sessions_spawn: agentId is "x"; allowed: main. Parameters: task', 'SPAWN_AGENT_NOT_ALLOWED'],
    ['sessions_spawn requires agentId (allowed: none)', 'SPAWN_AGENT_REQUIRED'],
    ['agentId "extractor" is not a configured agent (allowed: none)', 'UNKNOWN_AGENT'],
    ['listen EADDRINUSE: address already in use 127.0.0.1:18789', 'PORT_IN_USE'],
    ['connect ECONNREFUSED 127.0.0.1:18789', 'GATEWAY_UNREACHABLE'],
    ['gateway closed (1012): service restart', 'GATEWAY_STOPPING'],
    ['protocol mismatch', 'PROTOCOL_MISMATCH'],
    ['deputy: There is no agent "x". [UNKNOWN_AGENT]', 'UNKNOWN_AGENT'],
    // A code beats the words around it, and a coarse one does not beat a fine one.
    ['INVALID_REQUEST unauthorized: x AUTH_TOKEN_MISMATCH', 'AUTH_TOKEN_MISMATCH'],
    ['INVALID_REQUEST', 'INVALID_REQUEST'],
  ])('%j is %s', (text, code) => {
    expect(recognise(text)).toMatchObject({ code })
  })

  test.each(['', 'hello', 'my agent is slow', 'HTTP 500', 'NASA', 'gateway', id])(
    '%j is nothing that we know',
    text => {
      expect(recognise(text)).toBeNull()
    },
  )

  test('the scope, the request and the agent are read from it', () => {
    expect(recognise('missing scope: operator.sessions.write.')).toMatchObject({ scope: 'operator.sessions.write' })
    expect(recognise('missing scope: operator.nonsense')).toMatchObject({ scope: null })
    expect(recognise(`pairing required: scope-upgrade (requestId: ${id})`)).toMatchObject({ request: id })
    expect(recognise('agentId "ghost" is not a configured agent')).toMatchObject({ agent: 'ghost' })
  })
})

test('every code of the table is recognised by its name', () => {
  for (const code of Object.keys(errors)) expect(recognise(code)).toMatchObject({ code, reading: null })
})

test('what is said at length is sentences', () => {
  for (const [code, words] of Object.entries(stories)) expect(words, code).toMatch(/^\S.*\.$/)
})
