import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readMarkdown } from './markdown.ts'
import { plainWriter, prefixLines, renderParts, type Writer } from './text.ts'

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const html = (text: string) => text.replace(/[&<>"]/g, sign => entities[sign]!)
const tags = { bold: 'b', italic: 'i', strike: 's', spoiler: 'tg' }

/** Strict enough that whatever is torn shows. */
const strict = (max: number): Writer => ({
  max,
  escape: html,
  mark: (mark, inner) => `<${tags[mark]}>${inner}</${tags[mark]}>`,
  code: text => `<code>${html(text)}</code>`,
  block: (text, language) => `<pre lang="${language}">${html(text)}</pre>`,
  link: (inner, url) => `<a href="${html(url)}">${inner}</a>`,
  quote: inner => `<q>${inner}</q>`,
})

/** As WhatsApp and Slack write: marks end with the line and need a boundary around them. */
const starred = (max: number): Writer => ({
  ...plainWriter(max),
  mark: (mark, inner, around) =>
    /\w/.test(around.before + around.after)
      ? inner
      : { bold: '*', italic: '_', strike: '~', spoiler: '' }[mark] + inner,
  block: text => `\`\`\`${text}\`\`\``,
  lineByLine: true,
})

const squeeze = (text: string) => text.replace(/\s+/g, '')

/** What is wrong with parts written by `strict`; null when nothing is. */
function wrong(parts: readonly string[], visible: string, max: number): string | null {
  let shown = ''
  for (const part of parts) {
    if (part.length > max) return `a part of ${part.length}`
    if (part.trim() === '') return 'an empty part'
    const open: string[] = []
    const words = part.replace(/<(\/?)(\w+)(?: \w+="[^"<>]*")?>/g, (_tag, closes, name) => {
      if (!closes) open.push(name)
      else if (open.pop() !== name) open.push('crossed', 'crossed')
      return ''
    })
    if (open.length > 0) return `not closed: ${open}`
    if (/[<>]/.test(words)) return `torn: ${words}`
    if (/&(?!(amp|lt|gt|quot);)/.test(words)) return `a torn entity: ${words}`
    if (/^[\udc00-\udfff]|[\ud800-\udbff]$/.test(part)) return 'half a sign'
    shown += words.replace(/&(\w+);/g, (_whole, name) => ({ amp: '&', lt: '<', gt: '>', quot: '"' })[name as 'amp']!)
  }
  const [a, b] = [squeeze(shown), squeeze(visible)]
  return a === b ? null : `said ${JSON.stringify(a)} instead of ${JSON.stringify(b)}`
}

/** The same without bullets, so that all that is seen are the text's own words. */
const bare = (max: number): Writer => ({ ...strict(max), item: inner => `<li>${inner}</li>` })

/** Markdown with the words that it shows. */
interface Piece {
  source: string
  shows: string
}
const sign = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyzäöü😀'.split(/(?:)/u), '👩‍👧', 'e\u0301')
const word = fc.array(sign, { minLength: 1, maxLength: 12 }).map(all => all.join(''))
const words = fc.array(word, { minLength: 1, maxLength: 30 }).map(all => all.join(' '))
const inlinePiece: fc.Arbitrary<Piece> = fc.oneof(
  words.map(text => ({ source: text, shows: text })),
  fc
    .constantFrom('**', '*', '~~', '`', '||')
    .chain(mark => words.map(text => ({ source: mark + text + mark, shows: text }))),
  words.map(text => ({ source: `[${text}](https://example.org/a_b?c=1&d=2)`, shows: text })),
  words.map(text => ({ source: `**${text} *${text}*** [**${text}**](https://e.org)`, shows: text.repeat(3) })),
  fc.constant({ source: 'a \\* b &lt;c&gt; &#38; \\<d\\>', shows: 'a * b <c> & <d>' }),
)
const line = fc
  .array(inlinePiece, { minLength: 1, maxLength: 5 })
  .map(all => ({ source: all.map(one => one.source).join(' '), shows: all.map(one => one.shows).join('') }))
const code = fc.array(fc.stringMatching(/^ {0,4}[a-z<>&*_[\]()#|-]{1,30}$/), { minLength: 1, maxLength: 20 })
const blockPiece: fc.Arbitrary<Piece> = fc.oneof(
  line,
  line.map(({ source, shows }) => ({ source: `## ${source}`, shows })),
  line.map(({ source, shows }) => ({ source: `> ${source}`, shows })),
  code.map(lines => ({ source: ['```ts', ...lines, '```'].join('\n'), shows: lines.join('') })),
  fc.array(line, { minLength: 1, maxLength: 6 }).map(all => ({
    source: all.map(({ source }, i) => `${i % 2 ? '  - ' : '1. '}${source}`).join('\n'),
    shows: all.map(one => one.shows).join(''),
  })),
)
const document = fc.array(blockPiece, { minLength: 1, maxLength: 8 }).map(all => ({
  source: all.map(one => one.source).join('\n\n<!-- -->\n\n'),
  shows: all.map(one => one.shows).join('<!-- -->'),
}))

/** Anything: signs that mean something, unfinished and nested. */
const hostile = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...'*_~`[]()<>#|-+!\\&\n\t >1.:'.split('')) },
      {
        weight: 2,
        arbitrary: fc.constantFrom('```', '\n\n', '||', '**', '> ', '- ', 'https://e.org/', '](', '|-|\n', '    '),
      },
      {
        weight: 3,
        arbitrary: fc.constantFrom('word ', 'é', '👩‍👧', '\ud800', '&amp;', '</pre>', '\0', 'x'.repeat(90)),
      },
    ),
    { maxLength: 120 },
  )
  .map(all => all.join(''))

