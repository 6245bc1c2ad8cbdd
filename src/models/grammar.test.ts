import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Command, forms, parse } from './grammar.ts'

const commands = (text: string): readonly Command[] => {
  const parsed = parse(text)
  if (!parsed.ok) throw new Error(`not understood: ${parsed.line}`)
  return parsed.commands
}

test('one command a line', () => {
  expect(
    commands(`
# a comment
read notes/monday.md
list logs
search "ERROR in" in logs/api.log
count ERROR in logs/api.log
write out.txt: hello: there
run ls -la; echo done
call subagents {"action":"log", "targets":["a;b"]}
call agents_list
say All good
wait
sleep 250
fail no reason at all
`),
  ).toEqual([
    { do: 'read', path: 'notes/monday.md' },
    { do: 'list', path: 'logs' },
    { do: 'search', pattern: 'ERROR in', path: 'logs/api.log' },
    { do: 'count', pattern: 'ERROR', path: 'logs/api.log' },
    { do: 'write', path: 'out.txt', text: 'hello: there\n' },
    { do: 'run', command: 'ls -la; echo done' },
    { do: 'call', tool: 'subagents', args: { action: 'log', targets: ['a;b'] } },
    { do: 'call', tool: 'agents_list', args: {} },
    { do: 'say', text: 'All good' },
    { do: 'wait' },
    { do: 'sleep', ms: 250 },
    { do: 'fail', reason: 'no reason at all' },
  ])
})

test('tasks nest by indentation, to any depth', () => {
  const [outer] = commands(`
delegate to planner as plan:
  # inside
  delegate to extractor: count WARN in logs/worker.log

  delegate to extractor:
    read notes/monday.md
    say read it
  say planned
`)
  expect(outer).toMatchObject({ do: 'delegate', agent: 'planner', label: 'plan' })
  const inner = commands((outer as Extract<Command, { do: 'delegate' }>).task)
  expect(inner).toMatchObject([
    {
      do: 'delegate',
      agent: 'extractor',
      label: 'count WARN in logs/worker.log',
      task: 'count WARN in logs/worker.log',
    },
    { do: 'delegate', agent: 'extractor', task: 'read notes/monday.md\nsay read it' },
    { do: 'say', text: 'planned' },
  ])
})

test('one line may hold several commands, and quotes hold a task of several', () => {
  expect(commands('delegate to a: "read x; say y"; delegate to b: count z in w; say done')).toMatchObject([
    { do: 'delegate', agent: 'a', task: 'read x; say y' },
    { do: 'delegate', agent: 'b', task: 'count z in w' },
    { do: 'say', text: 'done' },
  ])
})

test('a delegation may name its model, after agent and label', () => {
  const [plain, named, quoted] = commands(
    'delegate to a: say with b: c\ndelegate to a as l with rehearsal/rehearsal: say x\ndelegate with "ollama/q:8b": say x',
  )
  expect(plain).toMatchObject({ agent: 'a', model: null, task: 'say with b: c' })
  expect(named).toMatchObject({ agent: 'a', label: 'l', model: 'rehearsal/rehearsal', task: 'say x' })
  expect(quoted).toMatchObject({ agent: null, model: 'ollama/q:8b', task: 'say x' })
})

test('labels of one program are told apart', () => {
  const labels = commands('delegate to a: say x\ndelegate to b: say x\ndelegate: say x').map(
    one => (one as { label: string }).label,
  )
  expect(new Set(labels).size).toBe(3)
})

test.each([
  '',
  'What is the weather like?',
  'read',
  'count ERROR',
  'delegate to extractor',
  'delegate to extractor:',
  'read a.txt\n  indented',
  'say hello\nplease',
  'sleep soon',
  'wait for me',
])('%j is not a program', text => {
  expect(parse(text).ok).toBe(false)
})

test('the line that was not understood is named', () => {
  expect(parse('say hello\nmake me a sandwich\nwait')).toEqual({ ok: false, line: 'make me a sandwich' })
})

test('every form that is advertised can be read', () => {
  for (const form of forms) {
    const filled = form
      .replace('<milliseconds>', '5')
      .replace('<arguments>', '"a": 1')
      .replace(/<\w+>/g, word => (word === '<task>' ? 'say x' : 'x'))
    expect(parse(filled).ok, filled).toBe(true)
  }
})

test('a sleep has an end', () => {
  expect(commands('sleep 999999999999')).toEqual([{ do: 'sleep', ms: 600_000 }])
})

test('a task comes out of its delegation as it went in, however deep', () => {
  const word = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/)
  const leaf = fc.oneof(
    word.map(text => `say ${text}`),
    word.map(path => `read ${path}.txt`),
    fc.tuple(word, word).map(([pattern, path]) => `count ${pattern} in ${path}`),
  )
  const { program } = fc.letrec<{ program: string; line: string }>(tie => ({
    line: fc.oneof(
      { maxDepth: 3 },
      leaf,
      fc.tuple(word, tie('program')).map(([agent, task]) => `delegate to ${agent}:\n${task.replace(/^/gm, '  ')}`),
    ),
    program: fc.array(tie('line'), { minLength: 1, maxLength: 4 }).map(lines => lines.join('\n')),
  }))
  fc.assert(
    fc.property(program, fc.array(program, { minLength: 1, maxLength: 3 }), (before, tasks) => {
      const text = [before, ...tasks.map(task => `delegate to x:\n${task.replace(/^/gm, '\t')}`)].join('\n')
      const read = commands(text)
      const last = read.slice(-tasks.length).map(one => (one as { task: string }).task)
      expect(last).toEqual(tasks)
      expect(read.length).toBe(commands(before).length + tasks.length)
    }),
  )
})

test('no text makes it throw', () => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), text => void parse(text)))
})
