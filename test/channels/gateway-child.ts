/**
 * A gateway with the channel of fake-service.ts in the place of Telegram, as a process of its own, so that it can be killed.
 * Its home is the one argument; DEPUTY_CRASH names where it dies.
 */
import { openApp } from '../../src/app.ts'
import { fakeChannel } from '../support/fake-channel.ts'

const home = process.argv[2]
if (home === undefined) throw new Error('name the home')
await openApp({
  home,
  env: process.env,
  log: line => void process.stderr.write(`${line}\n`),
  tcp: false,
  version: '9.9.9',
  channels: { telegram: async () => fakeChannel('telegram') },
})
