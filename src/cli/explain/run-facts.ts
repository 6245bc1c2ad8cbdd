/**
 * All that the rows say of one run: why it stands where it stands, where its result is, what it cost, what was refused in it.
 * Owns the reading; run-words.ts puts it into words.
 */
import type { Selectable } from 'kysely'
import { onlyNamed } from '../runs.ts'
import { type Asked, askedBy } from '../../store/approvals.ts'
import { runOf } from '../../store/facts.ts'
import type { Reader } from '../../store/reader.ts'
import type { MessagesTable, OutboxTable } from '../../store/tables.ts'

type Read = Reader['read']
/** Among so many runs whose ids begin alike the one that is meant is looked for. */
const mostNamed = 10_000
export type Run = ReturnType<typeof runOf>
export type Hold = NonNullable<Extract<NonNullable<Run['wait']>, { for: 'timer' }>['hold']>

export interface RunFacts {
  run: Run
  sessionKey: string
  children: {
    id: string
    agent: string
    state: string
    outcome: string | null
    label: string | null
    detached: boolean
    paused: boolean
    /** `person`: an approval. */
    waitsFor: string | null
  }[]
  /** The step that is open: a model call or a tool at work. */
  open: { n: number; kind: string; name: string; state: string; startedAt: number | null } | null
  /** What a person is asked. */
  asked: readonly Asked[]
  steps: number
  /** Runs that hold a slot of its lane (of its own agent among them), and those that wait for one before it. */
  lane: { running: number; ofAgent: number; before: number }
  /** Its result in the mailbox that it returns to. */
  mail: { sessionKey: string; closed: boolean; state: string; readBy: string | null; at: number } | null
  /** What it put into the outbox, its own words only. */
  sent: { channel: string; state: string; attempt: number; error: string | null; final: boolean }[]
  /** By model. `unknown`: charged in full, since it was in flight when the gateway stopped. */
  cost: { model: string; calls: number; input: number; output: number; nano: number; unknown: number }[]
  /** Set aside for calls that are not settled yet. */
  aside: { calls: number; tokens: number; nano: number }
  refusals: { n: number; tool: string; said: string }[]
  /** Steps that another model has answered than the one that was to. */
  instead: { n: number; by: string; of: string; why: string }[]
}

export async function runFacts(read: Read, id: string): Promise<RunFacts | null> {
  const row = await read.selectFrom('runs').selectAll().where('id', '=', id).executeTakeFirst()
  if (!row) return null
  const run = runOf(row)
  const steps = await read.selectFrom('steps').selectAll().where('run', '=', id).orderBy('n').execute()
  const open = steps.findLast(({ state }) => state === 'open' || state === 'asking')
  return {
    run,
    sessionKey: (await keyOf(read, run.session)) ?? run.session,
    children: await childrenOf(read, id),
    open: open ? { n: open.n, kind: open.kind, name: open.name, state: open.state, startedAt: open.started_at } : null,
    asked: (await askedBy(read, [id])).get(id) ?? [],
    steps: steps.length,
    lane: await laneOf(read, run),
    mail: await mailOf(read, run),
    sent: await sentBy(read, id),
    ...(await costOf(read, id)),
    refusals: await refusalsIn(read, id),
    instead: await insteadIn(read, id),
  }
}

/**
 * A run by its id, its short form, the beginning of its id, or the id under which clients know one of its turns; null when
 * there is none. Throws USAGE when several are meant.
 */
export async function findRun(read: Read, named: string): Promise<string | null> {
  const exact = await read.selectFrom('runs').select('id').where('id', '=', named).executeTakeFirst()
  if (exact) return exact.id
  const head = /^[0-9a-f-]{4,36}/.exec(named)?.[0]
  if (head !== undefined) {
    const ids = await read.selectFrom('runs').select('id').where('id', 'like', `${head}%`).limit(mostNamed).execute()
    const meant = onlyNamed(
      ids.map(({ id }) => id),
      named,
    )
    if (meant !== null) return meant
  }
  const wire = named.replace(/:\d+$/, '')
  const key = await read.selectFrom('rpc_keys').select('run').where('key', '=', wire).limit(1).executeTakeFirst()
  return key?.run ?? null
}

async function keyOf(read: Read, session: string): Promise<string | null> {
  const row = await read.selectFrom('sessions').select('key').where('id', '=', session).executeTakeFirst()
  return row?.key ?? null
}

async function childrenOf(read: Read, id: string): Promise<RunFacts['children']> {
  const rows = await read
    .selectFrom('runs')
    .select(['id', 'agent', 'state', 'outcome', 'label', 'detached', 'paused', 'wait'])
    .where('parent', '=', id)
    .orderBy('created_at')
    .execute()
  return rows.map(({ wait, ...row }) => ({
    ...row,
    detached: row.detached === 1,
    paused: row.paused === 1,
    waitsFor: wait === null ? null : kindOfWait(JSON.parse(wait) as NonNullable<Run['wait']>),
  }))
}

