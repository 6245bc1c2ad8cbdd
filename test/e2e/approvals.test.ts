/** `deputy approvals` of the shipped program: what waits, one question whole, both answers, what is allowed for good. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openGateways } from '../support/gateway.ts'

const gateways = openGateways()

test('from a question to its revoked grant, over real processes', async () => {
  const home = gateways.home({
    gateway: { port: 0 },
    agents: { defaults: { model: 'rehearsal/rehearsal' } },
    tools: { exec: { mode: 'ask', sandbox: 'off' } },
  })
  const gateway = await gateways.start(home)
  const deputy = (...args: string[]) => gateways.run(home, args)
  const json = async <T>(...args: string[]): Promise<T> => JSON.parse((await deputy(...args, '--json')).out) as T
  const pending = async () => (await json<{ pending: { id: string }[] }>('approvals', 'list')).pending
  const waits = async () => {
    for (;;) {
      const [first] = await pending()
      if (first) return first.id
    }
  }

  expect(await deputy('approvals', 'list')).toMatchObject({ code: 0, out: 'Nothing waits for an answer.\n' })
  const made = gateway.say('run touch made.txt; say finished')
  const id = await waits()
  const short = id.slice(0, 8)
  expect((await deputy('approvals', 'list')).out).toMatch(new RegExp(`${short} +main +waits +touch made\\.txt`))
  expect((await deputy('approvals', 'show', short)).out).toMatch(/wants to run a command\n {2}\| touch made\.txt\n/)
  expect((await deputy('runs', 'tree')).out).toContain(`wants to run a command (/approve ${short}): touch made.txt`)
  const [run] = (await json<{ runs: { run: string }[] }>('runs', 'list', '--live')).runs
  const explained = (await deputy('explain', run!.run)).out
  expect(explained).toContain(`Question ${short}: it wants to run a command`)
  expect(explained).toContain('| touch made.txt')
  expect(explained).toContain(`deputy approvals approve ${short}`)
  expect(existsSync(join(home, 'workspace/made.txt'))).toBe(false)
  expect(await deputy('approvals', 'approve', short, '--always')).toMatchObject({
    code: 0,
    out: `${short}: allowed for good.\n`,
  })
  expect((await made).text).toContain('finished')
  expect(existsSync(join(home, 'workspace/made.txt'))).toBe(true)
  const late = await deputy('approvals', 'deny', id)
  expect(late).toMatchObject({ code: 1, out: '' })
  expect(late.err).toContain('was decided already: allowed for good')
  expect((await deputy('approvals', 'list', '--all')).out).toMatch(/always +touch made\.txt/)

  const { grants } = await json<{ grants: { id: string; pattern: string }[] }>('approvals', 'grants')
  expect(grants).toMatchObject([{ pattern: 'touch made.txt' }])
  expect((await deputy('approvals', 'revoke', grants[0]!.id)).code).toBe(0)
  const again = gateway.say('run touch made.txt; say finished')
  await deputy('approvals', 'deny', (await waits()).slice(0, 8))
  expect((await again).text).toContain('a person denied this call (operator)')
  expect((await deputy('approvals', 'show', 'nothing')).err).toContain('[UNKNOWN_APPROVAL]')
  await gateway.stop()
  expect((await deputy('approvals', 'list')).code).toBe(3)
}, 60_000)
