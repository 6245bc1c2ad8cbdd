/**
 * Requests recorded from OpenClaw's own clients (both commands, openclaw-node), sent again as they were; what each client
 * reads of the answer is there (openclaw-clients.md §3, §6, §8). Device signatures are made anew, since they sign the challenge.
 */
import { describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import { devicePayload } from '../../src/protocol/device.ts'
import { DeputyError } from '../../src/protocol/errors.ts'
import { useApp } from '../support/app.ts'
import { type AnyFrame, makeDevice, openRaw, type Raw } from '../support/door.ts'

const { token, url, owner } = useApp({ agents: { defaults: { model: 'rehearsal/rehearsal' } } }, { tcp: true })

interface Client {
  minProtocol: 3 | 4
  maxProtocol: 3 | 4
  client: { id: string; version: string; platform: string; mode: string; deviceFamily?: string; instanceId?: string }
  role: 'operator'
  scopes: string[]
  [more: string]: unknown
}

const command412: Client = {
  minProtocol: 3,
  maxProtocol: 3,
  client: {
    id: 'cli',
    version: '2026.4.12',
    platform: 'linux',
    mode: 'cli',
    instanceId: 'c9ac8933-b584-45f1-904e-da6bd4b80dfa',
  },
  caps: [],
  role: 'operator',
  scopes: [
    'operator.admin',
    'operator.read',
    'operator.write',
    'operator.approvals',
    'operator.pairing',
    'operator.talk.secrets',
  ],
}

const command96 = (scope: string): Client => ({
  minProtocol: 4,
  maxProtocol: 4,
  client: {
    id: 'cli',
    version: '2026.9.6',
    platform: 'linux',
    deviceFamily: 'Linux',
    mode: 'cli',
    instanceId: 'accc0172-fe4f-4caf-81a0-120ce5fcc8b4',
  },
  caps: [],
  role: 'operator',
  scopes: [scope],
})

const openclawNode: Client = {
  minProtocol: 4,
  maxProtocol: 4,
  client: { id: 'gateway-client', version: '0.3.0', platform: 'linux', mode: 'backend' },
  role: 'operator',
  scopes: ['operator.read', 'operator.write'],
  caps: [],
  commands: [],
  permissions: {},
  locale: 'en-US',
  userAgent: 'openclaw-node/0.2.1',
}

/** `signs`: the version of the payload that its device signs; null when it shows none. */
async function enter(client: Client, signs: 2 | 3 | null): Promise<Raw & { hello: Record<string, unknown> }> {
  const raw = await openRaw(url())
  const challenge = await raw.wait(frame => frame.event === 'connect.challenge')
  const { nonce, ts } = challenge.payload as { nonce: string; ts: number }
  const device = makeDevice()
  const { id: clientId, mode: clientMode, platform, deviceFamily } = client.client
  const proof = {
    deviceId: device.id,
    clientId,
    clientMode,
    role: client.role,
    scopes: client.scopes,
    signedAt: ts,
    token,
    nonce,
    platform,
    ...(deviceFamily === undefined ? {} : { deviceFamily }),
  }
  const shown =
    signs === null
      ? {}
      : {
          device: {
            id: device.id,
            publicKey: device.publicKey,
            signature: device.sign(devicePayload(signs, proof)),
            signedAt: ts,
            nonce,
          },
        }
  raw.send({ type: 'req', id: 'c', method: 'connect', params: { ...client, auth: { token }, ...shown } })
  const { ok, payload, error } = await raw.wait(frame => frame.type === 'res' && frame.id === 'c')
  expect(ok, JSON.stringify(error)).toBe(true)
  return Object.assign(raw, { hello: payload! })
}

/** `a.b[].c` of a value; every item of a list must have it, and the list one item. */
function has(value: unknown, path: string): boolean {
  let found: unknown[] = [value]
  for (const name of path.split('.')) {
    const key = name.replace('[]', '')
    if (!found.every(item => typeof item === 'object' && item !== null && key in item)) return false
    found = found.map(item => (item as Record<string, unknown>)[key])
    if (!name.endsWith('[]')) continue
    if (!found.every(Array.isArray)) return false
    found = found.flat()
    if (found.length === 0) return false
  }
  return found.every(item => item !== undefined)
}

function reads(value: unknown, paths: string): void {
  const missing = paths
    .trim()
    .split(/\s+/)
    .filter(path => !has(value, path))
  expect(missing, JSON.stringify(value).slice(0, 2000)).toEqual([])
}

const helloPaths = `
  type protocol server.version server.connId features.methods[] features.events[]
  snapshot.presence[].host snapshot.presence[].version snapshot.presence[].platform snapshot.presence[].mode
  snapshot.presence[].reason snapshot.presence[].ts
  snapshot.health.ok snapshot.health.agents[].agentId snapshot.health.sessions.count
  snapshot.stateVersion.presence snapshot.stateVersion.health snapshot.uptimeMs
  snapshot.sessionDefaults.defaultAgentId snapshot.sessionDefaults.mainKey snapshot.sessionDefaults.mainSessionKey
  snapshot.sessionDefaults.scope policy.maxPayload policy.maxBufferedBytes policy.tickIntervalMs`
const hello4Paths = `${helloPaths} server.bootId features.capabilities[] snapshot.sessionDefaults.modelConfigured
  snapshot.suspension.phase auth.method auth.role auth.scopes[]`
const hello3AdminPaths = `${helloPaths} snapshot.configPath snapshot.stateDir snapshot.authMode`
const healthPaths = `
  ok ts durationMs channels channelOrder channelLabels heartbeatSeconds defaultAgentId
  agents[].agentId agents[].isDefault agents[].heartbeat.enabled agents[].heartbeat.every agents[].heartbeat.everyMs
  agents[].sessions.path agents[].sessions.count agents[].sessions.recent sessions.path sessions.count sessions.recent`
const donePaths = `
  runId status summary result.payloads[].text result.payloads[].mediaUrl result.meta.durationMs result.meta.aborted
  result.meta.stopReason result.meta.agentMeta.sessionId result.meta.agentMeta.provider result.meta.agentMeta.model
  result.meta.agentMeta.usage.input result.meta.agentMeta.usage.output result.meta.agentMeta.usage.total`
const agentPaths = 'runId sessionKey stream data seq ts'
const chatPaths =
  'runId sessionKey seq state message.role message.content[].type message.content[].text message.timestamp'
const pendingPaths = `pending[].requestId pending[].deviceId pending[].publicKey pending[].role pending[].roles[]
  pending[].scopes[] pending[].ts pending[].platform pending[].clientId pending[].clientMode pending[].isRepair`
const devicePaths = (at: string) =>
  `deviceId publicKey clientId clientMode platform role roles[] scopes[] createdAtMs approvedAtMs tokens[].role
   tokens[].scopes[] tokens[].createdAtMs`
    .trim()
    .split(/\s+/)
    .map(path => `${at}.${path}`)
    .join(' ')

async function ask(raw: Raw, method: string, params: unknown): Promise<AnyFrame> {
  raw.send({ type: 'req', id: 'r', method, params })
  return await raw.wait(frame => frame.type === 'res' && frame.id === 'r')
}

/** Two answers, and the events of the run in between. */
async function agentRun(raw: Raw, params: { idempotencyKey: string; [more: string]: unknown }, protocol: 3 | 4) {
  const { payload: accepted } = await ask(raw, 'agent', params)
  expect(accepted).toMatchObject({ runId: params.idempotencyKey, status: 'accepted' })
  reads(accepted, protocol === 4 ? 'runId status acceptedAt sessionKey agentId' : 'runId status acceptedAt')
  const { payload: done } = await raw.wait(
    frame => frame.type === 'res' && frame.id === 'r' && frame.payload?.['status'] === 'ok',
  )
  reads(done, donePaths)
  const events = (name: string) => raw.frames.filter(frame => frame.event === name).map(frame => frame.payload!)
  const phases = events('agent').filter(payload => payload['stream'] === 'lifecycle')
  for (const payload of events('agent')) reads(payload, agentPaths)
  for (const payload of events('chat')) reads(payload, chatPaths)
  expect(new Set(events('agent').map(payload => payload['runId']))).toEqual(new Set([params.idempotencyKey]))
  expect(phases.map(({ data }) => (data as { phase: string }).phase)).toEqual(['start', 'end'])
  reads(phases[0], 'data.startedAt')
  reads(phases[1], 'data.endedAt')
  const words = events('agent').filter(payload => payload['stream'] === 'assistant')
  for (const payload of words) reads(payload, 'data.text data.delta')
  const deltas = events('chat').filter(payload => payload['state'] === 'delta')
  for (const payload of deltas) expect('deltaText' in payload).toBe(protocol === 4)
  expect(words.length).toBeGreaterThan(0)
  expect(deltas.length).toBeGreaterThan(0)
  expect(events('chat').at(-1)).toMatchObject({ state: 'final' })
  // `seq` counts over all events of the connection.
  const seqs = raw.frames.flatMap(frame => frame.seq ?? [])
  expect(seqs).toEqual(seqs.map((_, i) => i + 1))
}

/** A device that waits for an approval. */
async function asks(): Promise<{ id: string; requestId: string }> {
  const device = makeDevice()
  const refused = await connect({ url: url(), device, scopes: ['operator.read'] }).catch((error: unknown) => error)
  if (!(refused instanceof DeputyError)) throw new Error('it was let in')
  return { id: device.id, requestId: String(refused.details?.['requestId']) }
}

describe('recorded requests of', () => {
  test('4.12: health', async () => {
    const raw = await enter(command412, 3)
    expect(raw.hello).toMatchObject({ protocol: 3 })
    reads(raw.hello, hello3AdminPaths)
    reads((await ask(raw, 'health', {})).payload, healthPaths)
    raw.ws.close()
  })

  test('4.12: agent', async () => {
    const raw = await enter(command412, 3)
    const idempotencyKey = 'c3a9c922-9e64-4e1a-ab4e-b481db8cf002'
    const more = { agentId: 'main', sessionKey: 'agent:main:main', deliver: false, timeout: 600, idempotencyKey }
    await agentRun(raw, { message: 'DELEGATE tag=fr412', ...more }, 3)
    raw.ws.close()
  })

  test('4.12: devices', async () => {
    const { id, requestId } = await asks()
    const raw = await enter(command412, 3)
    reads((await ask(raw, 'device.pair.list', {})).payload, pendingPaths)
    raw.ws.close()
    const next = await enter(command412, 3)
    const { payload } = await ask(next, 'device.pair.approve', { requestId })
    reads(payload, `requestId ${devicePaths('device')}`)
    const told = await next.wait(frame => frame.event === 'device.pair.resolved')
    expect(told.payload).toMatchObject({ requestId, deviceId: id, decision: 'approved', ts: expect.any(Number) })
    next.ws.close()
  })

  test('9.6: status', async () => {
    const raw = await enter(command96('operator.read'), null)
    expect(raw.hello).toMatchObject({ protocol: 4, auth: { scopes: ['operator.read'] } })
    reads(raw.hello, hello4Paths)
    reads((await ask(raw, 'health', {})).payload, `${healthPaths} plugins.loaded configReload.hotReloadStatus`)
    raw.ws.close()
  })

  test('9.6: devices', async () => {
    const { id, requestId } = await asks()
    const raw = await enter(command96('operator.pairing'), null)
    reads((await ask(raw, 'device.pair.list', {})).payload, pendingPaths)
    await owner().request('device.pair.approve', { requestId })
    raw.send({ type: 'req', id: 'again', method: 'device.pair.list', params: {} })
    const { payload } = await raw.wait(frame => frame.id === 'again')
    const paired = (payload as { paired: { deviceId: string }[] }).paired.filter(device => device.deviceId === id)
    reads({ paired }, devicePaths('paired[]'))
    raw.ws.close()
  })

  test('9.6: agent', async () => {
    const raw = await enter(command96('operator.write'), null)
    const idempotencyKey = 'd6648551-3abc-4672-a6ec-1c2d1471d602'
    const more = { agentId: 'main', deliver: false, timeout: 600, idempotencyKey }
    await agentRun(raw, { message: 'DELEGATE tag=fr96', ...more }, 4)
    raw.ws.close()
  })

  test('openclaw-node: agent', async () => {
    const raw = await enter(openclawNode, 2)
    reads(raw.hello, hello4Paths)
    const more = { sessionKey: 'agent:main:main', agentId: 'main', idempotencyKey: '1795346813090-0a97hv' }
    await agentRun(raw, { message: 'DELEGATE tag=frn96 via openclaw-node', ...more }, 4)
    raw.ws.close()
  })
})