function kindOfWait(wait: NonNullable<Run['wait']>): string {
  return wait.for === 'ask' && !wait.outside ? 'person' : wait.for
}

async function laneOf(read: Read, run: Run): Promise<RunFacts['lane']> {
  const one = () =>
    read
      .selectFrom('runs')
      .select(eb => eb.fn.countAll<number>().as('n'))
      .where('lane', '=', run.lane)
  const running = await one().where('state', '=', 'running').executeTakeFirstOrThrow()
  const own = await one().where('state', '=', 'running').where('agent', '=', run.agent).executeTakeFirstOrThrow()
  const before = await one()
    .where('state', '=', 'queued')
    .where('paused', '=', 0)
    .where('queued_at', '<', run.queuedAt)
    .executeTakeFirstOrThrow()
  return { running: Number(running.n), ofAgent: Number(own.n), before: Number(before.n) }
}

async function mailOf(read: Read, run: Run): Promise<RunFacts['mail']> {
  if (run.returnTo === null) return null
  const session = await read
    .selectFrom('sessions')
    .select(['key', 'closed_at'])
    .where('id', '=', run.returnTo)
    .executeTakeFirst()
  const row = await read
    .selectFrom('inbox')
    .selectAll()
    .where('session', '=', run.returnTo)
    .where('from_run', '=', run.id)
    .orderBy('id', 'desc')
    .executeTakeFirst()
  if (!session || !row) return null
  return {
    sessionKey: session.key,
    closed: session.closed_at !== null,
    state: row.state,
    readBy: row.read_run,
    at: row.at,
  }
}

async function sentBy(read: Read, id: string): Promise<RunFacts['sent']> {
  const rows = await read.selectFrom('outbox').selectAll().where('run', '=', id).orderBy('id').execute()
  return rows.map((row: Selectable<OutboxTable>) => ({
    channel: row.channel,
    state: row.state,
    attempt: row.attempt,
    error: row.error,
    final: row.key.includes('final'),
  }))
}

async function costOf(read: Read, id: string): Promise<Pick<RunFacts, 'cost' | 'aside'>> {
  const rows = await read.selectFrom('usage').selectAll().where('run', '=', id).execute()
  const open = rows.filter(row => row.state === 'reserved')
  const aside = {
    calls: open.length,
    tokens: open.reduce((sum, row) => sum + row.reserved_tokens, 0),
    nano: open.reduce((sum, row) => sum + row.reserved_nano, 0),
  }
  const models = [...new Set(rows.filter(row => row.state !== 'reserved').map(row => row.model))]
  const cost = models.map(model => {
    const own = rows.filter(row => row.model === model)
    const sum = (of: (row: (typeof rows)[number]) => number) => own.reduce((total, row) => total + of(row), 0)
    return {
      model,
      calls: sum(row => row.charged_calls),
      input: sum(row => row.input + row.cache_read + row.cache_write),
      output: sum(row => row.output),
      nano: sum(row => row.charged_nano),
      unknown: own.filter(row => row.state === 'unknown').length,
    }
  })
  return { cost, aside }
}

/** Tool calls that were answered with an error, spawns that policy refused among them. */
async function refusalsIn(read: Read, id: string): Promise<RunFacts['refusals']> {
  const rows = await read
    .selectFrom('messages')
    .selectAll()
    .where('run', '=', id)
    .where('role', '=', 'toolResult')
    .orderBy('seq')
    .execute()
  return rows.flatMap((row: Selectable<MessagesTable>) => {
    const meta = JSON.parse(row.meta) as { toolName?: string; isError?: boolean }
    const said = textOf(row.parts)
    if (!meta.isError && !/"status"\s*:\s*"forbidden"/.test(said)) return []
    return [{ n: row.step ?? 0, tool: meta.toolName ?? 'a tool', said }]
  })
}

async function insteadIn(read: Read, id: string): Promise<RunFacts['instead']> {
  const rows = await read
    .selectFrom('messages')
    .select(['step', 'meta'])
    .where('run', '=', id)
    .where('role', '=', 'assistant')
    .orderBy('seq')
    .execute()
  return rows.flatMap(row => {
    const { provider, model, insteadOf } = JSON.parse(row.meta) as {
      provider?: string
      model?: string
      insteadOf?: { model: string; why: string }
    }
    return insteadOf ? [{ n: row.step ?? 0, by: `${provider}/${model}`, of: insteadOf.model, why: insteadOf.why }] : []
  })
}

function textOf(parts: string): string {
  const all = JSON.parse(parts) as { text?: string }[]
  // A remark of the house on a result is a part of its own.
  return all.flatMap(part => (part.text ? [part.text] : [])).join('\n')
}
