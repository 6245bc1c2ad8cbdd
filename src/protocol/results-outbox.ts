/** What the methods about outgoing messages answer. Owns the shapes. */

/** `queued`: not out yet; `uncertain`: it may have been seen, the service did not say. A dead one is an error. */
export interface SendResult {
  /** The idempotency key. */
  runId: string
  status: 'sent' | 'queued' | 'uncertain'
  channel: string
  accountId: string
  to: string
  messageId: string | null
  /** Number of the row in the outbox. */
  outbox: number
  /** Of the last attempt, while it is not sent. */
  error: string | null
}

export interface OutboxEntry {
  id: number
  state: string
  channel: string
  accountId: string
  to: string
  messageId: string | null
  text: string
  error: string | null
  attempt: number
  /** The part that is next, from 0; `parts` is 0 before the first try. */
  part: number
  parts: number
  createdAt: number
  updatedAt: number
}

export interface OutboxResults {
  send: SendResult
  'message.action': SendResult & { ok: true; action: string }
  poll: SendResult
  'outbox.list': { messages: readonly OutboxEntry[] }
  'outbox.retry': { message: OutboxEntry }
}
