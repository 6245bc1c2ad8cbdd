/** The runs commands of the shipped program: a watched tree, steering, retrying, a long result, a walk with Enter. */
import { expect, test } from 'vitest'
import type { RunRow } from '../../src/protocol/results.ts'
import { openGateways } from '../support/gateway.ts'

const gateways = openGateways()

test('from a spawn to its replay, over real processes', async () => {
  const home = gateways.home({
    gateway: { port: 0 },
    agents: {
      defaults: { model: 'rehearsal/rehearsal' },
      entries: { main: { subagents: { allowAgents: ['extractor'] } }, extractor: {} },
    },
  })
  const gateway = await gateways.start(home)
  const deputy = (...args: string[]) => gateways.run(home, ['runs', ...args])
  const json = async <T>(...args: string[]): Promise<T> => {
    const { code, out, err } = await gateways.run(home, [...args, '--json'])
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${err}`)
    return JSON.parse(out) as T
  }

  const { run } = await json<{ run: string }>('spawn', 'extractor', 'sleep 600000')
  const watched = deputy('tree', run, '--watch')
  const steered = await deputy('steer', run, 'leave out b')
  expect(steered).toMatchObject({ code: 0, err: '' })
  expect((await deputy('retry', run)).err).toContain('RUN_LIVE')
  expect((await deputy('cancel', run)).code).toBe(0)
  const last = await watched
  expect(last).toMatchObject({ code: 0, err: '' })
  expect(last.out).toMatch(/^⊘ extractor +sleep 600000/)

  const long = 'word '.repeat(16_000).trim()
  const first = await json<{ run: string }>('spawn', 'extractor', `say ${long}`)
  expect((await deputy('tree', first.run, '--watch')).out).toMatch(/^✓ extractor/)
  const again = await json<{ run: string; returnTo: string }>('runs', 'retry', first.run)
  expect(again.returnTo).toBe('agent:main:main')
  expect((await deputy('tree', again.run, '--watch')).out).toMatch(/^✓ extractor/)
  const shown = await json<{ run: RunRow; mail: unknown }>('runs', 'show', again.run)
  expect(shown).toMatchObject({ run: { outcome: 'succeeded' }, mail: { sessionKey: 'agent:main:main' } })

  expect(await gateway.stop()).toMatchObject({ code: 0 })
  const { code, out } = await deputy('result', again.run)
  expect({ code, whole: out === `${long}\n` }).toEqual({ code: 0, whole: true })
  expect((await deputy('steps', again.run)).out).toMatch(/1 +model +rehearsal/)
  // One Enter a step; the input's end is the end of the walk.
  const main = (await json<{ runs: RunRow[] }>('runs', 'list')).runs.find(({ agent }) => agent === 'main')!
  const walked = await gateways.run(home, ['runs', 'replay', main.run, '--step'], '\n'.repeat(50))
  expect(walked).toMatchObject({ code: 0 })
  expect(walked.out).toMatch(/\n1 model rehearsal.*shown.*new {4}from sub-agent extractor.*reply/s)
  expect((await deputy('steer', run, 'x')).code).toBe(3)
}, 60_000)
