import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { delegates, go, isChild } from '../../test/support/delegating.ts'
import { firstText, type HouseSetup, lastText, openTestHouse, type TestHouse } from '../../test/support/house.ts'

const open: TestHouse[] = []

async function house(setup: HouseSetup): Promise<TestHouse> {
  const test = await openTestHouse(setup)
  open.push(test)
  return test
}

afterEach(async () => {
  for (const test of open.splice(0)) await test.close()
})

describe('a result with a schema', () => {
  const outputSchema = { type: 'object', properties: { count: { type: 'integer' } }, required: ['count'] }

  test('is checked; what is wrong is said once, and mended', async () => {
    const it = await house({
      script: delegates({ outputSchema }, (request, n) => {
        if (n === 1) {
          expect(firstText(request)).toMatch(
            /^work\n\n\[Terms of this task\]\n- Your last reply must be one JSON value .*"required":\["count"\]/s,
          )
          return { text: 'I counted 3.' }
        }
        expect(lastText(request)).toMatch(/\[Check of your result\].*not one JSON value.*only repair/s)
        return { text: '{"count":3}' }
      }),
    })
    const { end, children, receipts } = await go(it)
    expect(end.text).toMatch(/· completed\].*\{"count":3\}/s)
    expect(children[0]).toMatchObject({ outcome: 'succeeded', result: '{"count":3}', terms: { repaired: true } })
    expect(receipts[0]).toMatchObject({ status: 'accepted', outputSchema: 'checked at its end, one repair' })
  })

  test('that is still wrong fails, with the raw words kept', async () => {
    const it = await house({ script: delegates({ outputSchema }, () => ({ text: '{"count":"three"}' })) })
    const { end, children } = await go(it)
    expect(children[0]).toMatchObject({ outcome: 'failed', errorCode: 'RUN_RESULT', result: '{"count":"three"}' })
    expect(end.text).toMatch(/· failed: \.count must be integer, not string\].*\{"count":"three"\}.*"action":"log"/s)
    expect(it.requests.filter(isChild)).toHaveLength(2)
  })

  test('a repair survives a crash and is told once', async () => {
    const hold = Promise.withResolvers<void>()
    const it = await house({
      script: delegates({ outputSchema }, (_, n) =>
        n === 1 ? { text: 'no' } : { text: '{"count":1}', ...(n === 2 ? { wait: hold.promise } : {}) },
      ),
    })
    const accepted = await it.say('go')
    while (it.requests.filter(isChild).length < 2) await sleep(5)
    await it.crash()
    expect((await it.done(accepted.wireId)).text).toContain('{"count":1}')
    const last = it.requests.filter(isChild).at(-1)!
    expect(last.messages.filter(message => message.role === 'user')).toHaveLength(2)
  })

  test('a schema that cannot be checked is refused at once', async () => {
    const it = await house({ script: delegates({ outputSchema: { pattern: 'x' } }, () => ({ text: 'never' })) })
    const accepted = await it.say('go')
    await it.done(accepted.wireId)
    const { messages } = await it.house.history(accepted.session.id, { limit: 10 })
    expect(messages.find(row => row.role === 'toolResult')?.parts).toMatchObject([
      { text: expect.stringMatching(/^outputSchema has the keyword "pattern", which is not checked here/) },
    ])
    expect(it.requests.filter(isChild)).toHaveLength(0)
  })
})

