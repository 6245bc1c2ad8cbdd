import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { tempDir } from '../../test/support/temp.ts'
import { openGuides } from './guide.ts'

function place() {
  const home = tempDir()
  const workspace = join(home, 'workspace')
  const guides = openGuides(join(home, 'state'))
  mkdirSync(join(home, 'state'))
  return { home, workspace, file: join(workspace, 'AGENTS.md'), guide: () => guides(workspace) }
}

test('a workspace without one is made and has none', async () => {
  const { workspace, guide, file } = place()
  expect(await guide()).toBe(null)
  writeFileSync(file, 'here')
  expect(await guide()).toBe('here')
  rmSync(workspace, { recursive: true })
  expect(await guide()).toBe(null)
})

test('what stands there now is what is shown, however it was changed', async () => {
  const { file, guide } = place()
  await guide()
  writeFileSync(file, 'one')
  expect([await guide(), await guide()]).toEqual(['one', 'one'])
  writeFileSync(file, 'two')
  expect(await guide()).toBe('two')
  writeFileSync(`${file}.new`, 'six')
  renameSync(`${file}.new`, file)
  expect(await guide()).toBe('six')
  rmSync(file)
  expect(await guide()).toBe(null)
})

test('a long one is cut, and says so', async () => {
  const { file, guide } = place()
  await guide()
  writeFileSync(file, 'ä'.repeat(20_000))
  expect(await guide()).toBe('ä'.repeat(20_000))
  for (const length of [20_001, 1_000_000]) {
    writeFileSync(file, 'ä'.repeat(length))
    expect(await guide()).toBe(`${'ä'.repeat(20_000)}\n[AGENTS.md goes on; read the file.]`)
  }
})

test('a link inside the workspace is followed, one that leads out is not', async () => {
  const { home, workspace, file, guide } = place()
  await guide()
  writeFileSync(join(workspace, 'CLAUDE.md'), 'inside')
  symlinkSync('CLAUDE.md', file)
  expect(await guide()).toBe('inside')
  writeFileSync(join(workspace, 'CLAUDE.md'), 'changed')
  expect(await guide()).toBe('changed')
  for (const target of [join(home, 'state', 'deputy.json'), join(home, 'other')]) {
    writeFileSync(target, 'secret')
    rmSync(file)
    symlinkSync(target, file)
    expect(await guide()).toBe('[AGENTS.md cannot be read: TOOL_OUTSIDE_WORKSPACE]')
  }
})

test('what is no file is not waited for', async () => {
  const { file, guide } = place()
  await guide()
  execFileSync('mkfifo', [file])
  expect(await guide()).toBe('[AGENTS.md cannot be read: TOOL_FAILED]')
  rmSync(file)
  mkdirSync(file)
  expect(await guide()).toBe('[AGENTS.md cannot be read: TOOL_FAILED]')
})
