/**
 * Words that grow in the chat while a model writes them: one message, shown first and then edited (decisions.md 22, 23).
 *
 * Owns what is shown before words are final, which is a courtesy: it may lag, be refused or be lost. The row is written
 * before the first showing; the transaction that makes the words final takes it over (store/outbox.ts), and from then on the
 * drain alone says what is shown. Never shows words of a turn that is over, nor a beginning that may yet turn out to mean
 * silence.
 */
import { serviceOf } from '../core/delivery.ts'
import { maybeSilent } from '../core/silence.ts'
import type { HouseEvent, Outbound } from '../core/ports.ts'
import { speaksTo } from '../core/run/facts.ts'
import type { Route } from '../core/types.ts'
import { loadRun } from '../store/facts.ts'
import { growingKey, growingOf, growingRow, isSaid, outboxOf, putGrowing, unsaid } from '../store/outbox.ts'
import type { DeliverOptions, Flights } from './deliver.ts'

export interface Growing {
  hear(event: HouseEvent): void
  /** After a start: rows whose turn is over, and which nothing will make final, stay as they are shown. */
  settle(): Promise<void>
  stop(): void
}

interface Turn {
  run: string
  /** The reply that is being written. */
  step: number
  /** Null until it is known; false when it is not shown. */
  at: { route: Route; session: string; turn: number; blocks: boolean } | false | null
  row: number | null
  text: string
  shown: string
  notBefore: number
  timer: NodeJS.Timeout | null
}

/** Between two edits: what the strictest services bear in one chat. */
const everyMs = 1500
/** A message that says less than this is not worth being changed. */
const leastText = 20

