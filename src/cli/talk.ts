/**
 * A conversation in the terminal: what is typed becomes messages, what the gateway tells becomes lines.
 *
 * Owns the rules of the keys (Ctrl-C stops what is at work, twice leaves), the few commands of its own, and reaching the
 * gateway again after a restart. Never decides what a message means: everything but its own commands goes to the gateway.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../client/connect.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { ChatMessage, RunRow } from '../protocol/results.ts'
import { type Context, problemOf, problemText } from './context.ts'
import { clip, line, plain, wrap } from './format.ts'
import { exit } from './host.ts'
import { reach } from './reach.ts'
import { drawTree, runtime, sign, title } from './runs.ts'
import { openScreen } from './screen.ts'

export interface TalkOptions {
  sessionKey: string
  agent: string
  /** Shown before the first prompt. */
  greeting: readonly string[]
  /** Ends the conversation from outside: a signal. */
  leave: Promise<unknown>
}

interface ChatEvent {
  runId: string
  sessionKey: string
  state: 'status' | 'delta' | 'final' | 'aborted' | 'error'
  deltaText?: string
  replace?: boolean
  message?: { content: readonly { type: string; text?: string }[]; timestamp: number }
  yielded?: boolean
  errorMessage?: string
  stopReason?: string
}

interface RunEvent {
  run: string
  parent?: string | null
  sessionKey: string
  agentId: string
  change: string
  outcome?: string
  error?: string
  at: number
}

interface AskedEvent {
  id: string
  request: {
    command?: string
    title?: string
    description?: string
    agentId: string
    sessionKey: string
    runId: string
    allowedDecisions: readonly string[]
  }
}

interface AgentEvent {
  sessionKey: string
  stream: string
  data: { phase?: string; name?: string; args?: unknown }
}

export const talkCaps = ['tool-events', 'run-events']

/** A second Ctrl-C within this time leaves, ms. */
const twiceMs = 2_000
/** More children than this at once are not told one by one. */
const toldChildren = 12
/** Tools that show as children or not at all. */
const silent = ['sessions_spawn', 'sessions_yield', 'subagents', 'agents_list']

/** What the terminal knows by itself; the gateway's own commands follow. */
const help = [
  '/runs   what is at work     Ctrl-C   stop it',
  '/exit   leave               Ctrl-D   the same',
  'A line that ends in \\ goes on in the next one.',
]

