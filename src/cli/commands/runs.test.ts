import { beforeEach, describe, expect, test } from 'vitest'
import { type Desk, openDesk } from '../../../test/support/cli.ts'
import { put } from '../../../test/support/temp.ts'
import type { RunRow } from '../../protocol/results.ts'
import type { Moment } from '../journal.ts'

let desk: Desk
beforeEach(() => {
  desk = openDesk()
  desk.configure({
    agents: {
      defaults: { model: 'rehearsal/rehearsal' },
      entries: { main: { subagents: { allowAgents: ['extractor'] } }, extractor: {} },
    },
  })
})

async function runs(): Promise<RunRow[]> {
  return (await desk.json<{ runs: RunRow[] }>('runs', 'list')).document.runs
}

async function spawn(task: string, ...more: string[]): Promise<string> {
  return (await desk.json<{ run: string }>('spawn', 'extractor', task, ...more)).document.run
}

async function show(run: string): Promise<Record<string, unknown> & { run: RunRow }> {
  return (await desk.json<Record<string, unknown> & { run: RunRow }>('runs', 'show', run)).document
}

/** Until a row of the run is as told; a test that waits for nothing runs into its own time limit. */
async function until(run: string, fits: (row: RunRow) => boolean): Promise<RunRow> {
  for (;;) {
    const found = (await show(run)).run
    if (fits(found)) return found
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

const done = (row: RunRow) => row.state === 'done'

describe('one run', () => {
  test('show has the receipt, the grant, what is left, and where the result went', async () => {
    await desk.start()
    const run = await spawn('say four words of it', '--label', 'words')
    await until(run, done)
    const shown = await show(run)
    expect(shown).toMatchObject({
      receipt: { run, detached: true },
      grant: { budget: { nano: null } },
      left: { nano: null, tokens: null, calls: null },
      mail: { sessionKey: 'agent:main:main' },
    })
    const { out } = await desk.deputy('runs', 'show', run)
    for (const each of [
      /receipt +detached, with rehearsal/,
      /result to +agent:main:main/,
      /tools +read/,
      /budget +no limit/,
    ])
      expect(out).toMatch(each)
    expect(out).toContain('Its result went to agent:main:main')
    for (const each of out.split('\n')) expect(each.length).toBeLessThanOrEqual(100)
  })

  test('result is the whole text, with the gateway stopped too, also one that is kept as a file', async () => {
    const gateway = await desk.start()
    const long = 'word '.repeat(16_000).trim()
    const task = `say ${long}`
    const run = await spawn(task)
    await until(run, done)
    const said = await desk.deputy('runs', 'result', run)
    expect({ code: said.code, same: said.out === `${long}\n` }).toEqual({ code: 0, same: true })
    await gateway.stop()
    expect((await desk.deputy('runs', 'result', run)).out === said.out).toBe(true)
  })

  test('a run without a result says so and ends with 1', async () => {
    await desk.start()
    const run = await spawn('fail on purpose')
    await until(run, done)
    const { code, out, err } = await desk.deputy('runs', 'result', run)
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toContain('failed without a result')
  })

  test('fork goes on from a step in a conversation of its own, and says that files are not rolled back', async () => {
    await desk.start()
    const run = await spawn('count TODO in notes.md')
    await until(run, done)
    const { document } = await desk.json<{ run: string; of: string; messages: number }>(
      'runs',
      'fork',
      run,
      '--at',
      '1',
    )
    expect(document).toMatchObject({ of: run, messages: 1 })
    expect((await until(document.run, done)).outcome).toBe('succeeded')
    const told = await desk.deputy('runs', 'fork', run, '--at', '1', '--message', 'say hello')
    expect(told.err).toContain('nothing was rolled back')
    const wrong = await desk.deputy('runs', 'fork', run, '--at', 'first')
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('needs the number of a step')])
  })

  test('steps and replay: what was shown, called and given back, in order, with the gateway stopped too', async () => {
    const gateway = await desk.start()
    put(`${desk.home}/workspace-extractor/notes.md`, 'TODO one\nTODO two\n')
    const run = await spawn('count TODO in notes.md')
    await until(run, done)
    const { document } = await desk.json<{ steps: Moment[] }>('runs', 'replay', run)
    const [first, tool, last] = document.steps
    expect(document.steps.map(({ kind }) => kind)).toEqual(['model', 'tool', 'model'])
    expect(first!.shown).toMatchObject({
      messages: [{ text: 'count TODO in notes.md' }],
      fresh: [{ text: 'count TODO in notes.md' }],
    })
    expect(first!.reply!.calls).toMatchObject([{ name: 'grep', id: tool!.call!.id }])
    expect(tool!.call!.args).toEqual(first!.reply!.calls[0]!.args)
    expect(tool!.result!.text).toContain('notes.md: 2')
    expect(last!.shown).toMatchObject({ messages: [{}, {}, {}], fresh: [] })
    expect(last!.reply).toMatchObject({ calls: [] })
    expect(last!.reply!.text).toContain('2')

    const told = await desk.deputy('runs', 'replay', run)
    const marks = [
      '1 model',
      'shown  1 message\n',
      'new',
      'reply',
      '→ grep',
      '2 tool grep',
      'given',
      'result',
      '3 model',
    ]
    let at = -1
    for (const mark of marks) {
      expect(told.out.indexOf(mark, at + 1), mark).toBeGreaterThan(at)
      at = told.out.indexOf(mark, at + 1)
    }
    expect((await desk.deputy('runs', 'steps', run)).out).toMatch(/^2 +tool +grep +done/m)
    await gateway.stop()
    expect((await desk.deputy('runs', 'replay', run)).out).toBe(told.out)
    expect((await desk.deputy('runs', 'replay', 'nonesuch')).err).toContain('UNKNOWN_RUN')
  })
})