export function openGrowing(options: DeliverOptions, flights: Flights): Growing {
  const { store, clock } = options
  const turns = new Map<string, Turn>()
  let stopped = false

  function hear(event: HouseEvent): void {
    if (event.on === 'run.delta') grow(event.run, event.step, event.text)
    else if (event.on === 'run.state' && (event.change === 'waiting' || event.change === 'done')) over(event.run)
  }

  function grow(run: string, step: number, text: string): void {
    let turn = turns.get(run)
    if (!turn) {
      turn = { run, step, at: null, row: null, text, shown: '', notBefore: 0, timer: null }
      turns.set(run, turn)
    }
    turn.step = step
    turn.text = text
    if (turn.at === false || turn.timer || stopped) return
    turn.timer = setTimeout(() => void look(turn), Math.max(0, turn.notBefore - clock.now()))
    turn.timer.unref()
  }

  function over(run: string): void {
    const turn = turns.get(run)
    if (!turn) return
    turns.delete(run)
    if (turn.timer) clearTimeout(turn.timer)
    // Refused where the words became final: the drain has the row then.
    if (turn.row !== null)
      void flights
        .change(turn.row, { on: 'leave', now: clock.now() }, 'sent')
        .catch(error => options.log(`outbox ${turn.row}: ${String(error)}`))
  }

  async function look(turn: Turn): Promise<void> {
    try {
      if (turn.at === null) turn.at = await whereTo(turn.run)
      if (turn.at !== false && turns.get(turn.run) === turn && !stopped) await show(turn, turn.at)
    } catch (error) {
      options.log(`words of run ${turn.run} are not shown while they grow: ${String(error)}`)
      turn.at = false
    } finally {
      turn.timer = null
      turn.notBefore = Math.max(turn.notBefore, clock.now() + everyMs)
      if (due(turn) !== turn.shown && turns.get(turn.run) === turn && turn.shown !== '')
        grow(turn.run, turn.step, turn.text)
    }
  }

  async function whereTo(run: string): Promise<Exclude<Turn['at'], null>> {
    const found = await loadRun(store.read, run)
    const route = found && speaksTo(found)
    const growth = route === null ? 'off' : options.grows(route)
    if (route === null || growth === 'off') return false
    return { route, session: found!.session, turn: found!.turn, blocks: growth === 'block' }
  }

  async function show(turn: Turn, at: Exclude<Turn['at'], null | false>): Promise<void> {
    const out = options.outbound(at.route)
    const text = due(turn)
    if (!out || text.length < leastText || maybeSilent(text) || text === turn.shown) return
    if (turn.row === null) {
      const opened = await open(turn, at, text)
      if (opened === 'later') return
      if (opened === null) turn.at = false
      turn.row = opened
    }
    if (turn.row === null) return
    const id = turn.row
    await new Promise<void>(landed => {
      const flown = flights.fly(id, async () => {
        try {
          await showOn(out, id, turn, text)
        } finally {
          landed()
        }
      })
      if (!flown) landed()
    })
  }

  /**
   * The row that the words grow in; null when the turn is over, whatever its events have told by now; `later` while
   * something that was said before has not reached the chat: what is shown first stands first. Words of a reply that went out
   * with its calls are final: the next reply has a row of its own.
   */
  async function open(
    { run, step }: Turn,
    at: Exclude<Turn['at'], null | false>,
    text: string,
  ): Promise<number | 'later' | null> {
    return store.write('sending', async tx => {
      const live = await loadRun(tx, run)
      // Its thread may have been opened since, or not to be had.
      const route = live && speaksTo(live)
      if (live?.state !== 'running' || live.turn !== at.turn || route === null) return null
      const [before] = await tx.ask(growingRow, growingOf(run, route))
      if (before) return before.id
      if ((await isSaid(tx, run, step)) || (await unsaid(tx, route)).length > 0) return 'later'
      const now = clock.now()
      return putGrowing(tx, {
        do: 'outbox.put',
        session: at.session,
        run,
        key: growingKey({ run, createdAt: now }),
        route,
        content: { text },
        at: now,
      })
    })
  }

  async function showOn(out: Outbound, id: number, turn: Turn, text: string): Promise<void> {
    const found = await store.read.selectFrom('outbox').selectAll().where('id', '=', id).executeTakeFirst()
    if (found?.state !== 'streaming') {
      turn.row = null
      return
    }
    const row = outboxOf(found)
    const content = out.parts({ text })[0]
    if (!content) return
    const message = { id: String(id), route: row.route, content, key: row.key, edit: row.remoteId, maybeRepeat: false }
    if (row.remoteId === null) {
      const service = serviceOf(out, row, clock.now())
      const tried = await flights.change(id, { on: 'try', service, parts: null, now: clock.now() }, 'sending')
      if (tried?.act?.do !== 'send') {
        // It was tried, and nobody knows under which id it stands there: nothing can be changed.
        turn.at = false
        return
      }
      const { part, attempt } = tried.act
      options.crash.hit('send', 'before')
      const outcome = await flights.send(out, message)
      options.crash.hit('send', 'after')
      await flights.change(id, { on: 'outcome', part, attempt, showing: 'first', outcome, now: clock.now() }, 'sent')
      if (outcome.sent) turn.shown = text
      else heed(turn, outcome)
      return
    }
    const outcome = await flights.send(out, { ...message, key: `${row.key}:${clock.now()}` })
    turn.shown = text
    if (!outcome.sent) heed(turn, outcome)
  }

  function heed(turn: Turn, outcome: { retryable: boolean; retryAtMs?: number }): void {
    if (!outcome.retryable) turn.at = false
    turn.notBefore = Math.max(clock.now() + 2 * everyMs, outcome.retryAtMs ?? 0)
  }

  /** As far as it is to be shown now. */
  function due({ at, text }: Turn): string {
    return (at || null)?.blocks ? wholeBlocks(text) : text
  }

  return {
    hear,
    async settle() {
      const left = await store.read
        .selectFrom('outbox')
        .leftJoin('runs', 'runs.id', 'outbox.run')
        .select('outbox.id')
        .where('outbox.state', '=', 'streaming')
        .where(where => where.or([where('runs.state', 'is', null), where('runs.state', 'in', ['done', 'waiting'])]))
        .execute()
      for (const { id } of left) await flights.change(id, { on: 'leave', now: clock.now() }, 'recover')
    },
    stop() {
      stopped = true
      for (const turn of turns.values()) if (turn.timer) clearTimeout(turn.timer)
    },
  }
}

/** Up to the end of the last paragraph that is whole; one ends at an empty line that stands in no code block. */
export function wholeBlocks(text: string): string {
  let [whole, at, fence] = [0, 0, '']
  for (const line of text.split('\n')) {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1] ?? ''
    if (fence === '') fence = mark
    else if (mark[0] === fence[0] && mark.length >= fence.length && line.trim() === mark) fence = ''
    // The last line is still being written.
    if (fence === '' && line.trim() === '' && at + line.length < text.length) whole = at
    at += line.length + 1
  }
  return text.slice(0, whole).trimEnd()
}