/** Talks until the user leaves. Returns the exit code. */
export async function talk(context: Context, first: Client, options: TalkOptions): Promise<number> {
  const { paint: p, columns } = context
  const { sessionKey } = options
  const left = Promise.withResolvers<number>()
  const idle: (() => void)[] = []
  /** Wire ids of messages that have no final yet. */
  const pending = new Set<string>()
  /** Runs of this conversation and what they delegated. */
  const family = new Set<string>()
  /** Runs of this conversation that have not ended: at work, or waiting for what they delegated. */
  const live = new Set<string>()
  /** Sub-agents that were told of and are at work. */
  const children = new Map<string, RunRow>()
  let client = first
  /** Wire ids whose words came in as they were said, and the one that spoke last. */
  const streamed = new Set<string>()
  let speaking = ''
  let lastFinal = ''
  let interruptedAt = 0
  let ended = false
  const draft: string[] = []

  const commands: Readonly<Record<string, () => void>> = {
    '/exit': leave,
    '/quit': leave,
    '/help': () => {
      help.forEach(dim)
      send('/help').catch(trouble)
    },
    '/runs': () => void showRuns().catch(trouble),
  }
  const screen = openScreen(context.host.stdin, context.host.stdout, { line: typed, interrupt, end })

  function dim(text: string): void {
    screen.print(p.dim(`  ${clip(text, columns - 2)}`))
  }

  function trouble(error: unknown): void {
    screen.settle()
    screen.print(problemText(problemOf(error), p))
  }

  function typed(text: string): void {
    if (text.endsWith('\\')) {
      draft.push(text.slice(0, -1))
      return
    }
    const message = [...draft.splice(0), text].join('\n').trim()
    const own = commands[message]
    if (own) own()
    else if (message === '') screen.settle()
    else send(message).catch(trouble)
  }

  async function send(message: string): Promise<void> {
    const idempotencyKey = randomUUID()
    pending.add(idempotencyKey)
    try {
      const { status } = await client.request('chat.send', { sessionKey, message, idempotencyKey })
      // `ok` = answered at once, as a command is: its final may have come before this answer.
      if (status === 'ok') settled(idempotencyKey)
    } catch (error) {
      settled(idempotencyKey)
      throw error
    }
  }

  function settled(wireId: string): void {
    pending.delete(wireId)
    if (pending.size === 0) for (const each of idle.splice(0)) each()
  }

  async function stop(): Promise<void> {
    const { aborted } = await client.request('chat.abort', { sessionKey })
    if (!aborted) dim('Nothing is at work.')
  }

  async function showRuns(): Promise<void> {
    const { runs } = await client.request('runs.list', { sessionKey, limit: 1 })
    if (!runs[0]) {
      dim('No runs yet.')
      return
    }
    const tree = await client.request('runs.tree', { run: runs[0].run })
    const live = tree.runs.filter(run => run.state !== 'done')
    const shown = live.length > 0 ? live : tree.runs.slice(-8)
    for (const each of drawTree(shown, columns - 2, Date.now(), p)) screen.print(`  ${each}`)
  }

  function interrupt(): void {
    const now = performance.now()
    const twice = interruptedAt > 0 && now - interruptedAt < twiceMs
    interruptedAt = now
    draft.length = 0
    if (twice) leave()
    else if (pending.size === 0 && live.size === 0) dim('Press Ctrl-C again to leave.')
    else {
      dim('Stopping … press Ctrl-C again to leave.')
      stop().catch(trouble)
    }
  }

  function end(): void {
    // A script's input ends before its answers have come.
    if (pending.size === 0) leave()
    else idle.push(leave)
  }

  function leave(): void {
    if (ended) return
    ended = true
    screen.settle()
    screen.close()
    left.resolve(exit.done)
  }

  function onChat(event: ChatEvent): void {
    if (event.sessionKey !== sessionKey) return
    if (event.state === 'delta') {
      const { runId } = event
      const again = event.replace === true && streamed.has(runId)
      // A command is answered in the middle of what somebody else says.
      if (again || (speaking !== '' && speaking !== runId)) screen.settle()
      if (again) dim('— once more —')
      const text = plain(event.deltaText ?? '')
      if (text !== '') streamed.add(runId)
      speaking = runId
      screen.stream(text)
      return
    }
    if (event.state === 'status') return
    const words = (event.message?.content ?? []).flatMap(part => (part.text ? [part.text] : [])).join('\n')
    // Several messages may be answered by one turn: each has its final, with the same words.
    const same = `${event.message?.timestamp} ${words}`
    if (!streamed.delete(event.runId) && words !== '' && same !== lastFinal) screen.print(plain(words))
    screen.settle()
    lastFinal = same
    speaking = ''
    if (event.state === 'error') screen.print(p.red(plain(event.errorMessage ?? 'The run failed.')))
    if (event.state === 'aborted') dim(event.stopReason === 'timeout' ? 'out of time' : 'stopped')
    if (event.yielded) dim('Sub-agents are at work; their results come here. You can go on writing.')
    else screen.print('')
    settled(event.runId)
  }

  function onAgent(event: AgentEvent): void {
    const { phase, name, args } = event.data
    if (event.sessionKey !== sessionKey || event.stream !== 'tool' || phase !== 'start' || !name) return
    if (!silent.includes(name)) dim(`· ${line(name)} ${line(JSON.stringify(args ?? {}))}`)
  }

  function onRun(event: RunEvent): void {
    const { run, parent, change, error } = event
    if (event.sessionKey === sessionKey) {
      family.add(run)
      if (change === 'done') live.delete(run)
      else live.add(run)
    }
    const ours = family.has(run) || (parent != null && family.has(parent))
    if (ours && change === 'waiting' && error)
      dim(`${line(event.agentId)} pauses and tries again by itself: ${line(error)}`)
    if (!parent || !family.has(parent)) return
    family.add(run)
    if (change === 'started' && children.size < toldChildren) client.request('runs.get', { run }).then(began, trouble)
    const known = children.get(run)
    if (change !== 'done' || !known) return
    children.delete(run)
    child({ ...known, state: 'done', outcome: event.outcome ?? null, endedAt: event.at })
  }

  /** A question of this conversation, or of what it delegated. */
  function onAsked({ id, request }: AskedEvent): void {
    if (request.sessionKey !== sessionKey && !family.has(request.runId)) return
    const short = id.slice(0, 8)
    screen.settle()
    screen.print(p.yellow(`  ${line(request.title ?? `${request.agentId} wants to run a command`)}:`))
    for (const each of (request.command ?? request.description ?? '').split('\n')) screen.print(`  | ${plain(each)}`)
    dim(request.allowedDecisions.map(each => `/approve ${short} ${each}`).join('   '))
  }

  function began(answer: { run: RunRow }): void {
    const { run } = answer
    if (run.state !== 'done') children.set(run.run, run)
    child(run)
  }

  function child(run: RunRow): void {
    const time = run.state === 'done' ? ` ${p.dim(runtime(run, Date.now()))}` : ''
    screen.later(`  ${sign(run, p)} ${line(run.agent)}  ${p.dim(clip(title(run), columns - 34))}${time}`)
  }

  function listen(): void {
    client.on('chat', onChat)
    client.on('agent', onAgent)
    client.on('run', onRun)
    client.on('exec.approval.requested', onAsked)
    client.on('plugin.approval.requested', onAsked)
    void client.closed.then(() => {
      if (!ended) reconnect().catch(lost)
    })
  }

  async function reconnect(): Promise<void> {
    screen.settle()
    dim('The gateway went away; trying to reach it again …')
    for (let tries = 0; tries < 150 && !ended; tries++) {
      await sleep(200)
      const line = await reach(context, talkCaps).catch((error: unknown) => {
        if (error instanceof DeputyError && error.code === 'GATEWAY_UNREACHABLE') return null
        throw error
      })
      if (line === null) continue
      client = line
      listen()
      dim('Here again; what was at work goes on.')
      await resume()
      return
    }
    if (!ended) throw new DeputyError('GATEWAY_UNREACHABLE', `No gateway runs for ${context.home.dir}.`)
  }

  /** Finals that were told while nobody listened are in the history now. */
  async function resume(): Promise<void> {
    for (const wireId of pending) {
      void client
        .request('agent.wait', { runId: wireId, until: 'turn', timeoutMs: 3_600_000 })
        .then(answer => {
          if (!pending.has(wireId)) return
          if (answer.text && !streamed.has(wireId)) screen.print(plain(answer.text))
          settled(wireId)
        })
        .catch(() => settled(wireId))
    }
  }

  function lost(error: unknown): void {
    if (ended) return
    ended = true
    screen.close()
    context.note(problemText(problemOf(error), p))
    left.resolve(exit.unreachable)
  }

  listen()
  void options.leave.then(leave)
  for (const each of options.greeting) context.say(each)
  if (context.host.stdin.isTTY) {
    const { messages } = await client.request('chat.history', { sessionKey, limit: 12 })
    for (const each of recall(messages, context)) context.say(each)
  }
  screen.setPrompt(`${p.cyan('›')} `)
  const code = await left.promise
  client.close()
  return code
}

/** The last words of an earlier conversation, dimmed. */
function recall(messages: readonly ChatMessage[], { paint: p, columns }: Context): string[] {
  const said = messages.flatMap(message => {
    const words = (message.content as { type: string; text?: string }[]).flatMap(part => (part.text ? [part.text] : []))
    if (message.role === 'toolResult' || message.__openclaw.kind !== undefined || words.length === 0) return []
    const whole = plain(words.join('\n')).trim()
    const short = whole.split('\n').slice(0, 6).join('\n')
    const mark = message.role === 'user' ? '› ' : '  '
    return [p.dim(mark + wrap(`${short}${short === whole ? '' : ' …'}`, columns, '  ').slice(2))]
  })
  return said.length > 0 ? [p.dim('  earlier:'), ...said.slice(-4), ''] : []
}
