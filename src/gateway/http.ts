/**
 * HTTP on the gateway's port: is it alive, is it ready, the page; everything else is 404 (openclaw-facts.md §F).
 *
 * Owns the checks and headers that every answer has. No path but these is answered, none creates or changes anything, and
 * none needs a credential: a probe is anonymous and stays so, and the page shows nothing before its socket is let in.
 * Invariant: whatever goes wrong with a request is its answer, never the end of the gateway.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { DeputyError } from '../protocol/errors.ts'
import { peerOf, refuseRequest } from './peer.ts'
import type { Facts, Log, Settings } from './types.ts'

/** On every answer; the page alone has a policy of its own. Nothing else may load anything, be framed or be guessed. */
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

interface Answer {
  status: number
  body: string
  headers?: Readonly<Record<string, string>> | undefined
}

function send(request: IncomingMessage, response: ServerResponse, { status, body, headers }: Answer): void {
  response.writeHead(status, {
    ...securityHeaders,
    'content-type': 'application/json; charset=utf-8',
    ...headers,
    'content-length': Buffer.byteLength(body),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** Read when somebody first asks for it. */
function makePageAnswer(): () => Promise<Answer> {
  let made: Promise<Answer> | null = null
  const make = async () => {
    const { html, policy } = (await import('./page/page.ts')).makePage()
    return {
      status: 200,
      body: html,
      headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy },
    }
  }
  return () => (made ??= make())
}

export function makeHttpServer(options: { settings: Settings; facts: Facts; log: Log; uptimeMs(): number }): Server {
  const { settings, facts, log, uptimeMs } = options

  const page = makePageAnswer()

  function answer(request: IncomingMessage): Answer | Promise<Answer> {
    const refusal = refuseRequest(request, settings)
    if (refusal) return { status: statusOf(refusal), body: bodyOf(refusal) }
    const path = (request.url ?? '/').split('?')[0]
    const reads = request.method === 'GET' || request.method === 'HEAD'
    const { enabled, basePath } = settings.page()
    const isPage = enabled && (path === basePath || path === `${basePath}/`)
    switch (isPage ? 'page' : path) {
      case 'page':
        if (!reads) break
        return page()
      case '/healthz':
      case '/health':
        if (!reads) break
        return { status: 200, body: '{"ok":true,"status":"live"}' }
      case '/startupz':
        if (!reads) break
        return { status: 200, body: '{"ok":true,"status":"ready"}' }
      case '/readyz':
      case '/ready': {
        if (!reads) break
        const failing = facts.failing()
        const ready = failing.length === 0
        // What fails is told to this machine only.
        const shown = peerOf(request, settings).direct ? { ready, failing, uptimeMs: uptimeMs() } : { ready }
        return { status: ready ? 200 : 503, body: JSON.stringify(shown) }
      }
      default:
        return { status: 404, body: '{"error":{"type":"not_found","message":"Not found"}}' }
    }
    return { status: 405, body: '{"error":{"type":"method_not_allowed","message":"Use GET"}}' }
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { status, body, headers } = await answer(request)
      const hsts = settings.hsts()
      const more = hsts === null ? headers : { ...headers, 'strict-transport-security': hsts }
      send(request, response, { status, body, headers: more })
    } catch (cause) {
      log('error', 'a request failed', {
        path: request.url,
        cause: cause instanceof Error ? cause.stack : String(cause),
      })
      send(request, response, { status: 500, body: '{"error":{"type":"internal","message":"The request failed."}}' })
    }
  }

  const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 5_000 })
  server.on('request', (request, response) => {
    // A body that was sent along is read and forgotten, up to the request timeout.
    request.resume()
    void serve(request, response)
  })
  server.on('clientError', (_, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n')
    else socket.destroy()
  })
  return server
}
