/** What is still to be said keeps its files; the rest goes when it had its time, and nothing else with it. */
import fc from 'fast-check'
import { existsSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { tempDir } from '../../test/support/temp.ts'
import { apply } from '../store/apply.ts'
import { openStore, type Store } from '../store/open.ts'
import { makeGuard } from '../tools/guard.ts'
import { copyOut, outboundFolder } from '../tools/media.ts'
import { sweepFiles } from './old-files.ts'

const day = 24 * 3600_000
const now = Date.now()
const states = ['streaming', 'pending', 'sending', 'uncertain', 'sent', 'dead'] as const

async function open() {
  const dir = tempDir()
  const workspace = join(dir, 'workspace')
  mkdirSync(join(workspace, 'inbox'), { recursive: true })
  mkdirSync(outboundFolder(dir), { recursive: true })
  const store = await openStore({ dir, log: () => undefined })
  onTestFinished(() => store.close())
  return { dir, workspace, store }
}

function aged(path: string, days: number): void {
  const at = (now - days * day) / 1000
  utimesSync(path, at, at)
}

async function row(store: Store, n: number, state: string, paths: readonly string[]): Promise<void> {
  const media = paths.map(path => ({
    path,
    name: 'x',
    mimeType: 'text/plain',
    bytes: 1,
    kind: 'document',
    voice: false,
  }))
  const route = { channel: 'telegram', account: 'default', to: '1' }
  const content = { text: '', media } as never
  await store.write('rpc', tx =>
    apply(tx, [{ do: 'outbox.put', session: '', run: null, key: `k${n}`, route, content, at: now }]).then(
      () => undefined,
    ),
  )
  await store.write('sent', async tx => {
    await tx.updateTable('outbox').set({ state }).where('key', '=', `k${n}`).execute()
  })
}

const sweep = (dir: string, store: Store, transcripts: number | null = null) =>
  sweepFiles({
    store,
    clock: { now: () => now },
    stateDir: dir,
    workspaces: () => [join(dir, 'workspace')],
    rules: () => ({ transcripts }),
  })

test('a copy stays exactly as long as it is young or a row could still send it', async () => {
  const file = fc.record({
    days: fc.constantFrom(0, 0.5, 1.5, 3),
    rows: fc.array(fc.nat(states.length - 1), { maxLength: 3 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 6 }), async files => {
      const { dir, store } = await open()
      const paths = files.map((_one, i) => join(outboundFolder(dir), `${i}`.padStart(64, '0')))
      let n = 0
      for (const [i, { days, rows }] of files.entries()) {
        writeFileSync(paths[i]!, 'x')
        aged(paths[i]!, days)
        for (const state of rows) await row(store, n++, states[state]!, [paths[i]!, paths[0]!])
      }
      await sweep(dir, store)
      const owing = files.some(({ rows }) => rows.some(state => states[state] !== 'sent'))
      for (const [i, { days, rows }] of files.entries()) {
        const needed = rows.some(state => states[state] !== 'sent') || (i === 0 && owing)
        expect(existsSync(paths[i]!), JSON.stringify({ i, files })).toBe(days <= 1 || needed)
      }
    }),
    { numRuns: 8 },
  )
})

test('a file that is sent once more is young again, and one that was tidied away is copied anew', async () => {
  const { dir, workspace, store } = await open()
  writeFileSync(join(workspace, 'a.txt'), 'words')
  const guard = await makeGuard(workspace, dir)
  const { path } = await copyOut(guard, dir, 'a.txt')
  aged(path, 30)
  await copyOut(guard, dir, 'a.txt')
  expect(await sweep(dir, store)).toBe(0)
  aged(path, 30)
  expect(await sweep(dir, store)).toBe(1)
  expect((await copyOut(guard, dir, 'a.txt')).path).toBe(path)
  // Half a copy of a process that was killed.
  writeFileSync(`${path}.draft`, 'wor')
  aged(`${path}.draft`, 2)
  expect(await sweep(dir, store)).toBe(1)
  expect(readdirSync(outboundFolder(dir))).toEqual([path.split('/').at(-1)])
})

test('what people sent goes by the rule of the conversations, links and files of the agent never', async () => {
  const { dir, workspace, store } = await open()
  const inbox = (name: string) => join(workspace, 'inbox', name)
  const sent = inbox(`${'a'.repeat(24)}.pdf`)
  for (const path of [sent, inbox('notes.txt'), join(dir, 'elsewhere')]) {
    writeFileSync(path, 'x')
    aged(path, 40)
  }
  symlinkSync(join(dir, 'elsewhere'), inbox(`${'b'.repeat(24)}.pdf`))
  expect(await sweep(dir, store)).toBe(0)
  expect(await sweep(dir, store, 50 * day)).toBe(0)
  expect(await sweep(dir, store, 30 * day)).toBe(1)
  expect(existsSync(sent)).toBe(false)
  expect(readdirSync(join(workspace, 'inbox'))).toHaveLength(2)
  expect(existsSync(join(dir, 'elsewhere'))).toBe(true)
})
