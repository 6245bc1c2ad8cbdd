/**
 * Telegram's HTML as its servers read it: words as a person sees them, with entities counted in UTF-16 units, or the error
 * that the Bot API answers. Knows the tags of the Bot API and no others.
 */
export interface Entity {
  type: string
  offset: number
  length: number
  url?: string
  language?: string
}

const types: Record<string, string> = {
  b: 'bold',
  strong: 'bold',
  i: 'italic',
  em: 'italic',
  u: 'underline',
  ins: 'underline',
  s: 'strikethrough',
  strike: 'strikethrough',
  del: 'strikethrough',
  code: 'code',
  pre: 'pre',
  a: 'text_link',
  blockquote: 'blockquote',
  'tg-spoiler': 'spoiler',
  span: 'spoiler',
}

const named: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"' }

export class ParseError extends Error {}

export function readHtml(source: string): { text: string; entities: Entity[] } {
  let text = ''
  const entities: Entity[] = []
  const open: { tag: string; entity: Entity }[] = []
  let at = 0
  while (at < source.length) {
    const char = source[at]!
    if (char === '&') {
      const found = /^&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]+));/i.exec(source.slice(at))
      const code = found?.[1] ? Number(found[1]) : found?.[2] ? Number.parseInt(found[2], 16) : null
      const value = code !== null ? String.fromCodePoint(code) : named[found?.[3] ?? '']
      text += value ?? '&'
      at += value === undefined ? 1 : found![0].length
    } else if (char === '<') {
      const end = source.indexOf('>', at)
      if (end < 0) fail(`Unclosed start tag at byte offset ${at}`)
      tag(source.slice(at + 1, end), at)
      at = end + 1
    } else {
      text += char
      at++
    }
  }
  if (open.length > 0) fail(`Can't find end tag corresponding to start tag "${open.at(-1)!.tag}"`)
  return trimmed(text, entities)

  function tag(inside: string, offset: number): void {
    if (inside.startsWith('/')) {
      const last = open.pop()
      const name = inside.slice(1).trim().toLowerCase()
      if (!last) fail(`Unexpected end tag at byte offset ${offset}`)
      if (name !== '' && name !== last!.tag) {
        fail(`Unmatched end tag at byte offset ${offset}, expected "</${last!.tag}>", found "</${name}>"`)
      }
      last!.entity.length = text.length - last!.entity.offset
      // A block with a language is one entity, however it was written.
      const block = last!.entity.language === undefined ? undefined : open.at(-1)
      if (block?.tag === 'pre') block.entity.language = last!.entity.language!
      else if (last!.entity.length > 0) entities.push(last!.entity)
      return
    }
    const found = /^([a-z0-9-]+)(?:\s+(.*))?$/is.exec(inside.trim())
    const name = found?.[1]?.toLowerCase() ?? ''
    const type = types[name]
    if (!type) fail(`Unsupported start tag "${name}" at byte offset ${offset}`)
    const attributes = found?.[2] ?? ''
    if (name === 'span' && !/class="tg-spoiler"/.test(attributes)) fail('Tag "span" must have class "tg-spoiler"')
    const entity: Entity = { type: type!, offset: text.length, length: 0 }
    const url = /href="([^"]*)"/.exec(attributes)?.[1]
    if (url) entity.url = readHtml(url).text
    const language = /class="language-([^"]*)"/.exec(attributes)?.[1]
    if (language) entity.language = language
    open.push({ tag: name, entity })
  }
}

/** The service cuts white space off both ends of what it shows. */
function trimmed(text: string, entities: Entity[]): { text: string; entities: Entity[] } {
  const lead = text.length - text.trimStart().length
  const kept = text.trim()
  const moved = entities
    .map(entity => ({ ...entity, offset: Math.max(0, entity.offset - lead) }))
    .map(entity => ({ ...entity, length: Math.min(entity.length, kept.length - entity.offset) }))
    .filter(entity => entity.length > 0)
  return { text: kept, entities: moved.sort((a, b) => a.offset - b.offset || b.length - a.length) }
}

function fail(words: string): never {
  throw new ParseError(`Bad Request: can't parse entities: ${words}`)
}
