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
  description: 'Start over, with a first message.',
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

/** As long as a summary may take, and what is asked meanwhile waits for it. */
const longestMs = 240_000

export const compact: Command = {
  name: 'compact',
  aliases: [],
  category: 'session',
  description: 'Shorten what the model reads.',
  usage: ['', '[what the summary is to keep]', 'undo'],
  needs: 'operator.write',
  run: call => (call.args.toLowerCase() === 'undo' ? undo(call) : shorten(call)),
}

async function shorten({ house, principal, session, args, key: idempotencyKey }: CommandCall): Promise<Answer> {
  const sessionKey = session.key
  const wished = await house.compact({ principal, sessionKey, note: args, idempotencyKey })
  if (!wished.begun)
    return lines(['The agent is at work.', 'It writes a summary of what came before at its next step.'])
  const end = await house.wait(wished.run, { until: 'done', timeoutMs: longestMs })
  if (!end || end.status === 'pending') return 'The summary is still being written. /status shows when it is done.'
  if (end.outcome !== 'succeeded') return lines(['Nothing was changed.', end.error ?? end.outcome ?? ''])
  return lines([end.text ?? '', (await house.view(session.id))?.run === wished.run && 'To take it back: /compact undo'])
}

async function undo({ house, principal, session }: CommandCall): Promise<Answer> {
  const done = await house.undoCompaction({ principal, sessionKey: session.key })
  if (!done) return 'Nothing was shortened here: the model reads the whole conversation.'
  const { messages } = done.undone
  return lines([
    'The newest summary is taken back.',
    done.now === null
      ? `The model reads all ${messages} messages again.`
      : `The model reads the summary before it, of ${done.now.messages} messages, and what follows.`,
  ])
}
