import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type Desk, openDesk } from '../../../test/support/cli.ts'
import { makeDevice } from '../../../test/support/door.ts'
import { connect } from '../../client/connect.ts'
import { type DeputyError, errors } from '../../protocol/errors.ts'

interface Explanation {
  about: string
  code: string | null
  reading: string | null
  means: string
  here: string[]
  who: string
  fix: string
  commands: string[]
}

const seed = 'gateway closed (1008): pairing required'

const family = {
  gateway: { auth: { token: 'a-token-of-the-test-0123456789' } },
  agents: {
    defaults: { model: 'rehearsal/rehearsal', subagents: { maxSpawnDepth: 2 } },
    entries: { main: { subagents: { allowAgents: ['extractor'] } }, extractor: {}, ghostwriter: {} },
  },
}

let desk: Desk
beforeEach(() => {
  desk = openDesk()
  desk.configure(family)
})

async function explain(...what: string[]): Promise<Explanation> {
  const { code, document } = await desk.json<Explanation>('explain', ...what)
  expect(code).toBe(0)
  return document
}

const here = ({ here }: Explanation) => here.join('\n')

/** A program with a key of its own knocks: refused when it is not approved. */
async function knock(url: string, device = makeDevice(), scopes = ['operator.write']) {
  const client = await connect({
    url: url.replace('http', 'ws'),
    device,
    scopes,
    client: { id: 'gateway-client', mode: 'backend', displayName: 'agent runtime' },
  })
  onTestFinished(() => client.close())
  return client
}

const refused = (promise: Promise<unknown>) =>
  promise.then(
    () => Promise.reject(new Error('was let in')),
    (error: unknown) => error as DeputyError,
  )

