/**
 * `/focus`, `/unfocus`, `/session`: which conversation the chat or thread belongs to in which they are given (openclaw-facts.md
 * §D3, both generations).
 *
 * Owns which conversations may be meant: by number, run or label the sub-agents of this conversation, of the one that this chat
 * has by itself, and of the chat around a thread; by key or label any, of which only those below are for everybody who may
 * command (core/binding.ts T4).
 */
import { type Binding, lasting, limitsOf, parseLimit, placeWord } from '../../core/binding.ts'
import { buildKey, parseKey } from '../../core/route.ts'
import type { Route, Session } from '../../core/types.ts'
import { covers } from '../../protocol/scopes.ts'
import { boundAt, liveBindings, nameOfBound } from '../../store/bindings.ts'
import { loadSession, openSessionByKey, sessionOf } from '../../store/facts.ts'
import type { Tx } from '../../store/open.ts'
import { bindPlace, limitPlace, unbindPlace } from '../binding.ts'
import { childNamed, childrenOf, nameOfChild } from './children.ts'
import { firstWord } from './parse.ts'
import type { Answer, Command, CommandCall } from './types.ts'
import { line, lines } from './words.ts'

const noChat = 'This works in a chat: it is about who is spoken to there.'

export const focus: Command = {
  name: 'focus',
  aliases: [],
  category: 'management',
  description: 'Talk to a sub-agent here.',
  usage: ['<id|#|label|key>', ''],
  needs: 'operator.write',
  async run(call) {
    const { args, route, options, session, principal } = call
    if (route === null) return noChat
    if (args === '') return lines([await standing(call, route), 'To bind this here: /focus <id|#|label|key>'])
    const letsIn = covers(principal.scopes, 'operator.pairing')
    const found = await meantBy(call, args, letsIn)
    if (!found.ok) return found.problem
    const { key, related, name } = found
    // Said again, or tried again after a crash: it is so already.
    if (key === session.key && key !== call.home) return standing(call, route)
    const done = await bindPlace(options, {
      principal,
      place: route,
      now: session.key,
      home: call.home,
      key,
      related,
      letsIn,
    })
    if (!done.ok) return done.problem
    const { idleMs } = options.policies.bindings(route)
    return lines([
      `This ${placeWord(route)} is bound to ${name} now.`,
      'What is written here goes there. /unfocus ends that.',
      idleMs > 0 && `So does silence: ${lasting(idleMs)}. /session idle <time|off>`,
    ])
  },
}

export const unfocus: Command = {
  name: 'unfocus',
  aliases: [],
  category: 'management',
  description: 'Talk to the agent here again.',
  usage: [''],
  needs: 'operator.write',
  run: unbound,
}

const limits = { idle: 'idleMs', 'max-age': 'maxAgeMs' } as const

export const sessionCommand: Command = {
  name: 'session',
  aliases: [],
  category: 'management',
  description: 'What is bound here, how long.',
  usage: ['', 'unbind', 'idle <time|off>', 'max-age <time|off>'],
  needs: 'operator.write',
  async run(call) {
    const { args, route, options, principal } = call
    if (route === null) return noChat
    const { word, rest } = firstWord(args.toLowerCase())
    if (word === '') return standing(call, route)
    if (word === 'unbind' && rest === '') return unbound(call)
    if (word !== 'idle' && word !== 'max-age')
      return lines(['Write one of these:', ...this.usage.filter(each => each !== '').map(each => `/session ${each}`)])
    const ms = parseLimit(rest)
    if (ms === null) return `Write: /session ${word} 90m, 24h, 7d or off`
    const binding = await limitPlace(options, { principal, place: route, to: { [limits[word]]: ms } })
    return binding ? told(call, route, binding) : nothing(route)
  },
}

async function unbound(call: CommandCall): Promise<Answer> {
  const { route, options, principal, home, at } = call
  if (route === null) return noChat
  const binding = await unbindPlace(options, { principal, place: route })
  if (!binding) return nothing(route)
  const name = await nameOfBound(options.store.read, binding)
  const own = parseKey(home, at.agent)
  return lines([
    `This ${placeWord(route)} is no longer bound to ${name}.`,
    `What is written here goes to ${own && 'agent' in own ? own.agent : at.agent} again.`,
  ])
}

function nothing(route: Route): string {
  return `This ${placeWord(route)} is bound to nothing.`
}

