/**
 * A person pauses work and lets it go on: one run, or with all that hangs below it.
 *
 * Owns finding what is meant and the transaction. What a pause is stands in core/run/rest.ts: nobody takes a paused run up,
 * its clock goes on, a call in flight is heard out. Sub-agents of a paused run go on unless they are paused, too.
 */
import type { AgentOptions, Bells } from '../agent/room.ts'
import { turnId } from '../core/ids.ts'
import { nameOf } from '../core/principal.ts'
import { pause } from '../core/run/rest.ts'
import type { Run } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import { apply } from '../store/apply.ts'
import { loadRun, loadSession, runOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import type { PauseInput, PauseReport } from './types.ts'

export async function pauseRuns(options: AgentOptions, bells: Bells, input: PauseInput): Promise<PauseReport> {
  const { run: id, tree, paused, principal } = input
  const now = options.clock.now()
  const done = await options.store.write('session', async tx => {
    const run = await loadRun(tx, id)
    if (!run) throw new DeputyError('UNKNOWN_RUN', `There is no run ${id}.`, { details: { run: id } })
    const meant = tree ? [run, ...(await below(tx, run))] : [run]
    const decisions = meant
      .filter(one => one === run || one.state !== 'done')
      .map(one => ({ one, ...pause(one, paused) }))
    const refused = decisions.find(decision => !decision.ok)
    // The tree below an ended run may be at work still: it is what was meant then.
    if (refused && !refused.ok && decisions.length === 1) throw new DeputyError(refused.code, refused.message)
    const changed = decisions.flatMap(decision =>
      decision.ok && decision.effects.length > 0 ? [{ ...decision.one, paused }] : [],
    )
    const effects = decisions.flatMap(decision => (decision.ok ? decision.effects : []))
    await apply(tx, effects)
    const told = await Promise.all(
      changed.map(async one => ({ run: one, key: (await loadSession(tx, one.session))?.key ?? one.session })),
    )
    const details = JSON.stringify({ runs: changed.map(one => one.id).slice(0, 50), tree })
    const what = paused ? 'run.pause' : 'run.resume'
    await tx
      .insertInto('audit')
      .values({ at: now, who: nameOf(principal), what, details })
      .execute()
    return { changed, told }
  })
  for (const { run, key } of done.told)
    options.tell({
      on: 'run.state',
      run: run.id,
      session: run.session,
      sessionKey: key,
      agent: run.agent,
      wireId: turnId(run.id, run.turn),
      change: paused ? 'paused' : 'resumed',
      parent: run.parent,
      at: now,
    })
  // What was queued all along is claimable again from here on.
  if (!paused) bells.queued(done.changed.filter(one => one.state === 'queued'))
  return { runs: done.changed.map(({ id: run, agent, state, task }) => ({ run, agent, state, task })), paused }
}

/** All that a run has started and that has not ended, whoever of them started it. */
async function below(tx: Tx, top: Run): Promise<Run[]> {
  const found: Run[] = []
  for (let level = [top.id]; level.length > 0; ) {
    const rows: Run[] = []
    for (let at = 0; at < level.length; at += 400) {
      const part = level.slice(at, at + 400)
      rows.push(...(await tx.selectFrom('runs').selectAll().where('parent', 'in', part).execute()).map(runOf))
    }
    found.push(...rows)
    level = rows.map(run => run.id)
  }
  return found
}
