/**
 * The WebSocket: upgrades on the HTTP server, frames in and out (openclaw-facts.md §A1).
 *
 * Owns what happens before a message exists: who may upgrade, how many, how many bytes before hello. Never looks into a
 * frame (connection.ts). A peer that vanished is noticed by its missing pong.
 */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { DeputyError } from '../protocol/errors.ts'
import { closeCodes, type Limits } from '../protocol/limits.ts'
import type { Connection, Line } from './connection.ts'
import { makeCork } from './cork.ts'
import { bodyOf, securityHeaders, statusOf } from './http.ts'
import { type Peer, peerOf, refuseRequest } from './peer.ts'
import type { Log, Settings } from './types.ts'

export interface Sockets {
  /** Resolves when every socket is closed; one that has not read its close in `ms` is ended. */
  close(ms: number): Promise<void>
}

/** Header of a client frame: 2 bytes, length up to 8, mask 4. */
const frameHeader = 14
/** How long the other side may take to answer a close, ms. */
const closeMs = 2_000

export function attachSockets(options: {
  server: Server
  settings: Settings
  limits: Limits
  log: Log
  /** Connections that are counted against the limits: all, and those without hello. */
  counts(): { all: number; handshakes: number }
  accept(line: Line, peer: Peer): Connection
}): Sockets {
  const { server, settings, limits, log, counts, accept } = options
  const upgrader = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    clientTracking: false,
    maxPayload: limits.maxPayload,
  })
  const sockets = new Set<WebSocket>()
  const silent = new WeakSet<WebSocket>()
  let pulse: ReturnType<typeof setInterval> | null = null

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', error => log('debug', 'a socket failed', { error: error.message }))
    let refusal: DeputyError | null
    try {
      refusal = refuseRequest(request, settings) ?? refuseCount()
    } catch (cause) {
      log('error', 'an upgrade failed', { cause: cause instanceof Error ? cause.stack : String(cause) })
      return void socket.destroy()
    }
    if (refusal) return refuseUpgrade(socket, refusal)
    upgrader.handleUpgrade(request, socket, head, ws => serve(ws, socket, peerOf(request, settings)))
  })

  function refuseCount(): DeputyError | null {
    const { all, handshakes } = counts()
    if (all < limits.connections && handshakes < limits.handshakes) return null
    return new DeputyError('TOO_MANY_CONNECTIONS', 'Too many connections are open.')
  }

  function serve(ws: WebSocket, raw: Duplex, peer: Peer): void {
    let opened = false
    let closing = false
    let heard = false
    let unread = 0
    const cork = makeCork(raw)
    const line: Line = {
      send(text) {
        cork()
        ws.send(text)
      },
      buffered: () => ws.bufferedAmount,
      opened() {
        opened = true
      },
      close(code, reason) {
        closing = true
        ws.close(code, reason)
        setTimeout(() => ws.terminate(), closeMs).unref()
      },
    }
    const connection = accept(line, peer)
    sockets.add(ws)
    pulse ??= setInterval(ping, limits.tickMs).unref()

    // ws holds a message back until it is whole, so what is on its way has to be counted here: a stranger may not make
    // the gateway hold more than a small frame, nor go on sending after a close.
    raw.on('data', (chunk: Buffer) => {
      if (opened && !closing) return
      unread = heard ? 0 : unread + chunk.length
      heard = false
      if (unread <= limits.preauthBytes + frameHeader) return
      if (closing) ws.terminate()
      else connection.close(closeCodes.tooBig, 'preauth payload too large')
    })
    ws.on('message', (data: Buffer, binary: boolean) => {
      heard = true
      if (binary) connection.close(closeCodes.policy, 'binary frames are not served')
      else if (!opened && data.length > limits.preauthBytes) {
        connection.close(closeCodes.tooBig, 'preauth payload too large')
      } else connection.receive(data.toString('utf8'))
    })
    ws.on('pong', () => silent.delete(ws))
    // ws closes by itself on what is no WebSocket frame, no UTF-8 or too long, with the code that says so.
    ws.on('error', error => log('debug', 'a connection broke the protocol', { error: error.message }))
    ws.on('close', () => {
      sockets.delete(ws)
      if (sockets.size === 0 && pulse) {
        clearInterval(pulse)
        pulse = null
      }
      connection.gone()
    })
  }

  function ping(): void {
    for (const ws of sockets) {
      if (silent.has(ws)) ws.terminate()
      else {
        silent.add(ws)
        ws.ping()
      }
    }
  }

  return {
    async close(ms) {
      const closed = [...sockets].map(ws => new Promise<void>(resolve => ws.once('close', () => resolve())))
      const timer = setTimeout(() => [...sockets].map(ws => ws.terminate()), ms)
      await Promise.all(closed)
      clearTimeout(timer)
      upgrader.close()
    },
  }
}

function refuseUpgrade(socket: Duplex, refusal: DeputyError): void {
  const status = statusOf(refusal)
  const body = bodyOf(refusal)
  const headers = {
    ...securityHeaders,
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const words = { 400: 'Bad Request', 403: 'Forbidden', 503: 'Service Unavailable' }[status] ?? 'Refused'
  socket.end(`HTTP/1.1 ${status} ${words}\r\n${lines.join('')}\r\n${body}`)
}
