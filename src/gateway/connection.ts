/**
 * One connection, whatever carries it: what it may send before it said who it is, what is written to it, its counters.
 *
 * Owns the life of a connection: `new` (challenge sent) → `deciding` (connect seen) → `open` → `closed`. Never decides who
 * is let in (handshake.ts) and never runs a method (dispatch.ts). Invariants: 1. nothing is dispatched before `open`.
 * 2. `seq` grows by one for every event made for it, sent or dropped. 3. What waits unread in memory is bounded, whatever
 * the other side does.
 */
import type { Principal } from '../core/principal.ts'
import type { ConnectParams } from '../protocol/connect.ts'
import { errorIn, type Protocol } from '../protocol/dialect.ts'
import { DeputyError } from '../protocol/errors.ts'
import { checkRequest, type RequestFrame, type ResponseFrame } from '../protocol/frames.ts'
import { closeCodes, closeReason, type Limits } from '../protocol/limits.ts'
import { toWire } from '../protocol/refusal.ts'
import type { Peer } from './peer.ts'
import type { DeviceCell } from './types.ts'

/** What carries frames: a WebSocket or the unix socket. */
export interface Line {
  send(text: string): void
  close(code: number, reason: string): void
  /** Bytes written that the other side has not taken yet. */
  buffered(): number
  /** Frames may be large from now on. */
  opened(): void
}

export interface Session {
  principal: Principal
  /** The device that it stands on, if any. */
  cell: DeviceCell | null
  /** False from when the settings no longer say what let it in. */
  holds(): boolean
  protocol: Protocol
  client: ConnectParams['client']
  caps: ReadonlySet<string>
  connectedAt: number
}

export interface Follows {
  /** `sessions.changed` */
  sessions: boolean
  /** Keys of the sessions whose `session.message` and `session.tool` it gets. */
  readonly messages: Set<string>
  /** `task` */
  tasks: boolean
}

export interface Connection {
  readonly id: string
  readonly nonce: string
  readonly peer: Peer
  /** Null until it is let in. */
  readonly session: Session | null
  /** Runs that it started: their tool calls are shown to it. */
  readonly runs: Set<string>
  /** What it asked to be told of besides. */
  readonly follows: Follows
  receive(text: string): void
  respond(frame: ResponseFrame): void
  /** `text` is an event frame without `seq` and the closing brace. */
  event(text: string, dropIfSlow: boolean): void
  /** Lets it in; `hello` is sent before anything else. False when it has gone meanwhile. */
  open(session: Session, id: string, hello: unknown): boolean
  refuse(id: string, error: DeputyError, code: number, reason: string): void
  close(code: number, reason: string): void
  /** The line is gone. */
  gone(): void
}

export interface ConnectionHandlers {
  /** A first frame that is a connect. Ends in `open` or `refuse`. */
  connect(connection: Connection, frame: RequestFrame): void
  request(connection: Connection, frame: RequestFrame): void
  closed(connection: Connection): void
}

export function makeConnection(options: {
  id: string
  nonce: string
  now: number
  peer: Peer
  line: Line
  limits: Limits
  handlers: ConnectionHandlers
}): Connection {
  const { line, limits, handlers, peer } = options
  const queued: string[] = []
  let state: 'new' | 'deciding' | 'open' | 'closed' = 'new'
  let session: Session | null = null
  let seq = 0
  const timer = setTimeout(() => connection.close(closeCodes.policy, 'handshake timeout'), limits.handshakeMs)

  const connection: Connection = {
    id: options.id,
    nonce: options.nonce,
    peer,
    runs: new Set(),
    follows: { sessions: false, messages: new Set(), tasks: false },
    get session() {
      return session
    },

    receive(text) {
      if (state === 'open') request(text)
      else if (state !== 'closed') early(text)
    },

    respond(frame) {
      if (state === 'closed') return
      if (line.buffered() > limits.maxBuffered) return connection.close(closeCodes.policy, 'slow consumer')
      const out = !frame.ok && session ? { ...frame, error: errorIn(session.protocol, frame.error) } : frame
      line.send(JSON.stringify(out))
    },

    event(text, dropIfSlow) {
      if (state !== 'open') return
      seq += 1
      if (line.buffered() > limits.maxBuffered) {
        if (!dropIfSlow) connection.close(closeCodes.policy, 'slow consumer')
        return
      }
      line.send(`${text},"seq":${seq}}`)
    },

    open(opened, id, hello) {
      if (state !== 'deciding') return false
      clearTimeout(timer)
      state = 'open'
      session = opened
      line.opened()
      connection.respond({ type: 'res', id, ok: true, payload: hello })
      for (const text of queued.splice(0)) connection.receive(text)
      return true
    },

    refuse(id, error, code, reason) {
      connection.respond({ type: 'res', id, ok: false, error: toWire(error.shape()) })
      connection.close(code, reason)
    },

    close(code, reason) {
      if (state === 'closed') return
      line.close(code, closeReason(reason))
      connection.gone()
    },

    gone() {
      if (state === 'closed') return
      clearTimeout(timer)
      state = 'closed'
      queued.length = 0
      handlers.closed(connection)
    },
  }

  function early(text: string): void {
    // A frame's length in UTF-16 units never exceeds its bytes, so this can't refuse a frame that is allowed.
    if (text.length > limits.preauthBytes) connection.close(closeCodes.tooBig, 'preauth payload too large')
    else if (state === 'new') first(text)
    else if (queued.length < limits.handshakeFrames) queued.push(text)
    else connection.close(closeCodes.policy, 'too many pending handshake frames')
  }

  function first(text: string): void {
    const check = checkRequest(parse(text))
    if (!check.ok || check.frame.method !== 'connect') {
      const problem = check.ok ? 'invalid handshake: the first request must be connect' : check.problem
      const error = new DeputyError('INVALID_REQUEST', problem)
      connection.refuse(check.ok ? check.frame.id : check.id, error, closeCodes.policy, 'invalid handshake')
    } else {
      state = 'deciding'
      handlers.connect(connection, check.frame)
    }
  }

  function request(text: string): void {
    const check = checkRequest(parse(text))
    if (check.ok) {
      handlers.request(connection, check.frame)
    } else {
      const error = toWire(new DeputyError('INVALID_REQUEST', check.problem).shape())
      connection.respond({ type: 'res', id: check.id, ok: false, error })
    }
  }

  line.send(
    JSON.stringify({ type: 'event', event: 'connect.challenge', payload: { nonce: options.nonce, ts: options.now } }),
  )
  return connection
}

/** `undefined` for what is not JSON: no frame is. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
