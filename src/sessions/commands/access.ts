/**
 * Who may give which command (openclaw-facts.md §E8, "command gate").
 *
 * Owns the rule: whoever came in by the operator's doors may what their scopes cover; a sender of a channel may the open
 * commands, and more only when the configuration names them and their scopes cover it; runs, schedules and workers command
 * nothing, so that no model's words and no child's result ever act as one. Pure.
 */
import { authorize, meet } from '../../core/authorize.ts'
import type { Principal } from '../../core/principal.ts'
import type { AcceptInput } from '../types.ts'
import type { Command, Senders } from './types.ts'
import { lines } from './words.ts'

/** Whether what this principal writes may be a command at all. */
export function mayCommand(principal: Principal): boolean {
  return principal.kind === 'operator' || principal.kind === 'device' || principal.kind === 'sender'
}

/** Whether the configuration names this sender; everybody else who may command is not asked. */
export function isListed(principal: Principal, senders: Senders): boolean {
  if (principal.kind !== 'sender') return true
  const { channel, account, sender } = principal
  const named = `${channel}:${sender}`
  const own = senders.accounts ?? {}
  const at = `${channel}/${account}`
  if (Object.hasOwn(own, at) && own[at]?.includes(sender)) return true
  const listed = [channel, '*'].flatMap(each => (Object.hasOwn(senders.allowFrom, each) ? senders.allowFrom[each] : []))
  return senders.owners.includes(named) || listed.some(entry => entry === '*' || entry === sender || entry === named)
}

/** Null when allowed, else the refusal in words. */
export function refused(
  command: Command,
  by: { principal: Principal; args: string; method: AcceptInput['method'] },
  senders: Senders,
  table: readonly Command[],
): string | null {
  const { principal, args, method } = by
  if (principal.kind === 'sender') {
    if (command.open) return null
    if (!isListed(principal, senders)) {
      const open = table.filter(one => one.open).map(one => `/${one.name}`)
      return lines([
        `You may not use /${command.name} here.`,
        `Rule: commands.allowFrom (${principal.channel}:${principal.sender} is not on it)`,
        `Open to you: ${open.join(', ')}`,
      ])
    }
  }
  const needed = typeof command.needs === 'function' ? command.needs(args, method) : command.needs
  const decision = authorize(principal.scopes, needed)
  if (decision.ok) return null
  return lines([
    `You may not use /${command.name} here: ${decision.message}.`,
    `You hold: ${meet(principal.scopes, principal.scopes).join(', ') || 'no scope'}`,
  ])
}
