import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { type Bench, makeBench } from '../../test/support/tools.ts'
import { allows, type Guard, makeGuard, within } from './guard.ts'

const secret = 'the gateway token'

async function attempts(bench: Bench, path: string): Promise<string[]> {
  const calls = [
    bench.call('read', { path }),
    bench.call('write', { path, content: 'overwritten' }),
    bench.call('edit', { path, oldText: 'token', newText: 'x' }),
    bench.call('ls', { path }),
    bench.call('grep', { path, pattern: 'token' }),
    bench.call('exec', { cwd: path, command: 'cat *' }),
  ]
  const answers = await Promise.all(calls)
  return answers.filter(answer => !answer.isError || answer.text.includes(secret)).map(answer => answer.text)
}

describe('the fence of the workspace', () => {
  test('no spelling of a path outside gets through any tool', async () => {
    await using bench = await makeBench()
    const { stateDir, workspace, home } = bench
    writeFileSync(join(stateDir, 'deputy.json'), secret)
    writeFileSync(join(home, 'outside.txt'), secret)
    mkdirSync(join(workspace, 'sub'))
    symlinkSync(join(stateDir, 'deputy.json'), join(workspace, 'link'))
    symlinkSync('../state', join(workspace, 'linked'))
    symlinkSync('/', join(workspace, 'sub/root'))
    symlinkSync('linked', join(workspace, 'twice'))
    symlinkSync(join(home, 'later.txt'), join(workspace, 'dangling'))
    for (const path of [
      '../outside.txt',
      'sub/../../outside.txt',
      join(home, 'outside.txt'),
      `${workspace}/../outside.txt`,
      `${workspace}-other/x`,
      'link',
      'linked',
      'linked/deputy.json',
      'twice/deputy.json',
      `sub/root${stateDir}/deputy.json`,
      `sub/root${stateDir}`,
      '/etc/passwd',
      '/proc/self/environ',
      '/dev/null',
      'a\0b',
      'dangling',
    ]) {
      expect([path, await attempts(bench, path)]).toEqual([path, []])
    }
    expect(readFileSync(join(stateDir, 'deputy.json'), 'utf8')).toBe(secret)
    expect(readFileSync(join(home, 'outside.txt'), 'utf8')).toBe(secret)
    expect(existsSync(join(home, 'later.txt'))).toBe(false)
    const grep = await bench.call('grep', { pattern: 'token' })
    expect(grep.text).toContain('0 matching lines')
  })

  test('links that stay inside are followed, and written through', async () => {
    await using bench = await makeBench()
    mkdirSync(join(bench.workspace, 'real'))
    writeFileSync(join(bench.workspace, 'real/f'), 'one')
    symlinkSync('real', join(bench.workspace, 'folder'))
    symlinkSync('real/f', join(bench.workspace, 'file'))
    expect((await bench.call('read', { path: 'folder/f' })).text).toBe('one')
    await bench.call('write', { path: 'file', content: 'two' })
    await bench.call('write', { path: 'folder/new/g', content: 'three' })
    expect(readFileSync(join(bench.workspace, 'real/f'), 'utf8')).toBe('two')
    expect(readFileSync(join(bench.workspace, 'real/new/g'), 'utf8')).toBe('three')
    expect((await bench.call('ls', {})).text).toContain('file -> real/f')
  })

  test('a workspace under the state directory is all that is seen of it', async () => {
    await using bench = await makeBench({ stateDir: 'home', workspace: 'home/workspace' })
    writeFileSync(join(bench.stateDir, 'deputy.json'), secret)
    writeFileSync(join(bench.workspace, 'mine'), 'mine')
    expect((await bench.call('read', { path: 'mine' })).text).toBe('mine')
    for (const path of ['..', '../deputy.json', bench.stateDir]) expect(await attempts(bench, path)).toEqual([])
    const seen = await bench.call('exec', { command: `ls -A ${bench.stateDir} ${bench.home}; cat ../deputy.json` })
    expect(seen.text).toContain('workspace')
    expect(seen.text).not.toMatch(/deputy\.json$|token/m)
  })

  test('a state directory under the workspace is not seen at all', async () => {
    await using bench = await makeBench({ workspace: 'user', stateDir: 'user/.deputy' })
    writeFileSync(join(bench.stateDir, 'deputy.json'), secret)
    writeFileSync(join(bench.workspace, 'mine'), 'mine')
    for (const path of ['.deputy', '.deputy/deputy.json', '.deputy/new.txt'])
      expect(await attempts(bench, path)).toEqual([])
    expect((await bench.call('grep', { pattern: 'token|mine' })).text).toBe('mine:1:mine')
    const command = await bench.call('exec', {
      command: 'ls -A .deputy; cat .deputy/*; echo x > .deputy/x; grep -r token . ; rm -rf .deputy; mv .deputy d',
    })
    expect(command.text).not.toContain('token\n')
    expect(readFileSync(join(bench.stateDir, 'deputy.json'), 'utf8')).toBe(secret)
    expect(existsSync(join(bench.stateDir, 'x'))).toBe(false)
  })

  test('the state directory itself, the whole machine and a missing folder are no workspaces', async () => {
    await using bench = await makeBench({ workspace: 'both', stateDir: 'both' })
    for (const name of ['read', 'ls', 'exec', 'grep']) {
      const args = { read: { path: 'x' }, ls: {}, exec: { command: 'true' }, grep: { pattern: 'x' } }[name]
      expect((await bench.call(name, args)).text).toContain('The workspace is the state directory')
      expect((await bench.call(name, args, { workspace: '/' })).text).toContain('the whole machine')
      expect((await bench.call(name, args, { workspace: join(bench.home, 'no') })).text).toContain(
        'The workspace folder is not there',
      )
    }
  })

  test('a name that only begins like the folder is not in it', () => {
    expect([within('/a/b', '/a/b'), within('/a/b', '/a/b/c'), within('/a/b', '/a/bc'), within('/', '/x')]).toEqual([
      true,
      true,
      false,
      true,
    ])
    const guard: Guard = { root: '/home/u', state: '/home/u/.deputy', configured: '/home/u', owner: null }
    expect(allows(guard, '/home/u/.deputy/workspace')).toBe(false)
    expect(allows({ ...guard, root: '/home/u/.deputy/ws' }, '/home/u/.deputy/ws/f')).toBe(true)
    expect(allows({ ...guard, root: '/home/u/.deputy/ws' }, '/home/u/.deputy/other')).toBe(false)
  })

  test('the state directory is known by its real path, also before it exists', async () => {
    await using bench = await makeBench()
    symlinkSync(bench.home, join(bench.workspace, 'up'))
    const guard = await makeGuard(bench.workspace, join(bench.workspace, 'up/later/home'))
    expect(guard.state).toBe(join(bench.home, 'later/home'))
  })
})

