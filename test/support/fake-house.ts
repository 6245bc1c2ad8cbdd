/**
 * A house of memory for tests of the door. It does nothing by itself: a test says how a run goes (`finish`, `tell`), so every
 * order of events can be had.
 */
import type { HouseEvent, Tell } from '../../src/core/ports.ts'
import type { Message, Run, Session } from '../../src/core/types.ts'
import { DeputyError } from '../../src/protocol/errors.ts'
import type { AcceptInput, CancelInput, House, TurnResult } from '../../src/sessions/types.ts'

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

const none: House['approvals'] = {
  pending: async () => [],
  decided: async () => [],
  find: async id => {
    throw new DeputyError('UNKNOWN_APPROVAL', `There is no question ${id}.`)
  },
  answer: async ({ id }) => {
    throw new DeputyError('UNKNOWN_APPROVAL', `There is no question ${id}.`)
  },
  remembered: async () => [],
  revoke: async ({ id }) => {
    throw new DeputyError('UNKNOWN_APPROVAL', `There is no question ${id}.`)
  },
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
    approvals: none,
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
    async pause({ paused }) {
      return { paused, runs: [] }
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
    async open(input) {
      const created = !sessions.has(input.sessionKey)
      const session = open(input.sessionKey)
      if (created) Object.assign(session, { label: input.label ?? null, settings: { ...input.settings } })
      return { session, created }
    },
    async patch({ sessionKey, label, settings }) {
      const session = sessions.get(sessionKey)
      if (!session) throw new DeputyError('UNKNOWN_SESSION', 'no session')
      if (label !== undefined) session.label = label
      session.settings = { ...session.settings, ...settings } as NonNullable<Session['settings']>
      return session
    },
    fork: async input => ({
      run: 'run-fork',
      of: input.run,
      step: input.step,
      sessionKey: 'agent:main:fork-1',
      agent: 'main',
      model: input.model ?? 'test/model',
      messages: 2,
    }),
    compact: async () => ({ run: 'run-none', begun: false, view: null }),
    undoCompaction: async () => null,
    view: async () => null,
    async inject({ sessionKey, text, label }) {
      const session = open(sessionKey)
      const message: Message = {
        session: session.id,
        seq: messages.length + 1,
        ord: null,
        id: `m${messages.length}`,
        role: 'assistant',
        parts: [{ type: 'text', text }],
        run: null,
        step: null,
        at: 1,
        meta: { injected: label },
      }
      messages.push(message)
      return message
    },
    wires: async () => run => run.replace(/^run-/, ''),
    glances: async ids => new Map(ids.map(id => [id, { title: 'first words', last: 'last words' }])),
    async newestRuns(ids) {
      const newest = new Map<string, Run>()
      for (const run of runs.values()) {
        const before = newest.get(run.session)
        if (ids.includes(run.session) && (!before || before.state === 'done')) newest.set(run.session, run)
      }
      return newest
    },
    totals: async ids =>
      new Map(
        ids.map(id => [
          id,
          { usage: { input: 3, output: 2, cacheRead: 1, cacheWrite: 0 }, costNano: 7_000_000, context: 6 },
        ]),
      ),
    ledger: async () => [
      {
        day: 20_000,
        agent: 'main',
        session: 's-agent:main:main',
        sessionKey: 'agent:main:main',
        model: 'stub/model',
        usage: { input: 3, output: 2, cacheRead: 1, cacheWrite: 0 },
        spent: { nano: 7_000_000, tokens: 6, calls: 1 },
      },
    ],
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
    message: async (_, id) => messages.find(message => message.id === id) ?? null,
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
    counts: async () => ({
      runs: { running: 1, done: 2 },
      sessions: sessions.size,
      deadLetters: 0,
      deadRuns: [],
      outbox: {},
    }),
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
