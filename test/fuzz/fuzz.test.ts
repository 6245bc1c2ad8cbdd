/**
 * Hostile frames and requests against the real gateway: by default some tens of thousands, with DEPUTY_FUZZ=<frames> as many
 * as are asked for. Seeds that found something once stay in `seeds` and run every time.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { openGateways, stubConfig } from '../support/gateway.ts'
import { attack, type Counts } from './attack.ts'

const gateways = openGateways()
const token = 'f'.repeat(48)
const seeds = [1, 2, 3]
const perSeed = 4_000

function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
}

test('hostile input never stops it, never fills it, and lets nothing through', { timeout: 3_600_000 }, async () => {
  // With so small a heap a leak ends the process long before the input does.
  const home = gateways.home(
    stubConfig('http://127.0.0.1:9/v1', { gateway: { port: 0, auth: { mode: 'token', token } } }),
  )
  const gateway = await gateways.start(home, { env: { NODE_OPTIONS: '--max-old-space-size=128' } })
  const target = { url: (gateway.url ?? '').replace(/^http/, 'ws'), token }
  const wanted = Number(process.env['DEPUTY_FUZZ'] ?? seeds.length * perSeed)
  const total: Counts = { frames: 0, broken: 0, http: 0, answered: 0, refused: 0, closed: 0, letThrough: [] }
  // The first round warms everything up that is loaded on first use.
  await attack(target, 0, 3000, 100)
  const before = residentMb(gateway.pid)
  for (let round = 0; total.frames < wanted; round++) {
    const counts = await attack(
      target,
      seeds[round] ?? 1000 + round,
      Math.min(100_000, Math.max(perSeed, wanted / 20)),
      300,
    )
    for (const key of ['frames', 'broken', 'http', 'answered', 'refused', 'closed'] as const) total[key] += counts[key]
    total.letThrough.push(...counts.letThrough)
    expect(total.letThrough).toEqual([])
  }
  const after = residentMb(gateway.pid)
  console.log(
    `fuzz: ${JSON.stringify({ ...total, letThrough: total.letThrough.length })}, memory ${before.toFixed(0)} → ${after.toFixed(0)} MB`,
  )
  const client = await gateway.client()
  expect(await client.request('health', {})).toMatchObject({ ok: true })
  expect(gateway.said()).not.toMatch(/INTERNAL|TypeError|RangeError/)
  expect(after).toBeLessThan(400)
})
