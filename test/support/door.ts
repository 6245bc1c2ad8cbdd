/**
 * A gateway on real sockets over a house of memory, for tests of the door. The house does nothing by itself: a test says
 * how a run goes (`finish`, `tell`), so every order of events can be had.
 */
import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'ws'
import type { HouseEvent, Tell } from '../../src/core/ports.ts'
import type { Message, Run, Session } from '../../src/core/types.ts'
import { deviceIdOf } from '../../src/gateway/crypto.ts'
import { openGateway } from '../../src/gateway/gateway.ts'
import { type GatewayOptions, noDevices, type Settings } from '../../src/gateway/types.ts'
import { DeputyError } from '../../src/protocol/errors.ts'
import type { WireError } from '../../src/protocol/frames.ts'
import type { AcceptInput, CancelInput, House, TurnResult } from '../../src/sessions/types.ts'

export const secret = 'test-token-0123456789abcdef0123456789abcdef'

export interface FakeHouse extends House {
  accepted: AcceptInput[]
  cancelled: CancelInput[]
  messages: Message[]
  /** Ends the turn of a wire id. */
  finish(wireId: string, result?: Partial<TurnResult>): void
  tell(event: HouseEvent): void
  subscribe(listener: Tell): () => void
}

export function fakeSession(key: string): Session {
  const agent = key.split(':')[1] ?? 'main'
  return {
    id: `s-${key}`,
    key,
    agent,
    tree: `s-${key}`,
    parentSession: null,
    spawnedBy: null,
    depth: 0,
    label: null,
    route: null,
    seq: 0,
    createdAt: 1,
    updatedAt: 2,
    closedAt: null,
  }
}

export function fakeRun(id: string, session: Session, state: Run['state'] = 'running'): Run {
  const none = { nano: 0, tokens: 0, calls: 0 }
  const free = { nano: null, tokens: null, calls: null }
  return {
    id,
    session: session.id,
    tree: session.tree,
    agent: session.agent,
    parent: null,
    depth: 0,
    lane: 'main',
    state,
    outcome: null,
    errorCode: null,
    error: null,
    epoch: 1,
    attempts: 0,
    turn: 0,
    paused: false,
    detached: false,
    wait: null,
    woken: false,
    grant: { scopes: [], tools: [], agents: [], depth: 1, budget: free },
    payer: null,
    spent: none,
    lent: none,
    deadlineAt: null,
    returnTo: null,
    route: null,
    task: 'task',
    label: null,
    model: 'stub/model',
    receipt: null,
    result: null,
    resultSeq: null,
    createdAt: 1,
    queuedAt: 1,
    startedAt: 1,
    endedAt: null,
  }
}

