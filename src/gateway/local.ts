/**
 * The unix socket: the same frames as lines of JSON, for the owner of the state directory (design.md 7).
 *
 * Owns the file (0600, in a directory that is 0700) and the framing: one frame a line; a close is a last line
 * `{"type":"close","code":n,"reason":"…"}`. Never asks for a credential: being able to open the file is one.
 */
import { isUtf8 } from 'node:buffer'
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { DeputyError } from '../protocol/errors.ts'
import { closeCodes, type Limits } from '../protocol/limits.ts'
import type { Connection, Line } from './connection.ts'
import { makeCork } from './cork.ts'
import { localPeer, type Peer } from './peer.ts'
import type { Log } from './types.ts'

export interface Local {
  /** Resolves when every connection is closed; one that has not read its last lines in `ms` is ended. */
  close(ms: number): Promise<void>
}

/** What the kernel takes, without the ending zero. */
const maxPath = 107
const newline = 10
/** How long the other side may take to read what was last written, ms. */
const closeMs = 2_000

/** Opens the socket; a stale file is removed first, which only the holder of the home lock may do (decisions.md 27). */
export async function openLocal(options: {
  path: string
  limits: Limits
  log: Log
  counts(): { all: number; handshakes: number }
  accept(line: Line, peer: Peer): Connection
}): Promise<Local> {
  const { path, limits, log, counts, accept } = options
  if (Buffer.byteLength(path) > maxPath) {
    throw new DeputyError('SOCKET_FAILED', `The path of the unix socket is longer than ${maxPath} bytes: ${path}`, {
      fix: 'Use a shorter --home.',
      details: { path },
    })
  }
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    socket.on('error', error => log('debug', 'a local connection failed', { error: error.message }))
    const { all, handshakes } = counts()
    if (all >= limits.connections || handshakes >= limits.handshakes) {
      socket.end(closeLine(closeCodes.tryLater, 'too many connections'))
      return
    }
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    serve(socket, limits, accept)
  })
  try {
    rmSync(path, { force: true })
  } catch (cause) {
    throw failed(path, cause as Error)
  }
  await listen(server, path)
  chmodSync(path, 0o600)
  server.on('error', error => log('error', 'the unix socket failed', { error: error.message }))
  return {
    close(ms) {
      for (const socket of sockets) socket.destroySoon()
      const timer = setTimeout(() => [...sockets].map(socket => socket.destroy()), ms)
      // Node removes the file with the listener.
      return new Promise(resolve => {
        server.close(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    },
  }
}

function closeLine(code: number, reason: string): string {
  return `${JSON.stringify({ type: 'close', code, reason })}\n`
}

function serve(socket: Socket, limits: Limits, accept: (line: Line, peer: Peer) => Connection): void {
  let most = limits.preauthBytes
  let held: Buffer[] = []
  let size = 0
  let closed = false
  const cork = makeCork(socket)
  const line: Line = {
    send(text) {
      cork()
      socket.write(`${text}\n`)
    },
    buffered: () => socket.writableLength,
    opened() {
      most = limits.maxPayload
    },
    close(code, reason) {
      closed = true
      socket.end(closeLine(code, reason))
      setTimeout(() => socket.destroy(), closeMs).unref()
    },
  }
  const connection = accept(line, localPeer)

  function take(bytes: Buffer): void {
    if (bytes.length > most) connection.close(closeCodes.tooBig, 'payload too large')
    else if (!isUtf8(bytes)) connection.close(closeCodes.invalidText, 'invalid UTF-8')
    else if (bytes.length > 0) connection.receive(bytes.toString('utf8'))
  }

  socket.on('data', (chunk: Buffer) => {
    let from = 0
    for (let end = chunk.indexOf(newline); end !== -1 && !closed; end = chunk.indexOf(newline, from)) {
      const last = chunk.subarray(from, end)
      const whole = size > 0 ? Buffer.concat([...held, last]) : last
      held = []
      size = 0
      from = end + 1
      take(whole)
    }
    if (closed || from === chunk.length) return
    held.push(chunk.subarray(from))
    size += chunk.length - from
    if (size > most) connection.close(closeCodes.tooBig, 'payload too large')
  })
  socket.on('close', () => connection.gone())
}

function failed(path: string, cause: Error): DeputyError {
  return new DeputyError('SOCKET_FAILED', `The unix socket ${path} could not be opened: ${cause.message}`, {
    details: { path },
    cause,
  })
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', cause => reject(failed(path, cause)))
    server.listen(path, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}
