/**
 * Looking at delegated work: lists, logs, one run in a few lines, and why it stands as it does. Reads committed rows only and
 * changes nothing. Owns the words; what belongs to no run of this conversation is not shown.
 */
import type { Message, Run } from '../../core/types.ts'
import { resultKey } from '../../core/ids.ts'
import { isSilentReply } from '../../core/silence.ts'
import { heldFor, messageOf } from '../../store/facts.ts'
import type { RunView } from '../types.ts'
import { atWorkBelow, type Child, childNamed, childrenOf, nameOfChild } from './children.ts'
import type { Answer, Command, CommandCall } from './types.ts'
import { count, line, lines, span, standing, used } from './words.ts'

/** A list on a phone; older and further ones are counted. */
const listed = 12
/** With their tasks below them, so many fit. */
const withTasks = 6
const logMessages = 6
const logLine = 100

export async function childList({ options, session, now }: CommandCall): Promise<Answer> {
  const children = await childrenOf(options.store.read, session.id)
  if (children.length === 0) return lines(['No sub-agents.', 'Start one: /subagents spawn <agentId> <task>'])
  const live = children.filter(child => child.run.state !== 'done')
  const ended = children.filter(child => child.run.state === 'done')
  const recent = ended.slice(-Math.max(3, listed - live.length))
  const shown = [...live.slice(0, listed), ...recent].sort((a, b) => a.index - b.index)
  const left = children.length - shown.length
  return lines([
    `${count(children.length, 'sub-agent')}, ${live.length} at work:`,
    ...shown.flatMap(child => [
      `${nameOfChild(child)}: ${standing(child.run, now)}`,
      shown.length <= withTasks && `  ${line(child.run.task, 60)}`,
    ]),
    left > 0 && `and ${left} more; by number they can still be asked for`,
  ])
}

export async function childLog(
  call: CommandCall,
  ask: { target: string; limit: number | null; tools: boolean },
): Promise<Answer> {
  const { options, session, house } = call
  const found = childNamed(await childrenOf(options.store.read, session.id), ask.target)
  if (!found.ok) return found.problem
  const { child } = found
  const wanted = ask.limit ?? logMessages
  // Tool messages are left out unless asked for: more are read than are shown.
  const { messages } = await house.history(child.run.session, { limit: Math.min(1000, wanted * 8) })
  const said = messages.flatMap(message => said1(message, ask.tools))
  const shown = said.slice(-wanted)
  if (shown.length === 0) return `${nameOfChild(child)} has said nothing yet.`
  const more = ask.tools ? '' : ' tools'
  return lines([
    `${nameOfChild(child)}, last ${shown.length}:`,
    ...shown,
    ask.tools ? null : `With tool calls: /subagents log ${child.index} ${wanted}${more}`,
  ])
}

function said1(message: Message, tools: boolean): string[] {
  const { role, parts, meta } = message
  const words = parts.flatMap(part => (part.type === 'text' ? [part.text] : [])).join(' ')
  const text = line(words, logLine)
  if (isSilentReply(message)) return ['(it said that it has nothing to say)']
  switch (role) {
    case 'user':
      return meta.child ? [`result of ${line(meta.child.agent, 24)}: ${text}`] : [`to it: ${text}`]
    case 'assistant': {
      const calls = parts.flatMap(part =>
        part.type === 'toolCall' ? [`calls ${line(part.name, 30)} ${line(JSON.stringify(part.arguments ?? {}))}`] : [],
      )
      return [...(text === '' ? [] : [`it: ${text}`]), ...(tools ? calls : [])]
    }
    case 'toolResult':
      return tools ? [`${line(meta.toolName ?? 'tool', 30)}${meta.isError ? ' failed' : ''}: ${text}`] : []
    case 'event':
      return meta.command ? [] : [`(${text})`]
  }
}

export async function childInfo(call: CommandCall, target: string): Promise<Answer> {
  const { options, session, now } = call
  const found = childNamed(await childrenOf(options.store.read, session.id), target)
  if (!found.ok) return found.problem
  const { child } = found
  const view = await call.house.run(child.run.id)
  return lines([
    `${nameOfChild(child)}: ${standing(child.run, now)}`,
    `Task: ${line(child.run.task, 160)}`,
    `Agent: ${child.run.agent}`,
    `Model: ${child.run.model}`,
    `Used: ${used(child.tokens, child.nano)}`,
    `Steps: ${view?.steps ?? 0}`,
    view !== null && view.children.length > 0 && `Its own: ${count(view.children.length, 'sub-agent')}`,
    view?.lastLine ? `Last: ${line(view.lastLine, 120)}` : null,
    child.run.error !== null && `Error: ${line(child.run.error, 160)}`,
    `Run: ${child.run.id}`,
    `Session: ${child.sessionKey}`,
  ])
}

export const tasks: Command = {
  name: 'tasks',
  aliases: [],
  category: 'status',
  description: 'What is at work here.',
  usage: [''],
  needs: 'operator.read',
  async run({ options, session, house, now }) {
    const own = await house.liveRun(session.id)
    const below = await atWorkBelow(options.store.read, session)
    if (!own && below.length === 0) return 'Nothing is at work.'
    const numbers = new Map((await childrenOf(options.store.read, session.id)).map(child => [child.run.id, child]))
    const shown = below.slice(0, listed)
    return lines([
      own && `This conversation: ${standing(own, now)}${waits(own, now)}`,
      ...shown.map(run => taskLine(run, numbers.get(run.id), session.depth, now)),
      below.length > shown.length && `and ${below.length - shown.length} more`,
    ])
  },
}

