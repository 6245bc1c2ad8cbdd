import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { type Bench, makeBench } from '../../test/support/tools.ts'
import type { Mark } from './process.ts'
import { endProcess, markOf } from './process.ts'
import { findSandbox } from './sandbox.ts'

const bubblewrap = (await findSandbox()) !== undefined
const modes = bubblewrap ? (['bubblewrap', 'off'] as const) : (['off'] as const)

/** Command lines of this machine's processes that hold the text; zombies have none. */
async function alive(text: string): Promise<string[]> {
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map(pid => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.map(line => line.replaceAll('\0', ' ').trim()).filter(line => line.includes(text))
}

/** How many are truly at it: the command's text stands in the lines of its shells, too. */
async function sleeping(n: string): Promise<number> {
  return (await alive(`sleep ${n}`)).filter(line => line === `sleep ${n}`).length
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let n = 0; n < 500 && !(await condition()); n++) await sleep(10)
  expect(await condition()).toBe(true)
}

/** A number that no other test sleeps for, to find its processes by. */
const unique = (n: number) => `9${process.pid % 10_000}${n}`

describe.each(modes)('a command with sandbox %s', sandbox => {
  const make = (exec: object = {}): Promise<Bench> => makeBench({ exec: { sandbox, ...exec } })

  test('gives its output in order, its exit code and its time', async () => {
    await using bench = await make()
    const answer = await bench.call('exec', { cmd: 'echo one; echo two >&2; printf three; exit 7' })
    expect(answer.text).toMatch(/^one\ntwo\nthree\n\[exit 7, \d+ ms\]$/)
    expect([answer.isError, answer.details['exitCode'], answer.details['bytes']]).toEqual([true, 7, 13])
    expect((await bench.call('exec', { command: 'cat; true' })).text).toMatch(/^\[exit 0, \d+ ms\]$/)
    expect((await bench.call('exec', { command: 'kill -SEGV $$' })).text).toMatch(
      /\[(exit 139|ended by SIGSEGV), \d+ ms\]/,
    )
    expect((await bench.call('exec', { command: '-x' })).details['exitCode']).toBe(127)
    expect((await bench.call('exec', { command: 'true' }, { workspace: join(bench.home, 'none') })).isError).toBe(true)
  })

  test('is held until its process group is a row, and never runs when that fails', async () => {
    await using bench = await make()
    const seen: unknown[] = []
    const started = async (mark: Mark) => {
      await sleep(100)
      seen.push(
        existsSync(join(bench.workspace, 'ran')),
        await markOf(mark.pgid, mark.startedAt.split('/').slice(2).join('/')),
        mark,
      )
    }
    await bench.call('exec', { command: 'touch ran' }, { started })
    expect(seen[0]).toBe(false)
    expect(seen[1]).toEqual(seen[2])
    expect(existsSync(join(bench.workspace, 'ran'))).toBe(true)
    const broken = new Error('no row')
    await expect(
      bench.call('exec', { command: 'touch never' }, { started: () => Promise.reject(broken) }),
    ).rejects.toBe(broken)
    expect(existsSync(join(bench.workspace, 'never'))).toBe(false)
  })

  test('shows its variables to nobody else on the machine', async () => {
    await using bench = await make()
    const lines: string[] = []
    const started = async ({ pgid }: Mark) => {
      lines.push(await readFile(`/proc/${pgid}/cmdline`, 'utf8'))
    }
    const { text } = await bench.call('exec', { command: 'echo $TOKEN', env: { TOKEN: 'a-value' } }, { started })
    expect(text).toMatch(/^a-value\n/)
    expect(lines).toHaveLength(1)
    expect(lines[0]).not.toContain('a-value')
  })

  test('is ended with all it started when its time is over, politely first', async () => {
    await using bench = await make()
    const n = unique(1)
    const began = performance.now()
    const answer = await bench.call('exec', {
      command: `trap 'echo bye; exit' TERM; sleep ${n} & (trap "" TERM; sleep ${n}) & (setsid sleep ${n} &) ; echo up; wait`,
      timeoutSeconds: 0.5,
    })
    expect(answer.text).toMatch(/^up\nbye\n\[ended: it took longer than 0\.5 s\]$/)
    expect(answer.details['code']).toBe('TOOL_TIMEOUT')
    expect(performance.now() - began).toBeLessThan(6000)
    expect(await alive(`sleep ${n}`)).toEqual([])
  })

  test('is ended on abort although every process of it ignores SIGTERM', async () => {
    await using bench = await make()
    const n = unique(2)
    const abort = new AbortController()
    const call = bench.call(
      'exec',
      { command: `trap "" TERM; echo up; sleep ${n} & setsid sh -c 'trap "" TERM; sleep ${n}; :' & wait` },
      { signal: abort.signal },
    )
    await until(async () => (await sleeping(n)) === 2)
    const began = performance.now()
    abort.abort()
    const answer = await call
    expect(performance.now() - began).toBeLessThan(5000)
    expect(answer.text).toBe('up\n[ended: cancelled]')
    expect(await alive(`sleep ${n}`)).toEqual([])
    const early = await bench.call('exec', { command: 'touch ran' }, { signal: AbortSignal.abort() })
    expect([early.details['code'], existsSync(join(bench.workspace, 'ran'))]).toEqual(['RUN_CANCELLED', false])
  })

  test('leaves nothing running behind it', async () => {
    await using bench = await make()
    const n = unique(3)
    const began = performance.now()
    const answer = await bench.call('exec', { command: `sleep ${n} & nohup setsid sleep ${n} & echo done` })
    expect(answer.text).toMatch(/^done\n\[exit 0/)
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(await alive(`sleep ${n}`)).toEqual([])
  })

  test('is ended with its run, or with the house, and the others go on', async () => {
    await using bench = await make()
    const n = unique(4)
    const calls = ['a', 'a', 'b'].map(run => bench.call('exec', { command: `sleep ${n}` }, { run }))
    await until(async () => (await sleeping(n)) >= 3)
    expect(await bench.box.endAll('a')).toEqual({ ended: 2, stillAlive: [] })
    expect((await Promise.all(calls.slice(0, 2))).map(answer => answer.text)).toEqual(
      Array(2).fill('[ended: cancelled]'),
    )
    expect((await alive(`sleep ${n}`)).length).toBeGreaterThan(0)
    expect(await bench.box.endAll()).toEqual({ ended: 1, stillAlive: [] })
    expect((await calls[2])!.isError).toBe(true)
    expect(await bench.box.endAll()).toEqual({ ended: 0, stillAlive: [] })
  })

  test('may write 100 MB without holding anything up or growing the gateway', async () => {
    await using bench = await make({ maxOutputBytes: 10_000 })
    const before = process.memoryUsage.rss()
    const ticks = { n: 0 }
    const ticker = setInterval(() => ticks.n++, 5)
    const answer = await bench.call('exec', {
      command: 'echo begin; head -c 100000000 /dev/zero | tr "\\0" x; echo; echo end',
    })
    clearInterval(ticker)
    expect(answer.text).toMatch(
      /^begin\nx+\n\[… 99990011 of 100000011 bytes left out …\]\nx+\nend\n\[exit 0, \d+ ms\]$/,
    )
    expect(answer.text.length).toBeLessThan(10_200)
    expect(answer.details).toMatchObject({ bytes: 100_000_011, truncated: true })
    expect(process.memoryUsage.rss() - before).toBeLessThan(80_000_000)
    expect(ticks.n).toBeGreaterThan(3)
  })

  test('shows its output while it runs, a few times a second', async () => {
    await using bench = await make()
    const pieces: string[] = []
    await bench.call(
      'exec',
      { command: 'for i in 1 2 3 4 5 6; do echo $i; sleep 0.07; done' },
      { progress: text => pieces.push(text) },
    )
    expect(pieces[0]).toBe('1\n')
    expect(pieces.length).toBeGreaterThan(1)
    expect(pieces.length).toBeLessThan(6)
  })

  test('leaves no descriptor and no file behind', async () => {
    await using bench = await make()
    const temporary = join(bench.home, 'temporary')
    mkdirSync(temporary)
    const before = process.env['TMPDIR']
    process.env['TMPDIR'] = temporary
    try {
      const count = () => readdirSync('/proc/self/fd').length
      await bench.call('exec', { command: 'true' })
      const open = count()
      await Promise.all(Array.from({ length: 10 }, () => bench.call('exec', { command: 'echo x; sleep 0.05 &' })))
      await until(() => count() <= open)
      expect(readdirSync(temporary)).toEqual([])
    } finally {
      if (before === undefined) delete process.env['TMPDIR']
      else process.env['TMPDIR'] = before
    }
  })

  test('does not outlive a gateway that is killed, or is ended by the next one', async () => {
    await using bench = await make()
    const n = unique(5)
    const marks = join(bench.home, 'mark')
    const script = `
      import { writeFileSync } from 'node:fs'
      import { openTools } from ${JSON.stringify(join(import.meta.dirname, 'toolbox.ts'))}
      import { contextOf, execSettings, view } from ${JSON.stringify(join(import.meta.dirname, '../../test/support/tools.ts'))}
      const box = openTools({ stateDir: ${JSON.stringify(bench.stateDir)}, exec: () => ({ ...execSettings, sandbox: ${JSON.stringify(sandbox)} }) })
      await box.ready()
      const tool = box.get('exec')
      const { args } = tool.parse({ command: "trap '' TERM HUP; setsid sleep ${n} & sleep ${n}; sleep ${n}" }, view)
      await tool.run(args, { ...contextOf(${JSON.stringify(bench.workspace)}, 'run/7:${n}'), started: async mark => writeFileSync(${JSON.stringify(marks)}, JSON.stringify(mark)) })`
    const gateway = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    await until(async () => (await sleeping(n)) >= 2)
    gateway.kill('SIGKILL')
    await once(gateway, 'exit')
    const mark = JSON.parse(readFileSync(marks, 'utf8')) as Mark
    if (sandbox === 'bubblewrap') await until(async () => (await alive(`sleep ${n}`)).length === 0)
    else expect(await sleeping(n)).toBe(2)
    const [boot, ticks, ...key] = mark.startedAt.split('/')
    expect(await endProcess({ ...mark, startedAt: `${boot}/${Number(ticks) + 1}/` })).toBe('gone')
    expect(await endProcess({ ...mark, startedAt: `another-boot/${ticks}/${key.join('/')}` })).toBe('gone')
    expect(await endProcess(mark)).toBe(sandbox === 'off' ? 'ended' : 'gone')
    expect(await endProcess(mark)).toBe('gone')
    expect(await alive(`sleep ${n}`)).toEqual([])
  })
})

describe('a command without a sandbox', () => {
  test('sees only a few variables of the gateway', async () => {
    process.env['DEPUTY_TEST_SECRET'] = 'a provider key'
    await using bench = await makeBench({ exec: { sandbox: 'off', env: { GIVEN: '1' } } })
    const { text } = await bench.call('exec', { command: 'env', env: { MINE: '2' } }, { key: `run:${unique(6)}` })
    delete process.env['DEPUTY_TEST_SECRET']
    expect(text).not.toContain('a provider key')
    expect(text).toMatch(/^GIVEN=1$/m)
    expect(text).toMatch(/^MINE=2$/m)
    expect(text).toMatch(new RegExp(`^DEPUTY_CALL=run:${unique(6)}$`, 'm'))
  })
})

describe('the mark of a process', () => {
  test('fits that very process and no other one', async () => {
    const child = spawn('/bin/sh', ['-c', 'sleep 60'], { detached: true, stdio: 'ignore' })
    const mark = (await markOf(child.pid!, ''))!
    expect(await endProcess({ pgid: process.pid, startedAt: mark.startedAt })).toBe('gone')
    expect(await endProcess({ pgid: mark.pgid, startedAt: '' })).toBe('gone')
    expect(child.exitCode).toBe(null)
    const exit = once(child, 'exit')
    expect(await endProcess(mark)).toBe('ended')
    await exit
    expect(await markOf(child.pid!, '')).toBe(null)
  })

  test('a process with brackets and spaces in its name is read right', async () => {
    await using bench = await makeBench()
    const path = join(bench.home, ') R 1 1 (')
    writeFileSync(path, '#!/bin/sh\nsleep 60\n', { mode: 0o755 })
    const child = spawn(path, { detached: true, stdio: 'ignore' })
    await once(child, 'spawn')
    const mark = (await markOf(child.pid!, ''))!
    expect(await endProcess(mark)).toBe('ended')
  })
})
