/**
 * A question outlives every death of the gateway: at the reply that asks it, while it waits, at its answer, at its silence.
 * It is asked once, answered once, and what it allows is done once.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Client } from '../../src/client/connect.ts'
import { type GatewayProcess, openGateways } from '../support/gateway.ts'

const gateways = openGateways()

function makeHome(timeoutSeconds: number): string {
  return gateways.home({
    gateway: { port: 0 },
    agents: { defaults: { model: 'rehearsal/rehearsal' } },
    tools: { exec: { mode: 'ask', sandbox: 'off' } },
    approvals: { timeoutSeconds },
  })
}

const ask = { sessionKey: 'main', message: 'run echo done >> marks.txt; say finished', idempotencyKey: 'k' }
const marks = (home: string) => {
  const file = join(home, 'workspace/marks.txt')
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

/** What waits, once something does; null when the process ended first. */
async function question(client: Client): Promise<string | null> {
  for (let i = 0; i < 400; i++) {
    const list = await client.request('exec.approval.list', {}).catch(() => null)
    if (list === null) return null
    if (list[0]) return list[0].id
    await sleep(10)
  }
  return null
}

/** The same message again, as a client does that got no answer; then the question, its answer, the end. */
async function goOn(home: string, gateway: GatewayProcess, known: string | null): Promise<string> {
  const client = await gateway.client()
  await client.request('chat.send', ask)
  const id = known ?? (await question(client))!
  const resolved = await client.request('approval.resolve', { id, decision: 'allow-once' })
  expect(resolved.approval).toMatchObject({ status: 'allowed', decision: 'allow-once' })
  const end = await client.request('agent.wait', { runId: 'k', until: 'done', timeoutMs: 20_000 })
  expect(end).toMatchObject({ status: 'ok', text: expect.stringContaining('finished') })
  expect(marks(home)).toBe('done\n')
  expect(await client.request('exec.approval.list', {})).toEqual([])
  const { items } = await client.request('approval.history', {})
  expect(items.map(item => item.id)).toEqual([id])
  await gateway.stop()
  return id
}

const look = { sessionKey: 'main', message: 'run echo done >> marks.txt; say finished', idempotencyKey: 'k' }

function makeBudgeted(): string {
  return gateways.home({
    gateway: { port: 0 },
    agents: { defaults: { model: 'rehearsal/rehearsal', budget: { calls: 1 } } },
    tools: { exec: { sandbox: 'off' } },
    approvals: { timeoutSeconds: 600, budget: true },
  })
}

async function budgetQuestion(client: Client): Promise<string> {
  for (let i = 0; i < 400; i++) {
    const [one] = await client.request('plugin.approval.list', {})
    if (one) return one.id
    await sleep(10)
  }
  throw new Error('nothing was asked')
}

/** Asked once, raised once, the rest done once. */
async function finishBudgeted(home: string, gateway: GatewayProcess): Promise<void> {
  const client = await gateway.client()
  await client.request('chat.send', look)
  const waits = await client.request('agent.wait', { runId: 'k', until: 'done', timeoutMs: 500 })
  if (waits.status !== 'ok')
    await client.request('approval.resolve', { id: await budgetQuestion(client), decision: 'allow-once' })
  const end = await client.request('agent.wait', { runId: 'k', until: 'done', timeoutMs: 20_000 })
  expect(end).toMatchObject({ status: 'ok', text: expect.stringContaining('finished') })
  expect(marks(home)).toBe('done\n')
  const { items } = await client.request('approval.history', {})
  expect(items).toMatchObject([{ status: 'allowed' }])
  const row = (await client.request('runs.list', { limit: 9 })).runs.find(one => one.parent === null)
  expect(row).toMatchObject({ budget: { calls: 2 }, spent: { calls: 2 } })
  await gateway.stop()
}

describe('the gateway dies about a used-up budget', () => {
  test.each(['wait:before:1', 'wait:after:1', 'wait:resolve:1'])(
    'at %s, where it asks',
    async point => {
      const home = makeBudgeted()
      const first = await gateways.start(home, { env: { DEPUTY_CRASH: point } })
      await (await first.client()).request('chat.send', look).catch(() => undefined)
      expect((await first.ended).code).toBeNull()
      await finishBudgeted(home, await gateways.start(home))
    },
    60_000,
  )

  test.each(['approve:before:1', 'approve:after:1', 'approve:resolve:1'])(
    'at %s, where it is allowed',
    async point => {
      const home = makeBudgeted()
      const first = await gateways.start(home, { env: { DEPUTY_CRASH: point } })
      const client = await first.client()
      await client.request('chat.send', look)
      const id = await budgetQuestion(client)
      await expect(client.request('approval.resolve', { id, decision: 'allow-once' })).rejects.toThrow()
      expect((await first.ended).code).toBeNull()
      await finishBudgeted(home, await gateways.start(home))
    },
    60_000,
  )
})

describe('the gateway dies', () => {
  test.each(['reply:before:1', 'reply:after:1', 'reply:resolve:1', 'wait:before:1', 'wait:after:1', 'wait:resolve:1'])(
    'at %s, where it asks',
    async point => {
      const home = makeHome(600)
      const first = await gateways.start(home, { env: { DEPUTY_CRASH: point } })
      const client = await first.client()
      await client.request('chat.send', ask).catch(() => undefined)
      expect((await first.ended).code).toBeNull()
      await goOn(home, await gateways.start(home), null)
    },
    60_000,
  )

  test.each(['approve:before:1', 'approve:after:1', 'approve:resolve:1'])(
    'at %s, where it is answered',
    async point => {
      const home = makeHome(600)
      const first = await gateways.start(home, { env: { DEPUTY_CRASH: point } })
      const client = await first.client()
      await client.request('chat.send', ask)
      const id = await question(client)
      await expect(client.request('approval.resolve', { id: id!, decision: 'allow-once' })).rejects.toThrow()
      expect((await first.ended).code).toBeNull()
      const again = await gateways.start(home)
      const waits = await (await again.client()).request('approval.get', { id: id! })
      expect(waits.approval.status).toBe(point.startsWith('approve:before') ? 'pending' : 'allowed')
      await goOn(home, again, id)
    },
    60_000,
  )

  test.each(['answer:before:1', 'answer:after:1', 'answer:resolve:1'])(
    'at %s, where nobody has answered',
    async point => {
      const home = makeHome(1)
      const first = await gateways.start(home, { env: { DEPUTY_CRASH: point } })
      await (await first.client()).request('chat.send', ask)
      expect((await first.ended).code).toBeNull()
      const again = await gateways.start(home)
      const client = await again.client()
      const end = await client.request('agent.wait', { runId: 'k', until: 'done', timeoutMs: 20_000 })
      expect(end.status).toBe('ok')
      expect(marks(home)).toBe('')
      const { items } = await client.request('approval.history', {})
      expect(items).toMatchObject([{ status: 'expired', reason: 'timeout' }])
      const { messages } = await client.request('chat.history', { sessionKey: 'main' })
      const results = messages.filter(({ role }) => role === 'toolResult').map(message => JSON.stringify(message))
      expect(results).toEqual([expect.stringContaining('nobody answered in time')])
      await again.stop()
    },
    60_000,
  )
})