function taskLine(run: Run, child: Child | undefined, top: number, now: number): string {
  const name = child ? nameOfChild(child) : line(run.label ?? run.agent, 40)
  return `${'  '.repeat(Math.max(0, run.depth - top - 1))}${name}: ${standing(run, now)}${waits(run, now)}`
}

/** What a run waits for, in a few words. */
function waits({ state, wait, error }: Run, now: number): string {
  if (state !== 'waiting' || wait === null) return ''
  switch (wait.for) {
    case 'children':
      return wait.mode === 'all' ? ', for its sub-agents' : ', for one of its sub-agents'
    case 'message':
      return ', for a message'
    case 'timer':
      return wait.hold
        ? `, for ${line(heldFor(wait.hold))} (${span(wait.until - now)})`
        : error === null
          ? ', for a time'
          : `, ${line(error)}`
    case 'ask':
      return wait.runs.length > 0 ? `, for ${count(wait.runs.length, 'sub-agent')}` : ', for an answer'
  }
}

export const explain: Command = {
  name: 'explain',
  aliases: [],
  category: 'status',
  description: 'Why a run stands as it does.',
  usage: ['<id|#>'],
  needs: 'operator.read',
  async run(call) {
    const { args, house, session, now, options } = call
    const children = await childrenOf(options.store.read, session.id)
    const own = args === '' ? ((await house.runs({ session: session.id, limit: 1 }))[0]?.run.id ?? null) : null
    if (args === '' && own === null) return 'This conversation has no run yet.'
    const found = own === null ? childNamed(children, args) : null
    const id = own ?? (found?.ok ? found.child.run.id : args.slice(0, 200))
    const view = await house.run(id)
    // A run of another conversation is not this one's to tell of.
    if (!view || view.run.tree !== session.tree) return found && !found.ok ? found.problem : `No run ${line(args, 40)}.`
    const { run } = view
    return lines([
      `${line(run.label ?? run.agent, 40)}: ${standing(run, now)}${waits(run, now)}`,
      `Task: ${line(run.task, 120)}`,
      run.paused && 'It is paused: nobody takes it up.',
      run.state === 'queued' && `Queued: it waits for a place in the lane ${run.lane}.`,
      run.error !== null && `Why: ${line(run.error, 200)}${run.errorCode === null ? '' : ` [${run.errorCode}]`}`,
      await whereResultWent(call, view),
      `Cost: ${used(run.spent.tokens, run.spent.nano)}, ${count(run.spent.calls, 'model call')}`,
      run.grant.budget.nano !== null || run.grant.budget.tokens !== null || run.grant.budget.calls !== null
        ? `Budget: ${budget(run)}`
        : null,
      ...(await refusals(call, run)),
    ])
  },
}

async function whereResultWent({ options }: CommandCall, { run }: RunView): Promise<string | null> {
  if (run.returnTo === null) {
    const delivery = await options.store.read
      .selectFrom('outbox')
      .select(['state', 'channel', 'error'])
      .where('run', '=', run.id)
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst()
    if (delivery)
      return `Answer: ${delivery.state} to ${delivery.channel}${delivery.error ? `, ${line(delivery.error)}` : ''}`
    return run.parent === null ? null : 'Result: kept with the run; none was asked for.'
  }
  if (run.state !== 'done') return 'Result: goes to the conversation that asked for it.'
  const row = await options.store.read
    .selectFrom('inbox')
    .select('state')
    .where('session', '=', run.returnTo)
    .where('key', '=', resultKey(run.id))
    .executeTakeFirst()
  switch (row?.state) {
    case 'read':
      return 'Result: read by who asked for it.'
    case 'unread':
      return 'Result: lies with who asked for it, not read yet.'
    case 'dead':
      return 'Result: kept; the conversation that asked for it was closed.'
    default:
      return 'Result: kept with the run; it starts no turn.'
  }
}

function budget(run: Run): string {
  const { nano, tokens, calls } = run.grant.budget
  const left = [
    nano === null ? '' : `$${(nano / 1e9).toFixed(2)}`,
    tokens === null ? '' : `${tokens} tokens`,
    calls === null ? '' : `${calls} calls`,
  ]
  return left.filter(each => each !== '').join(', ')
}

/** The last tool calls that were refused or failed, with the first words of why. */
async function refusals({ options, house }: CommandCall, run: Run): Promise<string[]> {
  const failed = (await house.steps(run.id)).filter(step => step.result?.isError && step.result.seq !== null).slice(-2)
  if (failed.length === 0) return []
  const rows = await options.store.read
    .selectFrom('messages')
    .selectAll()
    .where('session', '=', run.session)
    .where(
      'seq',
      'in',
      failed.map(step => step.result?.seq ?? 0),
    )
    .execute()
  const words = new Map(rows.map(messageOf).map(message => [message.seq, message]))
  return failed.map(step => {
    const message = words.get(step.result?.seq ?? 0)
    const text = message?.parts.map(part => (part.type === 'text' ? part.text : '')).join(' ') ?? ''
    return `Refused: ${step.name}: ${line(text, 120)}`
  })
}
