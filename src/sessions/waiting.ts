/**
 * Waiting for an answer: a wire id's turn, or a run's end, from the rows or as it is told.
 *
 * Owns who waits in this process. The rows decide: what is told only says when to look. Invariant: no listener is left behind.
 */
import type { HouseEvent } from '../core/ports.ts'
import type { Run, TokenUsage } from '../core/types.ts'
import { type ErrorCode, fixOf, isErrorCode } from '../protocol/errors.ts'
import { finalWords, loadRun, messageOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { commandResult } from './commands/claims.ts'
import type { House, TurnResult } from './types.ts'

export interface Waits {
  wait: House['wait']
  /** The house's events, as they are told. */
  hear(event: HouseEvent): void
}

export function openWaits(db: Tx): Waits {
  const waiting = new Map<string, Set<() => void>>()
  /** What is told of while somebody reads: what was read may be older. */
  const looks = new Set<Set<string>>()

  function hear(event: HouseEvent): void {
    if (event.on !== 'run.turn' && (event.on !== 'run.state' || event.change !== 'done')) return
    for (const told of looks) told.add(event.run)
    for (const wake of waiting.get(event.run) ?? []) wake()
  }

  async function find(id: string): Promise<{ run: Run; answered: number | null } | null> {
    const [alias] = await db.ask(aliasOf, id)
    const run = await loadRun(db, alias?.run ?? id)
    if (!run) return null
    return { run, answered: alias ? alias.answered_turn : run.state === 'done' ? run.turn : null }
  }

  async function wait(id: string, options: Parameters<House['wait']>[1]): Promise<TurnResult | null> {
    const until = Date.now() + options.timeoutMs
    for (;;) {
      const told = new Set<string>()
      looks.add(told)
      let now: Awaited<ReturnType<typeof find>>
      try {
        now = await find(id)
      } finally {
        looks.delete(told)
      }
      if (!now) return waitForCommand(id, until)
      const { run, answered } = now
      const over = options.until === 'done' ? run.state === 'done' : answered !== null
      if (over) return turnResult(db, run, id, options.until === 'done' ? run.turn : (answered ?? run.turn))
      if (told.has(run.id)) continue
      if (!(await listen(run.id, until - Date.now()).rung))
        return { ...(await turnResult(db, run, id, run.turn)), status: 'pending' }
    }
  }

  /** A command has no run; its own wire id is told when it is answered. */
  async function waitForCommand(id: string, until: number): Promise<TurnResult | null> {
    const bell = listen(id, until - Date.now())
    const now = await commandResult(db, id)
    if (now?.status === 'pending' && (await bell.rung)) return commandResult(db, id)
    bell.stop()
    return now
  }

  /** Resolves true when the run is told of, false when the time is over. */
  function listen(run: string, ms: number): { rung: Promise<boolean>; stop(): void } {
    let stop: () => void = () => undefined
    const rung = new Promise<boolean>(resolve => {
      const set = waiting.get(run) ?? new Set()
      waiting.set(run, set)
      const end = (value: boolean) => {
        clearTimeout(timer)
        set.delete(wake)
        if (set.size === 0 && waiting.get(run) === set) waiting.delete(run)
        resolve(value)
      }
      const wake = () => end(true)
      const timer = setTimeout(() => end(false), Math.max(0, Math.min(ms, 2_000_000_000)))
      set.add(wake)
      stop = () => end(false)
    })
    return { rung, stop: () => stop() }
  }

  return { wait, hear }
}

const aliasOf = (db: Tx, key: string) =>
  db
    .selectFrom('rpc_keys')
    .select(['run', 'answered_turn'])
    .where('key', '=', key)
    .where('run', 'is not', null)
    .orderBy('at', 'desc')
    .limit(1)

const keyOf = (db: Tx, session: string) => db.selectFrom('sessions').select('key').where('id', '=', session)

const usageOf = (db: Tx, run: string) =>
  db
    .selectFrom('usage')
    .select(eb => [
      eb.fn.sum('input').as('input'),
      eb.fn.sum('output').as('output'),
      eb.fn.sum('cache_read').as('read'),
      eb.fn.sum('cache_write').as('write'),
      eb.fn.sum('charged_nano').as('nano'),
    ])
    .where('run', '=', run)

/** What a turn has said and how it stands. The words of an earlier turn are looked up by its number. */
async function turnResult(db: Tx, run: Run, wireId: string, turn: number): Promise<TurnResult> {
  const last = run.state === 'done' && turn >= run.turn
  const [session] = await db.ask(keyOf, run.session)
  const [used] = await db.ask(usageOf, run.id)
  const usage: TokenUsage & { costNano: number } = {
    input: Number(used?.input ?? 0),
    output: Number(used?.output ?? 0),
    cacheRead: Number(used?.read ?? 0),
    cacheWrite: Number(used?.write ?? 0),
    costNano: Number(used?.nano ?? 0),
  }
  const failed = last && run.outcome !== 'succeeded'
  const code = run.errorCode
  return {
    wireId,
    run: run.id,
    sessionKey: session?.key ?? run.session,
    sessionId: run.session,
    agent: run.agent,
    status: failed ? (run.outcome === 'timed_out' ? 'timeout' : 'error') : 'ok',
    yielded: !last,
    text: last && !failed ? await finalWords(db, run) : await wordsOf(db, run, turn),
    outcome: last ? run.outcome : null,
    errorCode: failed ? code : null,
    error: failed ? run.error : null,
    fix:
      failed && code && isErrorCode(code)
        ? fixOf(code as ErrorCode, { run: run.id, id: run.model.split('/')[0] })
        : null,
    model: run.model,
    usage,
    startedAt: run.startedAt,
    endedAt: run.endedAt,
  }
}

/** A page of a run's replies, newest first: as a rule the newest one has words. */
const replyPage = 10

const repliesBefore = (db: Tx, session: string, run: string, seq: number) =>
  db
    .selectFrom('messages')
    .selectAll()
    .where('session', '=', session)
    .where('run', '=', run)
    .where('role', '=', 'assistant')
    .where('seq', '<', seq)
    .orderBy('seq', 'desc')
    .limit(replyPage)

async function wordsOf(db: Tx, run: Run, turn: number): Promise<string | null> {
  for (let before = Number.MAX_SAFE_INTEGER; ; ) {
    const page = (await db.ask(repliesBefore, run.session, run.id, before)).map(messageOf)
    for (const message of page) {
      if ((message.meta.turn ?? 0) > turn) continue
      const text = message.parts.map(part => (part.type === 'text' ? part.text : '')).join('')
      if ((message.meta.turn ?? 0) < turn) return null
      if (text) return text
    }
    if (page.length < replyPage) return null
    before = page.at(-1)?.seq ?? 0
  }
}
