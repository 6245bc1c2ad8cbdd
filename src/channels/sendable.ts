/**
 * Whether a file can still go out: it is there, has something in it, and is no larger than its service takes.
 *
 * Owns the check on the file itself, just before it is sent; what it claims to be was settled when it was copied.
 */
import { stat } from 'node:fs/promises'
import type { OutboundMedia } from '../core/chat.ts'
import type { SendOutcome } from '../core/ports.ts'

/** Null when it can. What can not go out now can not later either, and nobody has seen anything. */
export async function unsendable(
  file: OutboundMedia | undefined,
  service: string,
  maxBytes: number,
): Promise<Extract<SendOutcome, { sent: false }> | null> {
  if (!file) return null
  const no = (code: string, message: string) =>
    ({ sent: false, certain: true, retryable: false, code, message }) as const
  const found = await stat(file.path).catch(() => null)
  if (!found?.isFile()) return no('media_missing', `the file ${file.name} is gone`)
  if (found.size === 0) return no('media_empty', `the file ${file.name} is empty`)
  if (found.size <= maxBytes) return null
  return no('media_too_large', `${file.name} has ${found.size} bytes; ${service} takes ${maxBytes}`)
}
