/**
 * What a decision about a run is made from: the slice of the rows that its transaction has read and locked.
 *
 * Owns the views, the effects and `satisfied`, the one rule of waking (decisions.md 1). Decides nothing else.
 */
import type { ErrorCode } from '../../protocol/errors.ts'
import type { Approval, Raise, Remembered } from '../approval.ts'
import { plus } from '../budget.ts'
import type { Content } from '../chat.ts'
import { isApprovalKey } from '../ids.ts'
import type {
  InboxRow,
  InboxState,
  Message,
  Outcome,
  Route,
  Run,
  Session,
  Spend,
  Step,
  StepResult,
  TokenUsage,
  CompactIntent,
  ModelIntent,
  ToolIntent,
  StepState,
  View,
  Wait,
} from '../types.ts'

/** One session's mailbox and who is at work on it. */
export interface Mailbox {
  session: Session
  /** Its live run (at most one, decisions.md 3). */
  live: Run | null
  /** Unread rows in row order. Of a mailbox that is only posted to, one row a kind is enough. */
  unread: readonly InboxRow[]
  /** Live attached children of `live`: 0, 1, or 2 for "several"; nobody needs more. */
  openChildren: number
  /** Of the runs that an `ask` wait names: how many are live still. */
  askedOpen: number
}

/** A new root run's fixed parts, made by the shell from today's configuration. */
export interface Fresh {
  id: string
  grant: Run['grant']
  model: string
  deadlineAt: number | null
  /** How it works; absent where nobody asked for anything special. */
  terms?: Run['terms']
}

export type NewInbox = Omit<InboxRow, 'id'>

export interface UsageRow {
  run: string
  step: number
  attempt: number
  session: string
  tree: string
  agent: string
  /** Who asked for the work; null when nobody is known. */
  sender: string | null
  model: string
  reserved: Spend
  at: number
}

/** What is to become true, in this order, in the transaction that read the view; store/apply.ts makes it rows. */
export type Effect =
  | { do: 'session.put'; session: Session }
  | { do: 'session.close'; session: string; at: number }
  | {
      do: 'session.set'
      session: string
      to: Partial<Pick<Session, 'label' | 'settings' | 'route'>> & { view?: string | null }
      at: number
    }
  | { do: 'view.put'; view: View }
  /** Also raises the session's counter to `message.seq`. */
  | { do: 'message.put'; message: Message }
  /** What a session's model has seen, of what was written up to `upto` and stands at `place` or before, at the same places of another session. */
  | { do: 'messages.copy'; from: string; to: string; upto: number; place: number }
  | { do: 'inbox.put'; row: NewInbox }
  /** `ord` places the rows' messages in the model's view: right before the reply that saw them. */
  | {
      do: 'inbox.mark'
      session: string
      ids: readonly number[]
      state: InboxState
      run: string | null
      step: number | null
      ord: number | null
    }
  | { do: 'run.put'; run: Run }
  | { do: 'run.set'; run: string; to: Partial<Omit<Run, 'id' | 'session' | 'tree'>> }
  /** An ended child's purse: its payer's `spent` grows by the child's, as the row has it now, and its limit is lent no more. */
  | { do: 'run.settle'; run: string }
  /** Steps without a result are `cancelled`. */
  | { do: 'steps.cancel'; run: string; at: number }
  /** Adds to what a run has spent and lent; amounts may be negative. */
  | { do: 'run.money'; run: string; spent: Spend; lent: Spend }
  | { do: 'step.put'; step: Step }
  | {
      do: 'step.set'
      run: string
      n: number
      to: {
        state?: StepState
        result?: StepResult
        intent?: ModelIntent | ToolIntent | CompactIntent
        startedAt?: number
        endedAt?: number
      }
    }
  | { do: 'usage.reserve'; row: UsageRow }
  | { do: 'usage.settle'; run: string; step: number; attempt: number; charged: Spend; usage: TokenUsage }
  /** Reservations in flight of this run are charged in full (decisions.md 12). */
  | { do: 'usage.unknown'; run: string }
  /** Ends every live attached descendant, set-based, ancestors first; their results are `kept` (decisions.md 6, 7). */
  | { do: 'tree.end'; root: string; outcome: Outcome; code: ErrorCode; error: string; at: number }
  /** `grown`: the words of a run's turn, which take over the row of what has been shown of them, if there is one. */
  | {
      do: 'outbox.put'
      session: string
      run: string | null
      key: string
      route: Route
      content: Content
      grown?: true
      at: number
    }
  /** An open row goes to another place of its service; `dead`: it is said nowhere, for that reason. */
  | { do: 'outbox.move'; id: number; route: Route; dead: string | null; at: number }
  /** What is written at that place belongs to this conversation from now on. `run`: what it was opened for. */
  | { do: 'binding.put'; place: Route; session: Pick<Session, 'agent' | 'key'>; run: string; by: string; at: number }
  | { do: 'approval.put'; approval: Approval }
  /** The row as it is from now on. */
  | { do: 'approval.set'; approval: Approval }
  /** One of the chats that are asked is at another place now. */
  | { do: 'approval.move'; id: string; from: Route; to: Route }
  /** Questions of this run that nobody has answered are `cancelled`. */
  | { do: 'approvals.cancel'; run: string; at: number }
  | { do: 'remembered.put'; remembered: Remembered }
  /** A limit over many runs is so much higher from now on; once at each limit that it has had. */
  | { do: 'cap.raise'; raise: Raise; approval: string; by: string; at: number }
  /** Wire ids that were answered by this turn's end: those whose rows are unread no more. */
  | { do: 'turn.answer'; run: string; turn: number }
  /** Wire ids that nobody has answered yet belong to a successor now. */
  | { do: 'turn.hand'; from: string; to: string }

