/**
 * The numbers of the wire: sizes, times, counts and close codes (openclaw-facts.md §A1, §A7).
 * Owns the values; never enforces one (gateway/ does).
 */

/** Bytes, milliseconds or counts, as the name says. */
export const limits = {
  /** One frame before hello. */
  preauthBytes: 65_536,
  /** Frames queued while the handshake is decided. */
  handshakeFrames: 15,
  /** From upgrade to hello. */
  handshakeMs: 15_000,
  /** One inbound frame after hello: `policy.maxPayload`. */
  maxPayload: 26_214_400,
  /** Outbound bytes that may wait for a slow client: `policy.maxBufferedBytes`. */
  maxBuffered: 52_428_800,
  tickMs: 30_000,
  /** How often connected clients are told the health, and ages presence. */
  healthMs: 60_000,
  /** Requests of one connection that are at work at once. */
  openRequests: 2048,
  connections: 1024,
  /** Connections that have not said who they are. */
  handshakes: 128,
  /** Chat deltas of one run are at least this far apart. */
  deltaMs: 150,
  /** A close reason, in UTF-8 bytes. */
  reasonBytes: 120,
  /** How far a device's clock may be off. */
  skewMs: 120_000,
  /** All messages of one history answer, in UTF-16 units. */
  historyChars: 6_291_456,
} as const

export type Limits = { [K in keyof typeof limits]: number }

/** WebSocket close codes as OpenClaw clients read them. */
export const closeCodes = {
  normal: 1000,
  protocolMismatch: 1002,
  invalidText: 1007,
  policy: 1008,
  tooBig: 1009,
  internal: 1011,
  restart: 1012,
  tryLater: 1013,
  /** Sent by clients that heard no tick. */
  tickTimeout: 4000,
  /** What the connection was let in with is not valid any more. */
  authChanged: 4001,
} as const

/** Cuts a close reason to what a close frame can carry, at a character boundary. */
export function closeReason(text: string, max: number = limits.reasonBytes): string {
  let bytes = 0
  let out = ''
  for (const char of text) {
    const code = char.codePointAt(0)!
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
    if (bytes > max) break
    out += char
  }
  return out
}
