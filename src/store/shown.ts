/**
 * What a model call was shown, from its row: the view it names and the messages that followed (decisions.md 31).
 *
 * Owns that reading, for replays and copies. Reads only.
 */
import type { Message, Step, View } from '../core/types.ts'
import { viewWords } from '../core/view.ts'

export interface Shown {
  /** What stood for older messages, word for word as it was shown. */
  summary: string | null
  /** In the order in which they were shown. */
  rows: readonly Message[]
  /** Those of them that no call before had shown. */
  fresh: readonly Message[]
}

/** `messages` are all of the session; `inbox` gives the message of each mailbox row. */
export function shownBy(
  step: Step,
  messages: readonly Message[],
  view: View | null,
  inbox: ReadonlyMap<number, number | null>,
): Shown {
  const { intent } = step
  if (intent.kind !== 'model') return { summary: null, rows: [], fresh: [] }
  const said = step.result?.seq ?? null
  const news = new Set(intent.inbox.map(id => inbox.get(id)))
  const rows = messages.filter(row => {
    if (row.seq > intent.upto || row.meta.command !== undefined) return false
    if (news.has(row.seq)) return true
    return row.ord !== null && row.ord > (view?.after ?? 0) && (said === null || row.ord < said)
  })
  const place = (row: Message) => (news.has(row.seq) ? Number.MAX_SAFE_INTEGER : (row.ord ?? 0))
  return {
    summary: view === null ? null : viewWords(view),
    rows: [...rows].sort((a, b) => place(a) - place(b) || a.seq - b.seq),
    fresh: rows.filter(row => news.has(row.seq)),
  }
}
