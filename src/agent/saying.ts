/**
 * `message`: words, files and reactions that an agent sends to a chat of its own accord.
 *
 * Owns the transaction: target allowed, service able, outbox row and the call's result, all in one, under the call's own key:
 * a crash repeats nothing. Never sends; nor does it wait: whether it was delivered stands in the outbox.
 */
import type { Content } from '../core/chat.ts'
import { marked, type Outreach, outreach, unable } from '../core/outreach.ts'
import type { Route, Step } from '../core/types.ts'
import type { Tx } from '../store/open.ts'
import { outboxOf } from '../store/outbox.ts'
import { carryOut } from './commit.ts'
import type { Next } from './loop.ts'
import type { AgentOptions } from './room.ts'
import type { StepTools } from './tool-steps.ts'

/** How the tool's answers name what they sent, so that it can be meant later. */
const ownId = (run: string, n: number) => `out:${run}/${n}`

export async function sayStep(
  options: AgentOptions,
  tools: StepTools,
  step: Step,
  wanted: { outreach: Outreach; content: Content },
): Promise<Next> {
  const messageId = options.uuid()
  const content = options.secrets.hide(wanted.content)
  return tools.onStep('result', step, async (tx, is, facts) => {
    const { run, box, now } = facts
    const say = (status: string, more: object, failed: boolean) =>
      tools.recorded(tx, is, facts, messageId, JSON.stringify({ status, ...more }), failed)
    const own = run.route ?? box.session.route
    const rules = options.policies.sharing().outreach
    const verdict = outreach(own, wanted.outreach, rules)
    if (!verdict.ok) return say('forbidden', { error: verdict.problem }, true)
    const { route, foreign } = verdict
    const can = options.chats.capabilities(route)
    if (!can) return say('error', { error: `There is no account ${route.account} of ${route.channel} here.` }, true)
    const meant = await withServiceIds(tx, content, route)
    if (typeof meant === 'string') return say('error', { error: meant }, true)
    const problem = unable(meant, can)
    if (problem) return say('error', { error: problem }, true)

    const id = ownId(run.id, step.n)
    const found = await say('queued', { id, channel: route.channel, target: route.to }, false)
    if (!found) return null
    const after = await carryOut(
      tx,
      [
        {
          do: 'outbox.put',
          session: box.session.id,
          run: run.id,
          key: id,
          route,
          content: foreign && own ? marked(meant, own.channel, rules) : meant,
          at: now,
        },
      ],
      { sessions: [box.session], runs: [run], at: now },
    )
    return { ...found, afters: [after, ...found.afters] }
  })
}

/** Ids that this tool gave, as the service knows them; a problem when one cannot be meant. */
async function withServiceIds(tx: Tx, content: Content, route: Route): Promise<Content | string> {
  const told = content.react?.message ?? content.edit ?? content.replyTo
  if (!told?.startsWith('out:')) return content
  const found = await tx.selectFrom('outbox').selectAll().where('key', '=', told).executeTakeFirst()
  const row = found && outboxOf(found)
  if (!row || row.route.channel !== route.channel || row.route.account !== route.account || row.route.to !== route.to)
    return `${told} names no message of this chat.`
  const id = row.remoteIds.findLast(each => each !== null)
  if (row.state !== 'sent' || id === undefined || id === null) return `${told} has not been delivered (${row.state}).`
  if (content.react) return { ...content, react: { ...content.react, message: id } }
  return content.edit === undefined ? { ...content, replyTo: id } : { ...content, edit: id }
}
