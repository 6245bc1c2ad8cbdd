import { describe, expect, test } from 'vitest'
import type { RunRow } from '../protocol/results.ts'
import { paint, width } from './format.ts'
import { drawTree, onlyNamed, runTable, standing } from './runs.ts'

const now = 100_000

function row(run: string, parent: string | null, more: Partial<RunRow> = {}): RunRow {
  return {
    run,
    sessionKey: 'agent:main:main',
    session: 's',
    tree: 't',
    parent,
    agent: parent === null ? 'main' : 'extractor',
    task: `count errors in ${run}.log`,
    label: null,
    model: 'rehearsal/rehearsal',
    state: 'done',
    paused: false,
    outcome: 'succeeded',
    errorCode: null,
    error: null,
    waitsFor: null,
    depth: 0,
    detached: false,
    children: [],
    steps: 2,
    lastLine: null,
    spent: { nano: 0, tokens: 240, calls: 2 },
    budget: { nano: null, tokens: null, calls: null },
    createdAt: 40_000,
    startedAt: 50_000,
    endedAt: 52_300,
    deadlineAt: null,
    result: null,
    ...more,
  }
}

const family = [
  row('a', null, { state: 'waiting', outcome: null, endedAt: null, task: 'three logs' }),
  row('a.1', 'a'),
  row('a.2', 'a', { outcome: 'failed' }),
  row('a.2.1', 'a.2', { state: 'running', outcome: null, endedAt: null, label: 'deep' }),
  row('a.3', 'a', {
    state: 'queued',
    outcome: null,
    startedAt: null,
    endedAt: null,
    spent: { nano: 0, tokens: 0, calls: 0 },
  }),
]

describe('the tree', () => {
  test('hangs every run below its parent, in order, with how each stands', () => {
    const drawn = drawTree(family, 80, now, paint(false))
    expect(drawn).toEqual([
      '◔ main             three logs               rehearsal/rehearsal   50 s   240 tok',
      '├─ ✓ extractor     count errors in a.1.log  rehearsal/rehearsal  2.3 s   240 tok',
      '├─ ✗ extractor     count errors in a.2.log  rehearsal/rehearsal  2.3 s   240 tok',
      // Its call is open: what is set aside for it is the most that it will be.
      '│  └─ ● extractor  deep                     rehearsal/rehearsal   50 s  ≤240 tok',
      '└─ ○ extractor     count errors in a.3.log  rehearsal/rehearsal',
    ])
  })

  test('in full: the step, how long it has been queued, and the newest words of what is at work', () => {
    const busy = family.map(run => ({ ...run, model: 'm', lastLine: `words of ${run.run}` }))
    expect(drawTree(busy, 80, now, paint(false), 'full')).toEqual([
      '◔ main             three logs                         m  step 2   50 s   240 tok',
      '│ words of a',
      '├─ ✓ extractor     count errors in a.1.log            m  step 2  2.3 s   240 tok',
      '├─ ✗ extractor     count errors in a.2.log            m  step 2  2.3 s   240 tok',
      '│  └─ ● extractor  deep                               m  step 2   50 s  ≤240 tok',
      '│       words of a.2.1',
      '└─ ○ extractor     count errors in a.3.log            m  step 2  1 min',
      '     words of a.3',
    ])
    for (const each of drawTree(busy, 24, now, paint(false), 'full')) expect(width(each)).toBeLessThanOrEqual(24)
  })

  test('never wider than the line, whatever the task says', () => {
    const wild = family.map(run => ({
      ...run,
      task: `\x1b[2J${'very long task '.repeat(40)}`,
      spent: { nano: 1_234_567_890, tokens: 12_345, calls: 9 },
    }))
    for (const columns of [40, 60, 100]) {
      for (const each of drawTree(wild, columns, now, paint(true))) {
        expect(width(each)).toBeLessThanOrEqual(columns)
        expect(each).not.toContain('\x1b[2J')
      }
    }
  })

  test('a run whose parent is not shown is a root of its own', () => {
    const [first] = drawTree([row('b.7', 'b')], 80, now, paint(false))
    expect(first).toMatch(/^✓ extractor/)
  })
})

test('a paused run shows that before its state; an ended one its outcome', () => {
  expect(standing({ state: 'queued', outcome: null, paused: true })).toBe('paused')
  expect(standing({ state: 'done', outcome: 'timed_out', paused: true })).toBe('timed_out')
})

test('the table leaves out columns that say nothing', () => {
  const [head] = runTable(family, 100, now, paint(false))
  expect(head).toMatch(/^run\s+agent\s+state\s+task\s+tokens\s+time\s+asked$/)
})

test('a run is meant by its id, its short form or the beginning of its id; several are asked back', () => {
  const one = '5431497d-6bc5-48a3-9bbc-8c97ff7fe77f'
  const other = '5431aaaa-6bc5-48a3-9bbc-8c97ff7fe77f'
  const ids = [one, `${one}.2`, `${one}.2.3r`, other, `${other}.2`, 'r1']
  for (const named of [one, '5431497d', '54314', `${one.slice(0, 30)}`]) expect(onlyNamed(ids, named)).toBe(one)
  expect(onlyNamed(ids, '54314.2')).toBe(`${one}.2`)
  expect(onlyNamed(ids, '5431497d.2.3r')).toBe(`${one}.2.3r`)
  expect(onlyNamed(ids, 'r1')).toBe('r1')
  for (const nobody of ['', '543', '5431497d.9', 'ffffffff', '%', '../etc', '5431497d.'])
    expect(onlyNamed(ids, nobody)).toBeNull()
  expect(() => onlyNamed(ids, '5431')).toThrow(`5431 stands for 2 runs: ${one}, ${other}.`)
  expect(() => onlyNamed(ids, '5431.2')).toThrow('stands for 2 runs')
})
