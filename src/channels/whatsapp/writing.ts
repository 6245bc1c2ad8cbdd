/**
 * What the house says, in WhatsApp's form: which messages it becomes, and how they look.
 *
 * WhatsApp's marks have no escape: one is written only where its signs would be seen as one, and left away elsewhere.
 */
import { createHash } from 'node:crypto'
import type { Button, Content } from '../../core/chat.ts'
import { prefixLines, renderParts, type Writer } from '../text.ts'

export const maxText = 4_000
/** What the service's hosts of files take. */
export const maxUploadBytes = 100_000_000
const maxCaption = 1_024

/** A mark is seen only between spaces, signs or the ends of a line. */
const seen = ({ before, after }: { before: string; after: string }): boolean =>
  !/[\p{L}\p{N}_]/u.test(before) && !/[\p{L}\p{N}_]/u.test(after)

const signs = { bold: '*', italic: '_', strike: '~', spoiler: '' } as const

const writer = (max: number): Writer => ({
  max,
  escape: text => text,
  mark(mark, inner, around) {
    const sign = signs[mark]
    return sign !== '' && seen(around) && !inner.includes(sign) ? sign + inner + sign : inner
  },
  code: (text, around) => (seen(around) && !text.includes('`') ? `\`${text}\`` : text),
  block: text => `\`\`\`\n${text}\n\`\`\``,
  link: (inner, url, label) => (label === url ? inner : `${inner} (${url})`),
  quote: inner => prefixLines(inner, '> '),
  lineByLine: true,
})

/** Each of them one message: a file carries the words when they fit beneath it. */
export function partsOf(content: Content, limit: number): readonly Content[] {
  if (content.react || content.poll) return [content]
  const { media = [], buttons, ...plain } = content
  const all = [content.text, buttons ? offers(buttons) : ''].filter(text => text.trim() !== '').join('\n\n')
  if (content.edit) return renderParts(all, writer(limit)).map((text, at) => (at === 0 ? { ...plain, text } : { text }))
  const texts = renderParts(all, writer(limit))
  const [first, ...others] = media
  const captioned =
    first && texts.length === 1 && texts[0]!.length <= maxCaption && first.kind !== 'audio' && first.kind !== 'sticker'
  const parts: Content[] = captioned
    ? [{ text: texts[0]!, media: [first] }, ...others.map(one => ({ text: '', media: [one] }))]
    : [...texts.map(text => ({ text })), ...media.map(one => ({ text: '', media: [one] }))]
  return parts.map((part, at) => (at === 0 && content.replyTo ? { ...part, replyTo: content.replyTo } : part))
}

/** There are no buttons: the words that a press would have said. */
function offers(rows: readonly (readonly Button[])[]): string {
  return rows
    .flat()
    .map(({ label, value }) => `${label}: \`${value}\``)
    .join('\n')
}

/** In the form of baileys' own ids, always the same for one key: whoever gets it twice sees it once. */
export function messageId(key: string): string {
  return `3EB0${createHash('sha256').update(key).digest('hex').slice(0, 18).toUpperCase()}`
}
