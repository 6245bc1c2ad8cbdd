/**
 * A spawn in words: what the child is told besides its task, and the receipt that its parent reads (openclaw-facts.md §D1).
 *
 * Owns the words only; what they tell of was decided by spawning.ts.
 */
import type { SpawnRequest } from '../core/ports.ts'
import type { Deliverables, Run } from '../core/types.ts'
import { type Ground, lasts, type SpawnFacts } from './spawning.ts'
import type { Placed } from './threads.ts'

/**
 * What the child is told besides its task, in a part of its own that says what it is. `withheld`: of a copy, what it is shown
 * and may not call.
 */
export function said(
  request: SpawnRequest,
  ground: Ground,
  withheld: readonly string[] | null,
  place: Placed | null,
): string {
  const { attachments } = ground
  const terms = [
    ...(withheld
      ? [
          'Everything above this message is a copy of the conversation of the agent that gave you the task, up to that moment. You are its sub-agent now: do this task only. Your last reply is your result: it goes back to that agent as it stands.',
          ...(withheld.length > 0
            ? [`These tools are not yours, and a call of one is refused: ${withheld.join(', ')}.`]
            : []),
        ]
      : []),
    ...(place
      ? [
          `People read what you say in ${place.how === 'thread' ? 'a thread of a chat that is yours' : 'the chat that this comes from'}, and what they write there comes to you as a message. What you say last in this task is its result besides.`,
        ]
      : []),
    ...(attachments ? [`Files that come with it, in ${attachments.into}: ${attachments.names.join(', ')}.`] : []),
    ...(request.deliverables ? [`Before it counts as done this is checked: ${listed(request.deliverables)}.`] : []),
    ...(request.outputSchema
      ? [
          `Your last reply must be one JSON value that fits this JSON Schema, with nothing around it: ${JSON.stringify(request.outputSchema)}`,
        ]
      : []),
  ]
  return terms.length > 0 ? `\n\n[Terms of this task]\n${terms.map(term => `- ${term}`).join('\n')}` : ''
}

function listed({ files, command }: Deliverables): string {
  return [
    ...(files ? [`these files are there and not empty: ${files.join(', ')}`] : []),
    ...(command ? [`this command ends with 0: ${command}`] : []),
  ].join('; ')
}

/** The receipt as the model reads it (§D1). */
export function shown(
  run: Run,
  request: SpawnRequest,
  ground: Ground,
  fork: boolean,
  facts: SpawnFacts,
  place: Placed | null,
) {
  const { budget } = run.grant
  const limits = {
    ...(budget.nano === null ? {} : { usd: budget.nano / 1e9 }),
    ...(budget.tokens === null ? {} : { tokens: budget.tokens }),
    ...(budget.calls === null ? {} : { calls: budget.calls }),
  }
  const { messages, tokens } = facts.shown
  const size = `${messages} messages, about ${tokens} tokens`
  return {
    status: 'accepted',
    childSessionKey: run.receipt?.sessionKey,
    runId: run.id,
    mode: lasts(request) ? 'session' : 'run',
    expectsCompletionMessage: request.expectsCompletionMessage,
    agentId: run.agent,
    resolvedModel: run.model,
    resolvedProvider: run.model.split('/')[0],
    modelApplied: true,
    tools: run.grant.tools,
    mayDelegate: run.grant.depth > 0,
    ...(request.taskName ? { taskName: request.taskName } : {}),
    ...(run.terms?.thinking ? { thinking: run.terms.thinking } : {}),
    ...(ground.folder ? { cwd: ground.folder } : {}),
    context: fork ? 'fork' : 'isolated',
    ...(request.context === 'fork'
      ? {
          contextNote: fork
            ? `It begins with a copy of this conversation: ${size}, paid for with each of its calls.`
            : `This conversation (${size}) is longer than the ${facts.maxForkTokens} tokens that are copied: it begins with nothing but its task.`,
        }
      : {}),
    ...(place
      ? {
          thread:
            place.how === 'thread'
              ? { state: 'opening', name: place.name, channel: place.route.channel, chat: place.route.to }
              : { state: 'bound', channel: place.route.channel, chat: place.route.to },
          threadNote:
            place.how === 'thread'
              ? 'Its words go to that thread and what people write there goes to it. Say here only what comes of it.'
              : 'This chat is its now: its words go here, and what people write here goes to it until /unfocus. Do not repeat its words.',
        }
      : {}),
    ...(request.lightContext ? { lightContext: true } : {}),
    ...(request.cleanup === 'delete' ? { cleanup: 'delete' } : {}),
    ...(ground.attachments
      ? {
          attachments: {
            count: ground.attachments.names.length,
            totalBytes: ground.attachments.bytes,
            relDir: ground.attachments.into,
          },
        }
      : {}),
    ...(request.outputSchema ? { outputSchema: 'checked at its end, one repair' } : {}),
    ...(request.deliverables
      ? { deliverables: `checked at its end, one repair: ${listed(request.deliverables)}` }
      : {}),
    ...(Object.keys(limits).length > 0 ? { budget: limits } : {}),
    ...(run.deadlineAt === null ? {} : { deadlineInSeconds: Math.round((run.deadlineAt - facts.now) / 1000) }),
    note:
      run.returnTo === null
        ? 'It works on its own; no result will be sent.'
        : 'It is queued. Its result will come to you as a message; do not poll.',
  }
}
