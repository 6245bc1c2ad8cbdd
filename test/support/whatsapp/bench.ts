/**
 * A fake WhatsApp with an account that is linked already, for tests of the channel in this process.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Account, AccountOptions } from '../../../src/channels/channel.ts'
import type { Bench } from '../../../src/channels/conformance-bench.ts'
import { whatsapp } from '../../../src/channels/whatsapp/index.ts'
import type { InboundMessage, Ingested } from '../../../src/core/chat.ts'
import { stanza } from './kit.ts'
import type { Person } from './people.ts'
import { type FakeWhatsApp, type ServiceOptions, startFakeWhatsApp } from './server.ts'

export interface Opened {
  account: Account
  taken: InboundMessage[]
  logged: string[]
}

/** An account of the channel whose messages are taken as `ingest` says. */
export async function openAccount(
  stateDir: string,
  ingest: (message: InboundMessage) => Promise<Ingested> = async () => ({ done: 'accepted' }),
  settings: AccountOptions['settings'] = {},
): Promise<Opened> {
  const [taken, logged]: [InboundMessage[], string[]] = [[], []]
  const account = await whatsapp.open({
    account: 'default',
    settings,
    stateDir,
    ingest(message) {
      taken.push(message)
      return ingest(message)
    },
    changed: () => undefined,
    commands: () => [],
    clock: { now: () => Date.now() },
    log: (level, words, fields) => void logged.push(`${level} ${words} ${JSON.stringify(fields ?? {})}`),
  })
  return { account, taken, logged }
}

/** Links the account's phone by QR; resolves when it is logged in. */
export async function linkByQr(service: FakeWhatsApp, owner: Person, account: Account): Promise<void> {
  for await (const step of account.login!({ phone: null, signal: AbortSignal.timeout(30_000) })) {
    if (step.show === 'qr') await service.scan(step.data, owner)
    if (step.show === 'failed') throw new Error(step.message)
  }
  await service.until(() => service.online(owner))
}

export interface Linked {
  service: FakeWhatsApp
  owner: Person
  ann: Person
  stateDir: string
  close(): Promise<void>
}

export const numbers = { owner: '+4915100000001', ann: '+4915100000002', bob: '+4915100000003' }

/** A service, and a folder in which the owner's login lies; no account is open. */
export async function openLinked(options: ServiceOptions = {}): Promise<Linked> {
  const service = await startFakeWhatsApp(options)
  service.trust()
  const owner = service.person('Olga', numbers.owner)
  const ann = service.person('Ann', numbers.ann)
  const stateDir = mkdtempSync(join(tmpdir(), 'deputy-wa-'))
  const { account } = await openAccount(stateDir)
  await linkByQr(service, owner, account)
  await service.until(() => service.waiting(owner).length === 0)
  await account.stop()
  await service.until(() => !service.online(owner))
  return {
    service,
    owner,
    ann,
    stateDir,
    async close() {
      await service.close()
      rmSync(stateDir, { recursive: true, force: true })
    },
  }
}

const refusal = { refused: 403, rate_limit: 429, server: 500 } as const

export async function openBench(): Promise<Bench> {
  const { service, owner, ann, stateDir, close } = await openLinked()
  const others = new Map([['ann', ann]])
  const person = (name: string): Person => {
    const known = others.get(name) ?? service.person(name, `+49151000001${String(others.size).padStart(2, '0')}`)
    others.set(name, known)
    return known
  }
  const writers = new Map<string, Person>()
  return {
    channel: whatsapp,
    settings: {},
    stateDir,
    route: from => ({ channel: 'whatsapp', account: 'default', to: `+${person(from).jid.split('@')[0]}` }),
    secrets: [...readFileSync(join(stateDir, 'whatsapp.log'), 'utf8').matchAll(/"private":\{"~bytes":"([^"]+)"/g)].map(
      match => match[1]!,
    ),
    close,
    service: {
      async write({ from, text }) {
        const id = await person(from).phone.say(owner.jid, text)
        writers.set(id, person(from))
        return id
      },
      async redeliver(id) {
        service.again(owner, id)
      },
      async edit(id, text) {
        const key = { id, fromMe: true, remoteJid: owner.jid }
        const protocolMessage = { key, type: 14, editedMessage: { conversation: text }, timestampMs: Date.now() }
        await writers.get(id)!.phone.say(owner.jid, { protocolMessage })
      },
      acknowledged: id => owner.clients.some(device => device.posted.has(id)) && !service.waiting(owner).includes(id),
      async drop() {
        service.cut(owner)
      },
      async outage(on) {
        if (on) await service.down()
        else await service.up()
      },
      failNext(how) {
        service.judge = (said, device) => {
          if (said.tag !== 'message' || !device || said.attrs['category'] === 'peer') return 'pass'
          service.judge = () => 'pass'
          return how === 'lost' ? 'cut after' : refusal[how]
        }
      },
      seen: from => person(from).shown.filter(one => !one.mine && one.from === owner.jid),
      async garbage() {
        for (const { line } of owner.clients) {
          if (!line) continue
          await line.send(stanza('message', { from: ann.jid, t: 'x' }))
          await line.send(
            stanza('message', { id: 'A1', from: 'who knows' }, [stanza('enc', { type: 'odd' }, Buffer.of(1))]),
          )
          await line.send(
            stanza('message', { id: 'A2', from: ann.jid, t: '1' }, [stanza('enc', { type: 'msg' }, Buffer.of(51))]),
          )
          await line.send(stanza('receipt', {}))
          await line.send(stanza('notification', { id: 'N1' }))
          await line.send(stanza('never heard', { of: 'this' }))
          line.babble(Buffer.from('this was never sealed'))
        }
      },
    },
  }
}
