/**
 * The door: one TCP port (HTTP and WebSocket), one unix socket, one way through both.
 *
 * Owns the listeners and puts the parts together; each part is its own file. Nothing in the house needs it: with no TCP
 * listener, or with none at all, runs go on and `inject` answers. Never decides anything itself.
 */
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { portOwner } from '../config/port-owner.ts'
import type { Principal } from '../core/principal.ts'
import { DeputyError } from '../protocol/errors.ts'
import { checkRequest, type RequestFrame, type ResponseFrame } from '../protocol/frames.ts'
import { closeCodes, type Limits, limits as standard } from '../protocol/limits.ts'
import { toWire } from '../protocol/refusal.ts'
import { type Connection, type ConnectionHandlers, type Line, makeConnection } from './connection.ts'
import { newId } from './crypto.ts'
import { makeDispatcher } from './dispatch.ts'
import { makeFanout } from './fanout.ts'
import { admit, admitLocal, type HandshakeContext } from './handshake.ts'
import { makeHealthDesk } from './health.ts'
import { makeHelloDesk } from './hello.ts'
import { makeHttpServer } from './http.ts'
import { makeLimiter } from './limiter.ts'
import { openLocal } from './local.ts'
import { makeHandlers } from './methods/index.ts'
import type { Room } from './methods/room.ts'
import { isLoopback, type Peer } from './peer.ts'
import { makePresence } from './presence.ts'
import { makeRunEvents } from './run-events.ts'
import { openSchemas } from './schemas.ts'
import { makeSessionEvents } from './session-events.ts'
import { attachSockets } from './socket.ts'
import type { GatewayOptions } from './types.ts'

export interface Listening {
  /** Null without a TCP listener. */
  tcp: { host: string; port: number } | null
  socketPath: string
}

export interface Gateway {
  /** Opens the unix socket, and the TCP port unless `tcp` is false. Throws PORT_IN_USE or SOCKET_FAILED, then holds neither. */
  listen(options?: { tcp?: boolean }): Promise<Listening>
  /** A request with no socket at all: every answer to it, in order. */
  inject(frame: RequestFrame, principal: Principal): Promise<ResponseFrame[]>
  /** Tells those who are connected, then closes everything. */
  close(reason?: string): Promise<void>
}

/** What let it in is not in the configuration any more. */
const authChanged = 'gateway auth changed'

/** How long connections may take to read what was last sent to them, ms. */
const drainMs = 200

