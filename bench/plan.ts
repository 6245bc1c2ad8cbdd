/**
 * What a scripted model does, carried in the prompt itself: a plan is a marker in the first user message of a
 * conversation, and the reply to a request follows from its messages alone. So the provider keeps no state, any gateway
 * can be driven by it, and a request that is made twice gets the same answer.
 *
 * Owns the grammar: `plan:<base64url JSON>:end`. Reply k of a plan is the k-th assistant message after its marker; when
 * the steps are used up it closes with its token, or, with children, with how many of their tokens it has seen. `{id}` in
 * the arguments of a call stands for the id of the plan that makes it.
 */

export interface Call {
  name: string
  args: Record<string, unknown>
}

export interface Step {
  /** Tool calls of this reply, in order. */
  calls?: readonly Call[]
  /** `count` calls of sessions_spawn; child i gets the plan `<id>.<i>`. */
  spawn?: { from: number; count: number; agent?: string; child: ChildPlan; args?: Record<string, unknown> }
  /** Plain words; ends the turn. */
  say?: string
}

export interface ChildPlan {
  steps?: readonly Step[]
  /** The answer to reply `at` is kept back until `release(name)`; without `at`, every answer is. */
  hold?: { name: string; at?: number }
  /** Model latency of each reply. */
  delayMs?: number
}

export interface Plan extends ChildPlan {
  id: string
  /** How many children must have answered before it is done. */
  children?: number
}

export interface ChatMessage {
  role: string
  content?: unknown
  tool_calls?: readonly { id: string; function?: { name: string; arguments: string } }[]
  tool_call_id?: string
}

export interface Decision {
  plan: Plan | null
  /** Which reply of the plan this is, from 0. */
  n: number
  /** Ids of plans whose closing token the request shows. */
  seen: readonly string[]
  say: string
  calls: readonly (Call & { id: string })[]
}

const marker = /plan:([\w-]{8,}):end/
const token = /RESULT\(([\w.-]+)\)/g

export function encode(plan: Plan): string {
  return `plan:${Buffer.from(JSON.stringify(plan)).toString('base64url')}:end`
}

export function tokenOf(id: string): string {
  return `RESULT(${id})`
}

/** The first plan that a text carries; null without one. */
export function planIn(text: string): Plan | null {
  const found = marker.exec(text)
  return found ? (JSON.parse(Buffer.from(found[1]!, 'base64url').toString()) as Plan) : null
}

export function textOf(message: ChatMessage): string {
  if (typeof message.content === 'string') return message.content
  if (!Array.isArray(message.content)) return ''
  return message.content.map(part => (typeof part?.text === 'string' ? part.text : '')).join('\n')
}

/** Marker of a task as it is handed to a child or a person writes it. */
export function taskOf(plan: Plan): string {
  return `Follow your plan. ${encode(plan)}`
}

function childPlan(parent: Plan, i: number, child: ChildPlan): Plan {
  return { id: `${parent.id}.${i}`, ...child }
}

function callsOf(plan: Plan, step: Step): Call[] {
  const calls = JSON.parse(JSON.stringify(step.calls ?? []).replaceAll('{id}', plan.id)) as Call[]
  const spawn = step.spawn
  for (let i = spawn?.from ?? 0; spawn && i < spawn.from + spawn.count; i++) {
    const task = taskOf(childPlan(plan, i, spawn.child))
    calls.push({
      name: 'sessions_spawn',
      args: { task, ...(spawn.agent === undefined ? {} : { agentId: spawn.agent }), ...spawn.args },
    })
  }
  return calls
}

/** The reply to a request, from its messages. Without a plan it is one word. */
export function decide(messages: readonly ChatMessage[]): Decision {
  const at = messages.findIndex(message => message.role === 'user' && marker.test(textOf(message)))
  if (at < 0) return { plan: null, n: 0, seen: [], say: 'ok', calls: [] }
  const plan = planIn(textOf(messages[at]!))!
  const after = messages.slice(at + 1)
  const n = after.filter(message => message.role === 'assistant').length
  const shown = after.filter(message => message.role !== 'assistant').map(textOf)
  const ids = shown.flatMap(text => [...text.matchAll(token)].map(match => match[1]!))
  const seen = [...new Set(ids)].filter(id => id.startsWith(`${plan.id}.`))
  const step = plan.steps?.[n]
  if (step) {
    const calls = callsOf(plan, step).map((call, i) => ({
      ...call,
      id: `call_${plan.id}_${n}_${i}`.replace(/\W/g, '_'),
    }))
    return { plan, n, seen, say: step.say ?? '', calls }
  }
  const total = plan.children ?? 0
  const say =
    total === 0 ? tokenOf(plan.id) : `${seen.length >= total ? 'done' : 'waiting'} ${plan.id} ${seen.length}/${total}`
  return { plan, n, seen, say, calls: [] }
}