describe('the line that started it all', () => {
  test('with a device that asks: who, what it asks and holds, and the command; approving it is the cure', async () => {
    const { ready } = await desk.start({ tcp: true })
    const device = makeDevice()
    const error = await refused(knock(ready.url!, device))
    expect(error.code).toBe('PAIRING_REQUIRED')
    const requestId = String(error.details['requestId'])

    const explained = await explain(seed)
    expect(explained).toMatchObject({
      about: 'PAIRING_REQUIRED',
      commands: [`deputy devices approve ${requestId} --home ${desk.home}`],
    })
    expect(explained.reading).toContain('closed because its device is not approved')
    expect(here(explained)).toContain('agent runtime (gateway-client,')
    expect(here(explained)).toContain('asks for operator.read, operator.write; it holds nothing')
    expect(explained.who).toContain('needs no device and no token')

    const named = await explain(`pairing required: device is not approved yet (requestId: ${requestId})`)
    expect(here(named)).toContain('The request that the line names: agent runtime')
    expect(await explain(requestId)).toMatchObject({
      about: `request ${requestId}`,
      commands: [expect.stringContaining(`approve ${requestId}`), expect.stringContaining(`reject ${requestId}`)],
    })

    const operator = await connect({ socketPath: ready.socket })
    await operator.request('device.pair.approve', { requestId })
    operator.close()
    const client = await knock(ready.url!, device)
    await client.request('chat.history', { sessionKey: 'agent:main:main' })
    expect(await explain(requestId)).toMatchObject({
      code: 'REQUEST_CLOSED',
      means: expect.stringContaining('approved'),
    })
    expect((await explain(device.id.slice(0, 12))).means).toContain('holds operator.read, operator.write')
  })

  test('with nothing pending: says so, and why it cannot come from a spawn in Deputy', async () => {
    await desk.start()
    await desk.deputy('spawn', 'extractor', 'say done', '--wait')
    const explained = await explain(`${seed}\nSource: local loopback`)
    expect(here(explained)).toContain('No request is pending here now')
    expect(here(explained)).toContain('It cannot come from delegation in Deputy')
    expect(here(explained)).toMatch(/newest sub-agent here: extractor, succeeded, .* \(deputy explain [0-9a-f]{8}/)
    expect(explained.commands).toEqual([`deputy devices list --home ${desk.home}`])
  })

  test('with the usual attempt: a loopback proxy is said to change nothing', async () => {
    desk.configure({ ...family, gateway: { ...family.gateway, trustedProxies: ['127.0.0.1'] } })
    expect(here(await explain(seed))).toContain('127.0.0.1 in gateway.trustedProxies changes nothing')
  })

  test('with the gateway stopped: the rows say it, and nothing is started', async () => {
    const gateway = await desk.start({ tcp: true })
    const { details } = await refused(knock(gateway.ready.url!))
    await gateway.stop()
    const explained = await explain(seed)
    expect(explained.commands[0]).toContain(`approve ${details['requestId']}`)
    expect(here(explained)).toContain('is not running')
    expect(desk.started).toEqual([])
  })

  test('with a request that ran out: it is not offered for approval', async () => {
    const gateway = await desk.start({ tcp: true })
    const { details } = await refused(knock(gateway.ready.url!))
    await gateway.stop()
    const db = new DatabaseSync(join(desk.home, 'deputy.sqlite'))
    db.prepare('update pairing_requests set expires_at = ?').run(Date.now() - 60_000)
    db.close()
    const explained = await explain(seed)
    expect(here(explained)).toMatch(
      /No request is pending here now\.\nThe newest request: agent runtime, ran out 1 min ago/,
    )
    expect(explained.commands).toEqual([`deputy devices list --home ${desk.home}`])
    expect(await explain(String(details['requestId']))).toMatchObject({ code: 'REQUEST_CLOSED' })
  })

  test('before anything was ever started', async () => {
    desk = openDesk()
    expect(here(await explain(seed))).toContain('No request is pending here now')
  })
})

test('a missing scope: the request that would bring it, and the devices that lack it', async () => {
  const { ready } = await desk.start({ tcp: true })
  const device = makeDevice()
  const first = await refused(knock(ready.url!, device, ['operator.read']))
  const operator = await connect({ socketPath: ready.socket })
  await operator.request('device.pair.approve', { requestId: String(first.details['requestId']) })
  operator.close()

  const lacking = await explain('missing scope: operator.write')
  expect(here(lacking)).toContain('No pending request asks for operator.write')
  expect(here(lacking)).toContain('Paired and without operator.write: agent runtime')

  // It asks for more and stays connected with what it holds.
  const client = await knock(ready.url!, device, ['operator.read', 'operator.write'])
  const error = await refused(client.request('chat.send', { sessionKey: 'main', message: 'x', idempotencyKey: 'k' }))
  expect(error.code).toBe('MISSING_SCOPE')
  const asked = await explain(error.message)
  expect(here(asked)).toContain('it holds operator.read; new is operator.write')
  expect(asked.commands[0]).toMatch(/^deputy devices approve [0-9a-f-]{36} /)
  // One that does not ask for it is not shown as the remedy.
  expect((await explain('missing scope: operator.admin')).commands).toEqual([`deputy devices list --home ${desk.home}`])
})

describe('spawns that policy refuses', () => {
  test('whom each agent may spawn, who may spawn the one in question, and the key to change', async () => {
    const explained = await explain('SPAWN_AGENT_NOT_ALLOWED')
    expect(here(explained)).toContain('Main (default) may spawn extractor, 2 deep')
    expect(explained.commands[0]).toContain('agents.entries.main.subagents.allowAgents')
    // What is set is 2 and 5: a command never lowers the limit that it is to raise.
    expect((await explain('SPAWN_DEPTH')).commands[0]).toContain('maxSpawnDepth 3 ')
    expect((await explain('SPAWN_CHILDREN')).commands[1]).toContain('maxChildrenPerAgent 10 ')
  })

  test('the run in which it happened names the rule', async () => {
    await desk.start()
    await desk.deputy('agent', '--message', 'delegate to ghostwriter: say x')
    const { document } = await desk.json<{ runs: { run: string }[] }>('runs', 'list')
    const explained = await explain(document.runs[0]!.run)
    expect(here(explained)).toMatch(
      /sessions_spawn was refused: .*ghostwriter.*\[SPAWN_AGENT_NOT_ALLOWED\] The rule: agents\.entries\.main\.subagents\.allowAgents/,
    )
  })
})

describe('a run', () => {
  const list = async () =>
    (await desk.json<{ runs: { run: string; agent: string; state: string; label: string | null }[] }>('runs', 'list'))
      .document.runs

  test('that waits: for whom, and how they stand', async () => {
    await desk.start()
    const waiting = desk.deputy('agent', '--message', 'delegate to extractor as "the long one": sleep 600000')
    let runs = await list()
    while (!runs.some(run => run.agent === 'main' && run.state === 'waiting')) runs = await list()
    const parent = await explain(runs.find(run => run.agent === 'main')!.run)
    expect(here(parent)).toMatch(/It waits for all of its sub-agents;.* At work: the long one \([0-9a-f.]+, running\)/)
    expect(parent.commands).toContain(`deputy runs cancel ${parent.about.slice(4, 12)} --home ${desk.home}`)
    const child = await explain(runs.find(run => run.agent === 'extractor')!.run)
    expect(child.means).toContain('A sub-agent of')
    expect(here(child)).toContain('It waits for its model (rehearsal/rehearsal)')
    expect(here(child)).toContain('Its result will go to the conversation that asked for it')
    await desk.deputy('runs', 'cancel', '--all')
    await waiting
  })

  const { defaults, entries } = family.agents
  test.each([
    [
      'its lane',
      { defaults: { ...defaults, subagents: { maxConcurrent: 1 } } },
      /1 of 1 of its lane \(subagent\) are taken.*What holds it is agents\.defaults\.subagents\.maxConcurrent/,
    ],
    [
      'its agent',
      { entries: { ...entries, extractor: { maxConcurrent: 1 } } },
      /What holds it is agents\.entries\.extractor\.maxConcurrent: 1 of 1/,
    ],
  ])('that is queued behind the limit of %s: the key that sets it', async (_, agents, words) => {
    desk.configure({ ...family, agents: { ...family.agents, ...agents } })
    await desk.start()
    await desk.json('spawn', 'extractor', 'sleep 60000')
    while (!(await list()).some(run => run.state === 'running'));
    const { document } = await desk.json<{ run: string }>('spawn', 'extractor', 'sleep 60000')
    expect(here(await explain(document.run))).toMatch(words)
    await desk.deputy('runs', 'cancel', '--all')
  })

  test('that is over: how, where the result went and who read it, what it cost', async () => {
    await desk.start()
    await desk.deputy('agent', '--message', 'delegate to extractor: say found it')
    const runs = await list()
    const child = runs.find(run => run.agent === 'extractor')!.run
    const explained = await explain(child)
    expect(explained.means).toContain('ended as succeeded')
    expect(here(explained)).toMatch(/Its result went to agent:main:main .*: it was read by [0-9a-f]{8}\./)
    expect(here(explained)).toMatch(/rehearsal\/rehearsal: \d+ calls?, .* tokens in, .* out, nothing\./)
    // The short form of the lists, too, and the id under which a client knows its turn.
    const short = child.replace(/^([0-9a-f]{8})[0-9a-f-]{28}/, '$1')
    expect((await explain(short)).about).toBe(`run ${child}`)
    expect((await explain(`${child.slice(0, 5)}${child.slice(36)}`)).about).toBe(`run ${child}`)
    const { document } = await desk.json<{ runId: string; run: string }>('agent', '--message', 'say hi')
    expect(document.runId).not.toBe(document.run)
    expect((await explain(document.runId)).about).toBe(`run ${document.run}`)
  })

  test('that was at work when the gateway stopped: says that nobody works, and how it goes on', async () => {
    const gateway = await desk.start()
    const { document } = await desk.json<{ run: string }>('spawn', 'extractor', 'sleep 60000')
    while ((await explain(document.run)).means.includes(', queued.'));
    expect(here(await explain(document.run))).toContain(
      'Set aside for the call in flight, and given back as far as it is not used: nothing,',
    )
    await gateway.stop()
    const explained = await explain(document.run)
    expect(here(explained)).toMatch(/No gateway runs: it (was at work|has not begun)/)
    expect(here(explained)).not.toContain('It waits for its model')
    expect(explained.fix).toBe('Start the gateway: it goes on by itself.')
    expect(explained.commands[0]).toBe(`deputy gateway run --home ${desk.home}`)
    const again = await desk.start()
    expect(here(await explain(document.run))).not.toContain('No gateway runs')
    await desk.deputy('runs', 'cancel', '--all')
    expect((await explain(document.run)).commands.at(-1)).toMatch(/^deputy runs retry [0-9a-f]{8} /)
    await again.stop()
  })

  test('whose calls failed in the same way: said once, with how often', async () => {
    await desk.start()
    // So often that the house remarks on it: a remark that counts does not make another failure of it.
    const read = 'call read {"path": "nothing.txt"}'
    await desk.deputy(
      'agent',
      '--message',
      [read, read, read, read, read, read, 'call read {"path": "/etc/hosts"}'].join('\n'),
    )
    const [run] = await list()
    const said = (await explain(run!.run)).here.filter(each => each.startsWith('Step '))
    expect(said).toHaveLength(2)
    expect(said[0]).toMatch(/^Step 2 and 5 more: read failed: Failed: there is no such file/)
    expect(said[1]).toMatch(/^Step \d+: read failed: /)
  })

  test('that failed: the code, which also leads to it', async () => {
    await desk.start()
    await desk.deputy('agent', '--message', 'fail for the test')
    const [run] = await list()
    const explained = await explain(run!.run)
    expect(explained).toMatchObject({ code: 'MODEL_REFUSAL' })
    expect(here(explained)).toMatch(/It ended .* as failed: .*for the test.*\[MODEL_REFUSAL\]/)
    expect(here(await explain('MODEL_REFUSAL'))).toContain('of main ended with it')
  })
})

describe('other refusals look at the house', () => {
  test.each([
    ['unauthorized: gateway token mismatch', /It stands in .*deputy\.json/],
    ['device identity required', /callers show/i],
    ['GATEWAY_UNREACHABLE', /does not answer now either/],
    ['PORT_IN_USE', /system chooses the port/],
    ['SANDBOX_MISSING', /commands run in|bubblewrap/i],
    ['HOME_LOCKED', /mode 0700/],
    ['SERVICE_UNAVAILABLE', /none installed/i],
    ['MODEL_NO_KEY', /main uses rehearsal\/rehearsal/],
    ['UNKNOWN_REQUEST', /none yet|no device/i],
  ])('%s', async (text, expected) => {
    expect(here(await explain(text))).toMatch(expected)
  })

  test('no secret is shown', async () => {
    const { out } = await desk.deputy('explain', 'AUTH_TOKEN_MISMATCH')
    expect(out).not.toContain('a-token-of-the-test')
  })
})

test('every code of the table has a meaning, somebody who can, and something to do', async () => {
  const gateway = await desk.start()
  await gateway.stop()
  for (const code of Object.keys(errors)) {
    const explained = await explain(code)
    expect(explained, code).toMatchObject({ about: code, code, reading: null })
    for (const part of [explained.means, explained.who, explained.fix]) expect(part.length, code).toBeGreaterThan(5)
    for (const each of [...explained.here, ...explained.commands])
      expect(each, code).not.toMatch(/undefined|\[object|NaN/)
  }
})

test('a configuration that no gateway starts with is no obstacle', async () => {
  desk.configure({ ...family, gateway: { bind: 'lan', auth: { mode: 'none' }, trustedProxies: ['::1'] } })
  for (const what of [seed, 'AUTH_TOKEN_MISMATCH', 'CONFIG_UNSAFE_BIND', 'PORT_IN_USE']) await explain(what)
  desk.configure({ gateway: { port: 'many' } })
  for (const what of [seed, 'missing scope: operator.write', 'SPAWN_DEPTH', 'MODEL_NO_KEY', 'CONFIG_INVALID'])
    await explain(what)
})

test.each([
  ['hello there', 'No refusal was found'],
  ['0b8f6c0e-8d0f-4a54-9a0e-1f6f0c1d2e3f', 'Nothing here has the id'],
])('%j is told to be nothing that we know', async (text, words) => {
  const { code, out, err } = await desk.deputy('explain', text)
  expect({ code, out }).toEqual({ code: 2, out: '' })
  expect(err).toContain(words)
})

test('people get it in four parts, in 100 columns', async () => {
  const { code, out } = await desk.deputy('explain', ...seed.split(' '))
  expect(code).toBe(0)
  for (const part of ['PAIRING_REQUIRED', 'Here, now', 'Who can', 'What to do', '$ deputy devices list'])
    expect(out).toContain(part)
  for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
})
