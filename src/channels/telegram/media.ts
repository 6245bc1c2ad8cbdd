/**
 * Files: which hang on a message that came in, and by which method one of ours goes out.
 *
 * Owns the kinds of the Bot API. Fetches nothing by itself: `read` does, once somebody wants the file.
 */
import type { Message } from 'grammy/types'
import type { InboundMedia, OutboundMedia } from '../../core/chat.ts'
import { maxPhotoBytes } from './limits.ts'

type Fetch = (id: string, maxBytes: number, signal: AbortSignal) => Promise<Uint8Array>

interface Found {
  kind: InboundMedia['kind']
  name: string
  mimeType: string
  voice?: boolean
}

interface Raw {
  file_id: string
  file_size?: number
  file_name?: string
  mime_type?: string
}

export function mediaOf(message: Message, fetchFile: Fetch): InboundMedia[] {
  const { photo, voice, audio, video, video_note, animation, document, sticker } = message
  // The last size of a photo is the largest; an animation comes with a document for old programs.
  if (photo?.length) return [file(photo.at(-1)!, { kind: 'image', name: 'photo.jpg', mimeType: 'image/jpeg' })]
  if (voice) return [file(voice, { kind: 'audio', name: 'voice.ogg', mimeType: 'audio/ogg', voice: true })]
  if (audio) return [file(audio, { kind: 'audio', name: 'audio.mp3', mimeType: 'audio/mpeg' })]
  if (video) return [file(video, { kind: 'video', name: 'video.mp4', mimeType: 'video/mp4' })]
  if (video_note) return [file(video_note, { kind: 'video', name: 'video-note.mp4', mimeType: 'video/mp4' })]
  if (animation) return [file(animation, { kind: 'video', name: 'animation.mp4', mimeType: 'video/mp4' })]
  if (document) return [file(document, { kind: 'document', name: 'document', mimeType: 'application/octet-stream' })]
  if (sticker?.is_animated)
    return [file(sticker, { kind: 'sticker', name: 'sticker.tgs', mimeType: 'application/gzip' })]
  if (sticker?.is_video) return [file(sticker, { kind: 'sticker', name: 'sticker.webm', mimeType: 'video/webm' })]
  if (sticker) return [file(sticker, { kind: 'sticker', name: 'sticker.webp', mimeType: 'image/webp' })]
  return []

  function file(raw: Raw, found: Found): InboundMedia {
    return {
      kind: found.kind,
      name: raw.file_name ?? found.name,
      mimeType: raw.mime_type ?? found.mimeType,
      bytes: raw.file_size ?? null,
      voice: found.voice ?? false,
      read: (maxBytes, signal) => fetchFile(raw.file_id, maxBytes, signal),
    }
  }
}

export type SendKind = 'photo' | 'voice' | 'audio' | 'video' | 'document'

/** What the service shows as such; everything else is a document, which it takes as it is. */
export function sendKindOf(media: OutboundMedia): SendKind {
  const { kind, mimeType, bytes, voice } = media
  if (kind === 'image' && /^image\/(jpeg|png|webp)$/.test(mimeType) && bytes <= maxPhotoBytes) return 'photo'
  if (kind === 'audio' && voice && /ogg|opus/.test(mimeType)) return 'voice'
  if (kind === 'audio' && /^audio\/(mpeg|mp3|mp4|m4a|x-m4a|aac)$/.test(mimeType)) return 'audio'
  return kind === 'video' && mimeType === 'video/mp4' ? 'video' : 'document'
}
