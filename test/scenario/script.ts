/**
 * What the models of the scenario say: an orchestrator, five workers, three workers under each, and what goes wrong with six
 * of those. Every answer follows from the request alone, so that a call that is made again gets the same one.
 */
import type { ProviderReply, ProviderRequest } from '../support/provider.ts'

/** USD per million tokens, and nano-USD per token. */
export const price = { input: 3, output: 15 }
export const nano = { input: 3000, output: 15_000 }

/** Words of the result that is longer than what a parent is shown of one. */
export const floods = 33_333

export const command = 'echo approved > proof.txt && cat proof.txt'

/** `main`, `w3` or `w3.1`: what the first message of the conversation says. */
export function roleOf(request: Pick<ProviderRequest, 'turns'>): string {
  const first = request.turns.find(turn => turn.role === 'user')?.text ?? ''
  return /role=(w\d(?:\.\d)?)/.exec(first)?.[1] ?? 'main'
}

const spawn = (role: string, args: Record<string, unknown> = {}) => ({
  name: 'sessions_spawn',
  args: { task: `role=${role}: do your part`, taskName: role.replace('.', '-'), agentId: 'worker', ...args },
})

const special: Record<string, Record<string, unknown>> = {
  'w1.1': { runTimeoutSeconds: 20 },
  'w5.2': { budget: { calls: 2 } },
}

/** Statuses of results as they stand in the conversation: `name — how`. */
export function resultsIn(request: Pick<ProviderRequest, 'turns'>): string[] {
  const text = request.turns
    .filter(turn => turn.role === 'user')
    .slice(1)
    .map(turn => turn.text)
    .join('\n')
  return [...new Set(text.match(/ANSWER\(w\d(?:\.\d)?\)/g) ?? [])].sort()
}

function reply(role: string, n: number, request: ProviderRequest): ProviderReply {
  if (role === 'main') {
    if (n === 0) return { text: 'I split this among five.', toolCalls: [1, 2, 3, 4, 5].map(i => spawn(`w${i}`)) }
    const seen = resultsIn(request).filter(name => !name.includes('.'))
    return seen.length === 5 ? { text: `FINAL ${seen.join(' ')}` } : { text: 'All five are at work.' }
  }
  if (!role.includes('.')) {
    if (n === 0) return { toolCalls: [1, 2, 3].map(j => spawn(`${role}.${j}`, special[`${role}.${j}`])) }
    if (n === 1) return { toolCalls: [{ name: 'sessions_yield', args: {} }] }
    return { text: `ANSWER(${role}) with ${resultsIn(request).length} answers below` }
  }
  if (role === 'w1.1' || role === 'w5.1') return { hang: 'start' }
  if (role === 'w2.1')
    return { status: 400, error: { message: 'this one always fails', type: 'invalid_request_error' } }
  if (role === 'w3.1') return { text: `ANSWER(w3.1) ${'flood '.repeat(floods)}` }
  if (role === 'w4.1' && n === 0) return { toolCalls: [{ name: 'exec', args: { command } }] }
  if (role === 'w4.1')
    return { text: `ANSWER(w4.1) ${request.results[0]?.text.includes('approved') ? 'did it' : 'could not'}` }
  if (role === 'w5.2') return { toolCalls: [{ name: 'ls', args: { path: '.' } }] }
  return { text: `ANSWER(${role})`, delayMs: 50 + 40 * Number(role.at(-1)) }
}

export interface Answered {
  role: string
  n: number
  usage: { input: number; output: number }
}

export function openScript() {
  /** Answers that had left the provider. */
  const answered: Answered[] = []
  return {
    answered,
    async script(request: ProviderRequest): Promise<ProviderReply> {
      const role = roleOf(request)
      const n = request.turns.filter(turn => turn.role === 'assistant').length
      const said = reply(role, n, request)
      const usage = { input: 1000 + 100 * n, output: 50 + n }
      if (!said.hang && said.status === undefined)
        void request.left.then(early => early || answered.push({ role, n, usage }))
      return { delayMs: 150, chunkMs: role === 'main' ? 5 : 0, ...said, usage }
    },
  }
}
