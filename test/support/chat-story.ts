/**
 * The whole story in a chat, told many times over while the gateway is killed and the service misbehaves at random.
 *
 * Owns the model's part, the rounds, and the judgement of what people saw. A service's own part is a `Stage`. In a round
 * everybody writes, each run delegates and says so, its sub-agent asks for leave to run a command (chat-asking.ts), and what
 * came of it is told. What people saw is held against the conversation as the gateway has it: whatever the agent said stands in
 * the chat, in that order, and what stands there twice says so itself.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Asking, commandOf, decided, isAboutQuestion, judgeQuestions, press } from './chat-asking.ts'
import type { GatewayProcess, Gateways } from './gateway.ts'
import { stubConfig } from './gateway.ts'
import type { ProviderReply, ProviderRequest } from './provider.ts'

export interface Stage extends Asking {
  /** Key of the conversation with that person. */
  key(person: string): string
  /** The block of `channels`, with everybody in it let in. */
  channels: Record<string, unknown>
  people: readonly string[]
  /** What a gateway needs to be let to the service. */
  env?: Record<string, string>
  /** For a service that is logged in to: links the account of that home. */
  link?(home: string): Promise<void>
  /** For a service that keeps nothing for a bot which was never there: resolves when it is. */
  there?(): Promise<void>
  /** The id of the message. */
  write(from: string, text: string): string | Promise<string>
  /** What stands in the chat with that person, oldest first. */
  seen(from: string): readonly string[]
  /** What may go wrong with the service, by name. `id` is of a message that was just written. */
  faults: Readonly<Record<string, (next: () => number, id: string) => Promise<void> | void>>
  /** Messages that the service was not told of as received. */
  waiting(): number
  /** What the service has to find fault with. */
  faulted?(): readonly unknown[]
}

export const mark = '(may be a repeat) '
const tail = 'and that is all there is to say about it'
const saidFirst = (name: string): string => `on it ${name}, ${tail}`
const saidLast = (name: string): string => `told ${name}, ${tail}`

/** Asked to `go <name>` it delegates, says so, and tells what came of it. */
export function storyReply(request: ProviderRequest, latency: () => number): ProviderReply {
  const how = { delayMs: latency(), chunkMs: latency() / 4 }
  if (request.system.includes('You are a sub-agent')) {
    const task = /task (\w+)/.exec(JSON.stringify(request.turns))?.[1] ?? 'nothing'
    if (request.results.length === 0)
      return { toolCalls: [{ name: 'exec', args: { command: commandOf(task) } }], ...how }
    return { text: `found ${task}`, ...how }
  }
  // What is so at the moment is shown last, as words of the user too: the newest that says either is what counts.
  const said = request.turns
    .map(turn => /(go|found) (s\d+r\d+p\d+)/.exec(JSON.stringify(turn)))
    .findLast(match => match !== null)
  if (said?.[1] === 'found') return { text: saidLast(said[2]!), ...how }
  if (said && request.results.length === 0) {
    const args = { task: `task ${said[2]}`, label: said[2] }
    return { toolCalls: [{ name: 'sessions_spawn', args }], ...how }
  }
  return { text: said ? saidFirst(said[2]!) : `heard: ${request.user}`, ...how }
}

export function storyConfig(providerUrl: string, stage: Stage): Record<string, unknown> {
  const limits = { maxConcurrent: 16, subagents: { maxConcurrent: 16 } }
  return stubConfig(providerUrl, {
    agents: { defaults: { model: 'stub/m', ...limits } },
    tools: { exec: { mode: 'ask', sandbox: 'off' } },
    commands: { ownerAllowFrom: stage.people.map(stage.owner) },
    channels: stage.channels,
  })
}

export interface Verdict {
  rounds: number
  happened: string[]
  kills: number
  /** Messages that say of themselves that they may be repeats. */
  marked: number
  /** Presses of buttons, second ones, and those of strangers. */
  pressed: Awaited<ReturnType<typeof press>> | null
  problems: string[]
}

export interface Playing {
  gateways: Gateways
  config: Record<string, unknown>
  stage: Stage
  seed: number
  rounds: number
  next: () => number
}

/** Longest that a round may take: far beyond the longest pause of the outbox that its faults bring about. */
const patienceMs = 60_000

