/**
 * From what a model wrote to calls that may be made: arguments parsed, tools known and granted.
 *
 * Owns: which call is refused and with what words. Commits nothing. Invariant: a call that is not understood or not granted
 * is answered to the model with what would have been allowed.
 */
import type { Tool, ToolView } from '../core/ports.ts'
import type { ReplyCall } from '../core/run/reply.ts'
import type { Run } from '../core/types.ts'
import type { RawCall } from './loop.ts'

export interface ParsedCall extends Omit<ReplyCall, 'spawn'> {
  tool: Tool | null
}

/** No tool's arguments have more levels; what walks through them may be recursive. */
const maxDepth = 64

/** Finds the tool and reads the arguments; whatever does not fit becomes the call's answer. */
export function parseCall(
  call: RawCall,
  run: Run,
  find: (name: string) => Tool | undefined,
  view: ToolView,
): ParsedCall {
  const tool = run.grant.tools.includes(call.name) ? find(call.name) : undefined
  const base = { callId: call.id, name: call.name, repeat: tool?.repeat ?? ('safe' as const), tool: tool ?? null }
  const unreadable = (why: string) => ({
    ...base,
    args: call.args.slice(0, 2000),
    refused: `The arguments of ${call.name} are ${why}. Send one JSON object.`,
  })
  let args: unknown = {}
  try {
    args = call.args.trim() === '' ? {} : JSON.parse(call.args)
  } catch (error) {
    return unreadable(`not valid JSON (${(error as Error).message})`)
  }
  if (deeper(args, maxDepth)) return unreadable(`nested deeper than ${maxDepth} levels`)
  if (!tool)
    return {
      ...base,
      args,
      refused: `There is no tool ${JSON.stringify(call.name)} here. Tools you may call: ${run.grant.tools.join(', ') || 'none'}.`,
    }
  const parsed = tool.parse(args, view)
  if (!parsed.ok) return { ...base, args, refused: parsed.problem }
  return { ...base, args: parsed.args }
}

/** Providers ask for one answer to each id, so a second call of the same id gets one of its own. */
export function distinct(calls: readonly RawCall[]): RawCall[] {
  const seen = new Set<string>()
  return calls.map(call => {
    let id = call.id
    for (let n = 2; seen.has(id); n++) id = `${call.id}-${n}`
    seen.add(id)
    return { ...call, id }
  })
}

/** Without recursion: what is asked is whether recursion would be safe. */
function deeper(value: unknown, depth: number): boolean {
  let level = [value]
  for (let n = 0; n < depth && level.length > 0; n++)
    level = level.flatMap(one => (typeof one === 'object' && one !== null ? Object.values(one) : []))
  return level.length > 0
}
