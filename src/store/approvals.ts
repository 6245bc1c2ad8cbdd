/**
 * Rows of questions and of what was allowed for good, as facts.
 *
 * Owns their mapping, the reads that decisions and doors make of them, revoking, and that a chat which is asked moves. Else
 * apply.ts writes.
 */
import type { Kysely, Selectable } from 'kysely'
import {
  type Approval,
  type ApprovalKind,
  type ApprovalState,
  type Remembered,
  sameChat,
  shortId,
  visible,
} from '../core/approval.ts'
import { approvalOfKey } from '../core/ids.ts'
import type { Effect } from '../core/run/facts.ts'
import type { Route } from '../core/types.ts'
import type { Tx } from './open.ts'
import type { ApprovalGrantsTable, ApprovalsTable, Tables } from './tables.ts'

export function approvalOf(row: Selectable<ApprovalsTable>): Approval {
  return {
    id: row.id,
    run: row.run,
    step: row.step,
    session: row.session,
    kind: row.kind as ApprovalKind,
    question: JSON.parse(row.request),
    state: row.state as ApprovalState,
    route: row.route === null ? null : JSON.parse(row.route),
    deadlineAt: row.deadline_at,
    decidedBy: row.decided_by,
    decidedAt: row.decided_at,
    createdAt: row.created_at,
    ...(row.subject === null ? {} : { subject: row.subject }),
  }
}

function rememberedOf(row: Selectable<ApprovalGrantsTable>): Remembered {
  return {
    id: row.id,
    agent: row.agent,
    kind: row.kind as Remembered['kind'],
    pattern: row.pattern,
    by: row.granted_by,
    at: row.granted_at,
    approval: row.approval,
  }
}

export async function loadApproval(tx: Tx, id: string): Promise<Approval | null> {
  const row = await tx.selectFrom('approvals').selectAll().where('id', '=', id).executeTakeFirst()
  return row ? approvalOf(row) : null
}

/** By the inbox keys of their answers. */
export async function approvalsOfKeys(tx: Tx, keys: readonly string[]): Promise<Approval[]> {
  const ids = keys.map(approvalOfKey)
  const rows = await tx.selectFrom('approvals').selectAll().where('id', 'in', ids).orderBy('created_at').execute()
  return rows.map(approvalOf)
}

/** Questions about one thing, the oldest first, but for those that ended with their run. */
export async function approvalsAbout(tx: Tx, subject: string): Promise<Approval[]> {
  const rows = await tx
    .selectFrom('approvals')
    .selectAll()
    .where('subject', '=', subject)
    .where('state', '<>', 'cancelled')
    .orderBy('created_at')
    .orderBy('id')
    .execute()
  return rows.map(approvalOf)
}

/** What waits, oldest first. */
export async function pendingApprovals(db: Kysely<Tables>, run?: string): Promise<Approval[]> {
  let query = db.selectFrom('approvals').selectAll().where('state', '=', 'pending')
  if (run !== undefined) query = query.where('run', '=', run)
  return (await query.orderBy('created_at').orderBy('id').execute()).map(approvalOf)
}

/** What was decided, newest first. */
export async function decidedApprovals(
  db: Kysely<Tables>,
  limit: number,
  after: { at: number; id: string } | null = null,
): Promise<Approval[]> {
  let query = db.selectFrom('approvals').selectAll().where('state', '<>', 'pending')
  if (after !== null)
    query = query.where(eb =>
      eb.or([eb('decided_at', '<', after.at), eb('decided_at', '=', after.at).and('id', '>', after.id)]),
    )
  return (await query.orderBy('decided_at', 'desc').orderBy('id').limit(limit).execute()).map(approvalOf)
}

/** By the whole id or its beginning; several when that fits several. */
export async function findApprovals(db: Kysely<Tables>, id: string): Promise<Approval[]> {
  const [first = '', last = ''] = [id, `${id}\uffff`]
  const rows = await db
    .selectFrom('approvals')
    .selectAll()
    .where('id', '>=', first)
    .where('id', '<', last)
    .orderBy('created_at', 'desc')
    .limit(20)
    .execute()
  return rows.map(approvalOf)
}

/** What waits and has this place among the chats that are asked, or is the chat that it came from. */
export async function approvalsAt(tx: Tx, place: Route): Promise<string[]> {
  const here = (route: Route | null) => route !== null && sameChat(route, place)
  const pending = await pendingApprovals(tx)
  return pending.filter(({ route, question }) => here(route) || question.chats.some(here)).map(({ id }) => id)
}

/** A chat that is asked is at another place now. */
export async function moveApproval(tx: Tx, { id, from, to }: Effect & { do: 'approval.move' }): Promise<void> {
  const approval = await loadApproval(tx, id)
  if (!approval) return
  const moved = (route: Route) => (sameChat(route, from) ? to : route)
  const { question, route } = approval
  await tx
    .updateTable('approvals')
    .set({
      request: JSON.stringify({ ...question, chats: question.chats.map(moved) }),
      route: route === null ? null : JSON.stringify(moved(route)),
    })
    .where('id', '=', id)
    .execute()
}

/** What is allowed for good, of one agent or of all. */
export async function rememberedOfAgent(db: Kysely<Tables>, agent: string | null): Promise<Remembered[]> {
  let query = db.selectFrom('approval_grants').selectAll().where('revoked_at', 'is', null)
  if (agent !== null) query = query.where('agent', '=', agent)
  return (await query.orderBy('granted_at').orderBy('id').execute()).map(rememberedOf)
}

/** Takes it back; null when there is none of that id, or it was taken back before. */
export async function revokeRemembered(tx: Tx, id: string, by: string, at: number): Promise<Remembered | null> {
  const rows = await tx
    .updateTable('approval_grants')
    .set({ revoked_by: by, revoked_at: at })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .returningAll()
    .execute()
  return rows[0] ? rememberedOf(rows[0]) : null
}

/** A question as it is shown to people: the model's text exact, with everything invisible written out. */
export interface Asked {
  id: string
  run: string
  kind: ApprovalKind
  title: string
  text: string
  decisions: readonly string[]
  deadlineAt: number
}

/** What these runs wait for, by run. */
export async function askedBy(db: Kysely<Tables>, runs: readonly string[]): Promise<Map<string, Asked[]>> {
  if (runs.length === 0) return new Map()
  const rows = await db
    .selectFrom('approvals')
    .selectAll()
    .where('run', 'in', runs)
    .where('state', '=', 'pending')
    .orderBy('created_at')
    .orderBy('id')
    .execute()
  const asked = rows.map(approvalOf).map(({ id, run, kind, question, deadlineAt }) => ({
    id: shortId(id),
    run,
    kind,
    title: question.title,
    text: visible(question.text),
    decisions: question.decisions,
    deadlineAt,
  }))
  return Map.groupBy(asked, one => one.run)
}

/** The first of them in one line, for lists. */
export function askedLine(asked: readonly Asked[] | undefined): string | null {
  const [one] = asked ?? []
  return one ? `${one.title} (/approve ${one.id}): ${one.text}` : null
}