export function openGateway(options: GatewayOptions): Gateway {
  const { house, settings, facts, devices, rooms, clock, log, version } = options
  const limits: Limits = { ...standard, ...options.limits }
  const startedAt = clock.now()
  let bound: { host: string; port: number } | null = null
  /** Where TCP is listened on. */
  let hosts: readonly string[] = []
  const schemas = openSchemas()
  const fanout = makeFanout()
  const desk = makeHealthDesk({ house, facts, chats: rooms.chats, clock, version, startedAt })
  const presence = makePresence({ fanout, clock, limits, log, version, startedAt, health: desk.health })
  const helloDesk = makeHelloDesk({ facts, settings, clock, limits, version, bootId: newId(), startedAt, presence })
  const runEvents = makeRunEvents({ fanout, clock, deltaMs: limits.deltaMs })
  const room: Room = {
    house,
    facts,
    settings,
    devices,
    desk,
    fanout,
    runEvents,
    presence,
    rooms,
    limits,
    version,
    address: () => bound,
    now: clock.now,
    newId,
  }
  const handlers = makeHandlers(room)
  const sessionEvents = makeSessionEvents(room, log)
  const dispatcher = makeDispatcher({ handlers, schemas, log })
  const handshake: HandshakeContext = {
    settings,
    devices,
    limiter: makeLimiter(settings),
    now: clock.now,
    skewMs: limits.skewMs,
    exposed: () => !hosts.every(isLoopback),
  }
  /** Connected and not let in yet. */
  const strangers = new Set<Connection>()
  const closers: (() => Promise<void>)[] = []

  const stopHouse = options.subscribe(event => {
    runEvents.tell(event)
    sessionEvents.tell(event)
  })
  const stopConfig = rooms.config.onChange(({ hash }) => {
    const payload = { path: facts.configPath, hash, ts: clock.now() }
    fanout.send('config.changed', () => payload)
  })
  /** Connections that are closed once what they asked last is answered. */
  const closing = new Map<Connection, string>()
  const stopSettings = settings.watch(() => {
    for (const connection of [...fanout.connections]) {
      if (connection.session!.holds()) continue
      // Whoever made the change is told first that it is made.
      if (dispatcher.changing(connection)) closing.set(connection, authChanged)
      else connection.close(closeCodes.authChanged, authChanged)
    }
  })
  const stopDevices = devices.watch(change => {
    if (change.change === 'told') return fanout.send(change.event, () => change.payload)
    const reason = `client invalidated: ${change.reason}`
    for (const connection of [...fanout.connections]) {
      const cell = connection.session?.cell
      if (cell?.device !== change.device || cell.generation > change.generation) continue
      if (connection.id === change.spare) closing.set(connection, reason)
      else connection.close(closeCodes.authChanged, reason)
    }
  })

  const connectionHandlers: ConnectionHandlers = {
    connect: (connection, frame) => void letIn(connection, frame),
    request(connection, frame) {
      const { principal, protocol } = connection.session!
      if (dispatcher.open(connection) >= limits.openRequests) {
        const error = new DeputyError('TOO_MANY_REQUESTS', 'too many requests of this connection are at work')
        connection.respond({ type: 'res', id: frame.id, ok: false, error: toWire(error.shape()) })
        return
      }
      void dispatcher.dispatch(frame, { principal, protocol, connection, respond: connection.respond }).then(() => {
        const reason = closing.get(connection)
        if (reason !== undefined) connection.close(closeCodes.authChanged, reason)
      })
    },
    closed(connection) {
      strangers.delete(connection)
      closing.delete(connection)
      if (!fanout.connections.has(connection)) return
      fanout.remove(connection)
      presence.left()
    },
  }

  async function letIn(connection: Connection, frame: RequestFrame): Promise<void> {
    try {
      // Before the decision, so that nothing is awaited between it and its effect.
      const [checked, seen] = await Promise.all([schemas.connect(frame.params), desk.glance()])
      if (!checked.ok) {
        const error = new DeputyError('INVALID_REQUEST', `invalid connect params: ${checked.problem}`)
        return connection.refuse(frame.id, error, closeCodes.policy, 'invalid handshake')
      }
      const { params } = checked
      const { peer, nonce, id } = connection
      const decision = peer.via === 'unix' ? admitLocal(params) : await admit(handshake, peer, nonce, params)
      if (!decision.ok) {
        const { error, closeCode, closeReason, delayMs } = decision.refusal
        log('info', 'a connection was refused', { code: error.code, address: peer.address, client: params.client.id })
        if (delayMs > 0) await sleep(delayMs, undefined, { ref: false })
        return connection.refuse(frame.id, error, closeCode, closeReason)
      }
      const { principal, protocol, cell, holds } = decision.admission
      const { client, caps = [] } = params
      const session = { principal, cell, holds, protocol, client, caps: new Set(caps), connectedAt: clock.now() }
      // Its approval may have been taken while it was let in.
      if (cell && !cell.alive)
        return connection.close(closeCodes.authChanged, 'client invalidated: device-pair-removed')
      if (!holds()) return connection.close(closeCodes.authChanged, authChanged)
      strangers.delete(connection)
      fanout.add(connection)
      if (connection.open(session, frame.id, helloDesk.hello(decision.admission, id, seen))) presence.joined()
      else fanout.remove(connection)
    } catch (cause) {
      log('error', 'a handshake failed', {
        cause: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause),
      })
      const error = new DeputyError('INTERNAL', 'the handshake failed inside the gateway')
      connection.refuse(frame.id, error, closeCodes.internal, 'internal error')
    }
  }

  function accept(line: Line, peer: Peer): Connection {
    const connection = makeConnection({
      id: newId(),
      nonce: newId(),
      now: clock.now(),
      peer,
      line,
      limits,
      handlers: connectionHandlers,
    })
    strangers.add(connection)
    return connection
  }

  const counts = () => ({ all: fanout.connections.size + strangers.size, handshakes: strangers.size })

  async function listenTcp(): Promise<{ host: string; port: number }> {
    hosts = settings.hosts()
    for (const host of hosts) {
      // Chosen by the system at the first address, it is the same at the others.
      const port = await listenAt(host, bound?.port ?? settings.port())
      bound ??= { host, port }
    }
    return bound!
  }

  async function listenAt(host: string, port: number): Promise<number> {
    const server = makeHttpServer({ settings, facts, log, uptimeMs: () => clock.now() - startedAt })
    // Idle HTTP connections are bounded too.
    server.maxConnections = 2 * limits.connections
    const sockets = attachSockets({ server, settings, limits, log, counts, accept })
    await bind(server, host, port)
    server.on('error', error => log('error', 'the TCP listener failed', { error: error.message }))
    closers.push(async () => {
      const closed = new Promise(resolve => server.close(resolve))
      await sockets.close(drainMs)
      server.closeAllConnections()
      await closed
    })
    return (server.address() as AddressInfo).port
  }

  return {
    async listen({ tcp = true } = {}) {
      try {
        const address = tcp ? await listenTcp() : null
        const local = await openLocal({ path: options.socketPath, limits, log, counts, accept })
        closers.push(() => local.close(drainMs))
        return { tcp: address, socketPath: options.socketPath }
      } catch (error) {
        await Promise.all(closers.splice(0).map(close => close()))
        throw error
      }
    },

    async inject(frame, principal) {
      const check = checkRequest(frame)
      const answers: ResponseFrame[] = []
      const respond = (answer: ResponseFrame) => void answers.push(answer)
      if (check.ok) await dispatcher.dispatch(check.frame, { principal, protocol: 4, connection: null, respond })
      else {
        const error = new DeputyError('INVALID_REQUEST', check.problem)
        respond({ type: 'res', id: check.id, ok: false, error: toWire(error.shape()) })
      }
      return answers
    },

    async close(reason = 'service restart') {
      dispatcher.stop()
      stopHouse()
      stopConfig()
      stopSettings()
      stopDevices()
      runEvents.close()
      sessionEvents.close()
      fanout.send('shutdown', () => ({ reason }))
      for (const connection of [...fanout.connections, ...strangers]) connection.close(closeCodes.restart, reason)
      presence.close()
      await Promise.all(closers.splice(0).map(close => close()))
    },
  }
}

function bind(server: ReturnType<typeof makeHttpServer>, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE'
      const owner = taken ? portOwner(port) : null
      const by = owner ? ` by process ${owner.pid} (${owner.command})` : ''
      const message = taken
        ? `Port ${port} on ${host} is taken${by}.`
        : `The gateway can't listen on ${host}:${port}: ${cause.message}`
      const fix = taken
        ? `Stop that program, or choose another port: deputy config set gateway.port ${port + 1}`
        : 'Set gateway.bind and gateway.port to an address of this machine that you may use.'
      reject(new DeputyError('PORT_IN_USE', message, { fix, details: { host, port, ...owner }, cause }))
    })
    server.listen(port, host, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}
