/**
 * Files that hang on messages: fetched from the service's own hosts, up to a limit.
 *
 * Owns which addresses may be asked. What stands in a message is from outside: no other host is ever asked because of it.
 */
import { DeputyError } from '../../protocol/errors.ts'
import type { Settings } from './settings.ts'

const hosts = /^(cdn|media)\.discordapp\.(com|net)$/

export async function fetchFile(
  settings: Settings,
  url: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const address = new URL(url)
  const allowed = settings.official
    ? address.protocol === 'https:' && hosts.test(address.hostname) && address.port === ''
    : address.origin === new URL(settings.apiRoot).origin
  if (!allowed) throw new Error('the file is not on a host of Discord')
  const response = await fetch(address, { signal, redirect: 'error' })
  if (!response.ok || !response.body) throw new Error(`Discord answered ${response.status} for a file`)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body) {
    size += chunk.length
    if (size > maxBytes) throw new DeputyError('MEDIA_TOO_LARGE', `The file is larger than ${maxBytes} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
