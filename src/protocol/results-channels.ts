/**
 * What the methods about chat services answer with (openclaw-facts.md §C4). Types only. Times are epoch milliseconds.
 */

/** One account. What stands behind `state` is Deputy's own. */
export interface ChannelAccountRow {
  accountId: string
  name?: string
  enabled: boolean
  configured: boolean
  /** Only for services with a login. */
  linked?: boolean
  running: boolean
  connected: boolean
  reconnectAttempts: number
  lastConnectedAt: number | null
  lastError: string | null
  lastStartAt: number | null
  lastStopAt: number | null
  lastInboundAt: number | null
  lastOutboundAt: number | null
  dmPolicy?: string
  allowFrom?: readonly string[]
  state: 'off' | 'connecting' | 'connected' | 'reconnecting' | 'login' | 'failed'
  /** Who the account is on its service. */
  self: string | null
  problem: { code: string; message: string; fix: string } | null
}

/** Somebody who waits to be let in. `code` is Deputy's own: whoever may approve by id may see it. */
export interface SenderRequest {
  requestId: string
  channel: string
  accountId: string
  senderId: string
  senderLabel: string | null
  code: string
  createdAt: number
  lastSeenAt: number
  expiresAt: number
}

export interface SenderList {
  accounts: readonly { channel: string; accountId: string }[]
  requests: readonly SenderRequest[]
  /** Deputy's own: who was let in by an approval. */
  approved: readonly {
    channel: string
    accountId: string
    senderId: string
    senderLabel: string | null
    since: number
  }[]
  commandOwnerConfigured: boolean
  limits: { pendingPerAccount: number; ttlMs: number }
}

export interface SenderDecision {
  ok: true
  requestId: string
  channel: string
  accountId: string
  senderId: string
}

/** What to show a person who logs an account in. `n` counts what was shown. */
export interface LoginView {
  n: number
  message: string
  connected: boolean
  /** Over, well or not. */
  done: boolean
  qrDataUrl?: string
  /** What the QR says, for a terminal. */
  qr?: string
  /** To be typed on the phone. */
  code?: string
  expiresAtMs?: number
}

export interface ChannelResults {
  'channels.status': {
    ts: number
    channelOrder: readonly string[]
    channelLabels: Record<string, string>
    channelDetailLabels: Record<string, string>
    channelSystemImages: Record<string, string>
    channelMeta: readonly { id: string; label: string; detailLabel: string }[]
    channels: Record<string, { configured: boolean; running: boolean; connected: boolean; lastError: string | null }>
    channelAccounts: Record<string, readonly ChannelAccountRow[]>
    channelDefaultAccountId: Record<string, string>
    statusIssues: readonly { channel: string; accountId: string; kind: string; message: string; fix: string }[]
  }
  'channels.start': { ok: true; channel: string; accountId: string; started: true }
  'channels.stop': { ok: true; channel: string; accountId: string; stopped: true }
  'channels.logout': { ok: true; channel: string; accountId: string; cleared: true; loggedOut: true }
  'channels.pairing.list': SenderList
  /** `ownerAdded`: they may give commands and answer questions from now on. */
  'channels.pairing.approve': SenderDecision & { ownerAdded: boolean }
  'channels.pairing.dismiss': SenderDecision
  'web.login.start': LoginView
  'web.login.wait': LoginView
}
