/**
 * What the house tells, as OpenClaw's clients hear it: `agent` and `chat` events (openclaw-facts.md §C5), and Deputy's `run`.
 *
 * Owns the per-run counters and the pace of deltas. Invariants: 1. every wire run that was heard of ends with exactly one
 * chat final, aborted or error (decisions.md 4). 2. deltas are at most one per `deltaMs` and the last one before the end is
 * never lost. 3. memory is one small entry per live wire run, and the names of the last thousand that ended: what a worker
 * still says after a cancel is not told. 4. a reply that says it has nothing to say shows no words (core/silence.ts).
 * The house tells `run.turn` and `run.state done` of one transaction together, in either order; a run that ends without a
 * turn is ended here by its state.
 */
import type { Clock, HouseEvent } from '../core/ports.ts'
import { isSilent, maybeSilent } from '../core/silence.ts'
import { caps } from '../protocol/connect.ts'
import { chatDelta } from '../protocol/dialect.ts'
import type { Connection } from './connection.ts'
import type { Fanout } from './fanout.ts'

interface Entry {
  wireId: string
  run: string
  session: string
  sessionKey: string
  agent: string
  spawnedBy: string | undefined
  /** Of the `agent` and `chat` events of this wire run. */
  seq: number
  startedAt: number | null
  /** Said and thought so far, and how much of it was sent. */
  text: string
  sent: string
  thought: string
  thoughtSent: string
  lastSentAt: number
  timer: ReturnType<typeof setTimeout> | null
}

export interface RunEvents {
  tell(event: HouseEvent): void
  /** Wire ids of a live run, for those who ask to stop it. */
  wireIds(run: string): string[]
  close(): void
}

type Base = Pick<Entry, 'wireId' | 'run' | 'session' | 'sessionKey' | 'agent'>
type Turn = Extract<HouseEvent, { on: 'run.turn' }>

const fresh = {
  seq: 0,
  startedAt: null,
  text: '',
  sent: '',
  thought: '',
  thoughtSent: '',
  lastSentAt: 0,
  timer: null,
} as const

/** How many ended wire runs are remembered. */
const endedMost = 1000

/** `errorKind` of a chat error, from Deputy's code. */
const errorKinds: Record<string, string> = {
  MODEL_REFUSAL: 'refusal',
  RUN_TIMED_OUT: 'timeout',
  MODEL_RATE_LIMIT: 'rate_limit',
  MODEL_CONTEXT: 'context_length',
}

function message(text: string, at: number): unknown {
  return { role: 'assistant', content: [{ type: 'text', text }], timestamp: at }
}

/** What `text` adds to `sent`; null when it does not go on from there. */
function since(sent: string, text: string): string | null {
  return text.startsWith(sent) ? text.slice(sent.length) : null
}

