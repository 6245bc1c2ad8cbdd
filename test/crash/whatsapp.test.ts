/**
 * The whole story over WhatsApp, while the gateway is killed and the service drops, at random moments: nothing is lost,
 * order is kept, and nobody sees anything twice.
 *
 * A seed is the whole list of what happens when. `DEPUTY_SEED=7,8` plays those; DEPUTY_LONG=1 plays hundreds of rounds.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { openGateways } from '../support/gateway.ts'
import { delegating } from '../support/whatsapp/delegating.ts'
import { openWorld } from '../support/whatsapp/world.ts'
import { random } from './kills.ts'

const gateways = openGateways()
const long = process.env['DEPUTY_LONG'] === '1'
const rounds = long ? 8 : 4
const given = process.env['DEPUTY_SEED']?.split(',').map(Number)
const seeds = given ?? Array.from({ length: long ? 30 : 1 }, (_, i) => i + 1)

const faults = [
  'kill',
  'kill',
  'kill',
  'cut',
  'cut',
  'down',
  'again',
  'lose receipts',
  'lose answer',
  'freeze',
] as const

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

for (const seed of seeds) {
  test(`kills and drops at random moments, seed ${seed}`, { timeout: 300_000 }, async () => {
    const next = random(seed)
    const pick = <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)]!
    const { config } = await delegating(() => Math.floor(next() * 40))
    const world = await openWorld(gateways, config)
    onTestFinished(() => world.close())
    const { ann, owner, service } = world
    let gateway = await world.start()
    onTestFinished(() => gateway.kill().then(() => undefined))
    const happened: string[] = []

    async function strike(id: string): Promise<void> {
      const fault = pick(faults)
      const at = Math.floor(next() * 500)
      happened.push(`${fault} at ${at}`)
      await sleep(at)
      if (fault === 'kill') {
        await gateway.kill()
        await sleep(next() * 200)
        gateway = await world.start()
      } else if (fault === 'cut') service.cut(owner)
      else if (fault === 'down') {
        await service.down()
        await sleep(next() * 300)
        await service.up()
      } else if (fault === 'again') service.again(owner, id)
      else if (fault === 'freeze') {
        const thaw = service.freeze(owner)
        await sleep(next() * 400)
        thaw()
      } else {
        // What the service is told gets lost, and then the line: it brings the message again.
        const lost = fault === 'lose receipts' ? ['receipt', 'ack'] : ['message']
        service.judge = said => (lost.includes(said.tag) ? (said.tag === 'message' ? 'cut after' : 'swallow') : 'pass')
        await sleep(next() * 200)
        service.judge = () => 'pass'
        service.cut(owner)
      }
    }

    const expected: string[] = []
    for (let round = 1; round <= rounds; round++) {
      const name = `s${seed}r${round}`
      const id = await ann.phone.say(owner.jid, `go ${name}`)
      const strikes = Array.from({ length: 1 + Math.floor(next() * 2) })
      for (const _ of strikes) await strike(id)
      try {
        await ann.sees(one => one.text === `told ${name}`, 30_000)
      } catch (error) {
        throw new Error(`${name}, after ${happened.join(', ')}\n${gateway.said().slice(-3000)}`, { cause: error })
      }
      expected.push(`on it ${name}`, `told ${name}`)
    }
    expect({ happened, texts: ann.texts }).toEqual({ happened, texts: expected })
    expect(service.post.faults).toEqual([])
  })
}
