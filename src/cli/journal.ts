/**
 * What a home's database says of one run beyond its row: the facts of `runs show`, and its journal with every word.
 *
 * Owns the pairing of steps with messages: what a model call showed for the first time, what it answered, what each tool
 * was given and gave back. Reads only, with the gateway running or stopped.
 */
import { messageOf, stepOf } from '../store/facts.ts'
import { openReader } from '../store/reader.ts'
import type { Context } from './context.ts'
import { findRun, type RunFacts, runFacts } from './explain/run-facts.ts'

type Read = Parameters<typeof runFacts>[0]
type Message = ReturnType<typeof messageOf>
type Step = ReturnType<typeof stepOf>

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
  /** A model call: how many messages of the conversation it showed, and those that no call before had shown. */
  shown?: { messages: number; summarised: boolean; fresh: readonly Words[] }
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
  const bySeq = new Map(messages.map(message => [message.seq, message]))
  return steps.map(row => {
    const step = stepOf(row)
    const said = step.result?.seq == null ? undefined : bySeq.get(step.result.seq)
    const { n, kind, state, name, startedAt, endedAt } = step
    const about = { n, kind, state, name, startedAt, endedAt }
    return { ...about, ...(step.intent.kind === 'model' ? modelSide(step, said, messages) : toolSide(step, said)) }
  })
}

function modelSide(step: Step, said: Message | undefined, messages: readonly Message[]): Partial<Moment> {
  if (step.intent.kind !== 'model') return {}
  const { upto, view } = step.intent
  const before = messages.filter(({ seq, meta }) => seq <= upto && meta.command === undefined)
  // What came from outside stands, for the model, where the reply that first saw it stands (decisions.md 2).
  const fresh = before.filter(({ ord, seq }) =>
    said === undefined ? ord === null : ord === said.seq && seq !== said.seq,
  )
  return {
    shown: { messages: before.length, summarised: view !== null, fresh: fresh.map(wordsOf) },
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
    .flatMap(part => (part.type === 'text' ? [part.text] : part.type === 'image' ? [`[${part.mimeType}]`] : []))
    .join('\n')
}
