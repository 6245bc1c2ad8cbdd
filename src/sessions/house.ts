/**
 * The house as the doors see it: accepting, spawning, stopping, waiting, reading.
 *
 * Owns the composition of this room, and closing a conversation: the row is closed, its runs are cancelled and its key points
 * at a new row from then on (decisions.md 5). Every call names its principal.
 */
import type { Ending } from '../agent/cancel.ts'
import { type EndIds, endIds } from '../agent/ending.ts'
import type { AgentOptions, Bells } from '../agent/room.ts'
import type { Runner } from '../agent/runner.ts'
import { nameOf } from '../core/principal.ts'
import type { Run, Session } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import { apply } from '../store/apply.ts'
import { openSessionByKey, runOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { acceptSpawn } from './accepting.ts'
import { openApprovals } from './approvals.ts'
import { injectWords, openSession, patchSession } from './changing.ts'
import { openCommands } from './commands/commands.ts'
import type { Senders } from './commands/types.ts'
import { forkRun } from './forking.ts'
import { meant, newSession } from './keys.ts'
import { openLedger } from './ledger.ts'
import { openReads } from './reading.ts'
import { pauseRuns } from './pausing.ts'
import { together } from './reports.ts'
import type {
  CancelInput,
  CancelReport,
  CompactInput,
  ForkInput,
  House,
  PatchInput,
  PauseInput,
  SpawnInput,
} from './types.ts'
import { compactSession, undoCompaction } from './shortening.ts'
import { openWaits, type Waits } from './waiting.ts'

export interface HouseOptions {
  options: AgentOptions
  bells: Bells
  runner: Pick<Runner, 'cancel' | 'interrupt' | 'early'>
  /** The senders of channels that may give commands; default nobody. */
  senders?(): Senders
}

/** `hear` takes every event that is told; the caller wires it before the first run. */
export function openHouse({ options, bells, runner, senders = nobody }: HouseOptions): House & Pick<Waits, 'hear'> {
  const { store } = options
  const reads = openReads(store.read)
  const waits = openWaits(store.read)
  const deps = { options, bells, interrupt: runner.interrupt, early: runner.early }

  async function cancel(input: CancelInput): Promise<CancelReport> {
    const { target, principal, reason } = input
    if ('all' in target) return runner.cancel.all(principal, reason)
    if ('device' in target) return runner.cancel.device(target.device, target.before, reason)
    if ('run' in target) {
      const found = await reads.run(target.run)
      if (!found)
        throw new DeputyError('UNKNOWN_RUN', `There is no run ${JSON.stringify(target.run.slice(0, 80))}.`, {
          details: { run: target.run },
        })
      return runner.cancel.run(found.run.id, principal, reason)
    }
    const key = meant({ sessionKey: target.session }, options.policies.defaultAgent()).key
    const session = (await reads.session(target.session)) ?? (await reads.sessionByKey(key))
    if (!session)
      throw new DeputyError('UNKNOWN_SESSION', `There is no session ${JSON.stringify(target.session.slice(0, 80))}.`)
    return runner.cancel.session(session.id, principal, reason)
  }

  async function reset(input: Parameters<House['reset']>[0]): ReturnType<House['reset']> {
    const at = meant({ sessionKey: input.sessionKey }, options.policies.defaultAgent())
    const now = options.clock.now()
    const id = options.uuid()
    const why = `the session was ${input.reason === 'delete' ? 'deleted' : 'reset'} (by ${nameOf(input.principal)})`
    const verdict = { outcome: 'cancelled', code: 'RUN_CANCELLED', error: why, followups: 'drop' } as const
    const ends = new Map<string, EndIds>()
    const closed = await store.write('session', async tx => {
      const session = await openSessionByKey(tx, at.key)
      if (!session) return null
      if (input.expected !== undefined && input.expected !== session.id)
        throw new DeputyError('SESSION_CLOSED', `The session ${at.key} was reset in the meantime.`)
      await apply(tx, [{ do: 'session.close', session: session.id, at: now }])
      // Nothing works on for a closed conversation, not even when the gateway dies right after this (decisions.md 5, 7, 33).
      const endings: Ending[] = []
      for (const run of await worksFor(tx, session)) {
        const ids = ends.get(run.id) ?? endIds(options.uuid)
        ends.set(run.id, ids)
        const ending = await runner.cancel.within(tx, run, verdict, ids, now)
        if (ending) endings.push(ending)
      }
      await tx
        .insertInto('audit')
        .values({
          at: now,
          who: nameOf(input.principal),
          what: `session.${input.reason}`,
          details: JSON.stringify({ session: session.id, key: at.key }),
        })
        .execute()
      if (input.reason === 'delete') return { old: session, next: null, endings }
      const next = newSession(id, at, now, session.route)
      const { unread: _, ...settings } = session.settings ?? {}
      // A sub-agent's stays one: what it may do comes from there.
      const { tree, parentSession, spawnedBy, depth } = session
      const kin = depth > 0 ? { tree, parentSession, spawnedBy, depth } : {}
      const heir = { ...next, ...kin, label: session.label, settings }
      await apply(tx, [{ do: 'session.put', session: heir }])
      return { old: session, next: heir, endings }
    })
    if (!closed) throw new DeputyError('UNKNOWN_SESSION', `There is no session ${at.key}.`)
    const report = together(await Promise.all(closed.endings.map(ending => runner.cancel.report(ending))))
    options.tell({
      on: 'session.changed',
      session: closed.old.id,
      sessionKey: at.key,
      agent: at.agent,
      reason: input.reason,
      at: now,
    })
    return { session: closed.next, report }
  }

  const house = {
    ...reads,
    ...openLedger(store.read),
    approvals: openApprovals(options, bells),
    spawn: (input: SpawnInput) => acceptSpawn(deps, input),
    fork: (input: ForkInput) => forkRun(deps, input),
    cancel,
    pause: (input: PauseInput) => pauseRuns(options, bells, input),
    reset,
    patch: (input: PatchInput) => patchSession(options, input),
    compact: (input: CompactInput) => compactSession(deps, input),
    undoCompaction: (input: Parameters<House['undoCompaction']>[0]) => undoCompaction(deps, input),
  }
  return {
    ...house,
    ...openCommands({ ...deps, house: { ...house, wait: waits.wait }, senders }),
    open: input => openSession(options, input),
    inject: input => injectWords(options, input),
    wait: waits.wait,
    hear: waits.hear,
  }
}

/** The conversation's own live run, and detached ones whose result would have come to it. */
async function worksFor(tx: Tx, session: Session): Promise<Run[]> {
  const rows = await tx
    .selectFrom('runs')
    .selectAll()
    .where('tree', '=', session.tree)
    .where('state', '<>', 'done')
    .where(eb => eb.or([eb('session', '=', session.id), eb('return_to', '=', session.id).and('detached', '=', 1)]))
    .orderBy('depth')
    .execute()
  return rows.map(runOf)
}

function nobody(): Senders {
  return { allowFrom: {}, owners: [] }
}