export type Decision = { ok: true; effects: Effect[] } | { ok: false; code: ErrorCode; message: string }

export const nothing: Spend = { nano: 0, tokens: 0, calls: 0 }

export function negative(spend: Spend): Spend {
  return { nano: 0 - spend.nano, tokens: 0 - spend.tokens, calls: 0 - spend.calls }
}

/**
 * Whether a wait is over. The only rule by which anything wakes: an outside row ends every wait but an approval's;
 * children, a timer or an answer end the wait that is for them.
 */
export function satisfied(
  wait: Wait,
  unread: readonly (Pick<InboxRow, 'kind'> & { id?: number; key?: string })[],
  openChildren: number,
  askedOpen: number,
): boolean {
  const has = (kind: InboxRow['kind']) => unread.some(row => row.kind === kind)
  const outside = has('message') || has('exit')
  switch (wait.for) {
    case 'children':
      return outside || has('timer') || openChildren === 0 || (wait.mode === 'any' && has('result'))
    case 'message':
      // Nothing is done for a wish to shorten what the model reads until there is something to read.
      return unread.some(row => row.kind !== 'compact')
    case 'timer':
      return unread.some(
        row => (row.id ?? Number.POSITIVE_INFINITY) > wait.after && ['message', 'exit', 'timer'].includes(row.kind),
      )
    case 'ask': {
      const answers = unread.filter(row => row.kind === 'answer')
      const forApproval = (row: { key?: string }) => row.key !== undefined && isApprovalKey(row.key)
      if (!wait.outside) return answers.some(forApproval)
      return (
        has('timer') ||
        answers.some(row => !forApproval(row)) ||
        outside ||
        (wait.runs.length > 0 && askedOpen === 0) ||
        (wait.mode === 'any' && askedOpen < wait.runs.length)
      )
    }
  }
}

/** Where a run's words go outside the house; null when who asked for it has them alone, or nobody is to hear them there. */
export function speaksTo(run: Pick<Run, 'route' | 'returnTo' | 'terms'>): Route | null {
  return run.returnTo === null || run.terms?.thread ? run.route : null
}

/** A run as its row is once `effects` are carried out. What settles or ends other runs' purses is not looked at. */
export function afterwards(run: Run, effects: readonly Effect[]): Run {
  let now = run
  for (const effect of effects) {
    if (effect.do === 'run.set' && effect.run === run.id) now = { ...now, ...effect.to }
    if (effect.do === 'run.money' && effect.run === run.id)
      now = { ...now, spent: plus(now.spent, effect.spent), lent: plus(now.lent, effect.lent) }
  }
  return now
}

/** Hands out transcript positions of one session inside one decision. */
export function positions(session: Session): () => number {
  let seq = session.seq
  return () => {
    seq += 1
    return seq
  }
}

/** A run may be worked on by who claimed it last, and by nobody else (R3). */
export function fenced(run: Run, epoch: number): Decision | null {
  if (run.state === 'done') return refuse('RUN_DONE', `run ${run.id} has ended (${run.outcome})`)
  if (run.epoch !== epoch || run.state !== 'running') return refuse('RUN_STALE', `run ${run.id} was claimed again`)
  return null
}

export function refuse(code: ErrorCode, message: string): Decision {
  return { ok: false, code, message }
}
