/** The grammar: what is a command, what is not, and that nothing anybody writes breaks or slows the reading of it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { firstWord, isStopWord, parse, trailingFlags, written } from './parse.ts'
import { type Ask, parseAsk } from './subagents.ts'
import { commandNamed, commandTable } from './table.ts'

const long = process.env['DEPUTY_LONG'] ? 20_000 : 500

test.each([
  ['/status', { name: 'status', args: '' }],
  ['  /STATUS  ', { name: 'status', args: '' }],
  ['\u00a0\ufeff/status', { name: 'status', args: '' }],
  ['/think: high', { name: 'think', args: 'high' }],
  ['/new hello\n\nthere ', { name: 'new', args: 'hello\n\nthere' }],
  ['/subagents\tlist', { name: 'subagents', args: 'list' }],
  ['/subagents\u2003list', { name: 'subagents', args: 'list' }],
])('%j is a command', (text, command) => {
  expect(parse(text)).toEqual(command)
})

test.each([
  '/etc/hosts has what in it?',
  '/',
  '//status',
  '/ status',
  '> /stop',
  '"/stop"',
  'please /stop',
  '\u200b/stop',
  '/stop\u200b',
  '/1',
  `/${'a'.repeat(33)}`,
  '／stop',
  '',
])('%j is no command', text => {
  expect(parse(text)).toBeNull()
})

test.each(['stop', ' STOP ', 'Abort!', 'esc', 'wait…', 'exit.', 'interrupt'])('%j is a stop word', text => {
  expect(isStopWord(text)).toBe(true)
})

test.each(['stop it', 'stopp', 'st op', '!', '', 'wait?', 'don’t stop'])('%j is no stop word', text => {
  expect(isStopWord(text)).toBe(false)
})

const awkward = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom(
        '/',
        '#',
        ':',
        ' ',
        '\n',
        '\t',
        '\u00a0',
        '\u2028',
        '\u202e',
        '\0',
        '--model',
        'all',
        'last',
        '1',
      ),
    )
    .map(parts => parts.join('')),
)

test('reading never throws, and what was read reads the same when it is written again', () => {
  const name = fc.constantFrom(...commandTable.flatMap(each => [each.name, ...each.aliases]), 'nothing', '')
  fc.assert(
    fc.property(awkward, name, awkward, (before, command, after) => {
      for (const text of [before, `${before}/${command}${after}`, `/${command} ${after}`]) {
        const read = parse(text)
        if (read) expect(parse(written(read))).toEqual(read)
        isStopWord(text)
        parseAsk(text)
        firstWord(text)
        trailingFlags(text, ['model', 'thinking'])
      }
    }),
    { numRuns: long },
  )
})

test('every form of /subagents is read as it was meant', () => {
  const word = fc.stringMatching(/^[A-Za-z0-9#:._-]{1,20}$/)
  // The end of a task is where flags stand.
  const words = fc
    .string({ minLength: 1 })
    .map(text => text.trim())
    .filter(text => text !== '' && !text.includes('--'))
  const asks: fc.Arbitrary<Ask> = fc.oneof(
    fc.constant<Ask>({ do: 'list' }),
    fc.record({ do: fc.constant('info' as const), target: word }),
    fc.record({ do: fc.constantFrom('kill' as const, 'pause' as const, 'resume' as const), target: word }),
    fc.record({
      do: fc.constant('log' as const),
      target: word,
      limit: fc.option(fc.integer({ min: 1, max: 999 })),
      tools: fc.boolean(),
    }),
    fc.record({ do: fc.constantFrom('send' as const, 'steer' as const), target: word, message: words }),
    fc.record({
      do: fc.constant('spawn' as const),
      agent: word,
      task: words,
      model: fc.option(word),
      thinking: fc.option(word),
    }),
  )
  fc.assert(
    fc.property(asks, ask => {
      expect(parseAsk(typed(ask))).toEqual({ ok: true, ask })
    }),
    { numRuns: long },
  )
})

/** As a person would type it. */
function typed(ask: Ask): string {
  switch (ask.do) {
    case 'list':
      return 'list'
    case 'info':
    case 'kill':
    case 'pause':
    case 'resume':
      return `${ask.do} ${ask.target}`
    case 'log':
      return `log ${ask.target}${ask.limit === null ? '' : ` ${ask.limit}`}${ask.tools ? ' tools' : ''}`
    case 'send':
    case 'steer':
      return `${ask.do} ${ask.target} ${ask.message}`
    case 'spawn':
      return `spawn ${ask.agent} ${ask.task}${ask.model === null ? '' : ` --model ${ask.model}`}${ask.thinking === null ? '' : ` --thinking ${ask.thinking}`}`
  }
}

test.each([
  ['', { do: 'list' }],
  ['spawn a do it', { do: 'spawn', agent: 'a', task: 'do it', model: null, thinking: null }],
  [
    'spawn a say what --model means --model m/x',
    { do: 'spawn', agent: 'a', task: 'say what --model means', model: 'm/x', thinking: null },
  ],
  [
    `spawn a x --model${'y'.repeat(301)}`,
    { do: 'spawn', agent: 'a', task: `x --model${'y'.repeat(301)}`, model: null, thinking: null },
  ],
  ['LOG #2 5 tools', { do: 'log', target: '#2', limit: 5, tools: true }],
])('/subagents %s', (args, ask) => {
  expect(parseAsk(args)).toEqual({ ok: true, ask })
})

test.each(['fly', 'info', 'info 1 2', 'log', 'log 1 0', 'log 1 5 6', 'log 1 all', 'send 1', 'spawn a', 'kill'])(
  '/subagents %s is told how to be written',
  args => {
    expect(parseAsk(args)).toMatchObject({ ok: false })
  },
)

test('a megabyte is read at once', () => {
  const started = performance.now()
  const million = 1_000_000
  const texts = [
    `/${'a'.repeat(million)}`,
    `/new ${'a'.repeat(million)} b`,
    `/new${' '.repeat(million)}x`,
    ' '.repeat(million),
    `/subagents spawn a ${'x '.repeat(million / 2)}`,
    `/subagents spawn a ${'--model x '.repeat(million / 10)}`,
    `/subagents send 1 ${'\n'.repeat(million)}`,
    '/'.repeat(million),
  ]
  for (const text of texts) {
    const read = parse(text)
    isStopWord(text)
    if (read) parseAsk(read.args)
  }
  // Reading in quadratic time would take many minutes; this bound is no measure of speed.
  expect(performance.now() - started).toBeLessThan(20_000)
})

test('names and aliases are each one command, and each command is found by them', () => {
  const names = commandTable.flatMap(each => [each.name, ...each.aliases])
  expect(new Set(names).size).toBe(names.length)
  for (const name of names) expect(parse(`/${name}`)?.name).toBe(name)
  expect(commandNamed('tell')?.name).toBe('steer')
  expect(commandNamed('constructor')).toBeUndefined()
})

test('the page for users has every command, alias and form', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/chat-commands.md'), 'utf8').replaceAll('\\|', '|')
  const all = commandTable.flatMap(each => [each.name, ...each.aliases].map(name => `\`/${name}`))
  const forms = commandNamed('subagents')?.usage.map(form => `\`/subagents ${form}\``) ?? []
  expect([...all, ...forms].filter(words => !page.includes(words))).toEqual([])
})
