/**
 * The tables as Kysely sees them: one interface a table, names as in the database.
 *
 * Owns the row shapes. Rules for columns (decisions.md 26): integers ≤ 2^53, epoch ms, 0/1 for truth, JSON as text, no
 * undefined, no Date. A row never holds a secret and never a prompt.
 */
import type { ColumnType, Generated } from 'kysely'
import type { ChannelPairingsTable, DevicesTable, DeviceTokensTable, PairingRequestsTable } from './tables-pairing.ts'

/** A text that the store may keep as a file of its own. */
export interface LongText {
  long: string
}

export interface SessionsTable {
  id: string
  key: string
  agent: string
  tree: string
  parent_session: string | null
  spawned_by: string | null
  depth: number
  label: string | null
  /** JSON Route */
  route: string | null
  seq: number
  created_at: number
  updated_at: number
  closed_at: number | null
  /** JSON SessionSettings */
  settings: string | null
  /** Id of a view; null when the whole transcript is shown. */
  view: string | null
}

/** What is shown instead of messages at `after` or before. A row never changes. */
export interface ViewsTable {
  id: string
  session: string
  run: string
  step: number
  after: number
  summary: string
  /** JSON string[] */
  pinned: string
  base: string | null
  why: string
  messages: number
  tokens_before: number
  tokens_after: number
  at: number
}

export interface MessagesTable {
  session: string
  seq: number
  ord: number | null
  id: string
  role: string
  /** JSON Part[]. Over 64 kB the file has {"body": hash} here, which only bodies.ts ever sees (decisions.md 29). */
  parts: ColumnType<string, string | LongText, string | LongText>
  run: string | null
  step: number | null
  at: number
  /** JSON MessageMeta */
  meta: string
}

export interface InboxTable {
  id: Generated<number>
  session: string
  kind: string
  mode: string
  state: string
  seq: number | null
  /** Unique with session. */
  key: string
  from_run: string | null
  at: number
  note: string | null
  /** Which step's result marked it read. */
  read_run: string | null
  read_step: number | null
}

export interface RunsTable {
  id: string
  session: string
  tree: string
  agent: string
  parent: string | null
  depth: number
  lane: string
  state: string
  outcome: string | null
  error_code: string | null
  error: string | null
  epoch: number
  attempts: number
  turn: number
  paused: number
  detached: number
  /** JSON Wait */
  wait: string | null
  /** When a timed wait runs out; null without one. Indexed: one timer is armed for the nearest. */
  wait_until: number | null
  woken: number
  /** JSON Grant */
  grant_json: string
  payer: string | null
  spent_nano: number
  spent_tokens: number
  spent_calls: number
  lent_nano: number
  lent_tokens: number
  lent_calls: number
  deadline_at: number | null
  return_to: string | null
  route: string | null
  task: string
  label: string | null
  model: string
  /** JSON Receipt */
  receipt: string | null
  /** JSON Terms */
  terms: string | null
  result: string | null
  result_seq: number | null
  created_at: number
  queued_at: number
  started_at: number | null
  ended_at: number | null
}

export interface StepsTable {
  run: string
  n: number
  kind: string
  state: string
  name: string
  /** JSON ModelIntent | ToolIntent */
  intent: string
  /** JSON StepResult */
  result: string | null
  started_at: number | null
  ended_at: number | null
}

/** The ledger (decisions.md 12): money is rows, a run's `spent` their sum. */
export interface UsageTable {
  run: string
  step: number
  attempt: number
  session: string
  agent: string
  model: string
  state: string
  reserved_nano: number
  reserved_tokens: number
  charged_nano: number
  charged_tokens: number
  charged_calls: number
  input: number
  output: number
  cache_read: number
  cache_write: number
  at: number
  /** The root conversation that it was for, and who asked. */
  tree: Generated<string>
  sender: string | null
}

