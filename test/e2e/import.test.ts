/** A home of OpenClaw 2026.4.12 comes over: nobody pairs, nobody scans, and what was there stays as it was. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { openGateways } from '../support/gateway.ts'
import { linkFolder, pairedDevice, put } from '../support/openclaw-home.ts'
import { tempDir } from '../support/temp.ts'
import { numbers } from '../support/whatsapp/bench.ts'
import { delegating } from '../support/whatsapp/delegating.ts'
import { startFakeWhatsApp } from '../support/whatsapp/server.ts'
import { trusting } from '../support/whatsapp/world.ts'

const gateways = openGateways()

/** A home in which nothing is yet. */
const fresh = () => join(gateways.home({}), 'new')

interface Report {
  items: { what: string; from: string; state: string; why: string; todo: string | null }[]
}

async function bring(home: string, from: string, ...more: string[]) {
  const ran = await gateways.run(home, ['import', '--from', from, '--json', ...more])
  const { items } = (ran.out === '' ? { items: [] } : JSON.parse(ran.out)) as Report
  return {
    ...ran,
    items,
    of: (what: string) => items.filter(each => each.what.startsWith(what)).map(each => each.state),
  }
}

/** Every file with its content, mode and time. */
function print(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(each => each.isFile())
    .map(each => join(each.parentPath, each.name))
    .sort()
    .map(path => {
      const { mode, mtimeMs } = statSync(path)
      return `${relative(dir, path)} ${mode} ${mtimeMs} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`
    })
}

test("the seed's own case on an imported home: no pairing of any kind, no QR", async () => {
  const service = await startFakeWhatsApp()
  onTestFinished(() => service.close())
  service.trust()
  const [owner, ann, bob] = [
    service.person('Olga', numbers.owner),
    service.person('Ann', numbers.ann),
    service.person('Bob', numbers.bob),
  ]
  const { config } = await delegating()
  const old = join(tempDir(), 'openclaw')
  const whole = {
    ...config,
    channels: { whatsapp: { dmPolicy: 'pairing', allowFrom: [numbers.ann] } },
    session: { typingMode: 'thinking' },
  }
  put(old, 'openclaw.json', `// as in the thread\n${JSON.stringify(whole)}`)
  put(old, 'credentials/whatsapp-allowFrom.json', { version: 1, allowFrom: [numbers.bob] })
  put(old, 'workspace/AGENTS.md', 'Be brief.')
  const device = pairedDevice(['operator.read', 'operator.write'])
  put(old, 'devices/paired.json', { [device.deviceId]: device.entry })
  put(old, 'agents/main/sessions/sessions.json', {
    'agent:main:main': { sessionId: 's1', updatedAt: 1_775_980_900_000 },
  })
  const said = {
    type: 'message',
    id: 'a',
    parentId: null,
    message: { role: 'user', content: 'long ago', timestamp: 1 },
  }
  put(old, 'agents/main/sessions/s1.jsonl', `{"type":"session","version":3,"id":"s1"}\n${JSON.stringify(said)}\n`)
  await linkFolder(service, owner, join(old, 'credentials/whatsapp/default'))
  const before = print(old)

  const home = fresh()
  const tried = await bring(home, old, '--dry-run')
  expect({ code: tried.code, made: existsSync(home) }).toEqual({ code: 0, made: false })
  const came = await bring(home, old)
  expect({ code: came.code, err: came.err }).toEqual({ code: 0, err: '' })
  for (const what of ['configuration', 'workspace', 'WhatsApp login', 'people let in', 'device'])
    expect([what, came.of(what)]).toEqual([what, ['taken']])
  expect(came.of('conversations of main')).toEqual(['taken'])
  expect(came.of('key session.typingMode')).toEqual(['left'])
  expect(came.out).not.toContain(device.token)
  expect(readFileSync(join(home, 'deputy.json'), 'utf8')).toBe(readFileSync(join(old, 'openclaw.json'), 'utf8'))

  const again = await bring(home, old)
  expect(again.items.filter(each => each.state === 'taken')).toEqual([])
  expect(print(old)).toEqual(before)

  const gateway = await gateways.start(home, { env: trusting(service) })
  onTestFinished(() => gateway.kill().then(() => undefined))
  await service.until(() => service.online(owner))
  const busy = await bring(home, old)
  expect({ code: busy.code, locked: busy.err.includes('HOME_LOCKED') }).toEqual({ code: 1, locked: true })

  await ann.phone.say(owner.jid, '/subagents spawn extractor task bycommand')
  await ann.sees(one => one.text === 'told bycommand')
  await ann.phone.say(owner.jid, 'go bytool')
  await ann.sees(one => one.text === 'told bytool')
  await bob.phone.say(owner.jid, 'go bystore')
  await bob.sees(one => one.text === 'told bystore')
  expect(bob.texts).toEqual(['on it bystore', 'told bystore'])
  expect(ann.texts.join('\n') + gateway.said()).not.toMatch(/1008|pairing required/i)
  const client = await gateway.client()
  const devices = await client.request('device.pair.list', {})
  expect(devices.pending).toEqual([])
  expect(devices.paired.map(({ deviceId }) => deviceId)).toContain(device.deviceId)
  const rows = new DatabaseSync(join(home, 'deputy.sqlite'), { readOnly: true })
  const [token] = rows.prepare('select imported_hash, scopes from device_tokens').all()
  rows.close()
  expect(token).toEqual({
    imported_hash: createHash('sha256').update(device.token).digest('hex'),
    scopes: '["operator.read","operator.write"]',
  })
  expect(readdirSync(join(home, 'channels/whatsapp/default')).filter(name => name.endsWith('.json'))).toEqual([])
  expect(service.post.faults).toEqual([])
}, 90_000)

