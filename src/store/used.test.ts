import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openStore } from './open.ts'
import { samples } from './samples.ts'
import { nameOf, secondsBy } from './used.ts'

test('time at work: what calls and tools took, in flight up to now; waits, held calls and yesterday are nobody’s work', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-used-'))
  const store = await openStore({ dir, log: () => undefined })
  try {
    const steps = [
      { run: 'r1', kind: 'model', name: 'm', state: 'done', started_at: 10_000, ended_at: 13_000 },
      { run: 'r1', kind: 'tool', name: 'exec', state: 'done', started_at: 13_000, ended_at: 15_000 },
      { run: 'r1', kind: 'tool', name: 'read', state: 'done', started_at: null, ended_at: 15_500 },
      { run: 'r1', kind: 'tool', name: 'subagents', state: 'done', started_at: 16_000, ended_at: 90_000 },
      { run: 'r1', kind: 'model', name: 'm', state: 'open', started_at: 99_000, ended_at: null },
      { run: 'r1', kind: 'model', name: 'm', state: 'done', started_at: 8_000, ended_at: 9_000 },
      { run: 'r2', kind: 'model', name: 'm', state: 'open', started_at: 20_000, ended_at: null },
      { run: 'r2', kind: 'tool', name: 'exec', state: 'asking', started_at: 20_000, ended_at: null },
      { run: 'r3', kind: 'tool', name: 'exec', state: 'cancelled', started_at: 50_000, ended_at: 54_000 },
    ]
    await store.write('usage', async tx => {
      for (const [id, state, at, sender] of [
        ['r1', 'running', 10_000, 'ann'],
        ['r2', 'waiting', 20_000, 'ann'],
        ['r3', 'done', 50_000, 'bob'],
      ] as const) {
        await tx
          .insertInto('runs')
          .values({ ...samples.runs, id, session: id, state })
          .execute()
        for (const step of [1, 2])
          await tx
            .insertInto('usage')
            .values({ ...samples.usage, run: id, step, at, sender })
            .execute()
      }
      for (const [i, step] of steps.entries())
        await tx
          .insertInto('steps')
          .values({ ...samples.steps, n: i + 1, ...step })
          .execute()
      expect(await secondsBy(tx, {}, 9_500, 100_000)).toBe(3 + 2 + 1 + 4)
      expect(await secondsBy(tx, { sender: 'ann' }, 9_500, 100_000)).toBe(6)
      expect(await secondsBy(tx, { sender: 'bob' }, 9_500, 100_000)).toBe(4)
      expect(await secondsBy(tx, { agent: 'nobody' }, 0, 100_000)).toBe(0)
    })
  } finally {
    await store.close()
    rmSync(dir, { recursive: true, force: true })
  }
})

test('a limit has one name in the rows of its raises', () => {
  expect([nameOf({}), nameOf({ agent: 'main' }), nameOf({ tree: 't1' })]).toEqual(['all', 'agent:main', 'tree:t1'])
})
