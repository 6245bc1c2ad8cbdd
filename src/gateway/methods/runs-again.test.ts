import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Door, openDoor, secret } from '../../../test/support/door.ts'
import { type Client, connect } from '../../client/connect.ts'
import type { Run } from '../../core/types.ts'

let door: Door
let client: Client
beforeEach(async () => {
  door = await openDoor()
  client = await connect({ url: door.url, token: secret })
})
afterEach(async () => {
  client.close()
  await door.close()
})

/** A turn of the main conversation; returns its row, to be changed. */
async function turn(key = 'first'): Promise<Run> {
  await door.house.accept({
    principal: { kind: 'operator' } as never,
    method: 'agent',
    parts: [{ type: 'text', text: 'x' }],
    idempotencyKey: key,
  })
  door.house.accepted.length = 0
  return (await door.house.run(`run-${key}`))!.run
}

describe('runs.steer', () => {
  test('is a message into the conversation of the run, in steer mode', async () => {
    const run = await turn()
    const sent = await client.request('runs.steer', { run: run.id, message: 'leave out b', idempotencyKey: 'k' })
    expect(sent).toMatchObject({ runId: 'k', messageSeq: 1 })
    expect(door.house.accepted).toMatchObject([
      {
        sessionKey: 'agent:main:main',
        mode: 'steer',
        parts: [{ type: 'text', text: 'leave out b' }],
        idempotencyKey: 'k',
      },
    ])
  })

  test('is refused once the run has ended, or its conversation was closed', async () => {
    const run = await turn()
    const session = (await door.house.session(run.session))!
    session.closedAt = 5
    const steer = () => client.request('runs.steer', { run: run.id, message: 'too late' })
    await expect(steer()).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
    door.house.finish('first')
    await expect(steer()).rejects.toMatchObject({ code: 'RUN_DONE' })
    await expect(client.request('runs.steer', { run: 'none', message: 'x' })).rejects.toMatchObject({
      code: 'UNKNOWN_RUN',
    })
    expect(door.house.accepted).toEqual([])
  })
})

describe('runs.retry', () => {
  test('says the first message of a turn again, whole, and under another key', async () => {
    const run = await turn()
    door.house.finish('first')
    const parts = [{ type: 'text' as const, text: 'long words '.repeat(1000) }]
    const about = { session: run.session, ord: 1, run: null, step: null, at: 1 }
    door.house.messages.push(
      { ...about, seq: 1, id: 'm1', role: 'user', parts, meta: { idempotencyKey: 'first' } },
      { ...about, seq: 2, id: 'm2', role: 'user', parts: [], meta: { idempotencyKey: 'later' } },
    )
    const again = await client.request('runs.retry', { run: run.id })
    expect(again).toMatchObject({ of: run.id, sessionKey: 'agent:main:main', returnTo: 'agent:main:main', left: [] })
    expect(again.run).not.toBe(run.id)
    expect(door.house.accepted).toMatchObject([{ parts, mode: 'followup', model: 'stub/model', timeoutSeconds: 0 }])
    expect(door.house.accepted[0]!.idempotencyKey).not.toBe('first')
  })

  test('a message that can no longer be found is taken from the row, when that has all of it', async () => {
    const run = await turn()
    door.house.finish('first')
    Object.assign(run, { task: 'x'.repeat(4000) })
    await expect(client.request('runs.retry', { run: run.id })).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    Object.assign(run, { task: 'count them' })
    await client.request('runs.retry', { run: run.id })
    expect(door.house.accepted[0]!.parts).toEqual([{ type: 'text', text: 'count them' }])
  })

  test('is refused while the run, or another of its conversation, is at work', async () => {
    const run = await turn()
    await expect(client.request('runs.retry', { run: run.id })).rejects.toMatchObject({ code: 'RUN_LIVE' })
    door.house.finish('first')
    const other = await turn('second')
    await expect(client.request('runs.retry', { run: run.id })).rejects.toMatchObject({
      code: 'RUN_LIVE',
      details: { run: other.id },
    })
    expect(door.house.accepted).toEqual([])
  })

  test('a sub-agent is spawned again with what it was given, its result to the same conversation', async () => {
    const home = await turn('home')
    const { run: id } = await client.request('runs.spawn', { agent: 'extractor', task: 'count' })
    const { run } = (await door.house.run(id))!
    const budget = { nano: 5, tokens: null, calls: 2 }
    const receipt = { run: id } as NonNullable<Run['receipt']>
    Object.assign(run, {
      state: 'done',
      outcome: 'failed',
      receipt,
      returnTo: home.session,
      task: 'count "ERROR"',
      label: 'errors',
      createdAt: 1000,
      deadlineAt: 31_000,
      grant: { ...run.grant, budget },
      terms: { thinking: 'high', outputSchema: {}, taskName: 'errors' },
    })
    const spawned: unknown[] = []
    door.house.spawn = async input => {
      spawned.push(input)
      const { agent, grant } = run
      const made = {
        run: 'child-2',
        session: 's-2',
        sessionKey: 'k-2',
        agent,
        model: run.model,
        returnTo: home.session,
      }
      return { ...made, tools: [], agents: [], depth: 0, budget: grant.budget, deadlineAt: null, detached: true }
    }
    const again = await client.request('runs.retry', { run: id, idempotencyKey: 'again' })
    expect(again).toMatchObject({ run: 'child-2', of: id, returnTo: 'agent:main:main', left: ['outputSchema'] })
    expect(spawned).toMatchObject([
      {
        sessionKey: 'agent:main:main',
        agent: 'extractor',
        task: 'count "ERROR"',
        label: 'errors',
        model: 'stub/model',
        thinking: 'high',
        timeoutSeconds: 30,
        budget,
        idempotencyKey: 'again',
      },
    ])

    // The place is gone, or there was none: nothing is started that answers elsewhere.
    ;(await door.house.session(home.session))!.closedAt = 9
    await expect(client.request('runs.retry', { run: id })).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
    run.returnTo = null
    await expect(client.request('runs.retry', { run: id })).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
    expect(spawned).toHaveLength(1)
  })

  test('both need operator.write', async () => {
    const run = await turn()
    const reader = await connect({ url: door.url, token: secret, scopes: ['operator.read'] })
    for (const ask of [
      () => reader.request('runs.steer', { run: run.id, message: 'x' }),
      () => reader.request('runs.retry', { run: run.id }),
    ])
      await expect(ask()).rejects.toMatchObject({ code: 'MISSING_SCOPE' })
    reader.close()
  })
})
