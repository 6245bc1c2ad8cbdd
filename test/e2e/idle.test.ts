/**
 * Idle means idle: with work done, with a session open and with a parent that waits for a child, the gateway asks no model
 * and takes no processor time. Measured in clock ticks of the process, not in wall time.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Plan, taskOf } from '../../bench/plan.ts'
import { sleep, ticksOf } from '../../bench/processes.ts'
import { type Provider, startProvider } from '../../bench/provider.ts'
import { makeWorld, type World } from '../crash/world.ts'
import { type Shipped, ship } from '../support/shipped.ts'

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

/** Waits until the process takes less than a tick a second, so that the rest of starting up is not counted as idling. */
async function settle(pid: number): Promise<void> {
  for (let before = -10, now = ticksOf(pid), tries = 0; now - before > 1 && tries < 20; tries++) {
    await sleep(1000)
    before = now
    now = ticksOf(pid)
  }
}

test('an idle gateway asks nothing and does nothing', async () => {
  const { world, provider } = { world: shared.world!, provider: shared.provider! }
  const life = world.start()
  try {
    const wire = (await life.connect())!
    const say = (plan: Plan) =>
      wire.turn({
        message: taskOf(plan),
        agentId: 'main',
        sessionKey: `agent:main:${plan.id}`,
        idempotencyKey: plan.id,
      })
    await say({ id: 'before', steps: [{ spawn: { from: 0, count: 3, child: {} } }], children: 3 })
    // A child whose model never answers, so its parent waits as long as we look.
    await say({
      id: 'waiting',
      steps: [{ spawn: { from: 0, count: 1, child: { hold: { name: 'never' } } } }],
      children: 1,
    })
    await provider.until('the child that waits', seen => seen.plan === 'waiting.0')

    // The launcher left no process of its own: what is measured is the gateway.
    expect(readFileSync(join(world.home.path, 'deputy.pid'), 'utf8').trim()).toBe(String(life.pid))
    await settle(life.pid)
    const asked = provider.requests.length
    const before = ticksOf(life.pid)
    const seconds = process.env['DEPUTY_LONG'] === '1' ? 30 : 6
    await sleep(seconds * 1000)
    const ticks = ticksOf(life.pid) - before

    expect(provider.requests.length).toBe(asked)
    // 100 ticks are a second of one core: half a percent, and one for rounding.
    expect(ticks).toBeLessThanOrEqual(1 + seconds / 2)
    await wire.close()
  } finally {
    await life.kill()
  }
})
