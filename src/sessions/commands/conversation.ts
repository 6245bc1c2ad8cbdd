/**
 * `/new`, `/reset`, `/compact`: what becomes of the conversation itself. Owns when a second try must not close what the first
 * one opened; the house's reset does the closing (decisions.md 5).
 */
import type { Scope } from '../../protocol/scopes.ts'
import type { Part } from '../../core/types.ts'
import type { AcceptInput } from '../types.ts'
import { stopped } from './stopping.ts'
import type { Answer, Command, CommandCall } from './types.ts'
import { lines } from './words.ts'

/** Through `agent` a new conversation needs more than through chat (openclaw-facts.md §C2). */
function needs(_args: string, method: AcceptInput['method']): Scope {
  return method === 'agent' ? 'operator.admin' : 'operator.write'
}

export const fresh: Command = {
  name: 'new',
  aliases: [],
  category: 'session',
  description: 'Start over; what follows is the first message.',
  usage: ['[first message]'],
  needs,
  files: true,
  run: call => startOver(call, 'new'),
}

export const reset: Command = {
  name: 'reset',
  aliases: [],
  category: 'session',
  description: 'Start over, like /new.',
  usage: ['[first message]'],
  needs,
  files: true,
  run: call => startOver(call, 'reset'),
}

async function startOver(call: CommandCall, reason: 'new' | 'reset'): Promise<Answer> {
  const { session, args, files, house, principal, opened, since } = call
  // A first try that did not get to its answer may have closed the old one: what is open then is the new one.
  const done = opened || (since !== null && session.createdAt >= since)
  const report = done ? null : (await house.reset({ principal, sessionKey: session.key, reason })).report
  const words: Part[] = args === '' ? [] : [{ type: 'text', text: args }]
  if (words.length + files.length > 0) return { message: [...words, ...files] }
  return lines([
    'A new conversation.',
    report !== null && (report.runs.length > 0 || report.dropped.length > 0) && stopped(report),
  ])
}

export const compact: Command = {
  name: 'compact',
  aliases: [],
  category: 'session',
  description: 'Shorten what the model reads.',
  usage: ['[instructions]'],
  needs: 'operator.write',
  run: () =>
    lines(['Conversations are not shortened in this version; nothing was changed.', 'To start over with less: /new']),
}