async function standing(call: CommandCall, route: Route): Promise<string> {
  const binding = await boundAt(call.options.store.read, route)
  return binding ? told(call, route, binding) : nothing(route)
}

async function told({ options, now }: CommandCall, route: Route, binding: Binding): Promise<string> {
  const { idleMs, maxAgeMs } = limitsOf(binding, options.policies.bindings(route))
  const left = binding.createdAt + maxAgeMs - now
  return lines([
    `This ${placeWord(route)} is bound to ${await nameOfBound(options.store.read, binding)}.`,
    `By silence it ends after: ${idleMs > 0 ? lasting(idleMs) : 'never'}`,
    `By age it ends: ${maxAgeMs > 0 ? `in ${lasting(Math.max(60_000, Math.ceil(left / 60_000) * 60_000))}` : 'never'}`,
    `Conversation: ${binding.sessionKey}`,
  ])
}

/** What is bound to this conversation or to its sub-agents, one line each; for `/agents`. */
export async function boundLines({ options, session, route }: CommandCall): Promise<string[]> {
  const db = options.store.read
  const children = await childrenOf(db, session.id)
  const names = new Map(children.map(child => [child.sessionKey, nameOfChild(child)]))
  const bindings = (await liveBindings(db)).filter(
    each => each.sessionKey === session.key || names.has(each.sessionKey),
  )
  return Promise.all(
    bindings.map(async binding => {
      const name = names.get(binding.sessionKey) ?? (await nameOfBound(db, binding))
      const { channel, to, thread } = binding.place
      const here = route !== null && channel === route.channel && to === route.to && thread === route.thread
      return `${name} is bound ${here ? 'here' : `in ${channel} ${line(to, 24)}${thread ? `, thread ${line(thread, 24)}` : ''}`}`
    }),
  )
}

type Meaning = { ok: true; key: string; related: boolean; name: string } | { ok: false; problem: string }

async function meantBy(call: CommandCall, target: string, letsIn: boolean): Promise<Meaning> {
  const { options, session, at } = call
  const db = options.store.read
  const around = await conversationsHere(db, call)
  let problem: string | null = null
  for (const { id } of around) {
    const children = await childrenOf(db, id)
    const found = childNamed(children, target)
    if (found.ok) return { ok: true, key: found.child.sessionKey, related: true, name: nameOfChild(found.child) }
    if (children.length > 0) problem ??= found.problem
  }
  const named = await namedBy(db, target, at.agent)
  const ids = around.map(each => each.id)
  const related = named !== null && (await hangsBelow(db, named, ids))
  // That there is a conversation is nobody's business who may not have it here.
  if (!named || !(related || letsIn || named.id === session.id))
    return {
      ok: false,
      problem: problem ?? `There is no sub-agent or conversation ${line(target, 40)} here. /subagents list`,
    }
  return { ok: true, key: named.key, related, name: named.label === null ? named.agent : `“${line(named.label, 40)}”` }
}

/** This conversation, the one that this chat has by itself, and that of the chat around this thread. */
async function conversationsHere(db: Tx, { session, home, at }: CommandCall): Promise<Session[]> {
  const parsed = parseKey(home, at.agent)
  const around =
    parsed?.kind === 'group' || parsed?.kind === 'channel' ? buildKey({ ...parsed, topic: null, thread: null }) : home
  const keys = [...new Set([home, around])].filter(key => key !== session.key)
  const found = await Promise.all(keys.map(key => openSessionByKey(db, key)))
  return [session, ...found.filter(each => each !== null)]
}

/** By key, else by the label of one that is no sub-agent's. */
async function namedBy(db: Tx, target: string, agent: string): Promise<Session | null> {
  const key = target.toLowerCase()
  const byKey = await openSessionByKey(db, key === 'main' ? `agent:${agent}:main` : key)
  if (byKey) return byKey
  const row = await db
    .selectFrom('sessions')
    .selectAll()
    .where('label', '=', target)
    .where('depth', '=', 0)
    .where('closed_at', 'is', null)
    .limit(1)
    .executeTakeFirst()
  return row ? sessionOf(row) : null
}

async function hangsBelow(db: Tx, session: Session, above: readonly string[]): Promise<boolean> {
  for (let at: Session | null = session; at?.parentSession; at = await loadSession(db, at.parentSession))
    if (above.includes(at.parentSession)) return true
  return false
}