export function fakeHouse(): FakeHouse {
  const sessions = new Map<string, Session>()
  const runs = new Map<string, Run>()
  const turns = new Map<string, PromiseWithResolvers<TurnResult>>()
  const listeners = new Set<Tell>()
  const accepted: AcceptInput[] = []
  const cancelled: CancelInput[] = []
  const messages: Message[] = []
  const byId = (id: string) => [...sessions.values()].find(session => session.id === id) ?? null
  const view = (run: Run) => ({ run, sessionKey: byId(run.session)!.key, children: [], steps: 2, lastLine: 'at work' })

  function open(key: string): Session {
    const session = sessions.get(key) ?? fakeSession(key)
    sessions.set(key, session)
    return session
  }

  function pending(wireId: string, run: Run): TurnResult {
    const session = byId(run.session)!
    return {
      wireId,
      run: run.id,
      sessionKey: session.key,
      sessionId: session.id,
      agent: session.agent,
      status: 'pending',
      yielded: false,
      text: null,
      outcome: null,
      errorCode: null,
      error: null,
      fix: null,
      model: run.model,
      usage: { input: 1, output: 2, cacheRead: 0, cacheWrite: 0, costNano: 5 },
      startedAt: 1,
      endedAt: null,
    }
  }

  return {
    accepted,
    cancelled,
    messages,
    async accept(input) {
      const session = open(input.sessionKey ?? 'agent:main:main')
      const wireId = input.idempotencyKey
      const repeat = turns.has(wireId)
      accepted.push(input)
      if (!repeat) {
        turns.set(wireId, Promise.withResolvers())
        runs.set(wireId, fakeRun(`run-${wireId}`, session))
      }
      const done = runs.get(wireId)!.state === 'done'
      const status = !repeat ? 'started' : done ? 'answered' : 'in_flight'
      return { wireId, run: `run-${wireId}`, session, seq: 1, status, acceptedAt: 7 }
    },
    async spawn(input) {
      if (input.agent === 'nobody') throw new DeputyError('SPAWN_AGENT_NOT_ALLOWED', 'nobody may not be spawned')
      const session = open(`agent:${input.agent}:subagent:1`)
      const run = fakeRun('child-1', session)
      runs.set('child-1', run)
      const { grant } = run
      return {
        run: run.id,
        session: session.id,
        sessionKey: session.key,
        agent: input.agent,
        model: run.model,
        tools: [],
        agents: [],
        depth: 1,
        budget: grant.budget,
        deadlineAt: null,
        returnTo: 's-x',
        detached: true,
      }
    },
    async cancel(input) {
      cancelled.push(input)
      const live = [...runs.values()].filter(run => run.state !== 'done')
      return {
        runs: live.map(run => ({ run: run.id, agent: run.agent, task: run.task, was: run.state })),
        alreadyDone: [],
        dropped: [],
        processes: { ended: 0, stillAlive: [] },
      }
    },
    async wait(id, { timeoutMs }) {
      const turn = turns.get(id)
      const run = runs.get(id)
      if (!turn || !run) return null
      const late = new Promise<TurnResult>(resolve => {
        setTimeout(() => resolve(pending(id, run)), Math.min(timeoutMs, 20_000)).unref()
      })
      return await Promise.race([turn.promise, late])
    },
    reset: async () => ({
      session: null,
      report: { runs: [], alreadyDone: [], dropped: [], processes: { ended: 0, stillAlive: [] } },
    }),
    sessionByKey: async key => sessions.get(key) ?? null,
    session: async id => byId(id),
    async sessions({ agent, limit, offset }) {
      const all = [...sessions.values()].filter(session => agent === undefined || session.agent === agent)
      return { sessions: all.slice(offset, offset + limit), total: all.length }
    },
    async history(session, { limit, before }) {
      const all = messages.filter(message => message.session === session && message.seq < (before ?? Number.MAX_VALUE))
      return { messages: all.slice(-limit), total: all.length, hasMore: all.length > limit }
    },
    liveRun: async id => [...runs.values()].find(run => run.session === id && run.state !== 'done') ?? null,
    runs: async ({ session }) => [...runs.values()].filter(run => !session || run.session === session).map(view),
    async run(id) {
      const run = [...runs.values()].find(run => run.id === id)
      return run ? view(run) : null
    },
    tree: async id => [...runs.values()].filter(run => run.id === id).map(view),
    steps: async run => [
      {
        run,
        n: 1,
        kind: 'tool',
        state: 'done',
        name: 'read',
        intent: { kind: 'tool', callId: 'c', args: { path: 'a' }, repeat: 'safe' },
        result: { seq: 3, isError: false },
        startedAt: 1,
        endedAt: 2,
      },
    ],
    counts: async () => ({ runs: { running: 1, done: 2 }, sessions: sessions.size, deadLetters: 0, outbox: {} }),
    finish(wireId, result = {}) {
      const run = runs.get(wireId)!
      run.state = 'done'
      turns.get(wireId)!.resolve({ ...pending(wireId, run), status: 'ok', text: 'done', endedAt: 9, ...result })
    },
    tell(event) {
      for (const listener of listeners) listener(event)
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

export interface Door {
  house: FakeHouse
  url: string
  socketPath: string
  /** Change what the settings answer, mid-flight. */
  settings: { [K in keyof Settings]: ReturnType<Settings[K]> }
  log: { level: string; message: string; fields: unknown }[]
  gateway: ReturnType<typeof openGateway>
  close(): Promise<void>
}

export interface DoorOptions {
  settings?: Partial<Door['settings']>
  devices?: GatewayOptions['devices']
  limits?: GatewayOptions['limits']
  failing?: string[]
  tcp?: boolean
}

export async function openDoor(options: DoorOptions = {}): Promise<Door> {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-door-'))
  const house = fakeHouse()
  const log: Door['log'] = []
  const settings: Door['settings'] = {
    host: '127.0.0.1',
    port: 0,
    auth: { mode: 'token', secret },
    remoteDevices: 'required',
    trustedProxies: [],
    allowedOrigins: [],
    publicOrigin: null,
    rateLimit: { maxAttempts: 3, windowMs: 60_000, lockoutMs: 300_000 },
    ...options.settings,
  }
  const gateway = openGateway({
    house,
    settings: {
      host: () => settings.host,
      port: () => settings.port,
      auth: () => settings.auth,
      remoteDevices: () => settings.remoteDevices,
      trustedProxies: () => settings.trustedProxies,
      allowedOrigins: () => settings.allowedOrigins,
      publicOrigin: () => settings.publicOrigin,
      rateLimit: () => settings.rateLimit,
    },
    facts: {
      defaultAgent: () => 'main',
      agents: () => [{ id: 'main', name: 'Main' }, { id: 'extractor' }],
      defaultModel: () => ({ provider: 'stub', model: 'model', contextWindow: 1000 }),
      problems: () => [],
      failing: () => options.failing ?? [],
      configPath: '/home/x/deputy.json',
      stateDir: '/home/x',
    },
    devices: options.devices ?? noDevices(),
    socketPath: join(dir, 'gateway.sock'),
    subscribe: house.subscribe,
    clock: { now: () => Date.now() },
    log: (level, message, fields) => void log.push({ level, message, fields }),
    version: '1.2.3',
    ...(options.limits ? { limits: options.limits } : {}),
  })
  const { tcp, socketPath } = await gateway.listen({ tcp: options.tcp ?? true })
  return {
    house,
    url: tcp ? `ws://127.0.0.1:${tcp.port}/` : '',
    socketPath,
    settings,
    log,
    gateway,
    async close() {
      await gateway.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** A device key and what it signs. */
export function makeDevice() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(12)
  return {
    id: deviceIdOf(raw),
    publicKey: raw.toString('base64url'),
    sign: (payload: string) => sign(null, Buffer.from(payload), privateKey).toString('base64url'),
  }
}

/** Any frame, as loosely as a test reads it. */
export interface AnyFrame {
  type: string
  id?: string
  ok?: boolean
  event?: string
  seq?: number
  payload?: Record<string, unknown>
  error?: WireError
}

export interface Raw {
  ws: WebSocket
  frames: AnyFrame[]
  /** The first frame, seen or to come, that fits; rejects after 5 s. */
  wait(test: (frame: AnyFrame) => boolean): Promise<AnyFrame>
  send(frame: unknown): void
  closed: Promise<{ code: number; reason: string }>
}

/** A WebSocket without manners: whatever the test wants is sent. */
export async function openRaw(url: string, headers: Record<string, string> = {}): Promise<Raw> {
  const ws = new WebSocket(url, { perMessageDeflate: false, headers })
  const frames: AnyFrame[] = []
  const waiting = new Set<() => void>()
  ws.on('message', data => {
    frames.push(JSON.parse(String(data)))
    for (const check of waiting) check()
  })
  const closed = new Promise<{ code: number; reason: string }>(resolve => {
    ws.on('close', (code, reason) => resolve({ code, reason: String(reason) }))
  })
  await new Promise<void>((resolve, reject) => {
    ws.once('open', () => resolve())
    ws.once('error', reject)
  })
  ws.on('error', () => undefined)
  return {
    ws,
    frames,
    closed,
    send: frame => ws.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
    wait(test) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(check)
          reject(new Error(`no such frame among ${JSON.stringify(frames).slice(0, 2000)}`))
        }, 5_000)
        const check = () => {
          const found = frames.find(test)
          if (!found) return
          clearTimeout(timer)
          waiting.delete(check)
          resolve(found)
        }
        waiting.add(check)
        check()
      })
    },
  }
}

export function connectFrame(params: Record<string, unknown> = {}, id = 'c') {
  const client = { id: 'test', version: '1', platform: 'linux', mode: 'test' }
  return {
    type: 'req',
    id,
    method: 'connect',
    params: { minProtocol: 4, maxProtocol: 4, client, auth: { token: secret }, ...params },
  }
}
