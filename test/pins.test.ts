/**
 * What others rely on, frozen: error codes, scopes, the method table, event names, limits. A line may be added; a change of
 * an existing one breaks a client, so it is a decision and never a side effect.
 */
import { describe, expect, test } from 'vitest'
import { errors } from '../src/protocol/errors.ts'
import { eventNames, events } from '../src/protocol/events.ts'
import { closeCodes, limits } from '../src/protocol/limits.ts'
import { methodNames, methods } from '../src/protocol/methods.ts'
import type { MethodRow } from '../src/protocol/methods/row.ts'
import { covers, scopes } from '../src/protocol/scopes.ts'

/** `scope`, or `base, says` where it depends on the params. */
function scopeText(name: (typeof methodNames)[number]): string {
  const { scope } = methods[name] as MethodRow<unknown>
  if (scope === null) return 'none'
  return typeof scope === 'string' ? scope : `${scope.base}, ${scope.says}`
}

describe('pins', () => {
  test('method → scope', () => {
    expect(Object.fromEntries(methodNames.map(name => [name, scopeText(name)]))).toMatchInlineSnapshot(`
      {
        "agent": "operator.write, operator.admin when the message is /new or /reset",
        "agent.identity.get": "operator.read",
        "agent.wait": "operator.write",
        "agents.list": "operator.read",
        "channels.logout": "operator.admin",
        "channels.pairing.approve": "operator.pairing, operator.admin with bootstrapCommandOwner",
        "channels.pairing.dismiss": "operator.pairing",
        "channels.pairing.list": "operator.pairing",
        "channels.start": "operator.admin",
        "channels.status": "operator.read",
        "channels.stop": "operator.admin",
        "chat.abort": "operator.write",
        "chat.history": "operator.read",
        "chat.inject": "operator.admin",
        "chat.message.get": "operator.read",
        "chat.send": "operator.write",
        "chat.startup": "operator.read",
        "commands.list": "operator.read",
        "config.apply": "operator.admin",
        "config.get": "operator.read",
        "config.patch": "operator.admin",
        "config.schema": "operator.read",
        "config.schema.lookup": "operator.read",
        "config.set": "operator.admin",
        "device.pair.approve": "operator.pairing",
        "device.pair.list": "operator.pairing",
        "device.pair.reject": "operator.pairing",
        "device.pair.remove": "operator.pairing",
        "device.pair.rename": "operator.pairing",
        "device.pair.setupCode": "operator.admin",
        "device.scopes.requestUpgrade": "none",
        "device.scopes.waitUpgrade": "none",
        "device.token.revoke": "operator.pairing",
        "device.token.rotate": "operator.pairing",
        "gateway.identity.get": "operator.read",
        "health": "none",
        "last-heartbeat": "operator.read",
        "logs.tail": "operator.read",
        "message.action": "operator.write",
        "models.list": "operator.read",
        "node.list": "operator.read",
        "outbox.list": "operator.read",
        "outbox.retry": "operator.write",
        "poll": "operator.write",
        "question.list": "operator.questions",
        "runs.cancel": "operator.write",
        "runs.fork": "operator.write",
        "runs.get": "operator.read",
        "runs.list": "operator.read",
        "runs.log": "operator.read",
        "runs.pause": "operator.write",
        "runs.resume": "operator.write",
        "runs.retry": "operator.write",
        "runs.spawn": "operator.write",
        "runs.steer": "operator.write",
        "runs.tree": "operator.read",
        "secrets.reload": "operator.admin",
        "send": "operator.write",
        "sessions.abort": "operator.write",
        "sessions.compact": "operator.admin",
        "sessions.create": "operator.write",
        "sessions.delete": "operator.write, operator.admin without archivedOnly",
        "sessions.describe": "operator.read",
        "sessions.get": "operator.read",
        "sessions.list": "operator.read",
        "sessions.messages.subscribe": "operator.read",
        "sessions.messages.unsubscribe": "operator.read",
        "sessions.patch": "operator.write, operator.admin for other fields than label, icon, color, category, pinned, archived, unread, model, thinkingLevel",
        "sessions.preview": "operator.read",
        "sessions.reset": "operator.admin",
        "sessions.resolve": "operator.read",
        "sessions.send": "operator.write",
        "sessions.steer": "operator.write",
        "sessions.subscribe": "operator.read",
        "sessions.unsubscribe": "operator.read",
        "sessions.usage": "operator.read",
        "status": "operator.read",
        "system-presence": "operator.read",
        "tasks.cancel": "operator.write",
        "tasks.get": "operator.read",
        "tasks.list": "operator.read",
        "tools.catalog": "operator.read",
        "tools.effective": "operator.read",
        "usage.cost": "operator.read",
        "usage.status": "operator.read",
        "web.login.start": "operator.admin",
        "web.login.wait": "operator.admin",
      }
    `)
  })

  test('event → scope to receive it', () => {
    expect(Object.fromEntries(eventNames.map(name => [name, events[name].scope ?? 'none']))).toMatchInlineSnapshot(`
      {
        "agent": "operator.read",
        "chat": "operator.read",
        "config.changed": "operator.read",
        "connect.challenge": "none",
        "device.pair.changed": "operator.pairing",
        "device.pair.requested": "operator.pairing",
        "device.pair.resolved": "operator.pairing",
        "health": "none",
        "presence": "operator.read",
        "run": "operator.read",
        "session.message": "operator.read",
        "session.tool": "operator.read",
        "sessions.changed": "operator.read",
        "shutdown": "none",
        "task": "operator.read",
        "tick": "none",
      }
    `)
  })

  test('scopes, and what each implies', () => {
    const implied = scopes.map(held => [
      held,
      scopes.filter(needed => needed !== held && covers([held], needed)).join(' '),
    ])
    expect(Object.fromEntries(implied)).toMatchInlineSnapshot(`
      {
        "operator.admin": "operator.read operator.write operator.approvals operator.questions operator.pairing operator.talk operator.talk.secrets operator.sessions.read operator.sessions.write",
        "operator.approvals": "",
        "operator.pairing": "",
        "operator.questions": "",
        "operator.read": "operator.sessions.read",
        "operator.sessions.read": "",
        "operator.sessions.write": "operator.sessions.read",
        "operator.talk": "",
        "operator.talk.secrets": "",
        "operator.write": "operator.read operator.talk operator.sessions.read operator.sessions.write",
      }
    `)
  })

  test('limits and close codes', () => {
    expect({ ...limits, ...closeCodes }).toMatchInlineSnapshot(`
      {
        "authChanged": 4001,
        "connections": 1024,
        "deltaMs": 150,
        "handshakeFrames": 15,
        "handshakeMs": 15000,
        "handshakes": 128,
        "healthMs": 60000,
        "historyChars": 6291456,
        "internal": 1011,
        "invalidText": 1007,
        "maxBuffered": 52428800,
        "maxPayload": 26214400,
        "normal": 1000,
        "openRequests": 2048,
        "policy": 1008,
        "preauthBytes": 65536,
        "protocolMismatch": 1002,
        "reasonBytes": 120,
        "restart": 1012,
        "skewMs": 120000,
        "tickMs": 30000,
        "tickTimeout": 4000,
        "tooBig": 1009,
        "tryLater": 1013,
      }
    `)
  })

  test('error codes, who can mend each', () => {
    const rows = Object.entries(errors).map(([code, row]) => `${code} ${row.who}`)
    expect(rows.sort()).toMatchInlineSnapshot(`
      [
        "APPROVAL_ANSWERED nobody",
        "APPROVAL_BARRED operator",
        "APPROVAL_DECISION you",
        "APPROVAL_EXPIRED you",
        "AUTH_BOOTSTRAP_TOKEN_INVALID operator",
        "AUTH_DEVICE_TOKEN_MISMATCH operator",
        "AUTH_IDENTITY_HEADER_REQUIRED operator",
        "AUTH_PASSWORD_MISMATCH you",
        "AUTH_PASSWORD_MISSING you",
        "AUTH_PASSWORD_NOT_CONFIGURED operator",
        "AUTH_RATE_LIMITED nobody",
        "AUTH_REQUIRED you",
        "AUTH_TOKEN_MISMATCH you",
        "AUTH_TOKEN_MISSING you",
        "AUTH_TOKEN_NOT_CONFIGURED operator",
        "AUTH_UNAUTHORIZED operator",
        "CHANNEL_ACCOUNT operator",
        "CHANNEL_DISABLED operator",
        "CHANNEL_LOGIN_FAILED operator",
        "CHANNEL_NO_LOGIN you",
        "CHANNEL_UNKNOWN you",
        "COMPACTION_FAILED you",
        "CONFIG_CONFLICT you",
        "CONFIG_INVALID operator",
        "CONFIG_SECRET_UNRESOLVED operator",
        "CONFIG_SYNTAX operator",
        "CONFIG_UNREADABLE operator",
        "CONFIG_UNSAFE_BIND operator",
        "CREDENTIAL_IN_URL you",
        "DELIVERY_DEAD operator",
        "DELIVERY_NO_CHANNEL operator",
        "DEVICE_AUTH_DEVICE_ID_MISMATCH you",
        "DEVICE_AUTH_INVALID you",
        "DEVICE_AUTH_NONCE_MISMATCH you",
        "DEVICE_AUTH_NONCE_REQUIRED you",
        "DEVICE_AUTH_PUBLIC_KEY_INVALID you",
        "DEVICE_AUTH_SIGNATURE_EXPIRED you",
        "DEVICE_AUTH_SIGNATURE_INVALID you",
        "DEVICE_IDENTITY_REQUIRED you",
        "DISK_FULL operator",
        "GATEWAY_STOPPING nobody",
        "GATEWAY_UNREACHABLE operator",
        "HOME_LOCKED operator",
        "HOME_UNWRITABLE operator",
        "HOST_NOT_ALLOWED operator",
        "IDEMPOTENCY_CONFLICT you",
        "INTERNAL nobody",
        "INVALID_PARAMS you",
        "INVALID_REQUEST you",
        "MEDIA_TOO_LARGE operator",
        "MESSAGE_TOO_LARGE you",
        "MISSING_SCOPE operator",
        "MODEL_AUTH operator",
        "MODEL_BAD_ANSWER provider",
        "MODEL_BAD_REQUEST operator",
        "MODEL_CONTEXT you",
        "MODEL_NETWORK operator",
        "MODEL_NO_KEY operator",
        "MODEL_OVERLOADED provider",
        "MODEL_QUOTA provider",
        "MODEL_RATE_LIMIT provider",
        "MODEL_REFUSAL you",
        "MODEL_UNKNOWN operator",
        "ORIGIN_NOT_ALLOWED operator",
        "PAIRING_REQUIRED operator",
        "PAYLOAD_TOO_LARGE you",
        "PORT_IN_USE operator",
        "PROTOCOL_MISMATCH you",
        "REQUEST_CLOSED you",
        "ROLE_NOT_SERVED you",
        "RUN_BUDGET operator",
        "RUN_CANCELLED you",
        "RUN_CAP operator",
        "RUN_CRASHED operator",
        "RUN_DONE you",
        "RUN_LIVE you",
        "RUN_RESULT you",
        "RUN_REVOKED operator",
        "RUN_STALE nobody",
        "RUN_STEPS operator",
        "RUN_TIMED_OUT you",
        "SANDBOX_FAILED operator",
        "SANDBOX_MISSING operator",
        "SENDER_CODE_UNKNOWN you",
        "SERVICE_FAILED operator",
        "SERVICE_UNAVAILABLE operator",
        "SESSION_CLOSED you",
        "SLOW_CONSUMER you",
        "SOCKET_FAILED operator",
        "SPAWN_AGENT_NOT_ALLOWED operator",
        "SPAWN_AGENT_REQUIRED you",
        "SPAWN_BUDGET you",
        "SPAWN_CHILDREN operator",
        "SPAWN_DEPTH operator",
        "SPAWN_MODEL operator",
        "SPAWN_PARAM you",
        "SPAWN_TOOLS you",
        "STORE_BODY_AWAITED nobody",
        "STORE_CLOSED nobody",
        "STORE_DAMAGED operator",
        "STORE_FOREIGN operator",
        "STORE_LOST_GROUP operator",
        "STORE_TOO_NEW operator",
        "TOOL_ARGUMENTS you",
        "TOOL_FAILED you",
        "TOOL_OUTSIDE_WORKSPACE you",
        "TOOL_TIMEOUT you",
        "TOOL_UNKNOWN you",
        "TOOL_UNKNOWN_RESULT you",
        "TOO_MANY_CONNECTIONS operator",
        "TOO_MANY_REQUESTS you",
        "UNKNOWN_AGENT operator",
        "UNKNOWN_APPROVAL you",
        "UNKNOWN_DELIVERY you",
        "UNKNOWN_DEVICE you",
        "UNKNOWN_METHOD you",
        "UNKNOWN_REQUEST you",
        "UNKNOWN_RUN you",
        "UNKNOWN_SESSION you",
        "USAGE you",
      ]
    `)
  })

  test('every error says what it means and what to do, without a placeholder that nothing fills', () => {
    for (const [code, row] of Object.entries(errors)) {
      expect(row.means, code).toMatch(/\.$/)
      expect(row.fix.length, code).toBeGreaterThan(5)
    }
  })
})
