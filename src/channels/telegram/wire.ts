/**
 * The Bot API as this channel calls it: with grammY, paced by its throttler, and files over plain HTTP.
 *
 * Owns the library's clients and the token's only way to the network. `paced` is for what people see and waits for the
 * limits of the service; `direct` for what must not wait behind it. Never lets an address out: the token stands in it.
 */
import type { Api } from 'grammy'
import { DeputyError } from '../../protocol/errors.ts'
import { NotBegun } from './failure.ts'
import { maxDownloadBytes } from './limits.ts'
import type { Settings } from './settings.ts'

export interface Wire {
  paced: Api
  direct: Api
  /** Fetches a file by its id. Fails with MEDIA_TOO_LARGE beyond `maxBytes`. */
  fetchFile(id: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array>
  upload(path: string, name: string): unknown
}

/** Longest that a call may take; sending a file of the largest size fits into it. */
const callSeconds = 120

export async function openWire(settings: Settings): Promise<Wire> {
  const [{ Api, InputFile }, { apiThrottler }] = await Promise.all([
    import('grammy'),
    import('@grammyjs/transformer-throttler'),
  ])
  const { token, apiRoot } = settings
  const client = { apiRoot, timeoutSeconds: callSeconds, fetch: ownFetch as never }
  const direct = new Api(token, client)
  const paced = new Api(token, client)
  // The inner one sees a call after its turn has come: one that was given up while it waited has surely not been made.
  paced.config.use((prev, method, payload, signal) => {
    if (signal?.aborted) throw new NotBegun('given up while it waited for its turn')
    return prev(method, payload, signal)
  }, apiThrottler())
  return {
    paced,
    direct,
    async fetchFile(id, maxBytes, signal) {
      const file = await direct.getFile(id, asSignal(signal)).catch(error => {
        if (/file is too big/i.test(String((error as { description?: unknown }).description))) {
          throw tooLarge(Math.min(maxBytes, maxDownloadBytes))
        }
        throw error
      })
      if ((file.file_size ?? 0) > maxBytes) throw tooLarge(maxBytes)
      const path = file.file_path
      if (!path || path.startsWith('/')) throw new Error('the Bot API named no file that can be fetched over HTTP')
      const response = await fetch(`${apiRoot}/file/bot${token}/${path}`, { signal, redirect: 'error' })
      if (!response.ok || !response.body) throw new Error(`the Bot API answered ${response.status} for a file`)
      return readBody(response.body, maxBytes)
    },
    upload: (path, name) => new InputFile(path, name.replace(/[\r\n";]+/g, ' ')),
  }
}

/** Node's own, for the library's: it asks for a polyfill that warns of its age, and hands on signals of another. */
async function ownFetch(url: string, init: RequestInit & { agent?: unknown }): Promise<Response> {
  const { agent: _, signal: given, ...rest } = init
  const controller = new AbortController()
  const abort = (): void => controller.abort()
  if (given?.aborted) abort()
  given?.addEventListener('abort', abort, { once: true })
  return fetch(url, { ...rest, signal: controller.signal })
}

/** The library's types speak of a polyfill; what it needs of a signal, this one has. */
export function asSignal(signal: AbortSignal): Parameters<Api['getMe']>[0] {
  return signal as unknown as Parameters<Api['getMe']>[0]
}

/** Stops at the limit whatever the service said of the size. */
async function readBody(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > maxBytes) throw tooLarge(maxBytes)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function tooLarge(maxBytes: number): DeputyError {
  return new DeputyError('MEDIA_TOO_LARGE', `The file is larger than ${maxBytes} bytes.`)
}
