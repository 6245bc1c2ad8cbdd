/**
 * `/approve`: what waits for a person, and the answer to one of it.
 *
 * Owns the words of its answers. Text of a model comes in as one clipped line (words.ts): the whole of it stands in the
 * question itself.
 */
import { type Approval, type ApprovalDecision, decidedWords, shortId } from '../../core/approval.ts'
import { firstWord } from './parse.ts'
import type { Command } from './types.ts'
import { count, line, lines, span } from './words.ts'

const decisions: Readonly<Record<string, ApprovalDecision>> = {
  'allow-once': 'allow-once',
  once: 'allow-once',
  allow: 'allow-once',
  'allow-always': 'allow-always',
  always: 'allow-always',
  deny: 'deny',
}

/** A list on a phone. */
const most = 5

export const approve: Command = {
  name: 'approve',
  aliases: [],
  category: 'management',
  description: 'Answer what work waits for.',
  usage: ['', '<id> <allow-once|allow-always|deny>'],
  needs: 'operator.approvals',
  async run({ args, house, principal, who, since, route, now }) {
    const { word: id, rest } = firstWord(args)
    if (id === '') {
      const waiting = await house.approvals.pending()
      if (waiting.length === 0) return 'Nothing waits for an approval.'
      return lines([
        `${count(waiting.length, 'question')} ${waiting.length === 1 ? 'waits' : 'wait'}:`,
        ...waiting.slice(0, most).map(one => asLine(one, now)),
        waiting.length > most && `${waiting.length - most} more: deputy approvals list`,
        'Answer: /approve <id> <allow-once|allow-always|deny>',
      ])
    }
    const decision = Object.hasOwn(decisions, rest.toLowerCase()) ? decisions[rest.toLowerCase()] : undefined
    if (decision === undefined) {
      const one = await house.approvals.find(id)
      return lines([
        one.state !== 'pending' && decidedWords(one),
        one.state === 'pending' && asLine(one, now),
        one.state === 'pending' && `Write: /approve ${shortId(one.id)} <decision>`,
        one.state === 'pending' && `Decisions: ${one.question.decisions.join(', ')}`,
      ])
    }
    const done = await house.approvals.answer({ principal, id, decision, at: route }).catch(async error => {
      // Begun before a crash: it may be this very command that has decided.
      const one = since === null ? null : await house.approvals.find(id)
      if (one?.state === decision && one.decidedBy === who && (one.decidedAt ?? 0) >= (since ?? 0)) return one
      throw error
    })
    return decidedWords(done)
  },
}

function asLine({ id, question, deadlineAt }: Approval, now: number): string {
  return `${shortId(id)} ${line(question.agent, 24)} ${line(question.title, 40)}: ${line(question.text, 60)} (${span(deadlineAt - now)} left)`
}
