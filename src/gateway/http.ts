/**
 * HTTP on the gateway's port: is it alive, is it ready; everything else is 404 (openclaw-facts.md §F).
 *
 * Owns the checks and headers that every answer has. No path but these is answered, none creates or changes anything, and
 * none needs a credential: a probe is anonymous and stays so.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { DeputyError } from '../protocol/errors.ts'
import { peerOf, refuseRequest } from './peer.ts'
import type { Facts, Settings } from './types.ts'

/** On every answer. Nothing here is a page, so nothing may be loaded, framed or guessed. */
export const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}

export function statusOf(error: DeputyError): number {
  if (error.code === 'TOO_MANY_CONNECTIONS' || error.code === 'GATEWAY_STOPPING') return 503
  return error.code === 'CREDENTIAL_IN_URL' ? 400 : 403
}

export function bodyOf(error: DeputyError): string {
  return JSON.stringify({ error: { type: error.code.toLowerCase(), message: error.message, fix: error.fix } })
}

function send(request: IncomingMessage, response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    ...securityHeaders,
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

export function makeHttpServer(options: { settings: Settings; facts: Facts; uptimeMs(): number }): Server {
  const { settings, facts, uptimeMs } = options

  function answer(request: IncomingMessage): [status: number, body: string] {
    const refusal = refuseRequest(request, settings)
    if (refusal) return [statusOf(refusal), bodyOf(refusal)]
    const path = (request.url ?? '/').split('?')[0]
    const reads = request.method === 'GET' || request.method === 'HEAD'
    switch (path) {
      case '/healthz':
      case '/health':
        if (!reads) break
        return [200, '{"ok":true,"status":"live"}']
      case '/startupz':
        if (!reads) break
        return [200, '{"ok":true,"status":"ready"}']
      case '/readyz':
      case '/ready': {
        if (!reads) break
        const failing = facts.failing()
        const ready = failing.length === 0
        // What fails is told to this machine only.
        const shown = peerOf(request, settings).direct ? { ready, failing, uptimeMs: uptimeMs() } : { ready }
        return [ready ? 200 : 503, JSON.stringify(shown)]
      }
      default:
        return [404, '{"error":{"type":"not_found","message":"Not found"}}']
    }
    return [405, '{"error":{"type":"method_not_allowed","message":"Use GET"}}']
  }

  const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 5_000 })
  server.on('request', (request, response) => {
    const [status, body] = answer(request)
    // A body that was sent along is read and forgotten, up to the request timeout.
    request.resume()
    send(request, response, status, body)
  })
  server.on('clientError', (_, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n')
    else socket.destroy()
  })
  return server
}