test('rubbish is named, and keeps nothing else from coming', async () => {
  const old = join(tempDir(), 'openclaw')
  put(old, 'openclaw.json', '{ gateway: ')
  put(old, 'credentials/whatsapp/default/creds.json', '{"noiseKey":')
  put(old, 'credentials/telegram-allowFrom.json', { version: 1, allowFrom: 'everybody' })
  put(old, 'credentials/telegram-pairing.json', { version: 1, requests: [{ id: '7', code: 'ABCDEFGH' }] })
  put(old, 'credentials/discord-work-allowFrom.json', { version: 1, allowFrom: ['*', '42'] })
  put(old, 'agents/main/agent/auth-profiles.json', 'no json, sk-secret')
  const good = pairedDevice(['operator.read', 'operator.everything'])
  const forged = pairedDevice(['operator.admin'])
  put(old, 'devices/paired.json', { [good.deviceId]: good.entry, ['0'.repeat(64)]: forged.entry, odd: 7 })
  const home = fresh()
  mkdirSync(home, { mode: 0o700 })
  put(old, 'workspace/AGENTS.md', 'Be brief.')
  put(home, 'workspace', 'a file in the way')
  const came = await bring(home, old)
  expect(came.code).toBe(1)
  expect(came.of('workspaces')).toEqual(['failed'])
  expect(came.of('configuration')).toEqual(['failed'])
  expect(came.of('WhatsApp login default')).toEqual(['failed'])
  expect(came.of('people let in at telegram')).toEqual(['failed'])
  expect(came.of('people let in at discord work')).toEqual(['taken'])
  expect(came.of('codes that wait')).toEqual(['left'])
  expect(came.of('keys of main')).toEqual(['failed'])
  expect(came.of('device').sort()).toEqual(['failed', 'failed', 'taken'])
  expect(came.out).not.toContain('sk-secret')
  expect(existsSync(join(home, 'deputy.json'))).toBe(false)
  const rows = new DatabaseSync(join(home, 'deputy.sqlite'), { readOnly: true })
  const devices = rows.prepare('select id, scopes from devices').all()
  const people = rows.prepare('select channel, account, sender, state from channel_pairings').all()
  rows.close()
  expect(devices).toEqual([{ id: good.deviceId, scopes: '["operator.read"]' }])
  expect(people).toEqual([{ channel: 'discord', account: 'work', sender: '42', state: 'approved' }])
})

test('a foreign directory is refused, and an edited deputy.json stays unless it is forced', async () => {
  const foreign = tempDir()
  const refused = await bring(fresh(), foreign)
  expect({ code: refused.code, said: refused.err.includes('no home of OpenClaw') }).toEqual({ code: 2, said: true })

  const old = join(tempDir(), 'openclaw')
  mkdirSync(old)
  put(old, 'openclaw.json', { gateway: { port: 0, auth: { token: `\${GATE}` } }, $include: 'more.json5' })
  put(old, 'more.json5', "{ agents: { list: [{ id: 'main' }] } } // more")
  put(old, '.env', 'GATE=a-token-of-thirty-two-characters\n')
  const home = gateways.home({ gateway: { port: 0 } })
  const edited = readFileSync(join(home, 'deputy.json'), 'utf8')
  const kept = await bring(home, old)
  expect({ code: kept.code, of: kept.of('configuration') }).toEqual({ code: 1, of: ['failed'] })
  expect(readFileSync(join(home, 'deputy.json'), 'utf8')).toBe(edited)
  const forced = await bring(home, old, '--force')
  expect({ code: forced.code, of: forced.of('configuration') }).toEqual({ code: 0, of: ['taken'] })
  expect(readFileSync(join(home, 'deputy.json.bak'), 'utf8')).toBe(edited)
  const checked = await gateways.run(home, ['config', 'validate'])
  expect(checked.code).toBe(0)
})
