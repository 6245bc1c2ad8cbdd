/**
 * Words in Telegram's HTML, cut into messages: what one message says, which file it carries and where its buttons are.
 *
 * Owns the writer of the service's marks and how content is cut. Pure. The text of a part is HTML already; `plainOf` gives
 * its words alone, for when the service does not understand it.
 */
import type { Content, OutboundMedia } from '../../core/chat.ts'
import { repeatMark } from '../repeat.ts'
import { type Mark, renderParts, type Writer } from '../text.ts'
import { maxCaption } from './limits.ts'

const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const tags: Record<Mark, string> = { bold: 'b', italic: 'i', strike: 's', spoiler: 'tg-spoiler' }

const html = (text: string): string => text.replace(/[&<>"]/g, sign => names[sign]!)

function writer(max: number): Writer {
  return {
    max: max - repeatMark.length,
    escape: html,
    mark: (mark, inner) => `<${tags[mark]}>${inner}</${tags[mark]}>`,
    code: text => `<code>${html(text)}</code>`,
    block: (text, language) =>
      language === ''
        ? `<pre>${html(text)}</pre>`
        : `<pre><code class="language-${html(language)}">${html(text)}</code></pre>`,
    link: (inner, url) => `<a href="${html(url)}">${inner}</a>`,
    quote: inner => `<blockquote>${inner}</blockquote>`,
  }
}

/** One message each: the words first or as the caption of the only file, then the files, the buttons under the last words. */
export function cut(content: Content, textLimit: number): Content[] {
  if (content.react || content.poll) return [content]
  const { text, media = [], buttons, replyTo, edit } = content
  const caption = media.length === 1 && !edit ? renderParts(text, writer(maxCaption)) : []
  const parts: Content[] =
    caption.length === 1
      ? [{ text: caption[0]!, media }]
      : [
          ...renderParts(text, writer(textLimit)).map(text => ({ text })),
          ...media.map((file: OutboundMedia) => ({ text: '', media: [file] })),
        ]
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

export function plainOf(written: string): string {
  const signs: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"' }
  return written
    .replace(/<\/?(?:b|i|s|tg-spoiler|code|pre|a|blockquote)(?: [^>]*)?>/g, '')
    .replace(/&(amp|lt|gt|quot);/g, (_all, name: string) => signs[name]!)
}