describe('a folder that is swapped for a link while a tool is at work', () => {
  test('nothing outside is read, listed, written or made', async () => {
    await using bench = await makeBench()
    const { workspace, stateDir } = bench
    const inside = join(workspace, 'd')
    mkdirSync(inside)
    for (const folder of [inside, stateDir]) {
      mkdirSync(join(folder, 'sub'))
      writeFileSync(join(folder, 'f'), folder === inside ? 'ours' : secret)
    }
    // In a thread of its own, as a command in the sandbox would do it while the gateway works.
    const swapper = new Worker(
      `const { workerData: [inside, away, state] } = require('node:worker_threads')
       const { existsSync, renameSync, rmSync, symlinkSync } = require('node:fs')
       const attempt = act => { try { act() } catch {} }
       for (;;) {
         attempt(() => renameSync(inside, away))
         attempt(() => symlinkSync(state, inside))
         // A tool may have made the folder anew while it was away.
         while (existsSync(away)) attempt(() => { rmSync(inside, { recursive: true, force: true }); renameSync(away, inside) })
       }`,
      { eval: true, workerData: [inside, join(workspace, 'away'), stateDir] },
    )
    const texts: string[] = []
    const outcomes = { ok: 0, refused: 0 }
    for (let n = 0; n < 150; n++) {
      const answers = await Promise.all([
        bench.call('read', { path: 'd/f' }),
        bench.call('write', { path: `d/new${n}`, content: 'x' }),
        bench.call('write', { path: `d/sub/deep${n}/g`, content: 'x' }),
        bench.call('edit', { path: 'd/f', oldText: 'ours', newText: `ours${n}` }),
        bench.call('ls', { path: 'd' }),
        ...(n % 15 === 0
          ? [bench.call('grep', { pattern: 'token' }), bench.call('grep', { path: 'd', pattern: 'token' })]
          : []),
      ])
      for (const answer of answers) outcomes[answer.isError ? 'refused' : 'ok'] += 1
      texts.push(...answers.map(answer => answer.text))
    }
    await swapper.terminate()
    expect(texts.filter(text => text.includes(secret))).toEqual([])
    expect(readFileSync(join(stateDir, 'f'), 'utf8')).toBe(secret)
    expect(readdirSync(stateDir, { recursive: true }).sort()).toEqual(['f', 'sub'])
    expect(Math.min(outcomes.ok, outcomes.refused)).toBeGreaterThan(20)
  })
})
