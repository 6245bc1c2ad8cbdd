CREATE TABLE "approvals" ("id" text not null, "run" text not null, "step" bigint not null, "session" text not null, "kind" text not null, "request" text not null, "state" text not null, "route" text, "deadline_at" bigint not null, "decided_by" text, "decided_at" bigint, "created_at" bigint not null, constraint "approvals_pk" primary key ("id"))
CREATE TABLE "audit" ("id" integer primary key autoincrement, "at" bigint not null, "who" text not null, "what" text not null, "details" text not null)
CREATE TABLE "channel_pairings" ("id" text not null, "channel" text not null, "account" text not null, "sender" text not null, "label" text, "code" text not null, "state" text not null, "created_at" bigint not null, "last_seen_at" bigint not null, "expires_at" bigint not null, constraint "channel_pairings_pk" primary key ("id"))
CREATE TABLE "device_tokens" ("device" text not null, "role" text not null, "generation" bigint not null, "rotation" bigint not null, "scopes" text not null, "imported_hash" text, "created_at" bigint not null, "rotated_at" bigint, "revoked_at" bigint, "last_used_at" bigint, constraint "device_tokens_pk" primary key ("device", "role")) without rowid
CREATE TABLE "devices" ("id" text not null, "public_key" text not null, "display_name" text, "operator_label" text, "platform" text, "device_family" text, "client_id" text, "client_mode" text, "roles" text not null, "scopes" text not null, "generation" bigint not null, "state" text not null, "approved_via" text, "remote_ip" text, "created_at" bigint not null, "approved_at" bigint not null, "last_seen_at" bigint, constraint "devices_pk" primary key ("id"))
CREATE TABLE "drops" ("channel" text not null, "account" text not null, "chat" text not null, "message" text not null, "edit" text not null, "reason" text not null, "at" bigint not null, constraint "drops_pk" primary key ("channel", "account", "chat", "message", "edit")) without rowid
CREATE TABLE "inbox" ("id" integer primary key autoincrement, "session" text not null, "kind" text not null, "mode" text not null, "state" text not null, "seq" bigint, "key" text not null, "from_run" text, "at" bigint not null, "read_run" text, "read_step" bigint)
CREATE TABLE "kv" ("key" text not null, "value" text not null, constraint "kv_pk" primary key ("key"))
CREATE TABLE "messages" ("session" text not null, "seq" bigint not null, "ord" bigint, "id" text not null, "role" text not null, "parts" text not null, "run" text, "step" bigint, "at" bigint not null, "meta" text not null, constraint "messages_pk" primary key ("session", "seq"))
CREATE TABLE "outbox" ("id" integer primary key autoincrement, "session" text not null, "run" text, "key" text not null, "channel" text not null, "account" text not null, "chat" text not null, "route" text not null, "payload" text not null, "state" text not null, "attempt" bigint not null, "remote_id" text, "error" text, "not_before" bigint not null, "doubt_since" bigint, "orphan" bigint not null, "created_at" bigint not null, "updated_at" bigint not null)
CREATE TABLE "pairing_requests" ("id" text not null, "device" text not null, "public_key" text not null, "about" text not null, "role" text not null, "scopes" text not null, "state" text not null, "superseded_by" text, "decided_by" text, "created_at" bigint not null, "refreshed_at" bigint not null, "expires_at" bigint not null, "decided_at" bigint, constraint "pairing_requests_pk" primary key ("id"))
CREATE TABLE "rpc_keys" ("principal" text not null, "method" text not null, "session" text not null, "key" text not null, "payload" text not null, "run" text, "inbox" bigint, "answered_turn" bigint, "answer" text, "at" bigint not null, constraint "rpc_keys_pk" primary key ("principal", "method", "session", "key")) without rowid
CREATE TABLE "runs" ("id" text not null, "session" text not null, "tree" text not null, "agent" text not null, "parent" text, "depth" bigint not null, "lane" text not null, "state" text not null, "outcome" text, "error_code" text, "error" text, "epoch" bigint not null, "attempts" bigint not null, "turn" bigint not null, "paused" bigint not null, "detached" bigint not null, "wait" text, "wait_until" bigint, "woken" bigint not null, "grant_json" text not null, "payer" text, "spent_nano" bigint not null, "spent_tokens" bigint not null, "spent_calls" bigint not null, "lent_nano" bigint not null, "lent_tokens" bigint not null, "lent_calls" bigint not null, "deadline_at" bigint, "return_to" text, "route" text, "task" text not null, "label" text, "model" text not null, "receipt" text, "terms" text, "result" text, "result_seq" bigint, "created_at" bigint not null, "queued_at" bigint not null, "started_at" bigint, "ended_at" bigint, constraint "runs_pk" primary key ("id"))
CREATE TABLE "schedule_slots" ("schedule" text not null, "slot_at" bigint not null, "state" text not null, "run" text, "reason" text, "at" bigint not null, constraint "schedule_slots_pk" primary key ("schedule", "slot_at")) without rowid
CREATE TABLE "schedules" ("id" text not null, "agent" text not null, "spec" text not null, "enabled" bigint not null, "next_at" bigint, "created_at" bigint not null, "updated_at" bigint not null, constraint "schedules_pk" primary key ("id"))
CREATE TABLE "sessions" ("id" text not null, "key" text not null, "agent" text not null, "tree" text not null, "parent_session" text, "spawned_by" text, "depth" bigint not null, "label" text, "route" text, "seq" bigint not null, "created_at" bigint not null, "updated_at" bigint not null, "closed_at" bigint, "settings" text, constraint "sessions_pk" primary key ("id"))
CREATE TABLE "steps" ("run" text not null, "n" bigint not null, "kind" text not null, "state" text not null, "name" text not null, "intent" text not null, "result" text, "started_at" bigint, "ended_at" bigint, constraint "steps_pk" primary key ("run", "n"))
CREATE TABLE "usage" ("run" text not null, "step" bigint not null, "attempt" bigint not null, "session" text not null, "agent" text not null, "model" text not null, "state" text not null, "reserved_nano" bigint not null, "reserved_tokens" bigint not null, "charged_nano" bigint not null, "charged_tokens" bigint not null, "charged_calls" bigint not null, "input" bigint not null, "output" bigint not null, "cache_read" bigint not null, "cache_write" bigint not null, "at" bigint not null, constraint "usage_pk" primary key ("run", "step", "attempt")) without rowid
CREATE INDEX "approvals_deadline" on "approvals" ("deadline_at") where state = 'pending'
CREATE INDEX "approvals_step" on "approvals" ("run", "step")
CREATE INDEX "audit_at" on "audit" ("at")
CREATE UNIQUE INDEX "channel_pairings_sender" on "channel_pairings" ("channel", "account", "sender") where state = 'pending'
CREATE INDEX "drops_at" on "drops" ("at")
CREATE INDEX "inbox_dead" on "inbox" ("at") where state = 'dead'
CREATE UNIQUE INDEX "inbox_key" on "inbox" ("session", "key")
CREATE INDEX "inbox_unread" on "inbox" ("session", "kind") where state = 'unread'
CREATE INDEX "messages_body" on "messages" ("parts") where substr(parts, 1, 9) = '{"body":"'
CREATE INDEX "outbox_heads" on "outbox" ("channel", "account", "chat", "id") where state not in ('sent', 'dead')
CREATE UNIQUE INDEX "outbox_key" on "outbox" ("key")
CREATE INDEX "pairing_expiry" on "pairing_requests" ("expires_at") where state = 'pending'
CREATE UNIQUE INDEX "pairing_pending" on "pairing_requests" ("device") where state = 'pending'
CREATE INDEX "rpc_keys_key" on "rpc_keys" ("key", "at")
CREATE INDEX "rpc_keys_run" on "rpc_keys" ("run", "answered_turn") where run is not null
CREATE INDEX "runs_claimable" on "runs" ("lane", "woken" desc, "queued_at", "id") where state = 'queued' and paused = 0
CREATE INDEX "runs_deadline" on "runs" ("deadline_at") where deadline_at is not null and state <> 'done'
CREATE UNIQUE INDEX "runs_live" on "runs" ("session") where state <> 'done'
CREATE INDEX "runs_live_children" on "runs" ("parent") where parent is not null and state <> 'done'
CREATE INDEX "runs_parent" on "runs" ("parent", "created_at") where parent is not null
CREATE INDEX "runs_recent" on "runs" ("created_at")
CREATE INDEX "runs_session" on "runs" ("session", "created_at")
CREATE INDEX "runs_wait_until" on "runs" ("wait_until") where wait_until is not null and state = 'waiting'
CREATE INDEX "schedules_next" on "schedules" ("next_at") where enabled = 1
CREATE UNIQUE INDEX "sessions_open_key" on "sessions" ("key") where closed_at is null
CREATE INDEX "usage_at" on "usage" ("at")
