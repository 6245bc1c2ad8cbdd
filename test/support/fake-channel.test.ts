/** The fake channel keeps the promises of the contract, so that tests behind it mean something. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { channelConformance } from '../../src/channels/conformance.ts'
import { fakeChannel } from './fake-channel.ts'
import { startService } from './fake-service.ts'

channelConformance('fake', async () => {
  const service = await startService()
  const stateDir = mkdtempSync(join(tmpdir(), 'deputy-fake-'))
  return {
    channel: fakeChannel('telegram'),
    service,
    settings: { apiRoot: service.url, botToken: service.token },
    stateDir,
    route: from => ({ channel: 'telegram', account: 'default', to: from }),
    threads: {
      route: { channel: 'telegram', account: 'default', to: 'square' },
      seen: thread =>
        service.shown.flatMap(one => (one.chat === 'square' && (one.thread ?? null) === thread ? [one.text] : [])),
    },
    secrets: [service.token],
    async close() {
      await service.close()
      rmSync(stateDir, { recursive: true, force: true })
    },
  }
})
