/**
 * Facts to rows: the columns of sessions, messages, mailbox, runs, steps and usage rows.
 * Owns the mapping only, the mirror of facts.ts; apply.ts writes.
 */
import type { Approval, Remembered } from '../core/approval.ts'
import type { Effect, NewInbox, UsageRow } from '../core/run/facts.ts'
import type { Message, Run, Session, Spend, Step, View } from '../core/types.ts'
import type { ApprovalGrantsTable, ApprovalsTable, BudgetRaisesTable, RunsTable } from './tables.ts'

export function sessionRow(session: Session) {
  return {
    id: session.id,
    key: session.key,
    agent: session.agent,
    tree: session.tree,
    parent_session: session.parentSession,
    spawned_by: session.spawnedBy,
    depth: session.depth,
    label: session.label,
    route: session.route === null ? null : JSON.stringify(session.route),
    seq: session.seq,
    created_at: session.createdAt,
    updated_at: session.updatedAt,
    closed_at: session.closedAt,
    settings: settingsText(session.settings),
    view: session.view ?? null,
  }
}

export function viewRow(view: View) {
  return {
    id: view.id,
    session: view.session,
    run: view.run,
    step: view.step,
    after: view.after,
    summary: view.summary,
    pinned: JSON.stringify(view.pinned),
    base: view.base,
    why: view.why,
    messages: view.messages,
    tokens_before: view.tokensBefore,
    tokens_after: view.tokensAfter,
    at: view.at,
  }
}

/** What a person may change of a session. */
export function sessionColumns(to: (Effect & { do: 'session.set' })['to']) {
  return {
    ...(to.view === undefined ? {} : { view: to.view }),
    ...(to.label === undefined ? {} : { label: to.label }),
    ...(to.settings === undefined ? {} : { settings: settingsText(to.settings) }),
    ...(to.route === undefined ? {} : { route: json(to.route) }),
  }
}

/** Nothing set is null, and so no settings when it is read again. */
function settingsText(settings: Session['settings']): string | null {
  return settings && Object.keys(settings).length > 0 ? JSON.stringify(settings) : null
}

export function messageRow(message: Message) {
  return {
    session: message.session,
    seq: message.seq,
    ord: message.ord,
    id: message.id,
    role: message.role,
    parts: { long: JSON.stringify(message.parts) },
    run: message.run,
    step: message.step,
    at: message.at,
    meta: JSON.stringify(message.meta),
  }
}

export function inboxRow(row: NewInbox) {
  return {
    session: row.session,
    kind: row.kind,
    mode: row.mode,
    state: row.state,
    seq: row.seq,
    key: row.key,
    from_run: row.from,
    at: row.at,
    note: row.note ?? null,
    read_run: null,
    read_step: null,
  }
}

export function stepRow(step: Step) {
  return {
    run: step.run,
    n: step.n,
    kind: step.kind,
    state: step.state,
    name: step.name,
    intent: JSON.stringify(step.intent),
    result: step.result === null ? null : JSON.stringify(step.result),
    started_at: step.startedAt,
    ended_at: step.endedAt,
  }
}

export function stepColumns(to: (Effect & { do: 'step.set' })['to']) {
  return {
    ...(to.state === undefined ? {} : { state: to.state }),
    ...(to.result === undefined ? {} : { result: JSON.stringify(to.result) }),
    ...(to.intent === undefined ? {} : { intent: JSON.stringify(to.intent) }),
    ...(to.startedAt === undefined ? {} : { started_at: to.startedAt }),
    ...(to.endedAt === undefined ? {} : { ended_at: to.endedAt }),
  }
}

export function reservedRow(row: UsageRow) {
  return {
    run: row.run,
    step: row.step,
    attempt: row.attempt,
    session: row.session,
    tree: row.tree,
    agent: row.agent,
    sender: row.sender,
    model: row.model,
    state: 'reserved',
    reserved_nano: row.reserved.nano,
    reserved_tokens: row.reserved.tokens,
    charged_nano: 0,
    charged_tokens: 0,
    charged_calls: 0,
    input: 0,
    output: 0,
    cache_read: 0,
    cache_write: 0,
    at: row.at,
  }
}

export function settledColumns({ charged, usage }: Effect & { do: 'usage.settle' }) {
  return {
    state: 'settled',
    charged_nano: charged.nano,
    charged_tokens: charged.tokens,
    charged_calls: charged.calls,
    input: usage.input,
    output: usage.output,
    cache_read: usage.cacheRead,
    cache_write: usage.cacheWrite,
  }
}

export function approvalRow(approval: Approval): ApprovalsTable {
  return {
    id: approval.id,
    run: approval.run,
    step: approval.step,
    session: approval.session,
    kind: approval.kind,
    request: JSON.stringify(approval.question),
    state: approval.state,
    route: approval.route === null ? null : JSON.stringify(approval.route),
    deadline_at: approval.deadlineAt,
    decided_by: approval.decidedBy,
    decided_at: approval.decidedAt,
    created_at: approval.createdAt,
    subject: approval.subject ?? null,
  }
}

