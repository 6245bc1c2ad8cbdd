/**
 * What the rehearsal model says at the end: the results of a program's tools and sub-agents, merged in its order.
 *
 * Owns the wording of that answer. Reads results from the messages shown; a child's by the head line that the agent room
 * writes (agent/context.ts, `childResult`). Pure.
 */
import type { ModelMessage } from '../core/ports.ts'
import type { Command } from './grammar.ts'

type Delegation = Extract<Command, { do: 'delegate' }>
type Result = Extract<ModelMessage, { role: 'tool' }>
/** Commands that are carried out in one reply. */
export type Step = readonly Command[]

export function words(message: ModelMessage): string {
  return message.parts.flatMap(part => (part.type === 'text' ? [part.text] : [])).join('\n')
}

/** What came of it all, in the order of the program. */
export function report(
  commands: readonly Command[],
  steps: readonly Step[],
  made: readonly ModelMessage[],
  after: readonly ModelMessage[],
): { text: string; waiting: boolean } {
  const results = new Map<Command, Result | undefined>()
  for (const [at, step] of steps.entries()) {
    const ids = (made[at]?.parts ?? []).flatMap(part => (part.type === 'toolCall' ? [part.id] : []))
    for (const [n, command] of step.entries())
      results.set(
        command,
        after.find(message => message.role === 'tool' && message.callId === ids[n]) as Result | undefined,
      )
  }
  const children = after
    .filter(message => message.role === 'user' && words(message).startsWith('[Sub-agent '))
    .map(words)
  const open: string[] = []
  const blocks = commands.flatMap(command => {
    const result = results.get(command)
    if (command.do !== 'delegate') return tell(command, result)
    if (!result || result.isError || refused(words(result)))
      return [`${title(command)} — not started\n${quote(result ? words(result) : 'no answer')}`]
    const begin = `${head(command, words(result))} · `
    const at = children.findIndex(text => text.startsWith(begin))
    if (at < 0) open.push(command.label)
    return at < 0 ? [] : children.splice(at, 1).map(text => childBlock(title(command), text))
  })
  // Of a task before this one.
  blocks.push(...children.map(text => childBlock(/^\[Sub-agent (.*) · /.exec(text)?.[1] ?? 'sub-agent', text)))
  if (open.length === 0) return { text: blocks.join('\n\n') || 'Done.', waiting: false }
  const names = open.map(label => `"${label}"`).join(', ')
  return { text: `Waiting for ${open.length} sub-agent${open.length === 1 ? '' : 's'}: ${names}.`, waiting: true }
}

function title(command: Delegation): string {
  return command.agent ? `${command.label} (${command.agent})` : command.label
}

/** A spawn tool may say no in a plain result: `{"status":"forbidden"|"error",…}` (openclaw-facts D1). */
function refused(text: string): boolean {
  return /"status"\s*:\s*"(forbidden|error)"/.test(text)
}

/** How a child's result begins. An agent that wasn't named is the one that the receipt names. */
function head(command: Delegation, receipt: string): string {
  const agent = command.agent ?? /"childSessionKey"\s*:\s*"agent:([^:"]+):/.exec(receipt)?.[1] ?? ''
  return `[Sub-agent ${agent} · ${command.label}`
}

function childBlock(name: string, text: string): string {
  const lines = text.split('\n')
  const status = /^\[.* · ([^·]*)\]$/.exec(lines[0] ?? '')?.[1] ?? 'ended'
  const inside = lines.slice(1).filter(line => !/^<\/?outside-data\b/.test(line))
  // What stands behind the numbers is for a model that can read on.
  const end = inside.findLastIndex(line => line.startsWith('Stats: '))
  const said = end < 0 ? inside : inside.slice(0, end)
  return `${name} — ${status}\n${quote(said.join('\n'))}`
}

function quote(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map(line => `> ${line}`)
    .join('\n')
}

const shown = 4_000

function tell(command: Command, result: Result | undefined): string[] {
  if (command.do === 'say') return [command.text]
  if (command.do === 'wait' || command.do === 'sleep' || command.do === 'fail' || command.do === 'delegate') return []
  const line = named(command)
  if (!result) return [`${line}: no answer`]
  const text = words(result).trimEnd()
  if (result.isError) return [`${line}: failed\n${quote(text)}`]
  if (command.do === 'count') return [`${line}: ${matches(text)}`]
  const cut = text.length > shown ? `${text.slice(0, shown)}\n[… ${text.length - shown} more characters]` : text
  return [`${line}:\n${cut || '(nothing)'}`]
}

function named(command: Exclude<Command, { do: 'delegate' | 'say' | 'wait' | 'sleep' | 'fail' }>): string {
  switch (command.do) {
    case 'search':
    case 'count':
      return `${command.do} ${command.pattern} in ${command.path}`
    case 'run':
      return `run ${command.command}`
    case 'call':
      return `call ${command.tool}`
    default:
      return `${command.do} ${command.path}`
  }
}

/** The number in what grep says about a count; its words when there is none. */
function matches(text: string): string {
  return /(\d+) matching lines/.exec(text)?.[1] ?? text
}
