/** One parent that delegates, and what became of it. */
import type { ModelRequest } from '../../src/core/ports.ts'
import type { Run } from '../../src/core/types.ts'
import { lastText, type Said, type TestHouse } from './house.ts'

export const spawn = (args: object) => ({ name: 'sessions_spawn', args: { task: 'work', ...args } })
/** A copy has the prompt of what it was copied from; that it is a sub-agent stands with its task. */
export const isChild = (request: ModelRequest) =>
  request.system.includes('You are a sub-agent') ||
  request.messages.some(({ parts }) =>
    parts.some(
      part => part.type === 'text' && /^\s*\[Terms of this task\][\s\S]*You are its sub-agent now/.test(part.text),
    ),
  )

/** One parent that spawns with `args` and then says what it was told; the child does what `child` says. */
export function delegates(args: object | object[], child: (request: ModelRequest, n: number) => Said | Promise<Said>) {
  const counts = { child: 0 }
  return (request: ModelRequest): Said | Promise<Said> => {
    if (isChild(request)) return child(request, ++counts.child)
    if (request.messages.length === 1) return { calls: [args].flat().map(spawn) }
    const last = request.messages.at(-1)
    return last?.role === 'user' ? { text: `told: ${lastText(request)}` } : { text: 'waiting' }
  }
}

/** Receipts or refusals of the spawns of a run, in order. */
async function receiptsOf(it: TestHouse, session: string): Promise<Record<string, unknown>[]> {
  const { messages } = await it.house.history(session, { limit: 100 })
  return messages
    .filter(row => row.role === 'toolResult')
    .map(row => JSON.parse(row.parts.map(part => (part.type === 'text' ? part.text : '')).join('')))
}

export interface Gone {
  accepted: Awaited<ReturnType<TestHouse['say']>>
  end: { text: string | null; outcome: string | null; error: string | null }
  parent: Run
  children: Run[]
  receipts: Record<string, unknown>[]
}

export async function go(it: TestHouse): Promise<Gone> {
  const accepted = await it.say('go')
  const end = await it.done(accepted.wireId)
  const [parent, ...children] = await it.house.tree(accepted.run)
  return {
    accepted,
    end,
    parent: parent!.run,
    children: children.map(one => one.run),
    receipts: await receiptsOf(it, accepted.session.id),
  }
}
