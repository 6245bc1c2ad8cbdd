import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { homeOf } from '../config/home.ts'
import { openContext } from './context.ts'
import { width } from './format.ts'
import { readyText } from './serve.ts'

const gateway = {
  ready: {
    url: 'http://127.0.0.1:18789',
    socket: '/h/deputy.sock',
    model: 'rehearsal/rehearsal',
    warnings: ['Beware.'],
  },
  stop: async () => undefined,
}

function shown(columns: number, flags = ''): string[] {
  const out = { write: () => true, columns }
  const host = {
    argv: [],
    env: {},
    version: '1.0.0',
    stdin: new PassThrough() as never,
    stdout: out,
    stderr: out,
    root: '/',
    startGateway: () => Promise.resolve(gateway),
  }
  const context = openContext(host, { home: homeOf({ home: '/h', env: {} }), flags, json: false })
  return readyText(context, gateway).join('\n').split('\n')
}

const commands = ['deputy chat', 'deputy agent --message "…"', 'deputy --help']

test.each([40, 60, 80, 100])('what a start says fits %i columns, and every command stands whole on a line', columns => {
  const lines = shown(columns)
  expect(lines.filter(line => width(line) > columns && !line.includes('http'))).toEqual([])
  for (const command of commands) expect(lines.filter(line => line.includes(command))).toHaveLength(1)
})

test('a wide terminal has what is next on one line; with flags it is the commands that must stay whole', () => {
  expect(shown(80).at(-1)).toBe('  next   deputy chat · deputy agent --message "…" · deputy --help')
  expect(shown(60, ' --home /tmp/a-home').slice(-3)).toEqual([
    '  next   deputy chat --home /tmp/a-home',
    '         deputy agent --message "…" --home /tmp/a-home',
    '         deputy --help',
  ])
})
