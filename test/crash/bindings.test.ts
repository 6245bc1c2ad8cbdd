/**
 * kill -9 of a real gateway while a chat is bound to a sub-agent, talked to, and set free again: the service outside brings what
 * was not acknowledged once more. Whatever moment it dies at, each is carried out, who is spoken to is who was meant, and the
 * rows tell one story.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startService } from '../support/fake-service.ts'
import { start } from './gateway.ts'

const long = process.env['DEPUTY_LONG'] === '1'
const all = ['rpc', 'bind', 'accept', 'finish'].flatMap(name =>
  ['before', 'after', 'resolve'].flatMap(point => [1, 2, 3].map(n => `${name}:${point}:${n}`)),
)
const few = ['bind:after:1', 'accept:after:3']

/** A message each, and what stands in the chat once it is carried out. */
const story: [string, RegExp][] = [
  ['/subagents spawn main say dug', /^Started #1: main/],
  ['/focus 1', /^This chat is bound to /],
  ['say from below', /^from below$/],
  ['/unfocus', /^This chat is (no longer bound to|bound to nothing)/],
  ['say from above', /from above/],
]

for (const crash of long ? all : few)
  test(`it dies at ${crash}`, async () => {
    const service = await startService()
    const home = mkdtempSync(join(tmpdir(), 'deputy-bind-crash-'))
    const telegram = {
      botToken: service.token,
      apiRoot: service.url,
      dmPolicy: 'allowlist',
      allowFrom: [7],
      streaming: 'off',
    }
    const agents = { defaults: { model: 'rehearsal/rehearsal' } }
    writeFileSync(join(home, 'deputy.json'), JSON.stringify({ gateway: { port: 0 }, agents, channels: { telegram } }), {
      mode: 0o600,
    })
    let child: ChildProcess | null = start(home, crash)
    let died = 0
    try {
      for (const [text, answer] of story) {
        const from = service.shown.length
        const id = service.direct('7', text)
        const done = () => service.acknowledged(id) && service.shown.slice(from).some(each => answer.test(each.text))
        for (const end = Date.now() + 20_000; !done(); await sleep(10)) {
          if (child.exitCode !== null || child.signalCode !== null) {
            died += 1
            child = start(home, '')
          }
          if (Date.now() > end)
            throw new Error(`${crash}: no answer to ${text}; shown ${JSON.stringify(service.shown)}`)
        }
      }
      const gone = new Promise<void>(resolve => child!.once('exit', () => resolve()))
      child.kill('SIGTERM')
      await gone
      child = null
      // Not every point is passed so often.
      if (!long) expect(died).toBe(1)
      const db = new DatabaseSync(join(home, 'deputy.sqlite'), { readOnly: true })
      const rows = db.prepare('select session_key, ended_why, active_at, created_at from thread_bindings').all()
      const read = (text: string) =>
        db
          .prepare(
            'select s.depth, m.at from messages m join sessions s on s.id = m.session where m.role = ? and m.parts like ?',
          )
          .all('user', `%${text}%`)
      expect(rows).toHaveLength(1)
      expect(rows[0]).toMatchObject({ ended_why: 'unbound' })
      expect(String(rows[0]!['session_key'])).toMatch(/^agent:main:subagent:/)
      // Each was read once, by who was meant.
      expect(read('say from below').map(row => row['depth'])).toEqual([1])
      expect(read('say from above').map(row => row['depth'])).toEqual([0])
      expect(service.shown.filter(each => /^from below$/.test(each.text))).toHaveLength(1)
      db.close()
    } finally {
      child?.kill('SIGKILL')
      await service.close()
      rmSync(home, { recursive: true, force: true, maxRetries: 5 })
    }
  }, 60_000)