export function raiseRow({ raise, approval, by, at }: Effect & { do: 'cap.raise' }): BudgetRaisesTable {
  const { whose, since, field, limit, amount } = raise
  return { whose, since, field, was: limit, amount, approval, allowed_by: by, allowed_at: at }
}

export function rememberedRow(remembered: Remembered): ApprovalGrantsTable {
  return {
    id: remembered.id,
    agent: remembered.agent,
    kind: remembered.kind,
    pattern: remembered.pattern,
    granted_by: remembered.by,
    granted_at: remembered.at,
    approval: remembered.approval,
    revoked_by: null,
    revoked_at: null,
  }
}

export function runRow(run: Run): RunsTable {
  return {
    id: run.id,
    session: run.session,
    tree: run.tree,
    agent: run.agent,
    parent: run.parent,
    depth: run.depth,
    lane: run.lane,
    state: run.state,
    outcome: run.outcome,
    error_code: run.errorCode,
    error: run.error,
    epoch: run.epoch,
    attempts: run.attempts,
    turn: run.turn,
    paused: Number(run.paused),
    detached: Number(run.detached),
    ...waitColumns(run.wait),
    woken: Number(run.woken),
    grant_json: JSON.stringify(run.grant),
    payer: run.payer,
    spent_nano: run.spent.nano,
    spent_tokens: run.spent.tokens,
    spent_calls: run.spent.calls,
    lent_nano: run.lent.nano,
    lent_tokens: run.lent.tokens,
    lent_calls: run.lent.calls,
    deadline_at: run.deadlineAt,
    return_to: run.returnTo,
    route: json(run.route),
    task: run.task,
    label: run.label,
    model: run.model,
    receipt: json(run.receipt),
    terms: json(run.terms ?? null),
    result: run.result,
    result_seq: run.resultSeq,
    created_at: run.createdAt,
    queued_at: run.queuedAt,
    started_at: run.startedAt,
    ended_at: run.endedAt,
  }
}

function json(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value)
}

function waitColumns(wait: Run['wait']): Pick<RunsTable, 'wait' | 'wait_until'> {
  return { wait: json(wait), wait_until: wait !== null && 'until' in wait ? wait.until : null }
}

export type MoneyColumns = Pick<
  RunsTable,
  'spent_nano' | 'spent_tokens' | 'spent_calls' | 'lent_nano' | 'lent_tokens' | 'lent_calls'
>

/** What is added to a run's purse; columns to which nothing is added are left out. */
export function moneyColumns(spent: Spend, lent: Spend): Partial<MoneyColumns> {
  const add: Partial<MoneyColumns> = {}
  if (spent.nano !== 0) add.spent_nano = spent.nano
  if (spent.tokens !== 0) add.spent_tokens = spent.tokens
  if (spent.calls !== 0) add.spent_calls = spent.calls
  if (lent.nano !== 0) add.lent_nano = lent.nano
  if (lent.tokens !== 0) add.lent_tokens = lent.tokens
  if (lent.calls !== 0) add.lent_calls = lent.calls
  return add
}

/** Only the columns that the facts name. */
export function runColumns(to: Partial<Run>): Partial<RunsTable> {
  const row: Partial<RunsTable> = {}
  for (const [name, value] of Object.entries(to)) {
    const column = plain[name as keyof Run]
    if (column && value !== undefined)
      (row as Record<string, unknown>)[column] = typeof value === 'boolean' ? Number(value) : value
  }
  if (to.wait !== undefined) Object.assign(row, waitColumns(to.wait))
  if (to.grant !== undefined) row.grant_json = JSON.stringify(to.grant)
  if (to.route !== undefined) row.route = json(to.route)
  if (to.receipt !== undefined) row.receipt = json(to.receipt)
  if (to.terms !== undefined) row.terms = json(to.terms)
  if (to.spent !== undefined)
    Object.assign(row, { spent_nano: to.spent.nano, spent_tokens: to.spent.tokens, spent_calls: to.spent.calls })
  if (to.lent !== undefined)
    Object.assign(row, { lent_nano: to.lent.nano, lent_tokens: to.lent.tokens, lent_calls: to.lent.calls })
  return row
}

const plain: Partial<Record<keyof Run, keyof RunsTable>> = {
  agent: 'agent',
  parent: 'parent',
  depth: 'depth',
  lane: 'lane',
  state: 'state',
  outcome: 'outcome',
  errorCode: 'error_code',
  error: 'error',
  epoch: 'epoch',
  attempts: 'attempts',
  turn: 'turn',
  paused: 'paused',
  detached: 'detached',
  woken: 'woken',
  payer: 'payer',
  deadlineAt: 'deadline_at',
  returnTo: 'return_to',
  task: 'task',
  label: 'label',
  model: 'model',
  result: 'result',
  resultSeq: 'result_seq',
  createdAt: 'created_at',
  queuedAt: 'queued_at',
  startedAt: 'started_at',
  endedAt: 'ended_at',
}
