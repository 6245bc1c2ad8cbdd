/** The shipped gateway and people with Telegram: the second of the user's cases, word for word, and approvals by button. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openGateways, stubConfig } from '../support/gateway.ts'
import { type ProviderReply, type ProviderRequest, startProvider } from '../support/provider.ts'
import { openTelegram } from '../support/telegram/service.ts'

const gateways = openGateways()

async function open(script: (request: ProviderRequest) => ProviderReply, more: Record<string, unknown> = {}) {
  const service = await openTelegram()
  const provider = await startProvider({ script })
  const ann = service.world.user(21, 'Ann', 'ann_a')
  const stranger = service.world.user(99, 'Mallory')
  const block = { botToken: service.token, apiRoot: service.url, dmPolicy: 'allowlist', allowFrom: [ann.id] }
  const home = gateways.home(stubConfig(provider.baseUrl, { channels: { telegram: block }, ...more }))
  const gateway = await gateways.start(home)
  onTestFinished(async () => {
    await gateway.kill()
    await provider.close()
    await service.close()
  })
  const { world } = service
  const sees = (text: string) => world.until(() => world.byBot(ann.id).find(one => one.text?.includes(text)), text)
  return { service, provider, world, ann, stranger, home, gateway, sees }
}

function reply(request: ProviderRequest): ProviderReply {
  if (request.system.includes('You are a sub-agent')) return { text: 'the extract' }
  const said = request.turns
    .map(turn => /(go|the extract)/.exec(JSON.stringify(turn)))
    .findLast(match => match !== null)
  if (said?.[1] === 'the extract') return { text: 'told: the extract' }
  if (request.results.length > 0) return { text: 'on it' }
  return { toolCalls: [{ name: 'sessions_spawn', args: { agentId: 'extractor', task: 'extract it', label: 'x' } }] }
}

test('Telegram in allowlist mode delegates, by command and by the agent, and never touches the pairing of devices', async () => {
  const list = [{ id: 'main', default: true, subagents: { allowAgents: ['extractor'] } }, { id: 'extractor' }]
  const { world, service, ann, stranger, home, gateway, sees } = await open(reply, {
    agents: { defaults: { model: 'stub/m', subagents: { maxSpawnDepth: 2 } }, list },
    gateway: { port: 0, bind: 'loopback', auth: { mode: 'token', token: 'a-token-of-thirty-two-characters' } },
  })
  world.say(stranger, 'let me in')
  world.say(stranger, '/subagents spawn extractor do harm')
  world.say(ann, '/subagents spawn extractor extract it')
  await sees('Started #1: extractor')
  await sees('told: the extract')
  world.say(ann, 'go')
  await world.until(() => world.byBot(ann.id).filter(one => one.text === 'told: the extract').length === 2, 'second')

  const client = await gateway.client()
  const devices = await client.request('device.pair.list', {})
  expect([devices.pending, devices.paired]).toEqual([[], []])
  expect(world.byBot(stranger.id)).toEqual([])
  const log = join(home, 'logs/deputy.log')
  const said = gateway.said() + (existsSync(log) ? readFileSync(log, 'utf8') : '')
  expect(said + JSON.stringify(world.shown)).not.toMatch(/1008|pairing required/i)
  expect(said).not.toContain(service.token.split(':')[1])
  // The commands are listed as they are typed, and the sign that somebody writes was shown.
  expect(world.commands.map(one => one.command)).toContain('subagents')
  expect(world.typing.some(({ chat }) => chat === ann.id)).toBe(true)
}, 60_000)

test('a question comes with buttons; a stranger presses in vain, the person who asked is heard, over a kill', async () => {
  const asks = (request: ProviderRequest): ProviderReply =>
    request.results.length > 0
      ? { text: `wrote: ${request.results[0]!.text.slice(0, 40)}` }
      : { toolCalls: [{ name: 'write', args: { path: 'note.txt', content: 'hello' } }] }
  const { world, ann, stranger, home, gateway, sees } = await open(asks, {
    tools: { ask: ['write'] },
    commands: { ownerAllowFrom: ['telegram:21'] },
  })
  world.say(ann, 'write it down')
  const question = await world.until(() => world.byBot(ann.id).find(one => one.reply_markup), 'buttons')
  const values = question.reply_markup!.inline_keyboard.flat().map(one => one.callback_data ?? '')
  const yes = values.find(value => value.includes('once'))!
  world.press(stranger, question, yes)
  await world.until(() => world.answered.length === 1, 'an end of the wait')
  expect(world.message(ann.id, question.message_id)!.reply_markup).toBeDefined()
  expect(existsSync(join(home, 'workspace', 'note.txt'))).toBe(false)

  await gateway.kill()
  const second = await gateways.start(home)
  onTestFinished(() => second.kill().then(() => undefined))
  world.press(ann, world.message(ann.id, question.message_id)!, yes)
  await sees('wrote:')
  await world.until(() => !world.message(ann.id, question.message_id)!.reply_markup, 'no buttons')
  expect(readFileSync(join(home, 'workspace', 'note.txt'), 'utf8')).toBe('hello')
}, 60_000)
