/**
 * `/status`, `/agents`, `/whoami`, `/help`, `/commands`: what there is, who asks, what may be said. Read only.
 */
import { meet } from '../../core/authorize.ts'
import { spawnable } from '../../core/grant.ts'
import { covers } from '../../protocol/scopes.ts'
import type { MessageMeta } from '../../core/types.ts'
import { messageOf } from '../../store/facts.ts'
import type { Store } from '../../store/open.ts'
import { atWorkBelow } from './children.ts'
import { boundLines } from './focusing.ts'
import { written } from './parse.ts'
import type { Command } from './types.ts'
import { amount, count, line, lines, money, span, standing } from './words.ts'

/** A list on a phone. */
const listed = 8
const listedBound = 3

export const status: Command = {
  name: 'status',
  aliases: [],
  category: 'status',
  description: 'How this conversation stands.',
  usage: [''],
  needs: 'operator.read',
  open: true,
  async run({ house, options, session, principal, now }) {
    const { policies, models, store } = options
    const { settings = {}, agent } = session
    const ref = settings.model ?? policies.model(agent)
    const resolved = models.resolve(ref, agent)
    const live = await house.liveRun(session.id)
    const below = await atWorkBelow(store.read, session)
    const totals = (await house.totals([session.id])).get(session.id)
    const thinking = settings.thinking ?? policies.thinking(agent)
    const pause = resolved.ok ? models.pause({ model: ref, agent, cacheKey: session.id }) : null
    const last = await lastSaid(store.read, session.id)
    const counts = covers(principal.scopes, 'operator.read') ? await house.counts() : null
    return lines([
      `${line(agent, 40)}: ${live ? standing(live, now) : 'idle'}`,
      `Model: ${ref}${settings.model === undefined ? '' : ' (chosen here)'}`,
      !resolved.ok && `It cannot be used: ${resolved.reason} ${resolved.fix}`,
      pause && `It is not asked for ${span(pause.until - now)}: ${line(pause.error, 160)}`,
      last?.insteadOf !== undefined &&
        `Answered last by ${line(`${last.provider}/${last.model}`)}, since ${line(last.insteadOf.model)} did not: ${line(last.insteadOf.why, 160)}`,
      thinking !== null && `Thinking: ${thinking}`,
      totals !== undefined &&
        `Context: ${amount(totals.context)}${resolved.ok ? ` of ${amount(resolved.model.contextWindow)}` : ''} tokens`,
      totals !== undefined && totals.costNano > 0 && `Cost: ${money(totals.costNano)}`,
      below.length > 0 && `${count(below.length, 'sub-agent')} at work: /tasks`,
      counts !== null &&
        `Gateway: ${counts.runs['running'] ?? 0} working, ${counts.runs['queued'] ?? 0} queued, ${counts.runs['waiting'] ?? 0} waiting`,
      `Conversation: ${session.key}`,
    ])
  },
}

/** What is known of the newest words of a model in a conversation. */
async function lastSaid(read: Store['read'], session: string): Promise<MessageMeta | null> {
  const row = await read
    .selectFrom('messages')
    .selectAll()
    .where('session', '=', session)
    .where('role', '=', 'assistant')
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row ? messageOf(row).meta : null
}

export const agents: Command = {
  name: 'agents',
  aliases: [],
  category: 'status',
  description: 'The agents, and what is bound.',
  usage: [''],
  needs: 'operator.read',
  async run(call) {
    const { policies } = call.options
    const { session, principal } = call
    const all = policies.agents()
    const grant = policies.rootGrant(session.agent, principal.scopes)
    const may = new Set(spawnable(grant, policies.spawn(session.agent)))
    const bound = await boundLines(call)
    return lines([
      `${count(all.length, 'agent')}; this one is ${session.agent}:`,
      ...all
        .slice(0, listed)
        .map(
          ({ id, model }) =>
            `${line(id, 24)}${model === undefined ? '' : `: ${line(model, 40)}`}${may.has(id) ? '' : ' (not from here)'}`,
        ),
      all.length > listed && `and ${all.length - listed} more: deputy agents list`,
      may.size > 0
        ? 'Start one: /subagents spawn <agentId> <task>'
        : `None may be started from here: agents.entries.${session.agent}.subagents.allowAgents`,
      ...bound.slice(0, listedBound),
      bound.length > listedBound && `and ${bound.length - listedBound} bound more`,
    ])
  },
}

export const whoami: Command = {
  name: 'whoami',
  aliases: ['id'],
  category: 'status',
  description: 'Who you are to the gateway.',
  usage: [''],
  needs: 'operator.read',
  open: true,
  run: ({ who, principal, session }) =>
    lines([
      `You: ${line(who, 80)}`,
      principal.kind === 'sender' && `Sender id: ${principal.channel}:${line(principal.sender, 60)}`,
      `You hold: ${meet(principal.scopes, principal.scopes).join(', ') || 'no scope'}`,
      `Agent: ${session.agent}`,
      `Conversation: ${session.key}`,
    ]),
}

export const help: Command = {
  name: 'help',
  aliases: [],
  category: 'status',
  description: 'The commands, or one of them.',
  usage: ['[command]'],
  needs: 'operator.read',
  open: true,
  run({ args, table }) {
    const asked = args.replace(/^\//, '').toLowerCase()
    const one = table.find(each => each.name === asked || each.aliases.includes(asked))
    if (one) return lines([one.description, ...forms(one), aliasLine(one)])
    const groups = Map.groupBy(table, each => each.category)
    return lines([
      asked !== '' && `There is no /${line(asked, 30)}.`,
      ...[...groups].map(([category, each]) => `${category}: ${each.map(({ name }) => `/${name}`).join(' ')}`),
      'More: /help <command>, /commands',
      'Anything else you write goes to the agent.',
    ])
  },
}

export const commands: Command = {
  name: 'commands',
  aliases: [],
  category: 'status',
  description: 'Every command in one line.',
  usage: [''],
  needs: 'operator.read',
  open: true,
  run: ({ table }) => lines(table.map(({ name, description }) => `/${name}: ${description}`)),
}

function forms({ name, usage }: Command): string[] {
  return usage.map(args => written({ name, args }))
}

function aliasLine({ aliases }: Command): string | null {
  return aliases.length > 0 ? `Also: ${aliases.map(alias => `/${alias}`).join(', ')}` : null
}
