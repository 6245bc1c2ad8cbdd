/**
 * `/subagents` and its short forms: delegating by hand, looking, writing to sub-agents (openclaw-facts.md §D3, both
 * generations). Owns the grammar of what follows the name, as data; reading is delegated to looking.ts, ending to stopping.ts.
 */
import type { Scope } from '../../protocol/scopes.ts'
import { childNamed, childrenOf, nameOfChild } from './children.ts'
import { childInfo, childList, childLog } from './looking.ts'
import { firstWord, trailingFlags } from './parse.ts'
import { killed } from './stopping.ts'
import type { Answer, Command, CommandCall } from './types.ts'
import { line, lines, span } from './words.ts'

export type Ask =
  | { do: 'list' }
  | { do: 'log'; target: string; limit: number | null; tools: boolean }
  | { do: 'info'; target: string }
  | { do: 'spawn'; agent: string; task: string; model: string | null; thinking: string | null }
  | { do: 'send' | 'steer'; target: string; message: string }
  | { do: 'kill' | 'pause' | 'resume'; target: string }

const forms: Readonly<Record<Ask['do'], string>> = {
  list: 'list',
  log: 'log <id|#> [limit] [tools]',
  info: 'info <id|#>',
  spawn: 'spawn <agentId> <task> [--model m] [--thinking t]',
  send: 'send <id|#> <message>',
  steer: 'steer <id|#> <message>',
  kill: 'kill <id|#|all>',
  pause: 'pause <id|#>',
  resume: 'resume <id|#>',
}

const reading: readonly Ask['do'][] = ['list', 'log', 'info']

/** What follows `/subagents`; a problem in words when it does not fit. Never throws. */
export function parseAsk(args: string): { ok: true; ask: Ask } | { ok: false; problem: string } {
  const { word, rest } = firstWord(args)
  const verb = word.toLowerCase() || 'list'
  if (!isVerb(verb)) {
    const all = Object.keys(forms).join(', ')
    return { ok: false, problem: lines([`There is no /subagents ${line(word, 30)}.`, `There are: ${all}.`]) }
  }
  const { word: target, rest: message } = firstWord(rest)
  const wrong = { ok: false as const, problem: `Write: /subagents ${forms[verb]}` }
  switch (verb) {
    case 'list':
      return { ok: true, ask: { do: verb } }
    case 'info':
    case 'kill':
    case 'pause':
    case 'resume':
      return target === '' || message !== '' ? wrong : { ok: true, ask: { do: verb, target } }
    case 'log': {
      const more = message === '' ? [] : message.slice(0, 40).toLowerCase().split(/\s+/)
      const limits = more.filter(each => /^[1-9]\d{0,2}$/.test(each)).map(Number)
      const tools = more.includes('tools')
      if (target === '' || limits.length > 1 || more.length !== limits.length + (tools ? 1 : 0)) return wrong
      return { ok: true, ask: { do: verb, target, limit: limits[0] ?? null, tools } }
    }
    case 'send':
    case 'steer':
      return target === '' || message === '' ? wrong : { ok: true, ask: { do: verb, target, message } }
    case 'spawn': {
      const { words: task, flags } = trailingFlags(message, ['model', 'thinking'])
      if (target === '' || task === '') return wrong
      const { model = null, thinking = null } = flags
      return { ok: true, ask: { do: verb, agent: target, task, model, thinking } }
    }
  }
}

function isVerb(word: string): word is Ask['do'] {
  return Object.hasOwn(forms, word)
}

function needs(args: string): Scope {
  const parsed = parseAsk(args)
  return parsed.ok && !reading.includes(parsed.ask.do) ? 'operator.write' : 'operator.read'
}

export const subagents: Command = {
  name: 'subagents',
  aliases: [],
  category: 'management',
  description: 'Start, watch, steer, stop.',
  usage: Object.values(forms),
  needs,
  async run(call) {
    const parsed = parseAsk(call.args)
    if (!parsed.ok) return parsed.problem
    const { ask } = parsed
    switch (ask.do) {
      case 'list':
        return childList(call)
      case 'log':
        return childLog(call, ask)
      case 'info':
        return childInfo(call, ask.target)
      case 'spawn':
        return spawn(call, ask)
      case 'send':
      case 'steer':
        return post(call, ask.do, ask.target, ask.message)
      case 'kill':
        return killed(call, ask.target)
      case 'pause':
      case 'resume':
        return pause(call, ask.target, ask.do === 'pause')
    }
  },
}