const long = process.env.DEPUTY_LONG === '1' ? 10 : 1

describe('parts', () => {
  test('show all words once, in order, well-formed and within the limit', () => {
    fc.assert(
      fc.property(document, fc.integer({ min: 160, max: 900 }), ({ source, shows }, max) => {
        expect(wrong(renderParts(source, bare(max)), shows, max)).toBeNull()
      }),
      { numRuns: 300 * long },
    )
  })

  test('of hostile words too', () => {
    fc.assert(
      fc.property(hostile, fc.integer({ min: 100, max: 300 }), (source, max) => {
        const keeps = (url: string) => bare(max).link('x', url, 'x').length <= max / 2
        const visible = readMarkdown(source, keeps).map(leaf => leaf.text)
        const parts = renderParts(source, bare(max))
        expect(wrong(parts, visible.join(''), max)).toBeNull()
        // Where the source has no words but those that are shown, they are told from it alone.
        const letters = (text: string) => text.replace(/<[^>]*>|&\w+;/g, '').replace(/[^a-zé]/g, '')
        if (!/https|```|[&<[]/.test(source)) expect(letters(parts.join(''))).toBe(letters(source))
      }),
      { numRuns: 1500 * long },
    )
  })

  test('are held to it: torn, lost, doubled and too long parts are found', () => {
    const source = `${'**bold words** and [a link](https://e.org) '.repeat(20)}\n\n\`\`\`ts\n${'code()\n'.repeat(60)}\`\`\``
    const shows = `${'bold words and a link '.repeat(20)}${'code()'.repeat(60)}`
    const good = renderParts(source, strict(300))
    expect(wrong(good, shows, 300)).toBeNull()
    const naive = renderParts(source, strict(100_000))[0]!.match(/[\s\S]{1,300}/g)!
    expect(wrong(naive, shows, 300)).toMatch(/not closed|torn/)
    expect(wrong(good.slice(1), shows, 300)).toMatch(/^said/)
    expect(wrong([...good, good[0]!], shows, 300)).toMatch(/^said/)
    expect(wrong([good[1]!, good[0]!, ...good.slice(2)], shows, 300)).toMatch(/^said/)
    expect(wrong(renderParts(source, strict(400)), shows, 300)).toMatch(/^a part of/)
    expect(
      wrong(
        good.map(part => part.replace('code()', '')),
        shows,
        300,
      ),
    ).toMatch(/^said/)
  })

  test('do not tear what fits: a block, a line, a word, a link, a sign of several code points', () => {
    const paragraph = 'One two three four. '.repeat(6).trim()
    expect(renderParts(`${paragraph}\n\n${paragraph}`, plainWriter(150))).toEqual([paragraph, paragraph])
    expect(
      renderParts('aaaa bbbb dddd eeee ffff gggg hhhh iiii jjjj [the label](https://e.org/x) cccc', strict(80)),
    ).toEqual(['aaaa bbbb dddd eeee ffff gggg hhhh iiii jjjj', '<a href="https://e.org/x">the label</a> cccc'])
    const family = '👩‍👧'
    for (const part of renderParts(family.repeat(20), plainWriter(12))) expect(part).toBe(family.repeat(2))
    const lines = renderParts(`\`\`\`py\n${'    indented = 1\n'.repeat(20)}\`\`\``, strict(120))
    for (const part of lines) expect(part).toMatch(/^<pre lang="py">( {4}indented = 1\n?)+<\/pre>$/)
    expect(lines.join('').match(/indented/g)).toHaveLength(20)
  })

  test('go on with a list where the part before ended, numbers included', () => {
    const parts = renderParts(
      Array.from({ length: 12 }, (_, i) => `${i + 3}. item ${'word '.repeat(6)}`).join('\n'),
      plainWriter(100),
    )
    expect(parts.length).toBeGreaterThan(3)
    expect(parts.join('\n').match(/^\d+\. item/gm)).toEqual(Array.from({ length: 12 }, (_, i) => `${i + 3}. item`))
  })

  test('count in the unit of the service', () => {
    const writer = { ...plainWriter(20), measure: (text: string) => Buffer.byteLength(text) }
    for (const part of renderParts('ü'.repeat(55), writer)) expect(Buffer.byteLength(part)).toBeLessThanOrEqual(20)
    expect(renderParts('ü'.repeat(55), writer).join('')).toBe('ü'.repeat(55))
  })

  test('are made of anything in reasonable time', () => {
    for (const source of [
      '>'.repeat(20_000),
      '['.repeat(20_000),
      '- '.repeat(5000),
      '*a_'.repeat(10_000),
      `a${'\n'.repeat(9000)}b`,
    ]) {
      const parts = renderParts(source, strict(4096))
      expect(parts.length).toBeGreaterThan(0)
      for (const part of parts) expect(part.length).toBeLessThanOrEqual(4096)
    }
    expect(renderParts('', strict(100))).toEqual([])
    expect(renderParts(' \n\n ', strict(100))).toEqual([])
  })
})

describe('Markdown', () => {
  const one = (source: string, writer = strict(4000)) => renderParts(source, writer).join('|')

  test('in the form of a service', () => {
    expect(one('# Title **x**\n\nSome *soft* ~~gone~~ `a<b` ||hidden|| words.')).toBe(
      '<b>Title x</b>\n\nSome <i>soft</i> <s>gone</s> <code>a&lt;b</code> <tg>hidden</tg> words.',
    )
    expect(one('- a\n- b\n  1. c\n  2. d\n- [x] e\n- [ ] f\n-')).toBe('• a\n• b\n  1. c\n  2. d\n☑ e\n☐ f\n•  ')
    expect(one('> q\n>> r\n>\n> ```js\n> x\n> ```')).toBe('<q>q\n\nr</q>\n\n<pre lang="js">x</pre>')
    expect(one('| a | bb |\n|---|----|\n| **ccc** | [d](https://e.org) |')).toBe(
      '<pre lang="">a   | bb\n----|------------------\nccc | d (https://e.org)</pre>',
    )
    expect(one('a\nb  \nc\n\n---\n\n<b>x</b> &amp; &copy; &#65;')).toBe(
      'a\nb\nc\n\n———\n\n&lt;b&gt;x&lt;/b&gt; &amp; &amp;copy; A',
    )
    expect(one('a || b || c, a||b||c')).toBe('a || b || c, a||b||c')
  })

  test('keeps links to the schemes that services open, and says the others in words', () => {
    expect(one('[x](https://e.org "t") ![alt](https://e.org/i.png) https://f.org')).toBe(
      '<a href="https://e.org">x</a> <a href="https://e.org/i.png">alt</a> <a href="https://f.org">https://f.org</a>',
    )
    expect(one('[x](javascript:alert(1)) [y](/local)')).toBe('x (javascript:alert(1)) y (/local)')
    expect(one(`[x](https://e.org/${'a'.repeat(300)})`, strict(200))).toContain('x (https://e.org/')
    expect(one('[a]: https://e.org\n\n[a] [b]: c')).toContain('https://e.org')
  })

  test('for services whose marks end with the line and stand between words only', () => {
    expect(one('**two\nlines** and un*believ*able', starred(400))).toBe(
      '*two*\n*lines* and unbelievable'.replace(/\*(\n|$| )/g, '$1'),
    )
    expect(one('a **b **c', starred(400))).toBe('a **b **c')
  })

  test('as plain words', () => {
    expect(one('**a** [b](https://e.org)\n\n> c\n> d\n\n# e', plainWriter(100))).toBe(
      'a b (https://e.org)\n\n> c\n> d\n\ne',
    )
    expect(prefixLines('a\n\nb', '> ')).toBe('> a\n> \n> b')
  })
})
