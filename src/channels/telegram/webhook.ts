/**
 * The webhook: updates come in as requests, and each is answered with 200 only after it was taken.
 *
 * Owns the HTTP server and who is let in: one path, one method, the secret that the service was given, compared in constant
 * time. Whatever else comes is refused without a word about why. The service brings an update again that it got no 2xx for.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Update } from 'grammy/types'

export interface WebhookOptions {
  path: string
  host: string
  port: number
  secret: string
  put(update: Update): Promise<void>
  log(level: 'warn' | 'error', message: string): void
}

export interface WebhookServer {
  port: number
  stop(): Promise<void>
}

const maxBodyBytes = 1_000_000
/** The service gives a request up after about a minute. */
const requestMs = 55_000

export async function startWebhook(options: WebhookOptions): Promise<WebhookServer> {
  const server = createServer({ requestTimeout: requestMs }, (request, response) => {
    serve(request, response).catch(() => {
      options.log('error', 'a webhook request could not be taken; the service brings it again')
      end(response, 500)
    })
  })
  const wanted = digest(options.secret)

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const given = request.headers['x-telegram-bot-api-secret-token']
    const known = timingSafeEqual(digest(typeof given === 'string' ? given : ''), wanted)
    const { pathname } = new URL(request.url ?? '/', 'http://webhook')
    if (!known || pathname !== options.path || request.method !== 'POST') return end(response, known ? 404 : 401)
    const body = await bodyOf(request)
    if (body === null) return end(response, 413)
    let update: Update
    try {
      update = JSON.parse(body) as Update
    } catch {
      return end(response, 400)
    }
    if (!Number.isSafeInteger(update?.update_id)) return end(response, 400)
    await options.put(update)
    end(response, 200)
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

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
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

function end(response: ServerResponse, status: number): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, { connection: status === 200 ? 'keep-alive' : 'close' }).end()
}
