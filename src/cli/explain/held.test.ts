/** What people are told of a run that waits for its provider, and of a fallback that answered instead. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Desk, openDesk } from '../../../test/support/cli.ts'
import { type Provider, startProvider } from '../../../test/support/provider.ts'

let desk: Desk
let one: Provider
let two: Provider
beforeEach(async () => {
  one = await startProvider({
    script: () => ({ status: 429, error: { message: 'Slow down' }, headers: { 'retry-after': '20' } }),
  })
  two = await startProvider({ script: () => ({ text: 'two says hello' }) })
  const provider = ({ baseUrl }: Provider) => ({ baseUrl, apiKey: 'sk-secret-0123456789', models: [{ id: 'm' }] })
  desk = openDesk()
  desk.configure({
    models: { providers: { one: provider(one), two: provider(two) } },
    agents: {
      defaults: { model: 'one/m' },
      entries: { main: {}, careful: { model: { primary: 'one/m', fallbacks: ['two/m'] } } },
    },
  })
})
afterEach(async () => {
  await one.close()
  await two.close()
})

const said = 'one answered 429: Slow down (it asks to wait 20 s)'

test('a run that is held: for which model and key, until when, and what the provider said', async () => {
  await desk.start()
  const waiting = desk.deputy('agent', '--message', 'hello')
  const runs = async () =>
    (await desk.json<{ runs: { run: string; state: string; waitUntil?: number }[] }>('runs', 'list')).document.runs
  let [run] = await runs()
  while (run?.state !== 'waiting') [run] = await runs()
  expect(run.waitUntil).toBeGreaterThan(Date.now() + 10_000)
  expect((await desk.deputy('runs', 'tree')).out).toContain(`held for one/m, key config:one: ${said}`.slice(0, 70))
  expect((await desk.deputy('runs', 'show', run.run)).out).toMatch(
    /waiting for one\/m, key config:one until .* \(\d+ s from now\)/,
  )
  const explained = (await desk.json<{ here: string[]; code: string }>('explain', run.run)).document
  expect(explained.code).toBe('MODEL_RATE_LIMIT')
  expect(explained.here[0]).toMatch(/^It waits for one\/m, key config:one, until .* Every run that would use this key/)
  expect(explained.here[0]).toContain(said)
  const status = (await desk.deputy('agent', '--message', '/status')).out
  expect(status).toMatch(/It is not asked for \d+s: one answered 429: Slow down/)
  expect((await desk.deputy('agent', '--message', '/tasks')).out).toMatch(/, for one\/m, key config:one \(\d+s\)/)
  expect(JSON.stringify(explained) + status).not.toContain('sk-secret')
  await desk.deputy('runs', 'cancel', '--all')
  await waiting
  expect(one.requests).toHaveLength(1)
})

test('a fallback that answered: which, instead of which, and why', async () => {
  await desk.start()
  expect((await desk.deputy('agent', '--agent', 'careful', '--message', 'hello')).out).toBe('two says hello\n')
  const { document } = await desk.json<{ runs: { run: string }[] }>('runs', 'list')
  const { here } = (await desk.json<{ here: string[] }>('explain', document.runs[0]!.run)).document
  expect(here.join('\n')).toContain(`Step 1 was answered by two/m instead of one/m: ${said}`)
  expect((await desk.deputy('agent', '--agent', 'careful', '--message', '/status')).out).toContain(
    `Answered last by two/m, since one/m did not: ${said}`,
  )
})
