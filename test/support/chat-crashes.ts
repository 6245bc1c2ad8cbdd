/**
 * The whole story over one service, seed by seed: what test/crash/<service>.test.ts declares as its tests.
 *
 * Owns how many seeds and rounds there are, and what a verdict must be. A seed is the whole list of what happens when.
 * `DEPUTY_SEED=7,8` plays those; DEPUTY_LONG=1 plays hundreds of rounds.
 */
import { expect, onTestFinished, test } from 'vitest'
import { random } from '../crash/kills.ts'
import { play, type Stage, storyConfig, storyReply } from './chat-story.ts'
import { openGateways } from './gateway.ts'
import { startProvider } from './provider.ts'

interface Show<Service> {
  open(): Promise<Service>
  /** `streaming`: words are shown while they grow. */
  stage(service: Service, streaming: boolean): Stage
  /** The service tells what was sent already: nothing may be marked, but what was growing when the gateway died. */
  tellsRepeats: boolean
  /** Seeds that have found something. */
  kept?: readonly number[]
}

/** To be called at the top of a test file. */
export function chatCrashes<Service extends { close(): Promise<void> }>(show: Show<Service>): void {
  const gateways = openGateways()
  const long = process.env['DEPUTY_LONG'] === '1'
  const rounds = long ? 8 : 2
  const given = process.env['DEPUTY_SEED']?.split(',').map(Number)
  const seeds = given ?? [...new Set([...Array.from({ length: long ? 10 : 2 }, (_, i) => i + 1), ...(show.kept ?? [])])]

  for (const seed of seeds) {
    test(`kills and drops at random moments, seed ${seed}`, { timeout: 900_000 }, async () => {
      const next = random(seed)
      const service = await show.open()
      const provider = await startProvider({ script: request => storyReply(request, () => Math.floor(next() * 40)) })
      onTestFinished(async () => {
        await provider.close()
        await service.close()
      })
      const stage = show.stage(service, seed % 2 === 1)
      const config = storyConfig(provider.baseUrl, stage)
      const verdict = await play({ gateways, config, stage, seed, rounds, next })
      if (long || given)
        console.log(`seed ${seed}: ${JSON.stringify({ ...verdict, happened: verdict.happened.length })}`)
      if (show.tellsRepeats && seed % 2 === 0) expect(verdict.marked).toBe(0)
      expect(verdict.problems, verdict.happened.join(', ')).toEqual([])
    })
  }
}
