/**
 * The failure that the house exists for, told again: a probe or `status` as the first command, then delegation. Once with the
 * identity that every local client shares and a gateway token, once with a device that was paired for reading only, once
 * with no listener at all. Each time the sub-agent is started and reports back.
 */
import { randomUUID } from 'node:crypto'
import { beforeEach, expect, test } from 'vitest'
import { type Client, connect } from '../../src/client/connect.ts'
import type { RunningGateway } from '../../src/cli/host.ts'
import type { DeputyError } from '../../src/protocol/errors.ts'
import type { RunRow } from '../../src/protocol/results.ts'
import { type Desk, openDesk } from '../support/cli.ts'
import { makeDevice } from '../support/door.ts'

const token = 'seed-0123456789abcdef0123456789abcdef'

let desk: Desk
beforeEach(() => {
  desk = openDesk()
  desk.configure({
    gateway: { auth: { token } },
    agents: {
      defaults: { model: 'rehearsal/rehearsal' },
      entries: { main: { subagents: { allowAgents: ['extractor'] } }, extractor: {} },
    },
  })
})

const address = (gateway: RunningGateway) => gateway.ready.url!.replace('http', 'ws')
const devices = async () => (await desk.json<{ pending: unknown[]; paired: unknown[] }>('devices', 'list')).document

/** Says it; the words that come back once the sub-agent has reported. */
async function delegates(client: Client): Promise<string> {
  const message = 'delegate to extractor: say the part is done'
  const sessionKey = `agent:main:${randomUUID()}`
  const idempotencyKey = randomUUID()
  await client.request('agent', { message, sessionKey, idempotencyKey })
  const end = await client.request('agent.wait', { runId: idempotencyKey, until: 'done', timeoutMs: 20_000 })
  expect(end).toMatchObject({ status: 'ok', outcome: 'succeeded' })
  const { runs } = await client.request('runs.list', { sessionKey })
  const tree = (await client.request('runs.tree', { run: runs[0]!.run })).runs
  expect(tree).toMatchObject([{ agent: 'main' }, { agent: 'extractor', outcome: 'succeeded' }])
  return end.text ?? ''
}

test('status as the first command of a fresh home, then a spawn, from the same identity', async () => {
  const url = address(await desk.start({ tcp: true }))
  // One identity for everybody on this machine, as OpenClaw's clients have it: the probe and `status` read with it.
  const device = makeDevice()
  const as = (id: string, mode: string, scopes: string[]) =>
    connect({ url, token, device, scopes, client: { id, mode } })
  for (const [id, mode] of [
    ['cli', 'probe'],
    ['gateway-client', 'backend'],
  ] as const) {
    const client = await as(id, mode, ['operator.read'])
    await client.request('health', {})
    await client.request('status', {})
    client.close()
  }
  expect(await devices()).toEqual({ pending: [], paired: [] })
  const client = await as('cli', 'cli', ['operator.write'])
  expect(await delegates(client)).toContain('the part is done')
  client.close()
  expect(await devices()).toEqual({ pending: [], paired: [] })
})

test('a device that was paired for reading asks to write: it keeps reading, is told the command, and spawns after it', async () => {
  const url = address(await desk.start({ tcp: true }))
  const device = makeDevice()
  const first = await connect({ url, device, scopes: ['operator.read'] }).then(
    () => Promise.reject(new Error('was let in')),
    (error: DeputyError) => error,
  )
  expect(first.code).toBe('PAIRING_REQUIRED')
  expect((await desk.deputy(...first.fix.split(' ').slice(1))).code).toBe(0)

  const client = await connect({ url, device, scopes: ['operator.write'] })
  const spawn = () => client.request('runs.spawn', { agent: 'extractor', task: 'say the part is done' })
  await client.request('status', {})
  const refused = await spawn().then(
    () => Promise.reject(new Error('was allowed')),
    (error: DeputyError) => error,
  )
  expect(refused).toMatchObject({ code: 'MISSING_SCOPE', details: { missingScope: 'operator.write' } })
  await client.request('status', {})

  // The very words of the refusal, on the host. The line stays open.
  expect(refused.fix).toMatch(/^deputy devices approve [\w-]{36}$/)
  expect((await desk.deputy(...refused.fix.split(' ').slice(1))).code).toBe(0)
  await spawn()
  expect(await delegates(client)).toContain('the part is done')
  client.close()
})

test('with the TCP port closed and no device anywhere an agent delegates, and the command line spawns', async () => {
  const { ready } = await desk.start()
  expect(ready.url).toBe(null)
  expect((await desk.deputy('status')).code).toBe(0)
  const asked = await desk.deputy('agent', '--message', 'delegate to extractor: say the part is done')
  expect(asked).toMatchObject({ code: 0, out: expect.stringContaining('the part is done') })
  expect((await desk.deputy('spawn', 'extractor', 'say by hand', '--wait')).out).toContain('by hand')
  const { document } = await desk.json<{ runs: RunRow[] }>('runs', 'list')
  expect(document.runs.filter(run => run.agent === 'extractor')).toHaveLength(2)
  expect(await devices()).toEqual({ pending: [], paired: [] })
})

test('taking the device away ends what it has at work, and nothing else', async () => {
  const url = address(await desk.start({ tcp: true }))
  const device = makeDevice()
  const first = await connect({ url, device, scopes: ['operator.write'] }).catch((error: DeputyError) => error)
  await desk.deputy('devices', 'approve', String((first as DeputyError).details['requestId']))
  const client = await connect({ url, device, scopes: ['operator.write'] })
  const slow = { agent: 'extractor', task: 'sleep 20000' }
  const mine = await client.request('runs.spawn', slow)
  const owner = await connect({ url, token })
  const other = await owner.request('runs.spawn', slow)
  const removed = await desk.deputy('devices', 'remove', device.id)
  expect(removed.out).toContain('Its runs were ended: 1.')
  expect((await client.closed).code).toBe(4001)
  const state = async (run: string) => {
    const { run: row } = await owner.request('runs.get', { run })
    return [row.state === 'done', row.outcome, row.errorCode]
  }
  expect(await state(mine.run)).toEqual([true, 'cancelled', 'RUN_REVOKED'])
  expect(await state(other.run)).toEqual([false, null, null])
  await owner.request('runs.cancel', { all: true })
  owner.close()
})

test('taken away while the gateway is stopped, its work is ended before anything is claimed again', async () => {
  const gateway = await desk.start({ tcp: true })
  const url = address(gateway)
  const device = makeDevice()
  const first = await connect({ url, device, scopes: ['operator.write'] }).catch((error: DeputyError) => error)
  await desk.deputy('devices', 'approve', String((first as DeputyError).details['requestId']))
  const client = await connect({ url, device, scopes: ['operator.write'] })
  const mine = await client.request('runs.spawn', { agent: 'extractor', task: 'sleep 20000' })
  await gateway.stop()
  const removed = await desk.deputy('devices', 'remove', device.id.slice(0, 12))
  expect(removed).toMatchObject({ code: 0, out: expect.stringContaining('end when the gateway starts') })
  await desk.start()
  const { document } = await desk.json<{ run: RunRow }>('runs', 'show', mine.run)
  expect(document.run ?? document).toMatchObject({ outcome: 'cancelled', errorCode: 'RUN_REVOKED' })
})
