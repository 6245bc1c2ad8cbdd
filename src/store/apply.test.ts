import fc from 'fast-check'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { machine, openWalk, step } from '../../test/support/walk.ts'
import { afterwards } from '../core/run/facts.ts'
import { apply } from './apply.ts'
import { approvalOf, rememberedOfAgent } from './approvals.ts'
import { inboxOf, loadRun, messageOf, runOf, sessionOf, stepOf } from './facts.ts'
import { openStore } from './open.ts'

const moves = fc.array(fc.tuple(fc.nat(15), fc.nat(30), fc.nat(5000)), { minLength: 60, maxLength: 160, size: 'max' })

const byKey = <T>(list: readonly T[], key: (item: T) => string) => [...list].sort((a, b) => (key(a) < key(b) ? -1 : 1))

test('the rows are what the machine meant: random walks in memory and in the database agree', async () => {
  await fc.assert(
    fc.asyncProperty(moves, async list => {
      const walk = openWalk(machine)
      for (const [what, at, dice] of list) step(walk, what, at, dice)
      const { world } = walk
      const dir = mkdtempSync(join(tmpdir(), 'deputy-apply-'))
      const store = await openStore({ dir, log: () => undefined })
      try {
        for (const effects of world.journal) {
          const changed = new Set(
            effects.flatMap(one => ('run' in one && typeof one.run === 'string' ? [one.run] : [])),
          )
          const settles = effects.some(one => one.do === 'run.settle' || one.do === 'tree.end')
          await store.write('result', async tx => {
            const before = await Promise.all([...changed].map(id => loadRun(tx, id)))
            await apply(tx, effects)
            for (const run of before)
              if (run && !settles) expect(afterwards(run, effects)).toEqual(await loadRun(tx, run.id))
          })
        }
        const { read } = store
        const sessions = (await read.selectFrom('sessions').selectAll().execute()).map(sessionOf)
        const runs = (await read.selectFrom('runs').selectAll().execute()).map(runOf)
        const steps = (await read.selectFrom('steps').selectAll().execute()).map(stepOf)
        const messages = (await read.selectFrom('messages').selectAll().execute()).map(messageOf)
        const inbox = (await read.selectFrom('inbox').selectAll().execute()).map(inboxOf)
        const usage = await read.selectFrom('usage').selectAll().execute()
        expect(byKey(sessions, one => one.id)).toEqual(byKey([...world.sessions.values()], one => one.id))
        expect(byKey(runs, one => one.id)).toEqual(byKey([...world.runs.values()], one => one.id))
        const place = (one: { run: string; n: number }) => `${one.run}/${String(one.n).padStart(5, '0')}`
        expect(byKey(steps, place)).toEqual(byKey(world.steps, place))
        const seat = (one: { session: string; seq: number }) => `${one.session}/${String(one.seq).padStart(5, '0')}`
        expect(byKey(messages, seat)).toEqual(byKey(world.messages, seat))
        // Set-based ends write the kept rows of a tree in another order: the key is what identifies a row.
        const plainRow = ({ id: _id, ...row }: ReturnType<typeof inboxOf>) => row
        const meant = world.inbox.map(({ readRun: _run, readStep: _step, ...row }) => plainRow(row))
        expect(byKey(inbox.map(plainRow), one => one.session + one.key)).toEqual(
          byKey(meant, one => one.session + one.key),
        )
        const approvals = (await read.selectFrom('approvals').selectAll().execute()).map(approvalOf)
        expect(byKey(approvals, one => one.id)).toEqual(byKey([...world.approvals.values()], one => one.id))
        const remembered = await rememberedOfAgent(read, null)
        expect(byKey(remembered, one => one.id)).toEqual(byKey(world.remembered, one => one.id))
        const raises = await read.selectFrom('budget_raises').selectAll().execute()
        const subject = (one: { whose: string; field: string; amount: number }, was: number) =>
          `${one.whose} ${one.field} ${was} ${one.amount}`
        expect(raises.map(one => subject(one, one.was)).sort()).toEqual(
          world.raises.map(one => subject(one, one.limit)).sort(),
        )
        const charges = usage.map(row => ({
          key: `${row.run}/${row.step}/${row.attempt}`,
          state: row.state,
          nano: row.charged_nano,
          tokens: row.charged_tokens,
          calls: row.charged_calls,
        }))
        expect(byKey(charges, one => one.key)).toEqual(
          byKey(
            world.usage.map(row => ({
              key: `${row.run}/${row.step}/${row.attempt}`,
              state: row.state as string,
              nano: row.charged.nano,
              tokens: row.charged.tokens,
              calls: row.charged.calls,
            })),
            one => one.key,
          ),
        )
      } finally {
        await store.close()
        rmSync(dir, { recursive: true, force: true })
      }
    }),
    { numRuns: process.env['DEPUTY_LONG'] ? 500 : 8 },
  )
})