export function makeRunEvents(options: { fanout: Fanout; clock: Clock; deltaMs: number }): RunEvents {
  const { fanout, clock, deltaMs } = options
  const entries = new Map<string, Entry>()
  /** The stretch that a run is in. */
  const byRun = new Map<string, Entry>()
  const ended = new Set<string>()

  function entryOf(event: Base): Entry {
    let entry = entries.get(event.wireId)
    if (!entry) {
      const { wireId, run, session, sessionKey, agent } = event
      const spawnedBy = byRun.get(run)?.spawnedBy
      entry = { wireId, run, session, sessionKey, agent, spawnedBy, ...fresh }
      entries.set(wireId, entry)
      byRun.set(run, entry)
    }
    return entry
  }

  function forget(entry: Entry): void {
    if (entry.timer) clearTimeout(entry.timer)
    entries.delete(entry.wireId)
    if (byRun.get(entry.run) === entry) byRun.delete(entry.run)
    ended.add(entry.wireId)
    if (ended.size > endedMost) ended.delete(ended.values().next().value!)
  }

  function agent(entry: Entry, stream: string, data: unknown): void {
    const payload = payloadOf(entry, stream, data)
    fanout.send('agent', () => payload, { dropIfSlow: stream !== 'lifecycle' })
  }

  function payloadOf(entry: Entry, stream: string, data: unknown) {
    const { wireId: runId, sessionKey, session: sessionId, agent: agentId, spawnedBy } = entry
    entry.seq += 1
    return { runId, sessionKey, sessionId, agentId, stream, data, seq: entry.seq, ts: clock.now(), spawnedBy }
  }

  /** To who started the run and can show it, and to those who follow the session. */
  function toolCall(entry: Entry, data: unknown): void {
    const watches = (connection: Connection) =>
      connection.runs.has(entry.run) && connection.session?.caps.has(caps.toolEvents) === true
    const payload = payloadOf(entry, 'tool', data)
    fanout.send('agent', () => payload, { to: watches, dropIfSlow: true })
    const follows = (connection: Connection) =>
      connection.follows.messages.has(entry.sessionKey) && !watches(connection)
    fanout.send('session.tool', () => payload, { to: follows })
  }

  function chat(
    entry: Entry,
    runId: string,
    body: (protocol: 3 | 4) => Record<string, unknown>,
    dropIfSlow = false,
  ): void {
    const { sessionKey, agent: agentId, spawnedBy, seq } = entry
    fanout.send('chat', protocol => ({ runId, sessionKey, agentId, spawnedBy, seq, ...body(protocol) }), { dropIfSlow })
  }

  function start(entry: Entry, at: number): void {
    if (entry.startedAt !== null) return
    entry.startedAt = at
    // No words yet. Both TUIs go on waiting when the acceptance of a message and the whole answer reach them in one read and
    // the first thing about its run was no chat event (docs/compatibility.md).
    const begun = { deltaText: '', replace: false, message: message('', at) }
    chat(entry, entry.wireId, protocol => chatDelta(protocol, begun), true)
    agent(entry, 'lifecycle', { phase: 'start', startedAt: at })
  }

  /** Sends what was said since the last time; a text that does not go on from there replaces it. */
  function flush(entry: Entry, ending = false): void {
    if (entry.timer) clearTimeout(entry.timer)
    entry.timer = null
    const { text, sent, thought, thoughtSent } = entry
    const now = clock.now()
    entry.lastSentAt = now
    if (thought !== thoughtSent) {
      entry.thoughtSent = thought
      agent(entry, 'thinking', { text: thought, delta: since(thoughtSent, thought) ?? thought })
    }
    if (text === sent) return
    if (text !== '' && (ending ? isSilent(text) : maybeSilent(text))) return
    entry.sent = text
    const replace = since(sent, text) === null
    const delta = since(sent, text) ?? text
    agent(entry, 'assistant', replace ? { text, delta, replace } : { text, delta })
    const whole = { deltaText: delta, replace, message: message(text, now) }
    chat(entry, entry.wireId, protocol => chatDelta(protocol, whole), true)
  }

  function said(event: Base, words: { text: string } | { thought: string }): void {
    if (ended.has(event.wireId)) return
    const entry = Object.assign(entryOf(event), words)
    if (entry.timer) return
    const wait = entry.lastSentAt + deltaMs - clock.now()
    // A clock that was set back must not hold words back for long.
    if (wait <= 0) flush(entry)
    else entry.timer = setTimeout(() => flush(entry), Math.min(wait, deltaMs))
  }

  function tool(event: Extract<HouseEvent, { on: 'run.tool' }>): void {
    const { run, sessionKey, agent: agentId, wireId: runId, phase, callId: toolCallId, name } = event
    const now = clock.now()
    if (ended.has(runId)) return
    if (phase !== 'update') {
      const change = `tool.${phase}`
      const { isError } = event
      fanout.send('run', () => ({
        run,
        sessionKey,
        agentId,
        runId,
        change,
        callId: toolCallId,
        name,
        isError,
        at: now,
      }))
    }
    const entry = entryOf(event)
    flush(entry)
    const item = { itemId: `tool:${toolCallId}`, toolCallId, name, kind: 'tool', title: name }
    if (phase === 'start') {
      agent(entry, 'item', { ...item, phase, status: 'running', startedAt: now })
      toolCall(entry, { phase, name, toolCallId, args: event.args ?? {} })
    } else if (phase === 'update') {
      toolCall(entry, { phase, name, toolCallId, partialResult: event.partial ?? '' })
    } else {
      const isError = event.isError === true
      toolCall(entry, { phase, name, toolCallId, isError, result: { content: event.parts ?? [] } })
      agent(entry, 'item', { ...item, phase: 'end', status: isError ? 'failed' : 'completed', endedAt: now })
    }
  }

  function end(entry: Entry, turn: Omit<Turn, 'on' | 'run' | 'session' | 'sessionKey' | 'agent' | 'wireId'>): void {
    const { outcome, at, yielded, aliases, usage } = turn
    const aborted = outcome === 'cancelled' || outcome === 'timed_out'
    const failed = !aborted && outcome !== null && outcome !== 'succeeded'
    if (!failed && turn.text !== '') entry.text = turn.text
    flush(entry, true)
    const span = { startedAt: entry.startedAt ?? at, endedAt: at }
    if (failed) agent(entry, 'lifecycle', { phase: 'error', error: turn.error ?? outcome, ...span })
    else agent(entry, 'lifecycle', { phase: 'end', ...span, aborted, stopReason: turn.stop, yielded })
    const words = turn.text === '' || isSilent(turn.text) ? {} : { message: message(turn.text, at) }
    for (const runId of new Set([entry.wireId, ...aliases])) {
      if (failed) {
        const errorKind = errorKinds[turn.errorCode ?? ''] ?? 'unknown'
        chat(entry, runId, () => ({
          state: 'error',
          errorMessage: turn.error ?? outcome,
          errorKind,
          errorCode: turn.errorCode,
        }))
      } else if (aborted) {
        const stopReason = outcome === 'timed_out' ? 'timeout' : 'rpc'
        const partial = turn.text === '' && entry.sent !== '' ? { message: message(entry.sent, at) } : words
        chat(entry, runId, () => ({ state: 'aborted', stopReason, ...partial }))
      } else {
        chat(entry, runId, () => ({
          state: 'final',
          stopReason: turn.stop,
          ...(yielded ? { yielded } : {}),
          usage,
          ...words,
        }))
      }
    }
    forget(entry)
  }

  function state(event: Extract<HouseEvent, { on: 'run.state' }>): void {
    const { run, parent, sessionKey, agent: agentId, wireId, change, wait, outcome, error, at } = event
    fanout.send('run', () => ({ run, parent, sessionKey, agentId, runId: wireId, change, wait, outcome, error, at }))
    switch (change) {
      case 'done': {
        for (const connection of fanout.connections) connection.runs.delete(run)
        const words = { aliases: [], text: '', yielded: false, stop: 'stop' as const, outcome: outcome ?? null, at }
        const turn = error === undefined ? words : { ...words, error }
        // Its turn, if it has one, is told in the same breath and ends it with its words.
        const entry = entries.get(wireId) ?? byRun.get(run)
        queueMicrotask(() => entry && entries.get(entry.wireId) === entry && end(entry, turn))
        break
      }
      case 'queued':
      case 'started': {
        const entry = entryOf(event)
        if (parent !== null) entry.spawnedBy ??= byRun.get(parent)?.sessionKey
        if (change === 'started') start(entry, at)
        break
      }
      case 'waiting':
      case 'woken':
        // A wait ends a turn (run.turn) and a wake begins one: `started` tells of it.
        break
    }
  }

  return {
    tell(event) {
      switch (event.on) {
        case 'run.delta':
          return said(event, { text: event.text })
        case 'run.thinking':
          return said(event, { thought: event.text })
        case 'run.tool':
          return tool(event)
        case 'run.state':
          return state(event)
        case 'run.turn':
          return end(entryOf(event), event)
        case 'session.message':
        case 'session.changed':
        case 'approval':
          return
      }
    },
    wireIds(run) {
      const entry = byRun.get(run)
      return entry ? [entry.wireId] : []
    },
    close() {
      for (const entry of entries.values()) if (entry.timer) clearTimeout(entry.timer)
      entries.clear()
      byRun.clear()
    },
  }
}
