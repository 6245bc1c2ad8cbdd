/**
 * What a client sends as message and attachments, as parts of a message. Images stay images; text files are put in with
 * their name; anything else is refused by name. Owns that choice; never stores anything.
 */
import type { Part } from '../../core/types.ts'
import { DeputyError } from '../../protocol/errors.ts'

export interface Attachment {
  mimeType?: string | undefined
  fileName?: string | undefined
  content: string
}

export function partsOf(message: string, attachments: readonly Attachment[] = []): Part[] {
  const parts: Part[] = message === '' ? [] : [{ type: 'text', text: message }]
  for (const { mimeType = 'application/octet-stream', fileName = 'attachment', content } of attachments) {
    // Some clients send a data: URL where base64 is meant.
    const data = content.replace(/^data:[^,]*,/, '')
    if (mimeType.startsWith('image/')) parts.push({ type: 'image', mimeType, data })
    else if (/^text\/|\b(json|xml|yaml|csv)\b/.test(mimeType)) {
      parts.push({ type: 'text', text: `[file ${fileName}]\n${Buffer.from(data, 'base64').toString('utf8')}` })
    } else {
      throw new DeputyError('INVALID_PARAMS', `An attachment of type ${mimeType} can't be read.`, {
        fix: 'Send images or text; put other files into the workspace and name them.',
      })
    }
  }
  if (parts.length === 0) throw new DeputyError('INVALID_PARAMS', 'The message is empty.', { fix: 'Send some text.' })
  return parts
}
