/**
 * The two ways to a gateway: frames as lines over its unix socket, frames as messages over a WebSocket.
 *
 * Owns opening, framing and closing; never looks into a frame. `ws` is loaded only for a WebSocket, so that the CLI on the
 * gateway's own host starts without it.
 */
import { createConnection } from 'node:net'
import { DeputyError } from '../protocol/errors.ts'
import { closeCodes } from '../protocol/limits.ts'

export interface Transport {
  send(text: string): void
  /** Ends it without waiting for the other side. */
  close(): void
}

export interface Events {
  message(text: string): void
  /** Exactly once, also after `close()`. */
  closed(code: number, reason: string): void
}

function unreachable(where: string, cause: unknown): DeputyError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new DeputyError('GATEWAY_UNREACHABLE', `No gateway answers at ${where}: ${why}`, { details: { where }, cause })
}

/**
 * One JSON object a line, `\n` between. The server says why it closes in a last line
 * `{"type":"close","code":n,"reason":"…"}`, since a unix socket has no close frame.
 */
export function openUnix(path: string, events: Events): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path)
    let rest: Buffer[] = []
    let why: { code: number; reason: string } = { code: closeCodes.normal, reason: '' }
    const line = (text: string) => {
      if (text.startsWith('{"type":"close"')) why = JSON.parse(text)
      else events.message(text)
    }
    socket.once('error', error => reject(unreachable(path, error)))
    socket.once('connect', () => {
      // The close event follows every error, and tells.
      socket.on('error', error => (why = { code: closeCodes.internal, reason: error.message }))
      socket.on('close', () => events.closed(why.code, why.reason))
      resolve({ send: text => socket.write(`${text}\n`), close: () => socket.destroy() })
    })
    socket.on('data', (chunk: Buffer) => {
      let from = 0
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
        const last = chunk.subarray(from, end)
        line((rest.length > 0 ? Buffer.concat([...rest, last]) : last).toString('utf8'))
        rest = []
        from = end + 1
      }
      if (from < chunk.length) rest.push(chunk.subarray(from))
    })
  })
}

export async function openWebSocket(url: string, events: Events): Promise<Transport> {
  const { WebSocket } = await import('ws')
  return await new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { perMessageDeflate: false })
    socket.once('error', error => reject(unreachable(url, error)))
    socket.once('open', () => {
      socket.on('error', () => socket.terminate())
      socket.on('close', (code: number, reason: Buffer) => events.closed(code, reason.toString('utf8')))
      resolve({ send: text => socket.send(text), close: () => socket.close() })
    })
    socket.on('message', (data: Buffer) => events.message(data.toString('utf8')))
  })
}
