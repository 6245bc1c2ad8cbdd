/** A file that could not be sent yet outlives a kill and a tidying, although nothing else of it is left. */
import { existsSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { sweepFiles } from '../../src/sessions/old-files.ts'
import { openStore } from '../../src/store/open.ts'
import { until } from '../support/app.ts'
import { openGateways, stubConfig } from '../support/gateway.ts'
import { startProvider } from '../support/provider.ts'
import { openTelegram } from '../support/telegram/service.ts'

const gateways = openGateways()

test('kill -9 while a file waits to be sent, and a month passes: it is sent, and goes when that is done', async () => {
  const service = await openTelegram()
  const { world } = service
  const ann = world.user(21, 'Ann')
  const provider = await startProvider({
    script: ({ results }) =>
      results.length > 0
        ? { text: 'sent it' }
        : { toolCalls: [{ name: 'message', args: { message: 'the plan', media: ['plan.txt'] } }] },
  })
  const block = { botToken: service.token, apiRoot: service.url, dmPolicy: 'allowlist', allowFrom: [ann.id] }
  const home = gateways.home(stubConfig(provider.baseUrl, { channels: { telegram: block } }))
  const [workspace, folder] = [join(home, 'workspace'), join(home, 'media', 'outbound')]
  mkdirSync(workspace)
  writeFileSync(join(workspace, 'plan.txt'), 'dig here')
  service.chaos = method => (method === 'sendDocument' ? { refuse: { code: 429, retryAfter: 1 } } : null)
  const first = await gateways.start(home)
  onTestFinished(async () => {
    await first.kill()
    await provider.close()
    await service.close()
  })
  world.say(ann, 'send me the plan')
  await until(() => service.calls.some(({ method }) => method === 'sendDocument'), Boolean)
  await first.kill()

  rmSync(join(workspace, 'plan.txt'))
  const sweep = async () => {
    const [name] = readdirSync(folder)
    const old = Date.now() / 1000 - 30 * 24 * 3600
    utimesSync(join(folder, name!), old, old)
    const store = await openStore({ dir: home, log: () => undefined })
    const clock = { now: () => Date.now() }
    const removed = await sweepFiles({
      store,
      clock,
      stateDir: home,
      workspaces: () => [],
      rules: () => ({ transcripts: null }),
    })
    await store.close()
    return removed
  }
  expect(await sweep()).toBe(0)

  service.chaos = null
  const second = await gateways.start(home)
  onTestFinished(() => second.kill().then(() => undefined))
  const shown = await world.until(() => world.byBot(ann.id).find(one => 'document' in one), 'the file')
  const { file_id } = shown['document'] as { file_id: string }
  expect(world.files.get(file_id)!.bytes.toString()).toBe('dig here')
  await world.until(() => world.byBot(ann.id).find(({ text }) => text === 'sent it'), 'the words')
  await second.stop()
  expect(await sweep()).toBe(1)
  expect(existsSync(folder) && readdirSync(folder)).toEqual([])
}, 60_000)