/** `(principal, method, session, key)` is unique: a repeat gets the first answer (decisions.md 3 and 38). */
export interface RpcKeysTable {
  principal: string
  method: string
  session: string
  key: string
  /** sha256 of the request, to refuse the same key with another payload. */
  payload: string
  run: string | null
  /** Inbox row that carries it; its being read decides which turn answers it. */
  inbox: number | null
  /** Set when the turn that answers it has ended. */
  answered_turn: number | null
  /** JSON answer, once there is one. */
  answer: string | null
  at: number
}

export interface ApprovalsTable {
  id: string
  run: string
  step: number
  session: string
  kind: string
  /** JSON */
  request: string
  state: string
  route: string | null
  deadline_at: number
  decided_by: string | null
  decided_at: number | null
  created_at: number
  /** What it is about, where several runs may wait for the same answer. */
  subject: string | null
}

/** What people have allowed besides a limit over many runs; `was`: the limit that was used up. */
export interface BudgetRaisesTable {
  whose: string
  since: number
  field: string
  was: number
  amount: number
  approval: string
  allowed_by: string
  allowed_at: number
}

/** What was allowed for good, per agent. */
export interface ApprovalGrantsTable {
  id: string
  agent: string
  kind: string
  pattern: string
  granted_by: string
  granted_at: number
  approval: string
  revoked_by: string | null
  revoked_at: number | null
}

export interface OutboxTable {
  id: Generated<number>
  session: string
  run: string | null
  /** Unique: one delivery of one thing. `(run, n)` interim, `(run, final)` final. */
  key: string
  channel: string
  account: string
  chat: string
  /** JSON Route */
  route: string
  /** JSON Content */
  payload: string
  state: string
  attempt: number
  remote_id: string | null
  error: string | null
  not_before: number
  /** Since when it may have been seen without our knowing (core/delivery.ts). */
  doubt_since: number | null
  orphan: number
  /** The part that is next, from 0. */
  part: Generated<number>
  /** JSON Content[], as it was cut at the first try; null before it. */
  parts: string | null
  /** JSON (string | null)[]: what the service calls the parts that were sent. */
  remote_ids: string | null
  created_at: number
  updated_at: number
}

/** At most one without `ended_at` for each place (channel, account, chat, thread). */
export interface ThreadBindingsTable {
  id: Generated<number>
  channel: string
  account: string
  chat: string
  /** '' is the chat itself. */
  thread: string
  agent: string
  session_key: string
  run: string | null
  bound_by: string
  created_at: number
  active_at: number
  /** Null follows the configuration, 0 is never. */
  idle_ms: number | null
  max_age_ms: number | null
  ended_at: number | null
  ended_why: string | null
}

export interface SchedulesTable {
  id: string
  agent: string
  /** JSON */
  spec: string
  enabled: number
  next_at: number | null
  created_at: number
  updated_at: number
}

export interface ScheduleSlotsTable {
  schedule: string
  slot_at: number
  state: string
  run: string | null
  reason: string | null
  at: number
}

export interface KvTable {
  key: string
  value: string
}

export interface DropsTable {
  channel: string
  account: string
  chat: string
  message: string
  edit: string
  reason: string
  at: number
}

export interface AuditTable {
  id: Generated<number>
  at: number
  who: string
  what: string
  /** JSON */
  details: string
}

export interface Tables {
  sessions: SessionsTable
  views: ViewsTable
  messages: MessagesTable
  inbox: InboxTable
  runs: RunsTable
  steps: StepsTable
  usage: UsageTable
  rpc_keys: RpcKeysTable
  approvals: ApprovalsTable
  approval_grants: ApprovalGrantsTable
  budget_raises: BudgetRaisesTable
  outbox: OutboxTable
  devices: DevicesTable
  pairing_requests: PairingRequestsTable
  device_tokens: DeviceTokensTable
  channel_pairings: ChannelPairingsTable
  thread_bindings: ThreadBindingsTable
  schedules: SchedulesTable
  schedule_slots: ScheduleSlotsTable
  kv: KvTable
  drops: DropsTable
  audit: AuditTable
}
