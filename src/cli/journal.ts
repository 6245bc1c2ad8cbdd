/**
 * What a home's database says of one run beyond its row: the facts of `runs show`, and its journal with every word.
 *
 * Owns the pairing of steps with messages: what a model call showed for the first time, what it answered, what each tool
 * was given and gave back. Reads only, with the gateway running or stopped.
 */
import { messageOf, stepOf, viewOf } from '../store/facts.ts'
import { openReader } from '../store/reader.ts'
import { type Shown, shownBy } from '../store/shown.ts'
import type { Context } from './context.ts'
import { findRun, type RunFacts, runFacts } from './explain/run-facts.ts'

type Read = Parameters<typeof runFacts>[0]
type Message = ReturnType<typeof messageOf>
type Step = ReturnType<typeof stepOf>
type View = ReturnType<typeof viewOf>

/** Who said something, and what; images by their kind. */
export interface Words {
  from: string
  text: string
}

export interface Moment {
  n: number
  kind: Step['kind']
  state: Step['state']
  /** Tool name, or the model reference. */
  name: string
  startedAt: number | null
  endedAt: number | null
  /** A model call: all that it was shown of the conversation in order, and what of that no call before had shown. */
  shown?: { summary: string | null; messages: readonly Words[]; fresh: readonly Words[] }
  /** A compaction: what came to stand for how many messages, and why it was made. */
  summary?: { why: string; messages: number; tokensBefore: number; tokensAfter: number; text: string }
  /** A model's words and the calls that it made. */
  reply?: { text: string; calls: readonly { id: string; name: string; args: unknown }[]; stop: string | null }
  /** A tool call: what it was given. `refused`: it was answered without being run. */
  call?: { id: string; args: unknown; refused: string | null }
  /** What the tool gave back. */
  result?: { text: string; isError: boolean }
  usage?: { input: number; output: number; cacheRead: number; cacheWrite: number }
}

export interface Journal {
  facts: RunFacts
  /** One a step, in order. */
  moments(): Promise<Moment[]>
}

/** Hands over null where there is no database, or none that knows the run. */
export async function withJournal<T>(
  context: Context,
  id: string,
  body: (journal: Journal | null) => Promise<T>,
): Promise<T> {
  const reader = openReader(context.home.dir)
  if (reader === null) return await body(null)
  try {
    const run = await findRun(reader.read, id)
    const facts = run === null ? null : await runFacts(reader.read, run)
    return await body(facts && { facts, moments: () => moments(reader.read, facts.run) })
  } finally {
    reader.close()
  }
}

async function moments(read: Read, run: RunFacts['run']): Promise<Moment[]> {
  const steps = await read.selectFrom('steps').selectAll().where('run', '=', run.id).orderBy('n').execute()
  const rows = await read.selectFrom('messages').selectAll().where('session', '=', run.session).orderBy('seq').execute()
  const messages = rows.map(messageOf)
  const boxes = await read.selectFrom('inbox').select(['id', 'seq']).where('session', '=', run.session).execute()
  const inbox = new Map(boxes.map(row => [row.id, row.seq]))
  const named = steps.flatMap(row => viewsIn(stepOf(row)))
  const views =
    named.length === 0
      ? []
      : await read
          .selectFrom('views')
          .selectAll()
          .where('id', 'in', [...new Set(named)])
          .execute()
  const byId = new Map(views.map(row => [row.id, viewOf(row)]))
  const bySeq = new Map(messages.map(message => [message.seq, message]))
  return steps.map(row => {
    const step = stepOf(row)
    const said = step.result?.seq == null ? undefined : bySeq.get(step.result.seq)
    const { n, kind, state, name, startedAt, endedAt } = step
    const about = { n, kind, state, name, startedAt, endedAt }
    const { intent } = step
    if (intent.kind === 'tool') return { ...about, ...toolSide(step, said) }
    if (intent.kind === 'compact')
      return { ...about, ...summarySide(step, intent.why, byId.get(step.result?.view ?? '')) }
    const view = intent.view === null ? null : (byId.get(intent.view) ?? null)
    return { ...about, ...modelSide(step, said, shownBy(step, messages, view, inbox)) }
  })
}

function viewsIn({ intent, result }: Step): string[] {
  const shown = intent.kind === 'model' && intent.view !== null ? [intent.view] : []
  return result?.view === undefined ? shown : [...shown, result.view]
}

function summarySide({ result }: Step, why: string, view: View | undefined): Partial<Moment> {
  const { messages = 0, tokensBefore = 0, tokensAfter = 0, summary = '' } = view ?? {}
  return {
    ...(view && { summary: { why, messages, tokensBefore, tokensAfter, text: summary } }),
    ...(result && !view && { result: { text: (result.found ?? []).join('\n'), isError: true } }),
    ...(result?.usage && { usage: result.usage }),
  }
}

function modelSide(step: Step, said: Message | undefined, { summary, rows, fresh }: Shown): Partial<Moment> {
  const failed = step.result?.isError ? { text: (step.result.found ?? []).join('\n'), isError: true } : undefined
  return {
    shown: { summary, messages: rows.map(wordsOf), fresh: fresh.map(wordsOf) },
    ...(failed && { result: failed }),
    ...(said && {
      reply: {
        text: textOf(said),
        calls: said.parts.flatMap(part =>
          part.type === 'toolCall' ? [{ id: part.id, name: part.name, args: part.arguments }] : [],
        ),
        stop: step.result?.stop ?? null,
      },
    }),
    ...(step.result?.usage && { usage: step.result.usage }),
  }
}

function toolSide({ intent, result }: Step, said: Message | undefined): Partial<Moment> {
  if (intent.kind !== 'tool') return {}
  return {
    call: { id: intent.callId, args: intent.args, refused: intent.refused ?? null },
    ...(result && {
      result: { text: said ? textOf(said) : (result.found ?? []).join('\n'), isError: result.isError === true },
    }),
  }
}

function wordsOf(message: Message): Words {
  const { meta, role } = message
  const from = meta.child ? `sub-agent ${meta.child.agent}` : (meta.via?.sessionKey ?? meta.from ?? role)
  const end = meta.child ? `${meta.child.outcome}: ` : ''
  return { from, text: `${end}${textOf(message)}` }
}

function textOf({ parts }: Message): string {
  return parts
    .flatMap(part => (part.type === 'text' ? [part.text] : 'mimeType' in part ? [`[${part.mimeType}]`] : []))
    .join('\n')
}
