/**
 * kill -9 of a real gateway between a message's arrival and its acknowledgement, and on the way of its answer: the service
 * outside counts what it was told and what people saw. Nothing is lost, nothing is seen twice, the order of a chat is kept.
 * DEPUTY_SEED=<n> repeats a run that failed; DEPUTY_LONG=1 dies some hundred times.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type ChatService, startService } from '../support/fake-service.ts'
import { random } from './kills.ts'
import { start } from './gateway.ts'

const long = process.env['DEPUTY_LONG'] === '1'
const seed = Number(process.env['DEPUTY_SEED'] ?? Date.now() % 1_000_000)
const points = ['accept', 'drop', 'pair', 'claim', 'reply', 'finish', 'sending', 'sent'].flatMap(name =>
  ['before', 'after', 'resolve'].map(point => `${name}:${point}`),
)

const over = (child: ChildProcess) => new Promise<void>(done => child.once('exit', () => done()))

async function quiet(service: ChatService, so: () => boolean, what: () => string): Promise<void> {
  for (const end = Date.now() + 40_000; !so(); await sleep(20))
    if (Date.now() > end) throw new Error(`seed ${seed}: not done: ${what()}; shown ${JSON.stringify(service.shown)}`)
}

test(
  'whatever moment it dies at, each message is answered once, in order, and each stranger hears their code once',
  async () => {
    const next = random(seed)
    const service = await startService()
    const home = mkdtempSync(join(tmpdir(), 'deputy-chat-crash-'))
    const telegram = { botToken: service.token, apiRoot: service.url, allowFrom: [7], streaming: 'off' }
    writeFileSync(
      join(home, 'deputy.json'),
      JSON.stringify({
        gateway: { port: 0 },
        agents: { defaults: { model: 'rehearsal/rehearsal' } },
        channels: { telegram },
      }),
      { mode: 0o600 },
    )
    const answers: string[] = []
    const strangers: string[] = []
    const written: string[] = []
    let died = 0
    let child: ChildProcess | null = null
    try {
      const lives = long ? 300 : 16
      for (let life = 0; life < lives; life += 1) {
        const named = points[life % points.length]!
        const crash = next() < 0.8 ? `${named}:1` : ''
        child = start(home, crash)
        const gone = over(child)
        const text = `answer ${life}`
        answers.push(text)
        written.push(service.direct('7', `say ${text}`))
        // Strangers come one at a time: only three may wait.
        if (strangers.length < 3 && next() < 0.5) {
          const from = `stranger${strangers.length}`
          strangers.push(from)
          written.push(service.direct(from, 'hello?'))
        }
        if (crash === '') await sleep(Math.floor(next() * 600))
        else await Promise.race([gone, sleep(2500)])
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
        await gone
        died += 1
      }
      child = start(home, '')
      await quiet(
        service,
        () =>
          written.every(id => service.acknowledged(id)) &&
          answers.every(text => service.seen('7').some(each => each.text.includes(text))),
        () => `${written.filter(id => !service.acknowledged(id)).length} not acknowledged`,
      )
      await quiet(
        service,
        () => strangers.every(from => service.seen(from).length > 0),
        () => 'a stranger without a code',
      )
      const gone = over(child)
      child.kill('SIGTERM')
      await gone
      child = null
      const said = service.seen('7').flatMap(({ text }) => text.match(/answer \d+/g) ?? [])
      expect([seed, said.filter((text, at) => said.indexOf(text) !== at)]).toEqual([seed, []])
      expect([seed, said]).toEqual([seed, answers])
      for (const from of strangers) expect([seed, from, service.seen(from).length]).toEqual([seed, from, 1])
      expect(died).toBe(long ? 300 : 16)
      console.log(`seed ${seed}: ${died} deaths, ${written.length} messages, ${strangers.length} strangers`)
    } finally {
      child?.kill('SIGKILL')
      await service.close()
      rmSync(home, { recursive: true, force: true, maxRetries: 5 })
    }
  },
  long ? 1_800_000 : 240_000,
)
