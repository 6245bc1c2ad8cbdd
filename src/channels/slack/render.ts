/**
 * Words in Slack's mrkdwn, cut into messages: what one says, which file it carries and where its buttons are.
 *
 * Owns the writer of the service's marks and how content is cut. Pure. The text of a part is mrkdwn already.
 */
import type { Button, Content, OutboundMedia } from '../../core/chat.ts'
import { repeatMark } from '../repeat.ts'
import { type Around, type Mark, prefixLines, renderParts, type Writer } from '../text.ts'
import { maxBlockText, maxButtonLabel } from './limits.ts'

const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }
const signs: Record<Mark, string> = { bold: '*', italic: '_', strike: '~', spoiler: '' }

const safe = (text: string): string => text.replace(/[&<>]/g, sign => names[sign]!)
const address = (url: string): string =>
  url.replace(/[<>|\s]/g, sign => encodeURIComponent(sign)).replaceAll('&', '&amp;')

/** A mark within a word is not seen as one. */
function seen({ before, after }: Around): boolean {
  return !/[\p{L}\p{N}]/u.test(before) && !/[\p{L}\p{N}]/u.test(after)
}

function writer(max: number): Writer {
  return {
    max: max - repeatMark.length,
    escape: safe,
    mark(mark, inner, around) {
      const sign = signs[mark]
      return seen(around) ? `${sign}${inner}${sign}` : inner
    },
    code: (text, around) => (seen(around) && !text.includes('`') ? `\`${safe(text)}\`` : safe(text)),
    block: text => `\`\`\`\n${safe(text)}\n\`\`\``,
    link: (inner, url, label) => (label === url ? `<${address(url)}>` : `<${address(url)}|${inner}>`),
    quote: inner => prefixLines(inner, '> '),
    lineByLine: true,
  }
}

/** One message each: the words first or as the comment of the only file, then the files; the buttons under the last words. */
export function cut(content: Content, textLimit: number): Content[] {
  if (content.react) return [content]
  const { media = [], buttons, replyTo, edit, poll } = content
  const text = poll ? pollInWords(poll) : content.text
  const limit = buttons ? Math.min(textLimit, maxBlockText) : textLimit
  const words = renderParts(text, writer(limit))
  const parts: Content[] =
    media.length === 1 && words.length === 1 && !edit && !buttons
      ? [{ text: words[0]!, media }]
      : [...words.map(text => ({ text })), ...media.map((file: OutboundMedia) => ({ text: '', media: [file] }))]
  if (parts.length === 0) return []
  if (edit) parts[0] = { ...parts[0]!, edit }
  if (replyTo) parts[0] = { ...parts[0]!, replyTo }
  if (buttons) {
    const at = Math.max(
      0,
      parts.findLastIndex(part => part.text !== ''),
    )
    parts[at] = { ...parts[at]!, buttons }
  }
  return parts
}

/** The words with their buttons, as blocks; without buttons the text is enough. */
export function blocksOf(text: string, buttons: Content['buttons']): Record<string, unknown>[] {
  if (!buttons || buttons.length === 0) return []
  const rows = buttons.map((row, i) => ({
    type: 'actions',
    elements: row.map(({ label, value, style }: Button, j) => ({
      type: 'button',
      action_id: `deputy_${i}_${j}`,
      text: { type: 'plain_text', text: label.slice(0, maxButtonLabel), emoji: true },
      value,
      ...(style ? { style } : {}),
    })),
  }))
  return text === '' ? rows : [{ type: 'section', text: { type: 'mrkdwn', text } }, ...rows]
}

/** The service has no polls. */
function pollInWords(poll: NonNullable<Content['poll']>): string {
  const options = poll.options.map((option, i) => `${i + 1}. ${option}`)
  return `**${poll.question}**\n\n${options.join('\n')}\n\n${poll.multiple ? 'Several answers are possible.' : ''}`
}
