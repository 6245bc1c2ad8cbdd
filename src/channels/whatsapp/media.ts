/**
 * Files of messages, both ways. They lie encrypted with the service; the message holds their key.
 *
 * A file is fetched from the host that the service itself names, never from an address in a message: anybody can write one
 * there. It is given out only when it is what the message said it is, by its hash.
 */
import { createHash } from 'node:crypto'
import type { AnyMessageContent, DownloadableMessage, MediaType, proto } from 'baileys'
import type { InboundMedia, OutboundMedia } from '../../core/chat.ts'
import { DeputyError } from '../../protocol/errors.ts'

/** The decrypted bytes as they come in. */
export type Fetch = (
  from: DownloadableMessage,
  type: MediaType,
  signal: AbortSignal,
) => Promise<AsyncIterable<Uint8Array>>

type Part = proto.Message.IImageMessage & { fileName?: string | null; ptt?: boolean | null }

export function mediaOf(message: proto.IMessage, fetch: Fetch): InboundMedia[] {
  const parts: [InboundMedia['kind'], Part | null | undefined][] = [
    ['image', message.imageMessage],
    ['video', message.videoMessage ?? message.ptvMessage],
    ['audio', message.audioMessage],
    ['document', message.documentMessage],
    ['sticker', message.stickerMessage],
  ]
  return parts.flatMap(([kind, part]) => {
    if (!part?.mediaKey || !part.directPath) return []
    const mimeType = part.mimetype || 'application/octet-stream'
    return [
      {
        kind,
        name: part.fileName || `${kind}.${extension(mimeType)}`,
        mimeType,
        bytes: part.fileLength ? Number(part.fileLength) : null,
        voice: part.ptt === true,
        read: (maxBytes: number, signal: AbortSignal) => read(part, kind, maxBytes, signal, fetch),
      },
    ]
  })
}

async function read(
  part: Part,
  kind: MediaType,
  maxBytes: number,
  signal: AbortSignal,
  fetch: Fetch,
): Promise<Uint8Array> {
  const { mediaKey, directPath, fileSha256 } = part
  if (!mediaKey || !directPath || !fileSha256) throw new Error('the message does not say where the file is')
  const chunks: Uint8Array[] = []
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of await fetch({ mediaKey, directPath }, kind, signal)) {
    size += chunk.length
    if (size > maxBytes) throw new DeputyError('MEDIA_TOO_LARGE', `The file is larger than ${maxBytes} bytes.`)
    hash.update(chunk)
    chunks.push(chunk)
  }
  if (!hash.digest().equals(fileSha256)) throw new Error('the file is not the one that was sent')
  return Buffer.concat(chunks)
}

export function contentOf(media: OutboundMedia, caption: string): AnyMessageContent {
  const file = { url: media.path }
  const mimetype = media.mimeType
  const words = caption === '' ? {} : { caption }
  // An empty preview is one too: baileys makes none then, for which it would start programs of the machine.
  const jpegThumbnail = ''
  switch (media.kind) {
    case 'image':
      return { image: file, mimetype, jpegThumbnail, ...words }
    case 'video':
      return { video: file, mimetype, jpegThumbnail, ...words }
    case 'audio':
      return { audio: file, mimetype, ptt: media.voice }
    case 'sticker':
      return { sticker: file, mimetype }
    case 'document':
      return { document: file, mimetype, fileName: media.name, ...words }
  }
}

function extension(mimeType: string): string {
  return /^\w+\/([a-z0-9]+)/i.exec(mimeType)?.[1] ?? 'bin'
}
