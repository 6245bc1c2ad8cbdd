/**
 * The end of a run, from wherever it comes: its worker, a cancel, a deadline, a crash too many.
 *
 * Owns gathering what `end` decides on, the fresh parts of the runs that may follow, and what becomes of a run in which we
 * made a mistake. All but that runs inside the caller's transaction.
 */
import { DeputyError, type ErrorCode } from '../protocol/errors.ts'
import { type EndEvent, type EndView, end } from '../core/run/end.ts'
import type { Mailbox } from '../core/run/facts.ts'
import type { ModelIntent, Outcome, Run } from '../core/types.ts'
import { lastReply, lastWords, loadMailbox, loadPostbox, loadRun, loadSession } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { isSaid } from '../store/outbox.ts'
import { carryTurn } from './answering.ts'
import { type After, announce } from './commit.ts'
import { fresh } from './fresh.ts'
import type { AgentOptions, Bells } from './room.ts'

export type EndIds = EndEvent['ids'] & { successor: string; homeRun: string }

/** Random ids of one end; made before the transaction, so that a repeated body makes the same rows. */
export function endIds(uuid: () => string): EndIds {
  return { note: uuid(), result: uuid(), successor: uuid(), homeRun: uuid() }
}

export async function homeOf(tx: Tx, run: Run): Promise<Mailbox | null> {
  if (run.returnTo === null) return null
  const session = await loadSession(tx, run.returnTo)
  return session ? loadPostbox(tx, session) : null
}

/** Inbox rows that a model call in flight shows. */
export async function showingOf(tx: Tx, run: Run): Promise<readonly number[]> {
  const open = (await lastReply(tx, run.id)).find(step => step.kind === 'model' && step.state === 'open')
  return open ? (open.intent as ModelIntent).inbox : []
}

/** Everything that belongs to ending `run`, read in this transaction. */
export async function endView(tx: Tx, run: Run, box: Mailbox): Promise<EndView> {
  return {
    run,
    box,
    sessionKey: box.session.key,
    home: await homeOf(tx, run),
    showing: await showingOf(tx, run),
  }
}

export interface Verdict {
  outcome: Exclude<Outcome, 'succeeded'>
  code: ErrorCode
  error: string
  followups: 'keep' | 'drop'
  /** Rows that were about to be shown: the end is their answer, else a successor would meet the same end, for ever. */
  showing?: readonly number[]
  /** The device that lost its authority: what follows on the run does not work under it. */
  revoked?: string
}

function disowned(run: Run, device: string): Run {
  if (run.grant.device !== device) return run
  const { device: _, ...grant } = run.grant
  return { ...run, grant }
}

/** Ends a live run with a verdict; null when it has ended already. */
export async function endRun(
  tx: Tx,
  options: AgentOptions,
  run: Run,
  verdict: Verdict,
  ids: EndIds,
  now: number,
): Promise<After | null> {
  const session = await loadSession(tx, run.session)
  if (!session || run.state === 'done') return null
  const box = await loadMailbox(tx, session, run)
  const seen = await endView(tx, run, box)
  const view = { ...seen, showing: [...new Set([...seen.showing, ...(verdict.showing ?? [])])] }
  // What a sub-agent had said by then is not lost to who waits for its result.
  // Nor to the person who is told that the budget is used up.
  const keeps = run.returnTo !== null || verdict.outcome === 'budget_exhausted'
  const partial = keeps ? await lastWords(tx, run) : null
  const said = partial !== null && (await isSaid(tx, run.id, partial.step))
  const heir = verdict.revoked === undefined ? run : disowned(run, verdict.revoked)
  const decision = end(view, {
    now,
    outcome: verdict.outcome,
    code: verdict.code,
    error: verdict.error,
    text: partial?.text ?? null,
    seq: partial?.seq ?? null,
    ...(said ? { said } : {}),
    ids,
    successor: fresh(options, ids.successor, session, heir, now),
    homeRun: view.home
      ? fresh(options, ids.homeRun, view.home.session, view.home.live ?? heir, now)
      : fresh(options, ids.homeRun, session, heir, now),
    followups: verdict.followups,
  })
  if (!decision.ok) return null
  return carryTurn(tx, options, decision.effects, {
    sessions: [session, ...(view.home ? [view.home.session] : [])],
    runs: [run, ...(view.home?.live ? [view.home.live] : [])],
    turn: {
      run,
      text: '',
      yielded: false,
      stop: verdict.outcome === 'cancelled' || verdict.outcome === 'timed_out' ? 'aborted' : 'error',
      error: { code: verdict.code, message: verdict.error },
      outcome: verdict.outcome,
    },
    at: now,
  })
}

/** A fault of ours: it ends the run it happened in, and says so. Never rejects. */
export async function failRun(options: AgentOptions, bells: Bells, runId: string, error: unknown): Promise<void> {
  const known =
    error instanceof DeputyError
      ? error
      : new DeputyError('INTERNAL', error instanceof Error ? error.message : String(error), { cause: error })
  const where = error instanceof Error && known.code === 'INTERNAL' ? `\n${error.stack}` : ''
  options.log(`run ${runId}: ${known.code} ${known.message}${where}`)
  if (known.code === 'STORE_CLOSED') return
  const ids = endIds(options.uuid)
  const now = options.clock.now()
  try {
    const after = await options.store.write('finish', async tx => {
      const run = await loadRun(tx, runId)
      const verdict = { outcome: 'failed', code: known.code, error: `${known.message} ${known.fix}` } as const
      return run && endRun(tx, options, run, { ...verdict, followups: 'keep' }, ids, now)
    })
    if (after) announce(after, bells, options.tell)
  } catch (again) {
    const why = again instanceof Error ? again.message : String(again)
    options.log(`run ${runId} could not be ended: ${why}; it is recovered at the next start`)
  }
}