/** Steers a sub-agent (the older grammar) or, when no sub-agent is named, what this conversation does (the newer one). */
export const steer: Command = {
  name: 'steer',
  aliases: ['tell'],
  category: 'management',
  description: 'Tell a sub-agent at once.',
  usage: ['<id|#> <message>', '<message>'],
  needs: 'operator.write',
  async run(call) {
    const { options, session, args, house, principal, method, key } = call
    const { word, rest } = firstWord(args)
    if (word === '') return 'Write: /steer <id|#> <message>'
    const children = await childrenOf(options.store.read, session.id)
    const meansChild = /^#?\d{1,9}$/.test(word) || (children.length > 0 && childNamed(children, word).ok)
    if (meansChild) return rest === '' ? 'Write: /steer <id|#> <message>' : post(call, 'steer', word, rest)
    if (!(await house.liveRun(session.id))) return 'Nothing is at work here; write it as a message.'
    const text = { type: 'text' as const, text: args }
    const to = { sessionKey: session.key, mode: 'interrupt' as const, idempotencyKey: `${key}/steer` }
    await house.post({ principal, method, parts: [text], ...to })
    return 'Told.'
  },
}

async function spawn(call: CommandCall, ask: Ask & { do: 'spawn' }): Promise<Answer> {
  const { house, options, session, principal, key, now } = call
  const { agent, task, model, thinking } = ask
  const receipt = await house.spawn({
    principal,
    sessionKey: session.key,
    agent,
    task,
    idempotencyKey: `${key}/spawn`,
    ...(model === null ? {} : { model }),
    ...(thinking === null ? {} : { thinking }),
  })
  const children = await childrenOf(options.store.read, session.id)
  const child = children.find(one => one.run.id === receipt.run)
  const number = child ? `#${child.index}` : receipt.run
  return lines([
    `Started ${number}: ${receipt.agent}, ${receipt.model}.`,
    receipt.deadlineAt !== null && `It has ${span(receipt.deadlineAt - now)}.`,
    'Its result comes here.',
  ])
}

/** With what it has started: a person who pauses a sub-agent means its work. */
async function pause(call: CommandCall, target: string, paused: boolean): Promise<Answer> {
  const { house, options, session, principal } = call
  const found = childNamed(await childrenOf(options.store.read, session.id), target)
  if (!found.ok) return found.problem
  const { child } = found
  if (child.run.state === 'done') return `${nameOfChild(child)} has ended.`
  const { runs } = await house.pause({ principal, run: child.run.id, tree: true, paused })
  const name = nameOfChild(child)
  if (runs.length === 0) return `${name} ${paused ? 'is paused already' : 'is not paused'}.`
  const more = runs.length > 1 ? ` With it: ${runs.length - 1} below.` : ''
  return paused
    ? `${name} is paused; its time goes on.${more} /subagents resume ${child.index}`
    : `${name} goes on.${more}`
}

/** A message into a sub-agent's own conversation: read when it is done with what it does (send), or at once (steer). */
async function post(call: CommandCall, how: 'send' | 'steer', target: string, message: string): Promise<Answer> {
  const { house, options, session, principal, who, key } = call
  const found = childNamed(await childrenOf(options.store.read, session.id), target)
  if (!found.ok) return found.problem
  const { child } = found
  const name = nameOfChild(child)
  // Else a message would open another conversation by its name, of somebody who is no sub-agent.
  if (!(await house.sessionByKey(child.sessionKey))) return `${name}: its conversation was deleted.`
  const ended = child.run.state === 'done'
  if (how === 'steer' && ended) return `${name} has ended. /subagents send ${child.index} <message> starts it again.`
  await house.post({
    principal,
    method: 'sessions.send',
    sessionKey: child.sessionKey,
    mode: how === 'send' ? 'followup' : 'interrupt',
    parts: [{ type: 'text', text: message }],
    idempotencyKey: `${key}/${how}`,
    from: who,
  })
  if (ended) return lines([`${name} had ended and starts again.`, `Its answer: /subagents log ${child.index}`])
  return how === 'send' ? `Sent to ${name}: it reads it when it is done.` : `${name} is told now.`
}
