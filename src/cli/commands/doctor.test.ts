import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { type Desk, openDesk } from '../../../test/support/cli.ts'
import { examine, family, finding } from '../../../test/support/doctor.ts'
import { put } from '../../../test/support/temp.ts'

let desk: Desk
beforeEach(() => {
  desk = openDesk()
})

const doctor = (...args: string[]) => examine(desk, ...args)

/** Every file of a tree with its mode, size and time of change. */
function snapshot(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .sort()
    .map(name => {
      const { mode, size, mtimeMs } = statSync(join(dir, name))
      return `${name} ${mode.toString(8)} ${size} ${mtimeMs}`
    })
}

describe('delegation is proved by doing it', () => {
  test('with a running gateway: in it, and the result comes back', async () => {
    desk.configure(family)
    await desk.start()
    const { code, document, ids } = await doctor()
    expect({ code, ids }).toEqual({ code: 0, ids: [] })
    expect(document).toMatchObject({ ok: true, gateway: 'running' })
    expect(document.delegation).toMatchObject({
      where: 'in the running gateway',
      agent: 'main',
      children: [{ agent: 'extractor', returned: true, refusal: null }],
    })
    expect(desk.started).toEqual([])
    const { document: listed } = await desk.json<{ runs: { label: string; model: string }[] }>('runs', 'list')
    expect(listed.runs.find(run => run.label === 'doctor extractor')).toMatchObject({ model: 'rehearsal/rehearsal' })
    const { document: open } = await desk.json<{ sessions: { key: string }[] }>('sessions', 'list')
    expect(open.sessions.map(({ key }) => key)).not.toContain('agent:main:doctor')
  })

  test('stopped, and nothing waits: on the home itself, which stays usable', async () => {
    desk.configure(family)
    const gateway = await desk.start()
    await gateway.stop()
    // Without a token, which a start would make and write.
    desk.configure(family)
    const config = readFileSync(join(desk.home, 'deputy.json'), 'utf8')
    const { code, document } = await doctor()
    expect(code).toBe(0)
    expect(document).toMatchObject({ gateway: 'stopped', delegation: { children: [{ returned: true }] } })
    expect(desk.started).toEqual([desk.home])
    expect(readFileSync(join(desk.home, 'deputy.json'), 'utf8')).toBe(config)
    expect(existsSync(join(desk.home, 'deputy.sock'))).toBe(false)
    await desk.start()
  })

  test('stopped while a run is at work: elsewhere, and the run is left alone', async () => {
    desk.configure(family)
    const gateway = await desk.start()
    await desk.deputy('spawn', 'extractor', 'sleep 600000')
    await gateway.stop()
    const { code, document } = await doctor()
    expect(code).toBe(0)
    expect(document.delegation).toMatchObject({ children: [{ agent: 'extractor', returned: true }] })
    expect(document.delegation!.where).toContain('1 runs wait for the next start')
    expect(desk.started).not.toContain(desk.home)
    const { document: after } = await desk.json<{ runs: { state: string; agent: string }[] }>('runs', 'list')
    expect(after.runs).toMatchObject([{ agent: 'extractor', state: 'running' }])
  })

  test('before the first start: nothing is made', async () => {
    const before = readdirSync(desk.user)
    const { document, ids } = await doctor()
    // Whether something else on this machine has the usual port is not this home's affair.
    expect(ids.filter(id => id !== 'door.port-taken')).toEqual(['models.rehearsal'])
    expect(document.delegation).toMatchObject({ agent: 'main', children: [{ agent: 'main', returned: true }] })
    expect(readdirSync(desk.user)).toEqual(before)
  })

  test('an agent that may be spawned and whose tool is taken away: the refusal is the finding', async () => {
    desk.configure({ ...family, tools: { deny: ['sessions_spawn'] } })
    const { code, document, ids } = await doctor()
    expect({ code, ids }).toEqual({ code: 1, ids: ['spawn.failed'] })
    expect(finding(document, 'spawn.failed').evidence).toContain('sessions_spawn')
    expect(document.delegation).toMatchObject({ children: [{ agent: 'extractor', returned: false }] })
  })

  test('keys of the home count in the throw-away one too, and stay where they are', async () => {
    desk.configure({ agents: { ...family.agents, defaults: { model: 'anthropic/claude-sonnet-4-5' } } })
    put(join(desk.home, '.env'), 'ANTHROPIC_API_KEY=sk-not-a-key-0123456789\n')
    const { document, ids } = await doctor()
    expect(ids).toEqual([])
    expect(document.delegation).toMatchObject({ children: [{ returned: true }] })
    expect(document.delegation!.where).toContain('throw-away home')
    expect(readFileSync(join(desk.home, '.env'), 'utf8')).toContain('sk-not-a-key')
  })

  test('a provider that has no key is found without asking it, and does not stop the proof', async () => {
    desk.configure({
      agents: { ...family.agents, defaults: { model: 'anthropic/claude-sonnet-4-5' } },
    })
    const { document, ids } = await doctor()
    expect(ids).toEqual(['models.unusable'])
    expect(finding(document, 'models.unusable')).toMatchObject({
      level: 'error',
      fix: expect.stringContaining('MODEL_'),
    })
    expect(document.delegation).toMatchObject({ children: [{ returned: true }] })
  })
})

test('looking changes nothing in the home', async () => {
  desk.configure({ ...family, gateway: { trustedProxies: ['::1'] } })
  const gateway = await desk.start()
  await desk.deputy('spawn', 'extractor', 'sleep 600000')
  await gateway.stop()
  // SQLite's own: a reader makes the index of the log, and asking for the lock opens its file.
  const lasting = () => snapshot(desk.home).filter(line => !/^(deputy\.sqlite-(shm|wal)|home\.lock) /.test(line))
  const before = lasting()
  await doctor()
  expect(lasting()).toEqual(before)
})

test('people get why, evidence and fix of each, in 100 columns', async () => {
  desk.configure({ ...family, tools: { exec: { sandbox: 'off' } } })
  const { code, out } = await desk.deputy('doctor')
  expect(code).toBe(1)
  for (const part of ['✓ home', 'main spawned extractor', '[sandbox.off]', 'why', 'evidence', 'fix', '1 finding'])
    expect(out).toContain(part)
  for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
})