export async function play({ gateways, config, stage, seed, rounds, next }: Playing): Promise<Verdict> {
  const home = gateways.home(config)
  await stage.link?.(home)
  const start = () => gateways.start(home, { env: stage.env ?? {} })
  let gateway: GatewayProcess = await start()
  const happened: string[] = []
  const names = Object.keys(stage.faults)
  const verdict: Verdict = { rounds: 0, happened, kills: 0, marked: 0, pressed: null, problems: [] }
  const answers = new Map<string, string[]>(stage.people.map(person => [person, []]))
  const said = new Map<string, string[]>()

  async function strike(id: string): Promise<void> {
    const at = Math.floor(next() * 600)
    const kill = next() < 0.4
    const fault = kill ? 'kill' : names[Math.floor(next() * names.length)]!
    happened.push(`${fault} at ${at}`)
    await sleep(at)
    if (!kill) return void (await stage.faults[fault]!(next, id))
    verdict.kills += 1
    await gateway.kill()
    await sleep(next() * 200)
    gateway = await start()
  }

  const through = new AbortController()
  const pressing = press(stage, stage.people, through.signal)
  // Looked at when all is over.
  pressing.catch(() => undefined)

  try {
    await stage.there?.()
    for (let round = 1; round <= rounds; round++) {
      let id = ''
      for (const [i, person] of stage.people.entries()) {
        const name = `s${seed}r${round}p${i}`
        id = await stage.write(person, `go ${name}`)
        answers.get(person)!.push(saidLast(name))
        verdict.rounds += 1
      }
      for (let n = 1 + Math.floor(next() * 3); n > 0; n--) await strike(id)
      const told = (person: string): boolean => {
        const last = answers.get(person)!.at(-1)!
        return stage.seen(person).some(text => bare(text) === last)
      }
      for (const end = performance.now() + patienceMs; !stage.people.every(told); await sleep(20)) {
        if (performance.now() < end) continue
        const missing = stage.people.filter(person => !told(person))
        const saw = missing.map(person => `${person} saw ${JSON.stringify(stage.seen(person))}`)
        verdict.problems.push(`round ${round}: never told: ${saw.join('; ')}\n${gateway.said().slice(-2000)}`)
        return verdict
      }
    }
    for (let n = 0; n < 100 && stage.waiting() > 0; n++) await sleep(50)
    if (stage.waiting() > 0) verdict.problems.push(`${stage.waiting()} messages were never acknowledged`)
    // Buttons that a death has left standing are pressed again.
    for (let n = 0; n < 200 && stage.people.some(person => stage.asked(person).length > 0); n++) await sleep(50)
    const standing = stage.people.flatMap(person => stage.asked(person))
    if (standing.length > 0) verdict.problems.push(`buttons that never go: ${JSON.stringify(standing)}`)
    through.abort()
    verdict.pressed = await pressing
    const client = await gateway.client()
    const marks = join(home, 'workspace', 'marks.txt')
    const ran = existsSync(marks) ? readFileSync(marks, 'utf8').trim().split('\n') : []
    const items = await decided(client)
    const seen = stage.people.map(person => ({ person, texts: stage.seen(person) }))
    if (items.length !== verdict.rounds) verdict.problems.push(`${items.length} questions in ${verdict.rounds} rounds`)
    verdict.problems.push(...judgeQuestions(stage, seen, items, ran, verdict.kills))
    verdict.problems.push(...(stage.faulted?.() ?? []).map(fault => `the service: ${JSON.stringify(fault)}`))
    for (const person of stage.people) {
      const { messages } = await client.request('chat.history', { sessionKey: stage.key(person), limit: 200 })
      said.set(person, wordsOf(messages))
    }
  } finally {
    through.abort()
    await gateway.kill()
  }
  for (const person of stage.people) {
    const seen = stage.seen(person)
    verdict.marked += seen.filter(text => text.startsWith(mark)).length
    const words = said.get(person)!
    const unsaid = answers.get(person)!.filter(answer => !words.includes(answer))
    const about = seen.filter(text => !isAboutQuestion(text))
    const problems = [...unsaid.map(answer => `never said: ${answer}`), ...judge(about, words)]
    verdict.problems.push(...problems.map(problem => `${person}: ${problem}`))
  }
  return verdict
}

/** What is wrong with what one person saw; empty when nothing is. */
export function judge(seen: readonly string[], expected: readonly string[]): string[] {
  const problems: string[] = []
  const said = new Set<string>()
  const order: string[] = []
  for (const text of seen) {
    const words = bare(text)
    if (!expected.includes(words)) {
      // The beginning of words that were growing when the gateway died: the whole must be there and be marked. It may stand
      // before them: what was on its way then is shown by the service when it comes to it. A call that is made again may say
      // something else: by then its sub-agent has answered.
      const name = /s\d+r\d+p\d+/.exec(words)?.[0] ?? ''
      const whole = [saidFirst(name), saidLast(name)].filter(one => one.startsWith(words) || words.startsWith('on it '))
      if (!whole.some(one => expected.includes(one) && seen.includes(mark + one)))
        problems.push(`unexpected: ${text}, among ${JSON.stringify(seen)}`)
      continue
    }
    if (said.has(words) && text === words) problems.push(`said twice without a word of it: ${text}`)
    said.add(words)
    if (order.at(-1) !== words) order.push(words)
  }
  if (order.join('\n') !== expected.join('\n')) problems.push(`saw ${JSON.stringify(seen)}`)
  return problems
}

/** What the agent said in a conversation, oldest first; calls without words and answers to commands are none. */
function wordsOf(messages: readonly unknown[]): string[] {
  return (messages as { role: string; content: string | { type: string; text?: string }[] }[])
    .filter(({ role }) => role === 'assistant')
    .map(({ content }) =>
      typeof content === 'string' ? content : content.map(part => (part.type === 'text' ? part.text : '')).join(''),
    )
    .filter(text => text !== '' && !isAboutQuestion(text))
}

function bare(text: string): string {
  return text.startsWith(mark) ? text.slice(mark.length) : text
}
