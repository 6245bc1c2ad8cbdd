import { expect, test } from 'vitest'
import { openTestHouse, type Script, type TestHouse } from '../../test/support/house.ts'
import type { ModelFailure } from '../core/ports.ts'

const broken: ModelFailure = {
  class: 'network',
  code: 'MODEL_NETWORK',
  message: 'stub closed the line in the middle of an answer.',
  fix: 'Check the network.',
  provider: 'test',
  model: 'model',
}

async function inHouse(script: Script, body: (house: TestHouse) => Promise<void>): Promise<void> {
  const house = await openTestHouse({ script })
  try {
    await body(house)
  } finally {
    await house.close()
  }
}

/** Resolves with the run's row once it pauses. */
async function paused(house: TestHouse, run: string) {
  for (;;) {
    const view = await house.house.run(run)
    if (view?.run.wait?.for === 'timer') return view.run
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

test('a run that pauses says why, in its row and to whoever watches, until it goes on', async () => {
  await inHouse(
    (_, n) => (n === 1 ? { fail: { ...broken, retryAtMs: Date.now() + 400 } } : { text: 'here again' }),
    async house => {
      const { run } = await house.say('hello')
      expect(await paused(house, run)).toMatchObject({
        state: 'waiting',
        outcome: null,
        errorCode: 'MODEL_NETWORK',
        error: 'stub closed the line in the middle of an answer. Check the network.',
      })
      expect(house.events.find(event => event.on === 'run.state' && event.change === 'waiting')).toMatchObject({
        error: expect.stringContaining('closed the line'),
      })
      expect(await house.done(run)).toEqual({ text: 'here again', outcome: 'succeeded', error: null })
      expect((await house.house.run(run))!.run).toMatchObject({ errorCode: null, error: null })
    },
  )
})

test('a provider that never comes back ends the run it belongs to, with its code, after a dozen tries', async () => {
  await inHouse(
    () => ({ fail: { ...broken, retryAtMs: Date.now() } }),
    async house => {
      const { run } = await house.say('hello')
      expect(await house.done(run)).toMatchObject({
        outcome: 'failed',
        error: 'stub closed the line in the middle of an answer. Check the network.',
      })
      expect(house.requests).toHaveLength(12)
      expect((await house.house.run(run))!.run.errorCode).toBe('MODEL_NETWORK')
    },
  )
})

test('one that says when to come again is believed as often as it says so', async () => {
  await inHouse(
    (_, n) =>
      n <= 20
        ? { fail: { ...broken, class: 'rate_limit', code: 'MODEL_RATE_LIMIT', retryAtMs: Date.now() } }
        : { text: 'at last' },
    async house => {
      const { run } = await house.say('hello')
      expect(await house.done(run)).toMatchObject({ text: 'at last', outcome: 'succeeded' })
    },
  )
})
