/** The shipped gateway when a budget is used up: asked in a Telegram chat by button, over kills, and by `deputy approvals`. */
import { expect, onTestFinished, test } from 'vitest'
import { openGateways, stubConfig } from '../support/gateway.ts'
import { type ProviderReply, type ProviderRequest, startProvider } from '../support/provider.ts'
import { openTelegram } from '../support/telegram/service.ts'

const gateways = openGateways()

/** Lists its agents as often as the newest message says, telling how far it is, and is finished then. */
function looks({ turns, user }: ProviderRequest): ProviderReply {
  const asked = turns.findLastIndex(turn => JSON.stringify(turn).includes('look '))
  const seen = turns.slice(asked).filter(turn => turn.role === 'assistant').length
  const times = Number(/look (\d+) times/.exec(user)?.[1] ?? 0)
  return seen >= times
    ? { text: 'finished' }
    : { text: `so far ${seen}`, toolCalls: [{ name: 'agents_list', args: {} }] }
}

async function open(more: Record<string, unknown>) {
  const service = await openTelegram()
  const provider = await startProvider({ script: looks })
  const { world } = service
  const ann = world.user(21, 'Ann', 'ann_a')
  const block = { botToken: service.token, apiRoot: service.url, dmPolicy: 'allowlist', allowFrom: [ann.id] }
  const home = gateways.home(
    stubConfig(provider.baseUrl, {
      channels: { telegram: block },
      commands: { ownerAllowFrom: ['telegram:21'] },
      ...more,
    }),
  )
  onTestFinished(async () => {
    await provider.close()
    await service.close()
  })
  const start = async () => {
    const gateway = await gateways.start(home)
    onTestFinished(() => gateway.kill().then(() => undefined))
    return gateway
  }
  const question = (n = 1) =>
    world.until(() => world.byBot(ann.id).filter(one => one.text?.startsWith('Approval needed'))[n - 1], 'a question')
  const press = async (word: string, n = 1) => {
    const message = await question(n)
    const value = message.reply_markup!.inline_keyboard.flat().find(one => one.callback_data?.includes(word))!
    world.press(ann, message, value.callback_data!)
  }
  const sees = (text: string) => world.until(() => world.byBot(ann.id).find(one => one.text?.includes(text)), text)
  return { world, ann, home, start, question, press, sees }
}

test('a conversation asks by button, goes on over a kill when it is allowed, and hands over what it has when it is not', async () => {
  const { world, ann, home, start, question, press, sees } = await open({
    agents: { defaults: { model: 'stub/m', budget: { calls: 2 } } },
  })
  const first = await start()
  world.say(ann, 'look 3 times')
  const asked = await question()
  expect(asked.text).toContain('The budget of 2 model calls of this run is used up')
  expect(asked.text).toContain('Allowed, it goes on with 2 model calls more, for this run.')
  expect(asked.reply_markup!.inline_keyboard.flat().map(one => one.text)).toEqual(['Allow once', 'Deny'])
  await first.kill()
  const second = await start()
  await press('allow-once')
  await sees('finished')
  expect(world.byBot(ann.id).filter(one => one.text?.startsWith('Approval needed'))).toHaveLength(1)

  world.say(ann, 'look 9 times')
  await press('deny', 2)
  const end = await sees('(Not finished: the budget of 2 model calls of this run is used up')
  expect(end.text).toMatch(/^so far \d\n\n\(Not finished: .*; more was denied by sender:telegram:default:21\.\)$/)
  const { rows } = JSON.parse((await gateways.run(home, ['usage', '--json'])).out) as { rows: { calls: number }[] }
  expect(rows.reduce((sum, row) => sum + row.calls, 0)).toBe(6)
  await second.stop()
}, 60_000)

test('a limit of the day: deputy approvals, runs tree and explain name it, and usage shows what was allowed', async () => {
  const { world, ann, home, start, question, sees } = await open({
    agents: { defaults: { model: 'stub/m' }, dailyBudget: { calls: 2 } },
  })
  const gateway = await start()
  const deputy = async (...args: string[]) => (await gateways.run(home, args)).out
  world.say(ann, 'look 3 times')
  await question()
  const { pending } = JSON.parse(await deputy('approvals', 'list', '--json')) as { pending: { id: string }[] }
  const short = pending[0]!.id.slice(0, 8)
  expect(await deputy('approvals', 'list')).toMatch(
    new RegExp(`${short} +main +waits +main asks to go on past its budget`),
  )
  const shown = await deputy('approvals', 'show', short)
  expect(shown).toContain('| The budget of 2 model calls of all agents today (agents.dailyBudget) is used up')
  expect(shown).toContain('| Allowed, it goes on with 2 model calls more, until ')
  expect(await deputy('runs', 'tree')).toContain(`asks to go on past its budget (/approve ${short})`)
  const { runs } = JSON.parse(await deputy('runs', 'list', '--live', '--json')) as { runs: { run: string }[] }
  const explained = await deputy('explain', runs[0]!.run)
  expect(explained).toContain(`Question ${short}: it asks to go on past its budget`)
  expect(explained).toContain('agents.dailyBudget')
  expect(explained).toContain('allowed, it goes on; denied, it ends')
  expect(explained).toContain(`deputy approvals approve ${short}`)
  expect(await deputy('approvals', 'approve', short)).toBe(`${short}: allowed once.\n`)
  await sees(`Approval ${short} (main asks to go on past its budget): allowed once.`)
  await sees('finished')
  expect(await deputy('usage')).toContain('Today, all agents: 4 of 4 calls (2 calls of it allowed today)')
  await gateway.stop()
}, 60_000)
