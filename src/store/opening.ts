/**
 * An opener has ended: what it was the beginning of, as rows.
 *
 * Owns gathering what core/opening.ts decides on, in the transaction that records the end. Decides nothing and sends nothing.
 */
import { type Opener, placeOf, settle } from '../core/opening.ts'
import type { Delivery } from '../core/delivery.ts'
import { apply } from './apply.ts'
import { approvalsAt } from './approvals.ts'
import { liveRunOf, loadRun, loadSession } from './facts.ts'
import type { Tx } from './open.ts'
import { type OutboxRow, placed, unsaid } from './outbox.ts'

/** Puts everything that waits for the thread where it goes now; nothing while the opener has not ended. */
export async function settleOpening(tx: Tx, before: OutboxRow, after: Delivery, now: number): Promise<void> {
  const { content, run } = before
  if (!content.opens || run === null) return
  const opener: Opener = { ...before, ...after, run }
  const place = placeOf(opener)
  if (place === null) return
  const session = await loadSession(tx, content.opens.session)
  const live = session && (await liveRunOf(tx, session.id))
  const rows = await unsaid(tx, opener.route)
  const waiting = []
  for (const row of rows) {
    if (row.id === before.id) continue
    const of = row.run === null ? null : await loadRun(tx, row.run)
    waiting.push({ id: row.id, key: row.key, run: row.run, returnTo: of?.returnTo ?? null })
  }
  const view = {
    opener,
    place: await placed(tx, place),
    session,
    stopped: (await loadRun(tx, run))?.outcome === 'cancelled',
    live: live && live.route?.thread === opener.route.thread ? [live] : [],
    rows: waiting,
    approvals: await approvalsAt(tx, opener.route),
  }
  await apply(tx, settle(view, now))
}
