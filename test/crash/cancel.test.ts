/**
 * Cancel ends the whole tree and its operating-system processes within two seconds, and says what it stopped: also those
 * that ignore SIGTERM, and those of grandchildren.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Plan, taskOf } from '../../bench/plan.ts'
import { sleep } from '../../bench/processes.ts'
import { type Provider, startProvider } from '../../bench/provider.ts'
import { type Shipped, ship } from '../support/shipped.ts'
import { readFacts } from './rows.ts'
import { makeWorld, type World } from './world.ts'

const shared: { provider?: Provider; shipped?: Shipped; world?: World } = {}
beforeAll(async () => {
  shared.shipped = ship()
  shared.provider = await startProvider()
  shared.world = await makeWorld(shared.shipped.program, shared.provider)
})
afterAll(async () => {
  await shared.provider?.stop()
  shared.world?.remove()
  shared.shipped?.remove()
})

/** Processes of this machine whose command line holds the words. */
function alive(words: string): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter(name => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(words)
      } catch {
        return false
      }
    })
    .map(Number)
}

async function until(fits: () => boolean, ms: number): Promise<boolean> {
  const since = performance.now()
  while (!fits()) {
    if (performance.now() - since > ms) return false
    await sleep(20)
  }
  return true
}

test('cancel ends the tree and its processes, and says so', async () => {
  const world = shared.world!
  const seconds = 70_000 + (process.pid % 10_000)
  const exec = (command: string) => ({ steps: [{ calls: [{ name: 'exec', args: { command } }] }] })
  const stubborn = exec(`trap '' TERM; sleep ${seconds} & sleep ${seconds}; true`)
  const nested = { steps: [{ spawn: { from: 0, count: 1, child: exec(`sleep ${seconds}`) } }] }
  const id = `cancel-${process.pid}`
  const plan: Plan = {
    id,
    steps: [
      {
        spawn: { from: 0, count: 1, child: stubborn },
      },
      {
        spawn: { from: 1, count: 1, child: nested },
      },
    ],
    children: 2,
  }

  const life = world.start()
  try {
    const wire = (await life.connect())!
    await wire.ask('agent', {
      message: taskOf(plan),
      agentId: 'main',
      sessionKey: `agent:main:${id}`,
      idempotencyKey: id,
    })
    // Three sleeps: two of the stubborn one, one of the grandchild. The sandbox around them may carry the words too.
    const sleeping = () => alive(`sleep\0${seconds}`).length
    expect(await until(() => sleeping() >= 3, 20_000)).toBe(true)

    const answer = await wire.ask('runs.cancel', { sessionKey: `agent:main:${id}` })
    const ended = () => readFacts(world.home.path, id)!.runs.every(run => run.state === 'done')
    expect(await until(() => ended() && alive(String(seconds)).length === 0, 2000)).toBe(true)

    const runs = readFacts(world.home.path, id)!.runs
    expect(runs.map(run => run.outcome)).toEqual(['cancelled', 'cancelled', 'cancelled', 'cancelled'])
    for (const run of runs) expect(JSON.stringify(answer)).toContain(run.id)
    await wire.close()
  } finally {
    await life.kill()
  }
})
