/** Whoever writes to a sub-agent gives it no right that its spawn had not: after its end, after a fresh start, below it. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { lastText, openTestHouse, type TestHouse } from '../../test/support/house.ts'
import type { Principal } from '../core/principal.ts'
import type { Run } from '../core/types.ts'

let it: TestHouse | null = null
afterEach(async () => {
  await it?.close()
  it = null
})

const visitor: Principal = {
  kind: 'sender',
  channel: 'telegram',
  account: 'default',
  sender: '5',
  scopes: ['operator.read'],
}

/** A sub-agent that has ended, kept to two tools, to one call and to a folder, with a model of its own. */
async function ended(): Promise<{ house: TestHouse; child: Run; key: string }> {
  const task = {
    agentId: 'extractor',
    task: 'dig',
    label: 'digger',
    cwd: 'pit',
    model: 'test/small',
    budget: { calls: 3 },
    outputSchema: { type: 'object' },
  }
  it = await openTestHouse({
    agents: { main: { tools: ['read', 'sessions_spawn', 'exec'] }, extractor: { maxSpawnDepth: 3 } },
    script: request => {
      if (request.agent === 'extractor') return { text: '{}' }
      return lastText(request) === 'go' ? { calls: [{ name: 'sessions_spawn', args: task }] } : { text: 'told' }
    },
  })
  mkdirSync(join(it.dir, 'workspace/pit'))
  const { run } = await it.say('go')
  await it.done(run)
  const child = (await it.house.tree(run)).find(view => view.run.depth === 1)!
  expect(child.run).toMatchObject({ outcome: 'succeeded', terms: { cwd: 'pit' }, model: 'test/small' })
  return { house: it, child: child.run, key: child.sessionKey }
}

function withinOf(run: Run, child: Run): void {
  expect(run.id).not.toBe(child.id)
  expect(run.grant.tools.length).toBeGreaterThan(0)
  expect(run.grant.tools.filter(tool => !child.grant.tools.includes(tool))).toEqual([])
  expect(run.grant.depth).toBeLessThanOrEqual(child.grant.depth)
  expect(run.grant.budget).toEqual(child.grant.budget)
  expect(run.depth).toBe(1)
}

test('a message after its end works as the sub-agent did, and asks for nothing to be handed in', async () => {
  const { house, child, key } = await ended()
  const { run } = await house.say('more', { sessionKey: key, method: 'ingest', principal: visitor })
  const { run: started } = (await house.house.run(run))!
  withinOf(started, child)
  expect(started.grant).toMatchObject({ scopes: ['operator.read'], sender: 'sender:telegram:default:5' })
  expect(started).toMatchObject({ terms: { cwd: 'pit' }, model: 'test/small', returnTo: null })
  expect(started.terms).not.toHaveProperty('outputSchema')
})

test('starting afresh makes no person out of it', async () => {
  const { house, child, key } = await ended()
  const { session } = await house.house.reset({ principal: house.operator, sessionKey: key, reason: 'new' })
  expect(session).toMatchObject({ key, depth: 1, parentSession: child.receipt?.returnTo, label: 'digger' })
  const { run } = await house.say('more', { sessionKey: key })
  withinOf((await house.house.run(run))!.run, child)
  // It is counted as the one that it was.
  const list = await house.say('/subagents list')
  const said = await house.house.wait(list.wireId, { until: 'turn', timeoutMs: 5_000 })
  expect(said?.text).toMatch(/^1 sub-agent, .*\n#1 digger/)
})

test('what was deleted is not opened again as a conversation of people', async () => {
  const { house, key } = await ended()
  await house.house.reset({ principal: house.operator, sessionKey: key, reason: 'delete' })
  const { wireId } = await house.say('/subagents send 1 more')
  const said = await house.house.wait(wireId, { until: 'turn', timeoutMs: 5_000 })
  expect(said?.text).toBe('#1 digger: its conversation was deleted.')
  expect(await house.house.sessionByKey(key)).toBeNull()
})

test('a summary and the words that follow it have no more either', async () => {
  const { house, child, key } = await ended()
  const { run } = await house.house.compact({ principal: house.operator, sessionKey: key, idempotencyKey: 'k' })
  withinOf((await house.house.run(run))!.run, child)
})

test('what a person has it start hangs below it', async () => {
  const { house, child, key } = await ended()
  const receipt = await house.house.spawn({
    principal: house.operator,
    sessionKey: key,
    agent: 'extractor',
    task: 'dig deeper',
    idempotencyKey: 'k',
  })
  expect(receipt.depth).toBeLessThan(child.grant.depth)
  const { run } = (await house.house.run(receipt.run))!
  expect(run).toMatchObject({ depth: 2, tree: child.tree })
  expect(run.grant.tools.filter(tool => !child.grant.tools.includes(tool))).toEqual([])
  // Who reads its result at the sub-agent's has no more than it either.
  await house.done(receipt.run)
  const told = (await house.house.runs({ session: child.session, limit: 1 }))[0]!
  expect(told.run.id).not.toBe(child.id)
  expect(told.run.grant.tools.filter(tool => !child.grant.tools.includes(tool))).toEqual([])
})
