/**
 * Words in Discord's Markdown, cut into messages: what one message says, which files it carries and where its buttons are.
 *
 * Owns the writer of the service's marks and how content is cut. Pure. The text of a part is Discord's already.
 */
import type { Content } from '../../core/chat.ts'
import { repeatMark } from '../repeat.ts'
import { type Mark, prefixLines, renderParts, type Writer } from '../text.ts'
import { maxFiles } from './limits.ts'

const signs: Record<Mark, string> = { bold: '**', italic: '*', strike: '~~', spoiler: '||' }

/** Signs that mean something anywhere, and those that do at the beginning of a line. A mention is broken by a joiner. */
function plain(text: string, lineStart: boolean): string {
  const inert = text.replace(/[\\*_~`|[\]<>]/g, '\\$&').replace(/@(everyone|here)/g, '@\u200b$1')
  return lineStart ? inert.replace(/^(\s*)([#+-]|\d+[.)])(?=\s)/, (_all, space, sign) => `${space}\\${sign}`) : inert
}

/** Backticks inside can't be escaped: more of them around. */
function code(text: string): string {
  const most = Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length))
  const fence = '`'.repeat(most + 1)
  const edge = most > 0 ? ' ' : ''
  return `${fence}${edge}${text}${edge}${fence}`
}

function writer(max: number): Writer {
  return {
    max: max - repeatMark.length,
    escape: plain,
    mark: (mark, inner) => `${signs[mark]}${inner}${signs[mark]}`,
    code,
    block: (text, language) =>
      `\`\`\`${language.replace(/[^\w+#-]/g, '')}\n${text.replaceAll('```', '``\u200b`')}\n\`\`\``,
    link: (inner, url, label) => (label === url ? url : `[${inner}](<${url.replace(/[<>\s]/g, encodeURIComponent)}>)`),
    quote: inner => prefixLines(inner, '> '),
    heading: (inner, level) => (level <= 3 ? `${'#'.repeat(level)} ${inner}` : `**${inner}**`),
    lineByLine: false,
  }
}

/** One message each: the words, the files with the last of them, the buttons beneath. */
export function cut(content: Content, textLimit: number): Content[] {
  if (content.react || content.poll) return [content]
  const { text, media = [], buttons, replyTo, edit } = content
  const parts: Content[] = renderParts(text, writer(textLimit)).map(text => ({ text }))
  for (let at = 0; at < media.length; at += maxFiles) {
    const files = media.slice(at, at + maxFiles)
    const last = at === 0 ? parts.at(-1) : undefined
    if (last) parts[parts.length - 1] = { ...last, media: files }
    else parts.push({ text: '', media: files })
  }
  if (parts.length === 0) return []
  if (edit) parts[0] = { ...parts[0]!, edit }
  if (replyTo) parts[0] = { ...parts[0]!, replyTo }
  if (buttons) parts[parts.length - 1] = { ...parts.at(-1)!, buttons }
  return parts
}
