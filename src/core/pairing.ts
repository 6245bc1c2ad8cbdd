/**
 * The pairing machine: what may follow what between a device, its requests and those who decide about them.
 *
 * Owns every change of a device's authority. A `Pairing` is all that is known of one device id; the gateway reads it, asks
 * `step`, and carries out the effects. Never checks a signature, makes a token or reads a clock: proofs are checked before,
 * ids and `now` come in the event. A run, a schedule or a probe never has a device (P8): devices come from the connect of
 * a socket that proved a key, and from nowhere else.
 *
 * Invariants (design.md 5, decisions.md 16–18 and 34):
 * P1 granted ⊆ asked ∩ approver's. P2 only a holder of `operator.pairing` approves; whoever takes something away holds
 *    pairing and all of the target's scopes, or is the target itself.
 * P3 closed requests never move. P4 nothing is approved after expiry.
 * P5 one pending request per device; the same or less refreshes it and keeps its id, more makes a new id and the old one
 *    `superseded`. What is approved is what was shown under that id.
 * P6 tokens of an older generation or rotation are dead for ever, and their sockets are closed at once.
 * P7 asking for more never reduces, suspends or disconnects what is approved; approval adds and keeps the generation. (A new
 *    key for a known device id does not add: on approval it takes the place of the old one.)
 */
import { connect } from './pairing/connect.ts'
import { approve, expire, reject } from './pairing/decide.ts'
import type { Pairing, PairingEvent, PairingStep } from './pairing/facts.ts'
import { clear, narrow, remove, rename, revoke, rotate } from './pairing/take.ts'

export * from './pairing/facts.ts'

/** A refusal changes nothing. Total over well-formed events; the same inputs always give the same answer. */
export function step(state: Pairing, event: PairingEvent): PairingStep {
  switch (event.on) {
    case 'connect':
      return connect(state, event)
    case 'approve':
      return approve(state, event)
    case 'reject':
      return reject(state, event)
    case 'expire':
      return expire(state, event.now)
    case 'remove':
      return remove(state, event)
    case 'revoke':
      return revoke(state, event)
    case 'rotate':
      return rotate(state, event)
    case 'narrow':
      return narrow(state, event)
    case 'rename':
      return rename(state, event)
    case 'clear':
      return clear(state, event)
  }
}
