/**
 * A thousand sub-agents under one session, the limits raised by configuration: every result comes back once, memory stays
 * bounded, and the control plane answers all the while.
 */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Plan, taskOf } from '../../bench/plan.ts'
import { sleep } from '../../bench/processes.ts'
import { type Provider, startProvider } from '../../bench/provider.ts'
import { readFacts } from '../crash/rows.ts'
import { makeWorld, type World } from '../crash/world.ts'
import { type Shipped, ship } from '../support/shipped.ts'

const crowd = 1000
const perReply = 50

const shared: { provider?: Provider; shipped?: Shipped; world?: World } = {}
beforeAll(async () => {
  shared.shipped = ship()
  shared.provider = await startProvider()
  shared.world = await makeWorld(shared.shipped.program, shared.provider, { children: crowd, concurrent: 64 })
})
afterAll(async () => {
  await shared.provider?.stop()
  shared.world?.remove()
  shared.shipped?.remove()
})

function peakMb(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
}

test('a thousand children come back', async () => {
  const { world, provider } = { world: shared.world!, provider: shared.provider! }
  const life = world.start()
  try {
    const wire = (await life.connect())!
    const control = (await life.connect())!
    const steps = Array.from({ length: crowd / perReply }, (_, i) => ({
      spawn: { from: i * perReply, count: perReply, child: {} },
    }))
    const plan: Plan = { id: 'crowd', steps, children: crowd }
    const state = { asking: true, answered: 0 }
    const asking = (async () => {
      while (state.asking) {
        await control.ask('health')
        state.answered += 1
        await sleep(20)
      }
    })()
    await wire.turn({
      message: taskOf(plan),
      agentId: 'main',
      sessionKey: 'agent:main:crowd',
      idempotencyKey: 'crowd',
    })
    await provider.until('all results', seen => seen.plan === 'crowd' && seen.seen.length === crowd, 120_000)
    await provider.until('the answer', seen => seen.say === `done crowd ${crowd}/${crowd}` && seen.sentAt > 0)
    state.asking = false
    await asking
    while (readFacts(world.home.path, 'crowd')!.runs.some(run => run.state !== 'done')) await sleep(50)

    const { runs, inbox } = readFacts(world.home.path, 'crowd')!
    const results = inbox.filter(row => row.kind === 'result' && row.state === 'read')
    expect(runs.filter(run => run.outcome === 'succeeded').length).toBe(crowd + 1)
    expect(new Set(results.map(row => row.from_run)).size).toBe(crowd)
    expect(results.length).toBe(crowd)
    expect(state.answered).toBeGreaterThan(10)
    expect(peakMb(life.pid)).toBeLessThan(512)
    await Promise.all([wire.close(), control.close()])
  } finally {
    await life.kill()
  }
})
