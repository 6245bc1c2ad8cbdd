/**
 * `/model`, `/thinking`, `/usage`: what a person sets for one conversation. Owns the words and the allowed values; the
 * settings are the session's (House.patch), the same that `sessions.patch` changes.
 */
import type { SessionSettings } from '../../core/types.ts'
import type { SettingsPatch } from '../types.ts'
import { childrenOf } from './children.ts'
import type { Command, CommandCall } from './types.ts'
import { amount, count, line, lines, money, used } from './words.ts'

/** openclaw-facts.md §E3; what a model does with a level is its provider's affair. */
const levels = ['off', 'minimal', 'low', 'medium', 'high', 'xhigh', 'adaptive', 'max', 'ultra']
const footers = ['off', 'tokens', 'full']
const dayMs = 24 * 3_600_000

/** Words that take a setting away. */
const back = ['default', 'reset', 'clear']

async function set(call: CommandCall, settings: SettingsPatch): Promise<SessionSettings> {
  const { house, principal, session } = call
  const changed = await house.patch({ principal, sessionKey: session.key, expected: session.id, settings })
  return changed.settings ?? {}
}

export const model: Command = {
  name: 'model',
  aliases: [],
  category: 'options',
  description: 'Show or choose the model.',
  usage: ['[provider/model|default]'],
  needs: args => (args === '' ? 'operator.read' : 'operator.write'),
  async run(call) {
    const { args, session, options, house } = call
    const own = options.policies.model(session.agent)
    if (args === '') {
      const chosen = session.settings?.model
      return lines([
        `Model: ${chosen ?? own}${chosen === undefined ? ' (default)' : ''}`,
        chosen !== undefined && `Default: ${own}`,
        'Change it: /model provider/model',
        chosen !== undefined && 'Go back: /model default',
      ])
    }
    if (/\s/.test(args)) return 'Write: /model provider/model, or /model default'
    const { model: now = own } = await set(call, { model: back.includes(args.toLowerCase()) ? null : args })
    const live = await house.liveRun(session.id)
    return lines([
      `Model: ${now}`,
      live !== null && live.model !== now && `What is at work goes on with ${live.model}.`,
    ])
  },
}

export const thinking: Command = {
  name: 'thinking',
  aliases: ['think', 't'],
  category: 'options',
  description: 'How much the model thinks.',
  usage: [`[${levels.join('|')}|default]`],
  needs: args => (args === '' ? 'operator.read' : 'operator.write'),
  async run(call) {
    const { args, session, options } = call
    const own = options.policies.thinking(session.agent) ?? 'left to the model'
    const level = args.toLowerCase()
    if (level === '') {
      const chosen = session.settings?.thinking
      return lines([`Thinking: ${chosen ?? `${own} (default)`}`, `Levels: ${levels.join(', ')}, default`])
    }
    if (!levels.includes(level) && !back.includes(level))
      return lines([`There is no level ${line(args, 30)}.`, `Levels: ${levels.join(', ')}, default`])
    const { thinking: now } = await set(call, { thinking: back.includes(level) ? null : level })
    return `Thinking: ${now ?? `${own} (default)`}`
  },
}

export const usage: Command = {
  name: 'usage',
  aliases: [],
  category: 'options',
  description: 'What was used, or a usage line.',
  usage: ['[off|tokens|full]'],
  needs: args => (args === '' ? 'operator.read' : 'operator.write'),
  async run(call) {
    const { args, session } = call
    const choice = args.toLowerCase()
    if (choice === '') return spending(call)
    if (!footers.includes(choice))
      return lines([`There is no /usage ${line(args, 30)}.`, `There are: ${footers.join(', ')}.`])
    await set(call, { responseUsage: choice === 'off' ? null : choice })
    return lines([
      `Usage line: ${choice}.`,
      choice !== 'off' && session.settings?.responseUsage !== choice && 'Clients that know it show it under answers.',
    ])
  },
}

async function spending({ house, options, session, now }: CommandCall): Promise<string> {
  const children = await childrenOf(options.store.read, session.id)
  const own = (await house.totals([session.id])).get(session.id)
  const day = await house.ledger({ since: now - dayMs, until: now + 1, offsetMs: 0, agent: session.agent })
  const { input, output, cacheRead, cacheWrite } = own?.usage ?? { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }
  const cached = cacheRead + cacheWrite
  const delegated = { tokens: sum(children.map(each => each.tokens)), nano: sum(children.map(each => each.nano)) }
  return lines([
    `This conversation: ${used(input + output + cached, own?.costNano ?? 0)}`,
    `  read ${amount(input)}, written ${amount(output)}, cached ${amount(cached)}`,
    children.length > 0 && `Its ${count(children.length, 'sub-agent')}: ${used(delegated.tokens, delegated.nano)}`,
    `${line(session.agent, 30)}, last 24 hours: ${money(sum(day.map(row => row.spent.nano)))}, ${count(sum(day.map(row => row.spent.calls)), 'model call')}`,
    `Usage line: ${session.settings?.responseUsage ?? 'off'}`,
  ])
}

function sum(all: readonly number[]): number {
  return all.reduce((total, each) => total + each, 0)
}