describe('acting on a run', () => {
  test('steer reaches the run at work, and is refused after its end', async () => {
    await desk.start()
    const run = await spawn('sleep 600000')
    await until(run, row => row.state === 'running')
    const sent = await desk.deputy('runs', 'steer', run, 'leave', 'out', 'b')
    expect(sent).toMatchObject({ code: 0, err: '' })
    expect(sent.out).toContain('reads it at its next step')
    const early = await desk.deputy('runs', 'retry', run)
    expect({ code: early.code, refused: early.err.includes('RUN_LIVE') }).toEqual({ code: 1, refused: true })
    await desk.deputy('runs', 'cancel', run)
    const late = await desk.deputy('runs', 'steer', run, 'more')
    expect({ code: late.code, refused: late.err.includes('RUN_DONE') }).toEqual({ code: 1, refused: true })
  })

  test('retry gives a sub-agent and a turn their task again, each its result to the same place', async () => {
    await desk.start()
    const run = await spawn('say it twice', '--label', 'twice')
    await until(run, done)
    const { document: again } = await desk.json<{ run: string; returnTo: string }>('runs', 'retry', run)
    expect(again).toMatchObject({ of: run, agent: 'extractor', returnTo: 'agent:main:main' })
    const second = await until(again.run, done)
    expect(second).toMatchObject({ task: 'say it twice', label: 'twice', result: 'it twice', outcome: 'succeeded' })
    expect((await show(again.run))['mail']).toMatchObject({ sessionKey: 'agent:main:main' })

    await desk.deputy('agent', '--message', 'say hi', '--session', 'agent:main:talk')
    const turn = (await runs()).find(({ sessionKey }) => sessionKey === 'agent:main:talk')!
    const { document: same } = await desk.json<{ run: string }>('runs', 'retry', turn.run)
    expect(same.run).not.toBe(turn.run)
    expect(await until(same.run, done)).toMatchObject({ sessionKey: 'agent:main:talk', result: 'hi' })
  })
})

describe('watching', () => {
  test('the gateway tells it of the end, and it ends with that', async () => {
    await desk.start()
    const run = await spawn('sleep 600000')
    await until(run, row => row.state === 'running')
    const heard = process.listenerCount('SIGINT')
    const watching = desk.json<{ runs: RunRow[] }>('runs', 'tree', run, '--watch')
    while (process.listenerCount('SIGINT') === heard) await new Promise(resolve => setTimeout(resolve, 5))
    await desk.deputy('runs', 'cancel', run)
    const { code, document } = await watching
    expect(code).toBe(0)
    expect(document.runs).toMatchObject([{ run, state: 'done', outcome: 'cancelled' }])
    expect(process.listenerCount('SIGINT')).toBe(heard)
  })

  test('Ctrl-C leaves it; the runs go on', async () => {
    await desk.start()
    const run = await spawn('sleep 600000')
    await until(run, row => row.state === 'running')
    const heard = process.listenerCount('SIGINT')
    const watching = desk.deputy('runs', 'tree', '--watch')
    while (process.listenerCount('SIGINT') === heard) await new Promise(resolve => setTimeout(resolve, 5))
    process.emit('SIGINT')
    const { code, out } = await watching
    expect(code).toBe(0)
    expect(out).toMatch(/● extractor +sleep 600000/)
    expect((await show(run)).run.state).toBe('running')
  })
})