describe('deliverables', () => {
  const deliverables = { files: ['out.md'], command: 'grep -q done out.md' }

  test('are looked at before a run counts as succeeded', async () => {
    const it = await house({
      script: delegates({ deliverables }, (request, n) => {
        if (n === 1) return { text: 'All done, out.md is written.' }
        if (n === 2) {
          expect(lastText(request)).toMatch(/out\.md: there is no such file\n- the command failed: grep/)
          return { calls: [{ name: 'write', args: { path: 'out.md', content: 'done\n' } }] }
        }
        return { text: 'Now it is.' }
      }),
    })
    const { end, children } = await go(it)
    expect(children[0]).toMatchObject({ outcome: 'succeeded', result: 'Now it is.' })
    expect(end.text).toContain('Checked: out.md: 5 bytes; command ended with 0: grep -q done out.md')
    expect((await it.house.steps(children[0]!.id)).map(step => [step.name, step.state, step.result?.isError])).toEqual([
      ['test/model', 'done', undefined],
      ['deliverables', 'done', true],
      ['test/model', 'done', undefined],
      ['write', 'done', false],
      ['test/model', 'done', undefined],
      ['deliverables', 'done', false],
    ])
  })

  test('that are not there end the run as failed, whatever it says', async () => {
    const it = await house({
      script: delegates({ deliverables: { files: ['a', '../b', 'c/'] } }, () => ({ text: 'done!' })),
    })
    mkdirSync(join(it.dir, 'workspace', 'c'))
    writeFileSync(join(it.dir, 'workspace', 'a'), '')
    const { children } = await go(it)
    expect(children[0]).toMatchObject({ outcome: 'failed', errorCode: 'RUN_RESULT', result: 'done!' })
    expect(children[0]?.error).toMatch(/^a is empty; \.\.\/b: .*outside the workspace\.; c\/: .* is a folder/)
  })

  test('a cancel ends the command of a check; a crash makes the check again', async () => {
    const command = 'echo >> tries; test $(wc -l < tries) -gt 1 || sleep 30'
    const it = await house({ script: delegates({ deliverables: { command } }, () => ({ text: 'done' })) })
    const tries = () => readdirSync(join(it.dir, 'workspace')).includes('tries')
    const accepted = await it.say('go')
    while (!tries()) await sleep(10)
    await it.crash()
    expect((await it.done(accepted.wireId)).text).toContain('completed')
    expect(it.requests.filter(isChild)).toHaveLength(1)

    const that = await house({
      script: delegates({ deliverables: { command: 'echo > begun; sleep 30' } }, () => ({ text: 'done' })),
    })
    const second = await that.say('go')
    while (!readdirSync(join(that.dir, 'workspace')).includes('begun')) await sleep(10)
    const report = await that.house.cancel({ principal: that.operator, target: { run: second.run }, reason: 'no' })
    expect(report).toMatchObject({ runs: [{}, {}], processes: { ended: 1, stillAlive: [] } })
  })

  test('a command needs exec, with the one who asks and with the one who works', async () => {
    const it = await house({
      agents: { main: {}, reader: { tools: ['read'] } },
      script: delegates(
        [
          { agentId: 'reader', deliverables: { command: 'true' } },
          { agentId: 'reader', deliverables: { files: ['x'] } },
        ],
        () => ({
          text: 'ok',
        }),
      ),
    })
    expect((await go(it)).receipts).toMatchObject([
      { status: 'error', error: 'deliverables.command needs the tool exec, with you and with agent reader' },
      { status: 'accepted', deliverables: 'checked at its end, one repair: these files are there and not empty: x' },
    ])
  })

  test('somebody who writes during a check is read first, and the check is made again', async () => {
    const it = await house({
      script: delegates({ deliverables: { command: 'echo >> tries; test -e go || sleep 30' } }, (request, n) =>
        n === 1 ? { text: 'one' } : { text: `two: ${lastText(request)}` },
      ),
    })
    const accepted = await it.say('go')
    while (!readdirSync(join(it.dir, 'workspace')).includes('tries')) await sleep(10)
    const child = (await it.house.tree(accepted.run))[1]!
    await it.say('and this?', { sessionKey: child.sessionKey })
    writeFileSync(join(it.dir, 'workspace', 'go'), 'x')
    await it.crash()
    expect((await it.done(accepted.wireId)).text).toContain('two: and this?')
    expect(readFileSync(join(it.dir, 'workspace', 'tries'), 'utf8')).toBe('\n\n\n')
  })
})
