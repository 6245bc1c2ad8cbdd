/**
 * Slack as this channel calls it: the Web API with Slack's own client, files over plain HTTP, socket mode.
 *
 * Owns the library's clients, which are kept quiet, try nothing again by themselves and never connect anew by themselves:
 * both would happen behind the back of the outbox and of the status. Tokens go to the API's own host and Slack's, nowhere
 * else.
 */
import type { SocketModeClient } from '@slack/socket-mode'
import type { WebClient } from '@slack/web-api'
import { DeputyError } from '../../protocol/errors.ts'
import type { Settings } from './settings.ts'

export interface Wire {
  web: WebClient
  /** A connection that was not opened yet, used once. `asked`: the service wants it to be replaced by another. */
  socket(asked: () => void): SocketModeClient
  /** Fetches a file of the workspace. Fails with MEDIA_TOO_LARGE beyond `maxBytes`. */
  fetchFile(url: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array>
}

/** Longest that one call may take. */
const callMs = 30_000

type Silent = NonNullable<ConstructorParameters<typeof WebClient>[1]>['logger']

export async function openWire(settings: Settings): Promise<Wire> {
  const [{ WebClient, LogLevel }, { SocketModeClient }] = await Promise.all([
    import('@slack/web-api'),
    import('@slack/socket-mode'),
  ])
  const logger: Silent = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
    setLevel: () => undefined,
    getLevel: () => LogLevel.ERROR,
    setName: () => undefined,
  }
  const base = {
    slackApiUrl: settings.apiRoot,
    logger,
    timeout: callMs,
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true,
  }
  return {
    web: new WebClient(settings.botToken, base),
    socket(asked) {
      if (settings.appToken === null) throw new Error('in this mode Slack calls us')
      const client = new SocketModeClient({
        appToken: settings.appToken,
        autoReconnectEnabled: false,
        logger,
        clientOptions: base,
      })
      guard(client, asked)
      return client
    },
    async fetchFile(url, maxBytes, signal) {
      if (!ours(url, settings.apiRoot)) throw new Error('the file is not kept by Slack')
      const headers = { authorization: `Bearer ${settings.botToken}` }
      // Without the scope that it takes, the service leads to its login page.
      const response = await fetch(url, { headers, signal, redirect: 'manual' })
      if (response.status !== 200 || !response.body) {
        await response.body?.cancel()
        const hint = response.status < 400 ? ' (does the app have files:read?)' : ''
        throw new Error(`Slack answered ${response.status} for a file${hint}`)
      }
      return readBody(response.body, maxBytes)
    },
  }
}

/** The client fails in the open on a frame that is not of its form: such frames never reach it. */
function guard(client: SocketModeClient, asked: () => void): void {
  const inner = client.listeners('ws_message')
  client.removeAllListeners('ws_message')
  client.on('ws_message', (data: unknown, isBinary: unknown) => {
    const type = isBinary || typeof data !== 'string' ? null : typeOf(data)
    if (type === null) return
    if (type === 'disconnect') asked()
    for (const listener of inner) listener(data, isBinary)
  })
}

/** The type of a frame; null when the frame has not the form that its type has. */
function typeOf(text: string): string | null {
  try {
    const frame = JSON.parse(text) as { type?: unknown; payload?: { event?: { type?: unknown } } } | null
    if (typeof frame?.type !== 'string') return null
    if (frame.type === 'events_api' && typeof frame.payload?.event?.type !== 'string') return null
    return frame.type
  } catch {
    return null
  }
}

/** Only there may the token be shown. */
function ours(url: string, apiRoot: string): boolean {
  if (!URL.canParse(url)) return false
  const { origin, protocol, hostname } = new URL(url)
  if (origin === new URL(apiRoot).origin) return true
  return protocol === 'https:' && /(^|\.)slack\.com$/.test(hostname)
}

/** Stops at the limit whatever the service said of the size. */
async function readBody(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > maxBytes) throw new DeputyError('MEDIA_TOO_LARGE', `The file is larger than ${maxBytes} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
