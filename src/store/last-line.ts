/**
 * What a list says of a run in one line: what it asks a person, why it pauses, its newest words. Committed rows only.
 */
import { textOf } from '../core/run/reply.ts'
import type { Run } from '../core/types.ts'
import { askedBy, askedLine } from './approvals.ts'
import { heldLine, messageOf } from './facts.ts'
import type { Tx } from './open.ts'

const longest = 120
/** Of so many runs at the most the newest words are looked up. */
const mostRuns = 100
/** Among so many of the newest messages of its conversation a run's own are looked for. */
const fewMessages = 8
const houseTools = /^(sessions?_|subagents$|agents_list$)/

/** A few questions for all of them, and one more for each that is at work. */
export async function lastLines(db: Tx, runs: readonly Run[]): Promise<ReadonlyMap<string, string | null>> {
  const waits = runs.filter(one => one.wait?.for === 'ask' && !one.wait.outside)
  const asked = await askedBy(
    db,
    waits.map(one => one.id),
  )
  const words = new Map<string, string | null>()
  // Long last words are in their message alone.
  const silent = (run: Run) =>
    run.state === 'done' ? run.result === null && run.resultSeq !== null : run.startedAt !== null
  for (const run of runs.filter(silent).slice(0, mostRuns)) words.set(run.id, await newestWords(db, run))
  return new Map(
    runs.map(run => {
      const pause = run.state === 'waiting' ? (heldLine(run) ?? run.error) : null
      const line = askedLine(asked.get(run.id)) ?? pause ?? words.get(run.id) ?? run.result ?? run.error
      return [run.id, oneLine(line)]
    }),
  )
}

/** The newest words of a run at work, or the last ones of a run that has ended; a call by its tool's name. */
async function newestWords(db: Tx, run: Run): Promise<string | null> {
  let query = db.selectFrom('messages').selectAll().where('session', '=', run.session)
  if (run.resultSeq !== null) query = query.where('seq', '=', run.resultSeq)
  const rows = await query.orderBy('seq', 'desc').limit(fewMessages).execute()
  for (const row of rows) {
    if (row.run !== run.id) continue
    const { parts, role, meta } = messageOf(row)
    // What a tool gave back tells of a run at work; receipts and lists of the house's own tools tell people nothing.
    if (role === 'toolResult' && (run.state === 'waiting' || houseTools.test(meta.toolName ?? ''))) continue
    const call = parts.find(part => part.type === 'toolCall')
    const said = textOf(parts) || (call?.type === 'toolCall' ? `→ ${call.name}` : '')
    if (said.trim()) return said
  }
  return null
}

function oneLine(text: string | null): string | null {
  const flat = text?.replace(/\s+/g, ' ').trim()
  if (!flat) return null
  return flat.length > longest ? `${flat.slice(0, longest - 1)}…` : flat
}
