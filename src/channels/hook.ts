/**
 * A place where a service calls us: one path, one method, and each call answered only after it was taken.
 *
 * Owns the HTTP server and its limits. Who is let in and what a call says, its channel decides; whatever else comes is refused
 * without a word about why. A call that fails is answered with 500, so that the service brings it again.
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'

export interface Answer {
  status: number
  body?: string
}

export interface HookOptions {
  path: string
  host: string
  port: number
  /** Before anything of the body is read. */
  admits?(headers: IncomingHttpHeaders): boolean
  take(headers: IncomingHttpHeaders, body: string): Promise<Answer>
  log(level: 'error', message: string): void
}

export interface Hook {
  port: number
  stop(): Promise<void>
}

const maxBodyBytes = 1_000_000
/** Services give a request up after about a minute. */
const requestMs = 55_000

export async function startHook(options: HookOptions): Promise<Hook> {
  const server = createServer({ requestTimeout: requestMs }, (request, response) => {
    serve(request, response).catch(() => {
      options.log('error', 'a webhook request could not be taken; the service brings it again')
      end(response, { status: 500 })
    })
  })

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (options.admits && !options.admits(request.headers)) return end(response, { status: 401 })
    const { pathname } = new URL(request.url ?? '/', 'http://webhook')
    if (pathname !== options.path || request.method !== 'POST') return end(response, { status: 404 })
    const body = await bodyOf(request)
    end(response, body === null ? { status: 413 } : await options.take(request.headers, body))
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : options.port,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeIdleConnections()
      }),
  }
}

async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBodyBytes) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function end(response: ServerResponse, { status, body }: Answer): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, { connection: status === 200 ? 'keep-alive' : 'close' }).end(body)
}
