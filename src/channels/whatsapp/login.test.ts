/** How an account is linked, and what it says of itself when the service sends it away. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { numbers, openAccount, openLinked } from '../../../test/support/whatsapp/bench.ts'
import { type FakeWhatsApp, startFakeWhatsApp } from '../../../test/support/whatsapp/server.ts'
import { tempDir } from '../../../test/support/temp.ts'
import type { LoginStep } from '../channel.ts'
import { until } from '../conformance.ts'

async function service(options = {}): Promise<FakeWhatsApp> {
  const started = await startFakeWhatsApp(options)
  started.trust()
  onTestFinished(() => started.close())
  return started
}

async function linked() {
  const world = await openLinked()
  onTestFinished(() => world.close())
  return world
}

async function opened(dir: string) {
  const it = await openAccount(dir)
  onTestFinished(() => it.account.stop())
  return it
}

test('waits for a person until a phone has linked it, by a code that is typed; a restart needs no phone', async () => {
  const fake = await service()
  const owner = fake.person('Olga', numbers.owner)
  const dir = tempDir()
  const { account } = await opened(dir)
  account.start()
  expect(account.status()).toMatchObject({ state: 'login', self: null, problem: { code: 'CHANNEL_NOT_LINKED' } })
  const steps: LoginStep[] = []
  for await (const step of account.login!({ phone: numbers.owner, signal: AbortSignal.timeout(20_000) })) {
    steps.push(step)
    if (step.show === 'code') await fake.type(step.code, owner)
  }
  expect(steps).toEqual([
    { show: 'code', code: expect.stringMatching(/^[0-9A-Z]{8}$/), expiresAt: expect.any(Number) },
    { show: 'done', self: numbers.owner },
  ])
  expect(account.status()).toMatchObject({ state: 'connected', self: numbers.owner, problem: null })
  expect(statSync(join(dir, 'whatsapp.log')).mode & 0o777).toBe(0o600)
  await account.stop()
  const again = await opened(dir)
  again.account.start()
  await until(
    () => again.account.status().state,
    state => state === 'connected',
  )
})

test('a QR that nobody scans is replaced, and the last one ends the login; nothing of it stays', async () => {
  const fake = await service({ refs: 1 })
  const dir = tempDir()
  const { account } = await opened(dir)
  const hurry = new AbortController()
  const steps: LoginStep[] = []
  for await (const step of account.login!({ phone: null, signal: hurry.signal })) {
    steps.push(step)
    hurry.abort()
  }
  expect(steps).toEqual([{ show: 'qr', data: expect.stringContaining('#2@'), expiresAt: expect.any(Number) }])
  expect(account.status()).toMatchObject({ state: 'login' })
  expect(readFileSync(join(dir, 'whatsapp.log'), 'utf8')).toBe('')
  expect(fake.post.faults).toEqual([])
})

test('removed on the phone: failed, with what to do, and the login is gone', async () => {
  const { service: fake, owner, stateDir } = await linked()
  const { account } = await opened(stateDir)
  account.start()
  await until(
    () => account.status().state,
    state => state === 'connected',
  )
  await fake.unlink(owner)
  await until(
    () => account.status().state,
    state => state === 'failed',
  )
  expect(account.status()).toMatchObject({
    self: null,
    problem: { code: 'CHANNEL_LOGGED_OUT', fix: 'Log in again: deputy channels login whatsapp' },
  })
  expect(readFileSync(join(stateDir, 'whatsapp.log'), 'utf8')).toBe('')
})

test('another client in its place: it does not fight for it', async () => {
  const { service: fake, owner, stateDir } = await linked()
  const { account } = await opened(stateDir)
  account.start()
  await fake.until(() => fake.online(owner))
  // The line is closed in the same breath: baileys hears of the close before it has read why.
  await fake.streamError(owner, 'replaced')
  await until(
    () => account.status().state,
    state => state === 'failed',
  )
  expect(account.status().problem?.code).toBe('CHANNEL_CONFLICT')
  await fake.until(() => !fake.online(owner))
  expect(account.status().state).toBe('failed')
  // The login is still good: a person starts it again when the other one is gone.
  await account.stop()
  account.start()
  await until(
    () => account.status().state,
    state => state === 'connected',
  )
})

test('a restart that the service asks for, and a service in trouble, are gone through', async () => {
  const { service: fake, owner, ann, stateDir } = await linked()
  const { account, taken } = await opened(stateDir)
  account.start()
  await until(
    () => account.status().state,
    state => state === 'connected',
  )
  for (const what of ['515', '503'] as const) {
    await fake.streamError(owner, what)
    await ann.phone.say(owner.jid, `during ${what}`)
    await until(
      () => taken.map(message => message.text),
      texts => texts.includes(`during ${what}`),
    )
    await until(
      () => account.status().state,
      state => state === 'connected',
    )
  }
  expect(account.status()).toMatchObject({ reconnects: 1, problem: null })
})

test('logged out by hand: the phone is told, and nothing is kept', async () => {
  const { service: fake, owner, stateDir } = await linked()
  const { account } = await opened(stateDir)
  account.start()
  await until(
    () => account.status().state,
    state => state === 'connected',
  )
  await account.logout!()
  await fake.until(() => owner.clients.length === 0)
  expect(account.status()).toMatchObject({ state: 'login', self: null })
  expect(readFileSync(join(stateDir, 'whatsapp.log'), 'utf8')).toBe('')
})
