/**
 * A person asks from Telegram; an orchestrator has five workers with three workers each. One hangs, one fails, one floods, one
 * asks for approval, one is ended by the operator, one exceeds its budget, and the gateway is killed twice in between. What
 * stands at the end, every message that the person saw and every cent are asserted.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sleep } from '../../bench/processes.ts'
import { repeatMark } from '../../src/channels/repeat.ts'
import { makeWorld, type World } from '../crash/world.ts'
import { type Provider, startProvider } from '../support/provider.ts'
import { type Shipped, ship } from '../support/shipped.ts'
import { openTelegram, type TelegramService } from '../support/telegram/service.ts'
import { type Books, readBooks, roleOf } from './rows.ts'
import { command, floods, nano, openScript, price } from './script.ts'

const shared: { shipped?: Shipped; provider?: Provider; telegram?: TelegramService; world?: World<Provider> } = {}
const models = openScript()

beforeAll(async () => {
  shared.shipped = ship()
  shared.provider = await startProvider({ script: models.script })
  shared.telegram = await openTelegram()
  shared.world = await makeWorld(shared.shipped.program, shared.provider, { children: 5, concurrent: 30 })
})
afterAll(async () => {
  await shared.telegram?.close()
  await shared.provider?.close()
  shared.world?.remove()
  shared.shipped?.remove()
})

function configure(home: string, telegram: TelegramService): void {
  const file = join(home, 'deputy.json')
  const config = JSON.parse(readFileSync(file, 'utf8'))
  config.models.providers.stub.models[0].cost = { ...price, cacheRead: 0, cacheWrite: 0 }
  config.models.providers.stub.models[0].contextWindow = 200_000
  config.agents.defaults.budget = { usd: 20 }
  config.agents.list = [
    { id: 'main', default: true, subagents: { allowAgents: ['worker'] } },
    { id: 'worker', subagents: { allowAgents: ['worker'] } },
  ]
  config.tools = { exec: { sandbox: 'off', ask: 'always' } }
  config.channels = {
    telegram: { botToken: telegram.token, apiRoot: telegram.url, dmPolicy: 'allowlist', allowFrom: [7] },
  }
  config.commands = { ownerAllowFrom: ['telegram:7'] }
  writeFileSync(file, JSON.stringify(config))
}

async function until(home: string, what: string, so: (books: Books) => boolean): Promise<Books> {
  for (const end = Date.now() + 45_000; ; await sleep(20)) {
    const books = readBooks(home)
    if (books && so(books)) return books
    if (Date.now() > end)
      throw new Error(`never: ${what}\n${JSON.stringify(books?.runs.map(r => [roleOf(r), r.state, r.outcome]))}`)
  }
}

test('five workers with three workers each, six accidents, two deaths', { timeout: 150_000 }, async () => {
  const { world, telegram } = { world: shared.world!, telegram: shared.telegram! }
  const home = world.home.path
  configure(home, telegram)
  const anna = telegram.world.user(7, 'Anna', 'anna')
  const shown = () => telegram.world.byBot(7).map(message => message.text ?? '')

  // The first life ends when everybody has been sent to work.
  const first = world.start()
  telegram.world.say(anna, 'Please do all of it.')
  await until(home, 'all spawned', books => books.runs.length === 21)
  await first.kill()

  // The second life ends while a person is being asked.
  const second = world.start()
  await until(home, 'the question', books => books.approvals.some(one => one.state === 'pending'))
  await telegram.world.until(() => shown().some(text => text.includes(command)), 'the question in the chat')
  await second.kill()

  const third = world.start()
  const wire = (await third.connect())!
  const question = telegram.world.byBot(7).find(message => message.text?.includes(command))!
  const button = question.reply_markup!.inline_keyboard.flat().find(one => one.callback_data?.includes('allow-once'))!
  telegram.world.press(anna, question, button.callback_data!)
  const hanging = readBooks(home)!.runs.find(run => roleOf(run) === 'w5.1')!
  await wire.ask('runs.cancel', { run: hanging.id })
  const books = await until(home, 'the end', ({ runs }) => runs.every(run => run.state === 'done'))
  await telegram.world.until(() => shown().some(text => text.startsWith('FINAL')), 'the answer')
  await until(home, 'all told', ({ outbox }) => outbox.every(row => row.state === 'sent'))

  // What stands at the end.
  const outcomes = Object.fromEntries(
    books.runs.map(run => [roleOf(run), `${run.outcome}${run.error_code ? ` ${run.error_code}` : ''}`]),
  )
  const accidents = {
    'w1.1': 'timed_out RUN_TIMED_OUT',
    'w2.1': 'failed MODEL_BAD_REQUEST',
    'w5.1': 'cancelled RUN_CANCELLED',
    'w5.2': 'budget_exhausted RUN_BUDGET',
  }
  const everybody = ['main', ...[1, 2, 3, 4, 5].flatMap(i => [`w${i}`, `w${i}.1`, `w${i}.2`, `w${i}.3`])]
  expect(outcomes).toEqual({ ...Object.fromEntries(everybody.map(role => [role, 'succeeded'])), ...accidents })
  expect([books.unread, books.openSteps]).toEqual([0, 0])
  expect(books.approvals).toEqual([
    { id: expect.any(String), kind: 'exec', state: 'allow-once', decided_by: 'sender:telegram:default:7' },
  ])
  expect(readFileSync(join(world.home.workspace, '..', 'workspace-worker', 'proof.txt'), 'utf8')).toBe('approved\n')
  const flood = (await wire.ask('runs.get', { run: books.runs.find(run => roleOf(run) === 'w3.1')!.id })) as {
    run: { result: string }
  }
  expect(flood.run.result.match(/flood/g)).toHaveLength(floods)

  // Every message that the person saw: nothing of the children's own, and nothing twice but what says that it may be.
  const bare = (text: string) => (text.startsWith(repeatMark) ? text.slice(repeatMark.length) : text)
  const seen = [...new Set(shown().map(bare))]
  expect(seen.map(text => text.split('\n')[0])).toEqual([
    'I split this among five.',
    'All five are at work.',
    'Approval needed: agent worker wants to run a command.',
    expect.stringMatching(/^Approval \w+ .*: allowed once by /),
    'FINAL ANSWER(w1) ANSWER(w2) ANSWER(w3) ANSWER(w4) ANSWER(w5)',
  ])
  for (const text of seen) expect(shown().filter(one => one === text).length).toBeLessThanOrEqual(1)

  // Every cent: each completed call at its price, each one in flight at a death in full, and nothing lost between the runs.
  const { usage, runs } = books
  expect(usage.filter(row => row.state === 'reserved')).toEqual([])
  const settled = usage.filter(row => row.state === 'settled')
  expect(settled.filter(row => row.input > 0).length).toBe(books.replies)
  for (const row of settled) expect(row.charged_nano).toBe(row.input * nano.input + row.output * nano.output)
  const sum = (rows: readonly number[]) => rows.reduce((total, one) => total + one, 0)
  const cost = sum(models.answered.map(({ usage: one }) => one.input * nano.input + one.output * nano.output))
  expect(sum(usage.map(row => row.charged_nano))).toBeGreaterThanOrEqual(cost)
  for (const run of runs) {
    const own = sum(usage.filter(row => row.run === run.id).map(row => row.charged_nano))
    const below = sum(runs.filter(child => child.parent === run.id).map(child => child.spent_nano))
    expect([roleOf(run), run.spent_nano, run.lent_nano]).toEqual([roleOf(run), own + below, 0])
  }
  await wire.close()
  await third.kill()
})
