/**
 * The end of a run, from wherever it comes: its worker, a cancel, a deadline, a crash too many.
 *
 * Owns gathering what `end` decides on, and the fresh parts of the runs that may follow. Runs inside the caller's transaction.
 */
import type { ErrorCode } from '../protocol/errors.ts'
import { type EndEvent, type EndView, end } from '../core/run/end.ts'
import type { Fresh, Mailbox } from '../core/run/facts.ts'
import type { ModelIntent, Outcome, Run, Session } from '../core/types.ts'
import { lastReply, loadMailbox, loadPostbox, loadSession } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { type After, carryOut } from './commit.ts'
import type { AgentOptions } from './room.ts'

export type EndIds = EndEvent['ids'] & { successor: string; homeRun: string }

/** Random ids of one end; made before the transaction, so that a repeated body makes the same rows. */
export function endIds(uuid: () => string): EndIds {
  return { note: uuid(), result: uuid(), successor: uuid(), homeRun: uuid() }
}

/** Fixed parts of a root run that nobody asked for by name: the agent's own policy, no more than the run before it held. */
export function fresh(
  options: Pick<AgentOptions, 'policies'>,
  id: string,
  session: Session,
  before: Run | null,
  now: number,
): Fresh {
  const { policies } = options
  const same = before !== null && before.session === session.id
  const seconds = policies.timeoutSeconds(session.agent)
  return {
    id,
    grant: same ? before.grant : policies.rootGrant(session.agent, before?.grant.scopes ?? [], before?.grant.device),
    model: session.settings?.model ?? (same ? before.model : policies.model(session.agent)),
    deadlineAt: seconds > 0 ? now + seconds * 1000 : null,
  }
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
  const view = await endView(tx, run, box)
  const heir = verdict.revoked === undefined ? run : disowned(run, verdict.revoked)
  const decision = end(view, {
    now,
    outcome: verdict.outcome,
    code: verdict.code,
    error: verdict.error,
    text: null,
    seq: null,
    ids,
    successor: fresh(options, ids.successor, session, heir, now),
    homeRun: view.home
      ? fresh(options, ids.homeRun, view.home.session, view.home.live ?? heir, now)
      : fresh(options, ids.homeRun, session, heir, now),
    followups: verdict.followups,
  })
  if (!decision.ok) return null
  return carryOut(tx, decision.effects, {
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
