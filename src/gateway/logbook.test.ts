import { mkdtempSync, readFileSync, rmSync, statSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type LogSettings, openLogbook } from './logbook.ts'

let dir = ''
let shown: string[] = []
const settings: LogSettings = {
  level: 'info',
  consoleLevel: 'warn',
  consoleStyle: 'pretty',
  maxFileBytes: 10_000,
  redactPatterns: ['card-\\d+'],
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-log-'))
  shown = []
})
afterEach(() => rmSync(dir, { recursive: true }))

function book(more: Partial<LogSettings> = {}, file = join(dir, 'logs', 'deputy.log')) {
  const hide = <T>(value: T) => JSON.parse(JSON.stringify(value).replaceAll('hunter2hunter2', '***')) as T
  const all = { ...settings, ...more }
  return openLogbook({ file, clock: { now: () => 1e12 }, settings: () => all, hide, console: line => shown.push(line) })
}

test('a line is JSON with time, level, subsystem, message and fields; levels decide where it goes; the file is 0600', () => {
  const log = book()
  log.write('debug', 'gateway', 'not this')
  log.write('info', 'gateway', 'hello', { run: 'r1' })
  log.write('warn', 'models', 'look out')
  const lines = readFileSync(log.file, 'utf8').trim().split('\n')
  expect(lines.map(line => JSON.parse(line))).toEqual([
    { time: '2001-09-09T01:46:40.000Z', level: 'info', subsystem: 'gateway', message: 'hello', run: 'r1' },
    { time: '2001-09-09T01:46:40.000Z', level: 'warn', subsystem: 'models', message: 'look out' },
  ])
  expect(shown).toEqual(['warn look out'])
  expect(statSync(log.file).mode & 0o777).toBe(0o600)
})

test('a note goes to the file alone', () => {
  const log = book({ consoleLevel: 'trace' })
  log.note('gateway', 'started', { pid: 1 })
  expect(JSON.parse(readFileSync(log.file, 'utf8'))).toMatchObject({ level: 'info', message: 'started', pid: 1 })
  book({ level: 'warn' }).note('gateway', 'not this')
  expect(readFileSync(log.file, 'utf8').match(/\n/g)).toHaveLength(1)
  expect(shown).toEqual([])
})

test('secrets and patterns reach neither the file nor the terminal', () => {
  const log = book({ consoleLevel: 'info' })
  log.write('info', 'gateway', 'key hunter2hunter2', { pay: 'card-1234', deep: ['hunter2hunter2'] })
  const all = readFileSync(log.file, 'utf8') + shown.join('\n')
  expect(all).not.toMatch(/hunter2|1234/)
  expect(shown).toEqual(['key *** {"pay":"***","deep":["***"]}'])
})

test('a full file is put aside, and three are kept', () => {
  const log = book()
  for (let i = 0; i < 60; i++) log.write('info', 'gateway', `${i} `.padEnd(1000, '.'))
  for (const name of ['', '.1', '.2', '.3'])
    expect(statSync(log.file + name).size, name).toBeLessThanOrEqual(settings.maxFileBytes)
  expect(statSync(`${log.file}.4`, { throwIfNoEntry: false })).toBeUndefined()
  expect(readFileSync(log.file, 'utf8')).toContain('"59 ')
})

test('tail gives the newest whole lines, then what came since, and says when the file is another one', async () => {
  const log = book()
  const all = { limit: 100, maxBytes: 100_000 }
  expect(await log.tail(all)).toMatchObject({ lines: [], cursor: 0, size: 0 })
  for (const word of ['one', 'two', 'thrée']) log.write('info', 'gateway', word)
  const words = (lines: readonly string[]) => lines.map(line => JSON.parse(line).message)
  const first = await log.tail({ ...all, limit: 2 })
  expect(words(first.lines)).toEqual(['two', 'thrée'])
  expect(first).toMatchObject({ truncated: true, reset: false, cursor: first.size })
  expect(words((await log.tail({ ...all, maxBytes: 120 })).lines)).toEqual(['thrée'])
  expect((await log.tail({ ...all, cursor: first.cursor })).lines).toEqual([])
  log.write('info', 'gateway', 'four')
  expect(words((await log.tail({ ...all, cursor: first.cursor })).lines)).toEqual(['four'])
  expect(await log.tail({ ...all, cursor: 1e9 })).toMatchObject({ reset: true })
  expect(words((await log.tail({ ...all, cursor: 1e9 })).lines)).toHaveLength(4)
})

test('a file that can not be written is said once and stops nothing', () => {
  mkdirSync(join(dir, 'taken'))
  const log = book({}, join(dir, 'taken'))
  log.write('info', 'gateway', 'a')
  log.write('warn', 'gateway', 'b')
  expect(shown).toEqual([expect.stringMatching(/^error the log .* can't be written: /), 'warn b'])
})
