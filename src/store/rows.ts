/**
 * Facts to rows: the columns of sessions, messages, runs and outbox rows.
 * Owns the mapping only, the mirror of facts.ts; apply.ts writes.
 */
import type { Effect } from '../core/run/facts.ts'
import type { Message, Route, Run, Session } from '../core/types.ts'
import type { RunsTable } from './tables.ts'

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
  }
}

/** What a person may change of a session. */
export function sessionColumns(to: Partial<Pick<Session, 'label' | 'settings'>>) {
  return {
    ...(to.label === undefined ? {} : { label: to.label }),
    ...(to.settings === undefined ? {} : { settings: settingsText(to.settings) }),
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

export function outboxRow(effect: Effect & { do: 'outbox.put' }) {
  const { channel, account, to }: Route = effect.route
  return {
    session: effect.session,
    run: effect.run,
    key: effect.key,
    channel,
    account,
    chat: to,
    route: JSON.stringify(effect.route),
    payload: JSON.stringify({ text: effect.text }),
    state: 'pending',
    attempt: 0,
    remote_id: null,
    error: null,
    not_before: 0,
    doubt_since: null,
    orphan: 0,
    created_at: effect.at,
    updated_at: effect.at,
  }
}

export function runRow(run: Run) {
  return {
    id: run.id,
    session: run.session,
    tree: run.tree,
    terms: null,
    ...(runColumns(run) as Omit<RunsTable, 'id' | 'session' | 'tree' | 'terms'>),
  }
}

/** Only the columns that the facts name. */
export function runColumns(to: Partial<Run>): Partial<RunsTable> {
  const row: Partial<RunsTable> = {}
  for (const [name, column] of plain) {
    const value = to[name]
    if (value !== undefined)
      (row as Record<string, unknown>)[column] = typeof value === 'boolean' ? Number(value) : value
  }
  if (to.wait !== undefined) {
    row.wait = to.wait === null ? null : JSON.stringify(to.wait)
    row.wait_until = to.wait !== null && 'until' in to.wait ? to.wait.until : null
  }
  if (to.grant !== undefined) row.grant_json = JSON.stringify(to.grant)
  if (to.route !== undefined) row.route = to.route === null ? null : JSON.stringify(to.route)
  if (to.receipt !== undefined) row.receipt = to.receipt === null ? null : JSON.stringify(to.receipt)
  if (to.terms !== undefined) row.terms = JSON.stringify(to.terms)
  if (to.spent !== undefined)
    Object.assign(row, { spent_nano: to.spent.nano, spent_tokens: to.spent.tokens, spent_calls: to.spent.calls })
  if (to.lent !== undefined)
    Object.assign(row, { lent_nano: to.lent.nano, lent_tokens: to.lent.tokens, lent_calls: to.lent.calls })
  return row
}

const plain = [
  ['agent', 'agent'],
  ['parent', 'parent'],
  ['depth', 'depth'],
  ['lane', 'lane'],
  ['state', 'state'],
  ['outcome', 'outcome'],
  ['errorCode', 'error_code'],
  ['error', 'error'],
  ['epoch', 'epoch'],
  ['attempts', 'attempts'],
  ['turn', 'turn'],
  ['paused', 'paused'],
  ['detached', 'detached'],
  ['woken', 'woken'],
  ['payer', 'payer'],
  ['deadlineAt', 'deadline_at'],
  ['returnTo', 'return_to'],
  ['task', 'task'],
  ['label', 'label'],
  ['model', 'model'],
  ['result', 'result'],
  ['resultSeq', 'result_seq'],
  ['createdAt', 'created_at'],
  ['queuedAt', 'queued_at'],
  ['startedAt', 'started_at'],
  ['endedAt', 'ended_at'],
] as const satisfies readonly (readonly [keyof Run, keyof RunsTable])[]
