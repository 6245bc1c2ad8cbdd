/**
 * To which chat an agent may say something of its own accord, and whether it says there from whom (openclaw-facts.md §E5).
 *
 * Owns the decision: the conversation's own chat always; others of the same service, and of other services, as the operator
 * allows. Pure; never knows whether a chat exists.
 */
import type { Capabilities, Content } from './chat.ts'
import type { Route } from './types.ts'

export const outreachActions = ['send', 'reply', 'react', 'edit', 'poll'] as const
export type OutreachAction = (typeof outreachActions)[number]

/** What is wanted; null = as the conversation's own chat has it. */
export interface Outreach {
  action: OutreachAction
  channel: string | null
  account: string | null
  to: string | null
  thread: string | null
}

export interface OutreachRules {
  withinProvider: boolean
  acrossProviders: boolean
  /** Words around what is said in another chat, `{channel}` being the service that it comes from; null = none. */
  marker: { prefix: string; suffix: string } | null
  /** Null allows all. */
  actions: readonly string[] | null
}

export type OutreachVerdict = { ok: true; route: Route; foreign: boolean } | { ok: false; problem: string }

export function outreach(own: Route | null, wanted: Outreach, rules: OutreachRules): OutreachVerdict {
  const no = (problem: string): OutreachVerdict => ({ ok: false, problem })
  if (rules.actions !== null && !rules.actions.includes(wanted.action))
    return no(`The operator does not allow the action ${wanted.action} (tools.message.actions.allow).`)
  const channel = wanted.channel ?? own?.channel ?? null
  if (channel === null) return no('This conversation is not in a chat: say channel and target.')
  const same = own !== null && own.channel === channel
  const account = wanted.account ?? (same ? own.account : 'default')
  const to = wanted.to ?? (same && account === own.account ? own.to : null)
  if (to === null) return no('Say target: the chat that is meant.')
  const here = same && own.account === account && own.to === to
  const thread = wanted.thread ?? (here ? own.thread : undefined)
  const route: Route = { channel, account, to, ...(thread === undefined ? {} : { thread }) }
  if (here || own === null) return { ok: true, route, foreign: false }
  if (same && !rules.withinProvider)
    return no('Other chats of this service are not allowed (tools.message.crossContext.allowWithinProvider).')
  if (!same && !rules.acrossProviders)
    return no('Chats of other services are not allowed (tools.message.crossContext.allowAcrossProviders).')
  return { ok: true, route, foreign: true }
}

/** What is said in another chat, with the words that say where it comes from. */
export function marked(content: Content, from: string, rules: OutreachRules): Content {
  if (rules.marker === null || content.react || content.edit !== undefined) return content
  const { prefix, suffix } = rules.marker
  const text = `${prefix}${content.text}${suffix}`.replaceAll('{channel}', from)
  return { ...content, text }
}

/** Why a service cannot do this; null when it can. Words, files without a way and buttons it shows in words. */
export function unable(content: Content, can: Capabilities): string | null {
  if (content.react && !can.reactions) return 'The service has no reactions.'
  if (content.edit !== undefined && !can.edit) return 'The service cannot change what was said.'
  if (content.poll && !can.polls) return 'The service has no polls.'
  if (content.media?.length && !can.media) return 'No files can be sent there.'
  return null
}
