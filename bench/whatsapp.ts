/**
 * Measures of WhatsApp: from a message that leaves the service to the model, and from the model's answer to the service; one
 * chat at a time, and a hundred at once. The service and its phones live in this process and share the machine.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Person } from '../test/support/whatsapp/people.ts'
import { type Bench, type Measure, times } from './measure.ts'
import { sum } from './stats.ts'
import { micros } from './stub.ts'
import { start, type Target } from './targets.ts'

const chats = 100

interface Way {
  /** The message has left the service → the model is asked, ms. */
  in: number
  /** The model has answered → the answer is at the service, ms. */
  out: number
}

async function measured(bench: Bench): Promise<{ ways: Way[]; crowdSeconds: number }> {
  // Heavy, and needed by this measure alone.
  const { linkByQr, numbers, openAccount } = await import('../test/support/whatsapp/bench.ts')
  const { startFakeWhatsApp } = await import('../test/support/whatsapp/server.ts')
  const { trusting } = await import('../test/support/whatsapp/world.ts')
  const service = await startFakeWhatsApp()
  service.trust()
  const owner = service.person('Olga', numbers.owner)
  const people = Array.from({ length: chats }, (_, i) => service.person(`P${i}`, `+49152${1_000_000 + i}`))
  const told = new Map<string, number>()
  const said = new Map<string, number>()
  service.judge = (stanza, device) => {
    if (stanza.tag === 'message' && device?.person === owner) said.set(stanza.attrs['to'] ?? '', micros())
    return 'pass'
  }
  service.tells = stanza => {
    if (stanza.tag === 'message') told.set(stanza.attrs['id'] ?? '', micros())
    return true
  }
  const env = trusting(service)
  const target: Target = {
    ...bench.target,
    command(home, args) {
      const plain = bench.target.command(home, args)
      return { ...plain, env: { ...plain.env, ...env } }
    },
  }
  const home = await bench.target.makeHome(bench.provider.baseUrl)
  const file = join(home.path, 'deputy.json')
  const channels = { whatsapp: { dmPolicy: 'open', allowFrom: ['*'] } }
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), channels }))
  const stateDir = join(home.path, 'channels', 'whatsapp', 'default')
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  const { account } = await openAccount(stateDir)
  await linkByQr(service, owner, account)
  await service.until(() => service.waiting(owner).length === 0)
  await account.stop()
  await service.until(() => !service.online(owner))
  const gateway = await start(target, home)
  try {
    await service.until(() => service.online(owner))
    const ask = async (person: Person): Promise<string> => {
      const before = person.texts.length
      const id = await person.phone.say(owner.jid, 'hello')
      await person.sees(() => person.texts.length > before, 60_000)
      return id
    }
    const way = async (person: Person): Promise<Way> => {
      bench.provider.forget()
      const id = await ask(person)
      const seen = await bench.provider.until('the answer', one => one.sentAt > 0)
      return {
        in: (seen.inAt - (told.get(id) ?? Number.NaN)) / 1000,
        out: ((said.get(person.jid) ?? Number.NaN) - seen.sentAt) / 1000,
      }
    }
    const [first] = people as [Person]
    await times(5, () => way(first))
    const ways = await times(bench.quick ? 5 : 100, () => way(first))
    const startedAt = micros()
    await Promise.all(people.map(ask))
    return { ways, crowdSeconds: (micros() - startedAt) / 1e6 }
  } finally {
    await gateway.stop()
    await service.close()
    bench.provider.forget()
  }
}

export const whatsapp: readonly Measure[] = [
  {
    figures: ['whatsapp-in', 'whatsapp-out', 'whatsapp-100'],
    peers: false,
    async run(bench) {
      const { ways, crowdSeconds } = await measured(bench)
      return {
        'whatsapp-in': sum(ways.map(way => way.in)),
        'whatsapp-out': sum(ways.map(way => way.out)),
        'whatsapp-100': sum([crowdSeconds]),
      }
    },
  },
]
