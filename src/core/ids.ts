/**
 * Ids that follow from facts, so that doing a thing twice makes the same row (decisions.md 20).
 * Owns their form. Random ids are made in the shell and come in through events; order is never read from an id.
 */

/** The child that step `n` of `run` spawns. Readable: it names its ancestors. */
export function childId(run: string, n: number): string {
  return `${run}.${n}`
}

/** Outbox key of the words that went out when step `n` made the run wait. */
export function interimKey(run: string, n: number): string {
  return `${run}/${n}`
}

/** Outbox key of the run's last words. */
export function finalKey(run: string): string {
  return `${run}/final`
}

/** Inbox key of a child's end: one per run and mailbox. */
export function resultKey(run: string): string {
  return `result:${run}`
}

/** Inbox key of the timer that ends the wait begun after step `n`. */
export function timerKey(run: string, n: number): string {
  return `${timersOf(run)}${n}`
}

/** How the inbox keys of all timers of a run begin. */
export function timersOf(run: string): string {
  return `timer:${run}:`
}

/** Inbox key of what a check has found wrong with a run's result: told once. */
export function repairKey(run: string): string {
  return `repair:${run}`
}

/** Session key of a sub-agent (openclaw-facts.md §D4); `uuid` comes from the shell. */
export function subagentKey(agent: string, uuid: string): string {
  return `agent:${agent}:subagent:${uuid}`
}

/** How clients name a stretch of a run after the first (decisions.md 4). */
export function turnId(run: string, turn: number): string {
  return turn === 0 ? run : `${run}:${turn}`
}

/** Inbox key of an approval's answer. */
export function approvalKey(id: string): string {
  return `${approvalPrefix}${id}`
}

const approvalPrefix = 'approval:'

export function approvalOfKey(key: string): string {
  return key.slice(approvalPrefix.length)
}

export function isApprovalKey(key: string): boolean {
  return key.startsWith(approvalPrefix)
}
