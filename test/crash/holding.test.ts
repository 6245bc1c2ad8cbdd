/**
 * kill -9 while runs are held for a provider that asks to be left alone: nobody asks it again before its time, each run goes on
 * once, is charged for its one call and nothing for the waiting, and the runs of another provider never notice.
 */
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Client } from '../../src/client/connect.ts'
import { openGateways } from '../support/gateway.ts'
import { type Provider, startProvider } from '../support/provider.ts'

const gateways = openGateways()
let shy: Provider
let calm: Provider
beforeAll(async () => {
  shy = await startProvider()
  calm = await startProvider({ script: ({ user }) => ({ text: `calm about ${user}` }) })
})
afterAll(async () => {
  await shy.close()
  await calm.close()
})

const secret = 'sk-shy-0123456789abcdef'

function makeHome(more: Record<string, unknown> = {}): string {
  const provider = ({ baseUrl }: Provider) => ({
    baseUrl,
    apiKey: secret,
    models: [{ id: 'm', cost: { input: 1, output: 1 } }],
  })
  return gateways.home({
    gateway: { port: 0 },
    models: { providers: { shy: { ...provider(shy), ...more }, calm: provider(calm) } },
    agents: { defaults: { model: 'shy/m' }, entries: { main: {}, other: { model: 'calm/m' } } },
  })
}

const say = (client: Client, name: string, agent = 'main') =>
  client.request('chat.send', { message: name, sessionKey: `agent:${agent}:${name}`, idempotencyKey: name })
const end = (client: Client, name: string) =>
  client.request('agent.wait', { runId: name, until: 'done', timeoutMs: 20_000 })

async function held(client: Client, count: number) {
  for (;;) {
    const { runs } = await client.request('runs.list', { state: ['waiting'] })
    if (runs.length >= count) return runs
    await sleep(10)
  }
}

function rows(home: string, statement: string): Record<string, unknown>[] {
  const db = new DatabaseSync(join(home, 'deputy.sqlite'), { readOnly: true })
  try {
    return db.prepare(statement).all()
  } finally {
    db.close()
  }
}

const ledger = 'select run, attempt, charged_calls, charged_nano, state from usage order by at'

describe('the gateway dies', () => {
  test.each(['wait:before:2', 'wait:after:2', 'kill -9'])(
    'at %s, where a run is held',
    async point => {
      // Away for three seconds from the first request on, and says so each time.
      let until = 0
      const early: string[] = []
      shy.script(({ user }) => {
        const now = Date.now()
        until ||= now + 3000
        if (now >= until) return { text: `shy about ${user}` }
        early.push(user)
        return { status: 429, error: { message: 'Slow down' }, headers: { 'retry-after-ms': `${until - now}` } }
      })
      const home = makeHome()
      const crash = point === 'kill -9' ? {} : { env: { DEPUTY_CRASH: point } }
      const first = await gateways.start(home, crash)
      const client = await first.client()
      await say(client, 'one')
      await held(client, 1)
      const second = say(client, 'two').catch(() => undefined)
      if (point === 'kill -9') {
        await held(client, 2)
        await first.kill()
      } else expect((await first.ended).code).toBeNull()
      await second

      const again = await gateways.start(home)
      const next = await again.client()
      // As a client does that got no answer.
      await say(next, 'two')
      await say(next, 'three')
      const waiting = await held(next, 3)
      expect(waiting.map(({ waitsFor }) => waitsFor)).toEqual(Array(3).fill('shy/m, key config:shy'))
      await say(next, 'four', 'other')
      expect(await end(next, 'four')).toMatchObject({ status: 'ok', text: 'calm about four' })
      expect(early).toEqual(['one'])
      for (const name of ['one', 'two', 'three'])
        expect(await end(next, name)).toMatchObject({ status: 'ok', text: `shy about ${name}` })
      await again.stop()

      const asked = shy.requests.slice(shy.requests.length - 4).map(({ user }) => user)
      expect(asked.toSorted()).toEqual(['one', 'one', 'three', 'two'])
      const paid = rows(home, ledger)
      // The refused call of the first, its own answer, and one call of each other.
      expect(paid.map(({ state }) => state)).toEqual(Array(5).fill('settled'))
      expect(new Set(paid.map(({ run }) => run)).size).toBe(4)
      expect(paid.filter(({ charged_nano }) => charged_nano === 0)).toHaveLength(1)
      expect(JSON.stringify(rows(home, 'select * from runs'))).not.toContain(secret)
    },
    60_000,
  )

  test('while runs stand in line for one place: each has its turn once', async () => {
    const { promise: open, resolve: letGo } = Promise.withResolvers<void>()
    shy.script(async ({ user }) => {
      await open
      return { text: `shy about ${user}` }
    })
    const from = shy.requests.length
    const home = makeHome({ maxConcurrent: 1 })
    const first = await gateways.start(home)
    const client = await first.client()
    await say(client, 'one')
    await shy.request(from)
    await say(client, 'two')
    await say(client, 'three')
    const waiting = await held(client, 2)
    expect(waiting.map(({ waitsFor }) => waitsFor)).toEqual(Array(2).fill('shy/m, in line for its turn'))
    await first.kill()

    const again = await gateways.start(home)
    const next = await again.client()
    await shy.request(from + 1)
    letGo()
    for (const name of ['one', 'two', 'three'])
      expect(await end(next, name)).toMatchObject({ status: 'ok', text: `shy about ${name}` })
    await again.stop()
    expect(shy.requests).toHaveLength(from + 4)
    // The one that was out when it died is charged in full, and once more for its answer.
    const states = rows(home, ledger).map(({ state }) => state)
    expect(states.toSorted()).toEqual(['settled', 'settled', 'settled', 'unknown'])
  }, 60_000)
})
