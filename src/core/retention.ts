/**
 * What may be forgotten, and when (decisions.md 30).
 *
 * Owns the rules of age and need; deletes nothing. Invariants: nothing of a tree goes while a run of it lives, a mailbox row of
 * it is unread, or something of it is still to be delivered; what was told is kept for its time after that, whether anybody
 * came to fetch it or not; what the ledger counts never goes.
 */

const day = 24 * 3600_000

/** Ages in milliseconds; null = kept for good. */
export interface RetentionRules {
  /** A result in its run's own row, after it was delivered. */
  results: number
  /** Steps of a run that has ended. */
  journals: number
  /** Keys by which a repeat is known for one. */
  keys: number
  /** A conversation in which nothing happens any more, and one that was closed. */
  transcripts: number | null
  closed: number | null
}

export const usualRules: RetentionRules = {
  results: 7 * day,
  journals: 30 * day,
  keys: 35 * day,
  transcripts: null,
  closed: null,
}

/** What a tree still needs: how many of each there are. */
export interface TreeNeeds {
  live: number
  unread: number
  undelivered: number
}

export function quiet({ live, unread, undelivered }: TreeNeeds): boolean {
  return live === 0 && unread === 0 && undelivered === 0
}

export interface OldRun {
  /** Null while it lives. */
  endedAt: number | null
  /** When the last word of it went out; null when none had to. */
  deliveredAt: number | null
  hasResult: boolean
  hasSteps: boolean
  /** Its conversation was to be deleted at its end, and is closed. */
  passing: boolean
}

export interface Goes {
  result: boolean
  journal: boolean
  messages: boolean
}

/** What of an ended run may go. */
export function runGoes(run: OldRun, tree: TreeNeeds, rules: RetentionRules, now: number): Goes {
  if (run.endedAt === null || !quiet(tree)) return { result: false, journal: false, messages: false }
  const told = now - Math.max(run.endedAt, run.deliveredAt ?? 0)
  return {
    result: run.hasResult && told >= rules.results,
    journal: run.hasSteps && told >= rules.journals,
    messages: run.passing && told >= rules.results,
  }
}

export interface OldSession {
  updatedAt: number
  closedAt: number | null
  /** An agent's main conversation, or one that a person has pinned: it goes only once it was closed. */
  lasting: boolean
  /** People talk to it at a place of its own. */
  bound: boolean
}

/** Whether the messages of a conversation may go, and it with them. */
export function sessionGoes(session: OldSession, tree: TreeNeeds, rules: RetentionRules, now: number): boolean {
  if (!quiet(tree)) return false
  if (session.closedAt !== null) {
    const age = rules.closed ?? rules.transcripts
    return age !== null && now - session.closedAt >= age
  }
  return (
    rules.transcripts !== null && !session.lasting && !session.bound && now - session.updatedAt >= rules.transcripts
  )
}

/** A file this young may belong to a row that is still to be committed. */
const graceMs = day

/**
 * Whether a copy that was made to go out may go. `needed`: a message that is still to be said, or could be tried again, names
 * it.
 */
export function copyGoes(age: number, needed: boolean): boolean {
  return !needed && age > graceMs
}

/** Whether a file that somebody sent may go, so long after it came last: conversations that name it go by the same rule. */
export function receivedGoes(age: number, rules: Pick<RetentionRules, 'transcripts'>): boolean {
  return rules.transcripts !== null && age > Math.max(graceMs, rules.transcripts)
}

/** Whether a sub-agent's conversation is put away: out of the lists, everything kept. */
export function putAway(
  lastEnd: number | null,
  tree: Pick<TreeNeeds, 'unread' | 'live'>,
  bound: boolean,
  after: number | null,
  now: number,
): boolean {
  return after !== null && !bound && lastEnd !== null && tree.live === 0 && tree.unread === 0 && now - lastEnd >= after
}
