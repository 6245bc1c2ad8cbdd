/**
 * The whole story over WhatsApp, while the gateway is killed and the service drops, loses what it is told and freezes, at
 * random moments. Whoever gets the same id twice sees it once, so that nobody reads anything twice. There are no buttons:
 * leave is given in words, which stand behind each question.
 *
 * Seeds, and how to play them again: test/support/chat-crashes.ts.
 */
import { expect, onTestFinished, test } from 'vitest'
import { chatCrashes } from '../support/chat-crashes.ts'
import { openGateways } from '../support/gateway.ts'
import { delegating } from '../support/whatsapp/delegating.ts'
import { startFakeWhatsApp } from '../support/whatsapp/server.ts'
import { stageOf } from '../support/whatsapp/stage.ts'
import { openWorld } from '../support/whatsapp/world.ts'

const gateways = openGateways()

// First contact: the key that the message came with is used up by reading it once.
for (const point of ['accept:before:1', 'accept:after:1', 'accept:resolve:1']) {
  test(`killed at ${point}: the service was told nothing, and what a stranger's first message asked is done once`, async () => {
    const { config } = await delegating()
    const world = await openWorld(gateways, config)
    onTestFinished(() => world.close())
    const { ann, owner, service } = world
    const doomed = await world.start({ DEPUTY_CRASH: point })
    onTestFinished(() => doomed.kill().then(() => undefined))
    await service.until(() => service.online(owner))
    const id = await ann.phone.say(owner.jid, 'go once')
    await doomed.ended
    expect(service.waiting(owner)).toContain(id)
    expect(service.post.receipts.filter(({ ids }) => ids.includes(id))).toEqual([])
    const gateway = await world.start()
    onTestFinished(() => gateway.kill().then(() => undefined))
    await ann.sees(one => one.text === 'told once')
    await service.until(() => !service.waiting(owner).includes(id))
    expect(ann.texts).toEqual(['on it once', 'told once'])
    expect(service.post.refusals).toEqual([])
  }, 60_000)
}

chatCrashes({ open: () => startFakeWhatsApp(), stage: stageOf, tellsRepeats: true })
