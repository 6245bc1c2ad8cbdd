/**
 * Slash commands: a message that is one is answered at once, in the house's own words, and never reaches a model.
 *
 * Owns recognising them among the messages that doors bring, one at a time in each conversation, and answering: the answer
 * is a row before it is told, and is told as a turn's end is, under the wire id of the message. Invariants: 1. only what a
 * person wrote is looked at (access.ts); what a command posts on is never read as one. 2. what is written after a command is
 * accepted after it was carried out, so that `/new` and the next line mean what they say. 3. every command gets exactly one
 * answer: a refusal is one too. 4. a repeat under the same idempotency key is the same command.
 */
import type { AgentOptions, Bells } from '../../agent/room.ts'
import { announce } from '../../agent/commit.ts'
import { nameOf } from '../../core/principal.ts'

import { DeputyError, errors } from '../../protocol/errors.ts'
import { type AcceptDeps, acceptMessage, checked, digest, knownAgent, repeated } from '../accepting.ts'
import { openSessionByKey } from '../../store/facts.ts'
import { startAfresh } from '../afresh.ts'
import { touchBound } from '../bound.ts'
import { type Meant, meant } from '../keys.ts'
import type { Accepted, AcceptInput, House } from '../types.ts'
import { isListed, mayCommand, refused } from './access.ts'
import { atWorkBelow } from './children.ts'
import { answer, claim, type Claim } from './claims.ts'
import { isStopWord, parse } from './parse.ts'
import { commandNamed, commandTable } from './table.ts'
import type { Answer, Command, CommandCall, Hands, Senders } from './types.ts'
import { refusal } from './words.ts'

export interface CommandDeps extends AcceptDeps {
  options: AgentOptions
  bells: Bells
  house: Omit<House, 'accept' | 'open' | 'inject'>
  senders(): Senders
}

interface Given {
  command: Command
  args: string
  /** A stop word: counts only while something is at work, else it is a message like any other. */
  word: boolean
}

export function openCommands(deps: CommandDeps): Pick<House, 'accept'> {
  const { options, bells, house } = deps
  const hands: Hands = { ...house, post: input => acceptMessage(deps, input) }
  /** The newest message or command of a conversation that is being taken, by session key. Never rejects. */
  const atWork = new Map<string, Promise<unknown>>()

  /** One after the other in a conversation: what is asked second is never taken first, however long either takes. */
  async function accept(input: AcceptInput): Promise<Accepted> {
    const at = meant(input, options.policies.defaultAgent())
    const before = atWork.get(at.key)
    const given = recognise(input)
    const take = () => (given ? carry(input, at, given) : message(input, at))
    const mine = before ? before.then(take) : take()
    const over = mine.then(
      () => undefined,
      () => undefined,
    )
    atWork.set(at.key, over)
    try {
      return await mine
    } finally {
      if (atWork.get(at.key) === over) atWork.delete(at.key)
    }
  }

  async function message(input: AcceptInput, at: Meant): Promise<Accepted> {
    await startAfresh(options, house, input, at)
    return acceptMessage(deps, input)
  }

  function recognise(input: AcceptInput): Given | null {
    const [first] = input.parts
    if (first?.type !== 'text' || !mayCommand(input.principal)) return null
    const said = parse(first.text)
    const command = said && commandNamed(said.name)
    if (command) return { command, args: said.args, word: false }
    const word = input.parts.length === 1 && isStopWord(first.text) && isListed(input.principal, deps.senders())
    const stop = word ? commandNamed('stop') : undefined
    return stop ? { command: stop, args: '', word } : null
  }

  async function carry(input: AcceptInput, at: Meant, given: Given): Promise<Accepted> {
    if (given.word && !(await anythingAtWork(at.key))) return acceptMessage(deps, input)
    knownAgent(options, at.agent)
    const parts = options.secrets.hide(checked(input.parts))
    const who = nameOf(input.principal)
    const { method, idempotencyKey: key, route = null } = input
    const mine: Claim = { principal: who, method, at, key, payload: digest([method, at.key, parts]) }
    const now = options.clock.now()
    const ids = { session: options.uuid(), asked: options.uuid(), answered: options.uuid() }
    const claimed = await options.store.write('rpc', async tx => {
      const again = await repeated(tx, who, method, at.key, key, mine.payload)
      if (again) return { again }
      await touchBound(tx, input, (await openSessionByKey(tx, at.key)) !== null, now)
      return { begun: await claim(tx, mine, { session: ids.session, route, now }) }
    })
    if (claimed.again) return claimed.again
    const { session, opened, since } = claimed.begun
    const call: CommandCall = {
      home: input.bound?.home ?? at.key,
      principal: input.principal,
      who,
      method,
      at,
      session,
      opened,
      since,
      key,
      route,
      args: given.args,
      files: parts.slice(1),
      now,
      house: hands,
      options,
      table: commandTable,
    }
    const no = refused(given.command, call, deps.senders(), commandTable)
    const said = no ?? (await answerTo(given, call))
    // Its answer is this command's: the row that was claimed becomes the message's own.
    if (typeof said !== 'string') return acceptMessage(deps, { ...input, parts: said.message }, parts)
    const done = await options.store.write('rpc', tx =>
      answer(tx, mine, {
        asked: { id: ids.asked, parts, at: now },
        answered: { id: ids.answered, text: options.secrets.hide(said), at: options.clock.now() },
        route,
        refused: no !== null,
        session: session.id,
      }),
    )
    if (!done) throw new DeputyError('UNKNOWN_SESSION', `There is no session ${at.key}.`)
    announce(done.after, bells, options.tell)
    // After whoever asked has been told that it was accepted: clients wait for an end only from then on.
    setImmediate(() =>
      options.tell({
        on: 'run.turn',
        run: key,
        session: done.session.id,
        sessionKey: at.key,
        agent: at.agent,
        wireId: key,
        aliases: [],
        text: said,
        yielded: false,
        stop: 'stop',
        outcome: 'succeeded',
        at: done.after.at,
      }),
    )
    const told = { wireId: key, run: key, session: done.session, seq: done.seq - 1, acceptedAt: now }
    return { ...told, status: 'command', ...(no === null ? {} : { refused: true }) }
  }

  async function answerTo({ command }: Given, call: CommandCall): Promise<Answer> {
    if (call.files.length > 0 && !command.files) return `/${command.name} takes no pictures or files along.`
    try {
      return await command.run(call)
    } catch (error) {
      if (error instanceof DeputyError) return refusal(error)
      options.log(`/${command.name} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
      return refusal(new DeputyError('INTERNAL', errors.INTERNAL.means))
    }
  }

  async function anythingAtWork(key: string): Promise<boolean> {
    const session = await house.sessionByKey(key)
    if (!session) return false
    return (await house.liveRun(session.id)) !== null || (await atWorkBelow(options.store.read, session)).length > 0
  }

  return { accept }
}
