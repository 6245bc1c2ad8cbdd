/** Albums in a group: the words on one picture are meant for all of them, and nobody else's picture rides along. */
import { expect, onTestFinished, test } from 'vitest'
import { until } from '../support/app.ts'
import { stubConfig } from '../support/gateway.ts'
import { startProvider } from '../support/provider.ts'
import { openChatWorld } from './support.ts'

const head = '89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de'
const picture = (mark: string) => {
  const data = Buffer.concat([Buffer.from(head, 'hex'), Buffer.from(mark)]).toString('base64')
  return { kind: 'image' as const, name: `${mark}.png`, mimeType: 'image/png', data }
}

test.each(['steer', 'followup', 'interrupt'])('one turn has them all: %s', async mode => {
  const provider = await startProvider()
  const { channels: _none, ...model } = stubConfig(provider.baseUrl)
  const world = await openChatWorld(
    { groupPolicy: 'open', groups: { g1: { requireMention: true } } },
    { ...model, messages: { queue: { mode } } },
  )
  onTestFinished(async () => {
    await world.close()
    await provider.close()
  })
  const say = (from: string, mark: string, text = '', mentioned = false) =>
    world.service.group('g1', from, text, { album: 'al1', media: [picture(mark)], mentioned })
  say('7', 'first', 'what is this?', true)
  say('7', 'second')
  say('8', 'others', 'mine')
  const last = say('7', 'third')
  await until(() => world.service.shown.length, Boolean)
  await until(() => world.service.acknowledged(last), Boolean)
  expect(provider.requests).toHaveLength(1)
  const asked = JSON.stringify(provider.requests[0]!.body)
  for (const mark of ['first', 'second', 'third']) expect(asked).toContain(picture(mark).data)
  expect(asked).not.toContain(picture('others').data)
})

test('an album that comes while the agent works waits for one turn, where other messages have one each', async () => {
  const gate = Promise.withResolvers<void>()
  const provider = await startProvider({
    async script({ n }) {
      if (n === 0) await gate.promise
      return { text: `answer ${n}` }
    },
  })
  const { channels: _none, ...model } = stubConfig(provider.baseUrl)
  const world = await openChatWorld(
    { dmPolicy: 'allowlist', allowFrom: [7] },
    { ...model, messages: { queue: { mode: 'followup' } } },
  )
  onTestFinished(async () => {
    gate.resolve()
    await world.close()
    await provider.close()
  })
  world.service.direct('7', 'hello')
  await until(() => provider.requests.length, Boolean)
  world.service.direct('7', 'by itself')
  world.service.direct('7', 'what is this?', { album: 'al1', media: [picture('first')] })
  const last = world.service.direct('7', '', { album: 'al1', media: [picture('second')] })
  await until(() => world.service.acknowledged(last), Boolean)
  gate.resolve()
  await until(
    () => world.service.shown.length,
    n => n === 3,
  )
  const asked = provider.requests.map(({ body }) => JSON.stringify(body))
  expect(asked).toHaveLength(3)
  for (const mark of ['first', 'second']) {
    expect(asked[1]).not.toContain(picture(mark).data)
    expect(asked[2]).toContain(picture(mark).data)
  }
})
