/**
 * `rehearsal/rehearsal`: a stand-in where a language model would be. It follows the commands of grammar.ts and nothing
 * else, and says so; with it the whole machine can be tried and tested with no key and no network.
 *
 * Owns how a program becomes replies. Keeps no state: where it stands is read from the messages it is shown, so that the
 * same messages always give the same reply, after a crash too. Counts tokens by estimate and costs nothing.
 */
import type { ModelEvent, ModelMessage, ModelRequest } from '../core/ports.ts'
import type { Part } from '../core/types.ts'
import type { Target } from './directory.ts'
import { type Command, forms, parse } from './grammar.ts'
import { report, type Step, words } from './merge.ts'
import { partTokens, promptTokens, textTokens } from './tokens.ts'

export const rehearsalModel: Target = {
  ref: 'rehearsal/rehearsal',
  provider: 'rehearsal',
  model: 'rehearsal',
  name: 'Rehearsal (not a language model)',
  api: 'rehearsal',
  baseUrl: '',
  headers: {},
  keyless: true,
  timeoutMs: null,
  places: null,
  reasoning: false,
  images: false,
  audio: false,
  contextWindow: 1_000_000,
  maxTokens: 100_000,
  price: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
  priced: false,
}

type ToolCall = Extract<Part, { type: 'toolCall' }>

interface Reply {
  text: string
  calls: readonly ToolCall[]
  sleepMs: number
  fail: string | null
}

export async function* rehearse(request: ModelRequest): AsyncGenerator<ModelEvent> {
  yield { type: 'start', provider: 'rehearsal', model: 'rehearsal', api: 'rehearsal' }
  const reply = next(request)
  if (reply.sleepMs > 0) await pause(reply.sleepMs, request.signal)
  const usage = { input: promptTokens(request), output: textTokens(reply.text), cacheRead: 0, cacheWrite: 0 }
  if (request.signal.aborted || reply.fail !== null) {
    yield { type: 'fail', failure: failure(request.signal.aborted ? null : reply.fail, usage) }
    return
  }
  const room = request.maxTokens * 4
  const text = reply.text.slice(0, room)
  for (const delta of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) yield { type: 'text', delta }
  for (const { id, name, arguments: args } of reply.calls) yield { type: 'call', id, name, args: JSON.stringify(args) }
  const parts: Part[] = [...(text ? [{ type: 'text' as const, text }] : []), ...reply.calls]
  const stop = reply.calls.length > 0 ? 'toolUse' : text.length < reply.text.length ? 'length' : 'stop'
  yield { type: 'end', stop, usage: { ...usage, output: partTokens(parts) }, costNano: 0, parts }
}

function failure(
  reason: string | null,
  usage: { input: number; output: number; cacheRead: number; cacheWrite: number },
) {
  const common = { provider: 'rehearsal', model: 'rehearsal', usage, costNano: 0 }
  if (reason === null)
    return {
      ...common,
      class: 'aborted' as const,
      code: 'RUN_CANCELLED' as const,
      message: 'The call was aborted.',
      fix: 'Send it again.',
    }
  return {
    ...common,
    class: 'refusal' as const,
    code: 'MODEL_REFUSAL' as const,
    message: `The task told the rehearsal model to fail: ${reason}`,
    fix: 'Send a task without a fail line.',
  }
}

/** The reply that follows from what is shown. */
function next(request: ModelRequest): Reply {
  const { task, after } = split(request.messages)
  if (task.startsWith(transcript)) return { text: summaryOf(task), calls: [], sleepMs: 0, fail: null }
  const program = parse(task)
  if (!program.ok) return { text: explain(program.line), calls: [], sleepMs: 0, fail: null }
  const { steps, naps } = plan(program.commands)
  const made = after.filter(called)
  const at = made.length
  const nap = naps[at] ?? 0
  const step = steps[at]
  if (step?.[0]?.do === 'fail') return { text: '', calls: [], sleepMs: nap, fail: step[0].reason }
  if (step)
    return {
      text: '',
      calls: step.map((command, n) => ({
        type: 'toolCall',
        id: `rehearsal_${request.messages.length}_${n}`,
        ...tool(command),
      })),
      sleepMs: nap,
      fail: null,
    }
  const outcome = report(program.commands, steps, made, after)
  return { text: outcome.text, calls: [], sleepMs: outcome.waiting ? 0 : nap, fail: null }
}

