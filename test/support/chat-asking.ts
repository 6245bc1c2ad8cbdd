/**
 * People who are asked for leave in a chat: who presses what and when, and what must be true of it afterwards.
 *
 * Owns the presses of the story (chat-story.ts): which question is allowed and which denied is a matter of its name, some
 * press twice, before some a stranger does, and whoever sees the buttons still standing presses again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../../src/client/connect.ts'
import type { TerminalSnapshot } from '../../src/protocol/results-approvals.ts'

/** A question that still can be answered in the chat. */
export interface Asked {
  id: string
  text: string
  /** What its buttons say. */
  values: readonly string[]
}

export interface Asking {
  /** The questions to that person that can be answered still, as they see it. */
  asked(person: string): readonly Asked[]
  /** `by` presses; null is somebody whom nobody has let in. */
  press(by: string | null, question: Asked, value: string): void
  /** The service brings the newest press again. Left out where it never does. */
  pressAgain?(): void
  /** How the house calls that person. */
  sender(person: string): string
  /** The same for `commands.ownerAllowFrom`. */
  owner(person: string): string
}

/** How long somebody looks at a button that does not go before they press again. */
const patienceMs = 1500

const named = /s\d+r\d+p\d+/

export function commandOf(name: string): string {
  return `echo ${name} >> marks.txt`
}

/** The same for the same name, in every run. */
export function isAllowed(name: string): boolean {
  return weight(name) % 4 !== 0
}

/** Presses what is to be pressed until `signal` aborts; how often it did is counted. */
export async function press(
  stage: Asking,
  people: readonly string[],
  signal: AbortSignal,
): Promise<{ presses: number; again: number; strangers: number }> {
  const count = { presses: 0, again: 0, strangers: 0 }
  const pressed = new Map<string, number>()
  for (; !signal.aborted; await sleep(20)) {
    for (const person of people)
      for (const question of stage.asked(person)) {
        const at = pressed.get(question.id)
        if (at !== undefined && performance.now() - at < patienceMs) continue
        pressed.set(question.id, performance.now())
        const name = named.exec(question.text)?.[0] ?? ''
        const value = question.values.find(one => one.endsWith(isAllowed(name) ? 'allow-once' : 'deny'))
        if (value === undefined) throw new Error(`no such button: ${JSON.stringify(question)}`)
        if (at === undefined && weight(name) % 3 === 0) {
          stage.press(null, question, value)
          count.strangers += 1
        }
        stage.press(person, question, value)
        count.presses += 1
        if (at === undefined && weight(name) % 5 !== 0) continue
        stage.press(person, question, value)
        count.again += 1
      }
  }
  return count
}

export async function decided(client: Client): Promise<TerminalSnapshot[]> {
  const all: TerminalSnapshot[] = []
  let cursor: string | undefined
  do {
    const page = await client.request('approval.history', { limit: 100, ...(cursor ? { cursor } : {}) })
    all.push(...page.items)
    cursor = page.nextCursor
  } while (cursor)
  return all
}

/** A line that is about a question, not words of the agent. */
export function isAboutQuestion(text: string): boolean {
  return /^(?:\(may be a repeat\) )?(?:approval [0-9a-f]{8} |approval needed)/i.test(text)
}

export interface Seen {
  person: string
  texts: readonly string[]
}

/** What is wrong with the questions; empty when nothing is. `ran`: lines that commands have left. */
export function judgeQuestions(
  stage: Asking,
  seen: readonly Seen[],
  items: readonly TerminalSnapshot[],
  ran: readonly string[],
  deaths: number,
): string[] {
  const problems: string[] = []
  for (const item of items) {
    const { presentation, status } = item
    const text = presentation.kind === 'exec' ? presentation.commandText : presentation.detail
    const name = named.exec(text)?.[0] ?? ''
    const short = item.id.slice(0, 8)
    const [one, ...more] = seen.filter(({ texts }) => texts.some(each => each.includes(`/approve ${short} `)))
    const fail = (what: string) => problems.push(`question ${short} of ${name} ${what}`)
    if (!one || more.length > 0) {
      fail(`was seen by ${[one, ...more].length} people`)
      continue
    }
    const asked = one.texts.filter(each => each.includes(`/approve ${short} `) && /approval needed/i.test(each))
    if (asked.filter(each => !each.startsWith('(')).length > 1) fail('was asked twice without a word of it')
    const told = one.texts.filter(each => each.includes(`pproval ${short} (`))
    // A press that a death has swallowed, and its service does not bring again, is made again: that one is told of the first.
    const later = one.texts.some(each => each.includes(`pproval ${short} was decided already`))
    if (told.length === 0 && !later) fail(`: nobody was told what was decided: ${JSON.stringify(one.texts)}`)
    if (told.filter(each => !each.startsWith('(')).length > 1) fail('was told twice without a word of it')
    if (status !== (isAllowed(name) ? 'allowed' : 'denied')) fail(`is ${status}`)
    if (item.resolver.id !== stage.sender(one.person)) fail(`was decided by ${item.resolver.id}`)
    const times = ran.filter(line => line === name).length
    // A command that was at work at a death is not made again, whether it was through or not.
    if (status === 'allowed' ? times > 1 || (times === 0 && deaths === 0) : times > 0) fail(`was run ${times} times`)
  }
  return problems
}

function weight(name: string): number {
  return [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 10_007, 7)
}