/** A conversation that is to be summarised begins like this. */
const transcript = '<outside-data kind="conversation" from="transcript">'

/** No language model: what people said, a line each, the newest fifty. */
function summaryOf(task: string): string {
  const said = task.split('\n\n').flatMap(part => /(?:^|\n)\[person\]\n(.*)/.exec(part)?.[1] ?? [])
  return [
    'The rehearsal model keeps no more than who asked what:',
    ...said.slice(-50).map(words => `- ${words.slice(0, 80)}`),
  ].join('\n')
}

/** The newest task and everything after it. Messages one after the other, with no reply between them, are one task. */
function split(messages: readonly ModelMessage[]): { task: string; after: readonly ModelMessage[] } {
  const last = messages.findLastIndex(isTask)
  let first = last
  while (first > 0 && isTask(messages[first - 1]!) && !isFork(messages[first]!)) first -= 1
  const task =
    last < 0
      ? ''
      : messages
          .slice(first, last + 1)
          .map(taskOf)
          .join('\n')
  return { task, after: messages.slice(last + 1) }
}

/** What stands before it is somebody else's conversation. */
function isFork(message: ModelMessage): boolean {
  return words(message).includes('[Terms of this task]\n- Everything above this message is a copy')
}

function isTask(message: ModelMessage): boolean {
  const house =
    /^\[(Sub-agent \S+ · |The previous turn ended early|Check of your result|Reply from agent |The conversation so far is longer)/
  return message.role === 'user' && !house.test(words(message))
}

/** A task without what the house adds to it: where it comes from, on what terms. */
function taskOf(message: ModelMessage): string {
  return words(message)
    .replace(/^\[Message from agent [^\]]*\]\n/, '')
    .replace(/\n\[What you say next goes back[^\]]*\]$/, '')
    .replace(/\n+\[Terms of this task\]\n[\s\S]*$/, '')
}

function called(message: ModelMessage): boolean {
  return message.role === 'assistant' && message.parts.some(part => part.type === 'toolCall')
}

/** One reply a command, but delegations that follow each other leave together. Naps come before the reply they stand at. */
function plan(commands: readonly Command[]): { steps: readonly Step[]; naps: readonly number[] } {
  const steps: Command[][] = []
  const naps: number[] = []
  let together = false
  for (const command of commands) {
    if (command.do === 'sleep') naps[steps.length] = (naps[steps.length] ?? 0) + command.ms
    if (command.do !== 'sleep' && command.do !== 'say') {
      if (command.do === 'delegate' && together) steps.at(-1)!.push(command)
      else steps.push([command])
    }
    together = command.do === 'delegate'
  }
  return { steps, naps }
}

function tool(command: Command): { name: string; arguments: Record<string, unknown> } {
  switch (command.do) {
    case 'delegate':
      return {
        name: 'sessions_spawn',
        arguments: {
          task: command.task,
          label: command.label,
          ...(command.agent ? { agentId: command.agent } : {}),
          ...(command.model ? { model: command.model } : {}),
        },
      }
    case 'read':
      return { name: 'read', arguments: { path: command.path } }
    case 'list':
      return { name: 'ls', arguments: { path: command.path } }
    case 'search':
      return { name: 'grep', arguments: { pattern: command.pattern, path: command.path } }
    case 'count':
      return { name: 'grep', arguments: { pattern: command.pattern, path: command.path, count: true } }
    case 'write':
      return { name: 'write', arguments: { path: command.path, content: command.text } }
    case 'run':
      return { name: 'exec', arguments: { command: command.command } }
    case 'call':
      return { name: command.tool, arguments: command.args }
    default:
      return { name: 'sessions_yield', arguments: {} }
  }
}

function explain(line: string): string {
  const first = line.split('\n')[0]!.slice(0, 200)
  return [
    'I am the rehearsal model that comes with Deputy. I am not a language model: I only carry out commands, one a line.',
    ...(/^(help)?\W*$/i.test(first) ? [] : [`I don't understand: ${first}`]),
    '',
    'Commands:',
    ...forms.map(form => `  ${form}`),
    'A task of several lines stands indented below its delegate line. docs/rehearsal.md has examples.',
    '',
    'To use a real model, set a key in the environment and start again (ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY or OPENROUTER_API_KEY), or run Ollama on this machine, or add a provider under models.providers in deputy.json; then, if you like: deputy config set agents.defaults.model <provider/model>',
  ].join('\n')
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    if (signal.aborted) done()
  })
}
