/**
 * Stopping: one run, a session's run, a run's children, everything.
 *
 * Owns the order: rows first, in one transaction a tree (decisions.md 7), then signals, then process groups, then the report
 * of what was stopped and what was not (C7). Never deletes a run.
 */
import type { MessageMeta, Run, Step, ToolIntent } from '../core/types.ts'
import type { Principal } from '../core/principal.ts'
import { nameOf } from '../core/principal.ts'
import { endBindingsOf } from '../store/bindings.ts'
import { liveRunOf, loadRun, loadSession, stepOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { childFacts } from './children.ts'
import { announce, type After } from './commit.ts'
import { type EndIds, endIds, endRun, showingOf, type Verdict } from './ending.ts'
import type { AgentOptions, Bells } from './room.ts'

export interface Stopped {
  runs: { run: string; agent: string; task: string; was: string }[]
  alreadyDone: string[]
  /** Texts of follow-ups taken back. */
  dropped: string[]
  processes: { ended: number; stillAlive: number[] }
}

/** A run that was ended in a transaction, with what is to be told and done after it. */
export interface Ending {
  target: Run
  after: After
  /** Texts of follow-ups taken back. */
  waiting: string[]
}

/** Longest that a cancel waits for workers and processes before it reports what is left. */
const patienceMs = 1900

export function openCanceller(
  options: AgentOptions,
  bells: Bells,
  workers: { settled(runs: readonly string[]): Promise<void> },
) {
  async function run(
    id: string,
    by: Principal | null,
    reason: string,
    followups: 'keep' | 'drop' = 'keep',
  ): Promise<Stopped> {
    return stop(
      tx => loadRun(tx, id),
      { outcome: 'cancelled', code: 'RUN_CANCELLED', error: words(by, reason), followups },
      [id],
      unbind,
    )
  }

  /** `/stop`: the session's run and its follow-ups. */
  async function session(id: string, by: Principal | null, reason: string): Promise<Stopped> {
    return stop(
      tx => liveRunOf(tx, id),
      { outcome: 'cancelled', code: 'RUN_CANCELLED', error: words(by, reason), followups: 'drop' },
      [],
    )
  }

  async function all(by: Principal | null, reason: string): Promise<Stopped> {
    const total: Stopped = { runs: [], alreadyDone: [], dropped: [], processes: { ended: 0, stillAlive: [] } }
    // Roots and detached runs; what is attached ends with them.
    const roots = await options.store.read
      .selectFrom('runs')
      .select(['id', 'session'])
      .where('state', '<>', 'done')
      .where(eb => eb.or([eb('parent', 'is', null), eb('detached', '=', 1)]))
      .orderBy('created_at')
      .execute()
    for (const root of roots) merge(total, await session(root.session, by, reason))
    return total
  }

  /**
   * Everything that works under a device's authority and was there at `before`, whatever tree it stands in. What the device
   * wrote and nobody has read is taken back; the words of others stay, for a run under no device's authority.
   */
  async function device(id: string, before: number, reason: string): Promise<Stopped> {
    const live = await options.store.read
      .selectFrom('runs')
      .select(['id', 'grant_json'])
      .where('state', '<>', 'done')
      .where('created_at', '<=', before)
      .orderBy('depth')
      .execute()
    const held = live.filter(row => (JSON.parse(row.grant_json) as Run['grant']).device === id)
    const verdict: Verdict = {
      outcome: 'cancelled',
      code: 'RUN_REVOKED',
      error: reason,
      followups: 'keep',
      revoked: id,
    }
    const total: Stopped = { runs: [], alreadyDone: [], dropped: [], processes: { ended: 0, stillAlive: [] } }
    for (const one of await Promise.all(held.map(row => stop(tx => loadRun(tx, row.id), verdict, []))))
      merge(total, one)
    return total
  }

  /** What a run asks for its own children; the words are the tool's answer. What it had told them is taken back with them. */
  async function children(parent: Run, targets: readonly string[]): Promise<string> {
    const known = await childFacts(options.store.read, parent.id, options.clock.now())
    const total: Stopped = { runs: [], alreadyDone: [], dropped: [], processes: { ended: 0, stillAlive: [] } }
    for (const child of known.filter(one => targets.includes(one.run)))
      merge(total, await run(child.run, null, 'cancelled by the agent that spawned it', 'drop'))
    return JSON.stringify({
      status: 'ok',
      cancelled: total.runs.map(one => one.run),
      alreadyDone: total.alreadyDone,
      processes: total.processes,
    })
  }

  async function stop(
    find: (tx: Tx) => Promise<Run | null>,
    verdict: Verdict,
    named: readonly string[],
    besides: (tx: Tx, ending: Ending) => Promise<void> = async () => undefined,
  ): Promise<Stopped> {
    const ids = endIds(options.uuid)
    const now = options.clock.now()
    const ending = await options.store.write('cancel', async tx => {
      const target = await find(tx)
      const ended = target && (await within(tx, target, verdict, ids, now))
      if (ended) await besides(tx, ended)
      return ended
    })
    if (ending) return report(ending)
    return { runs: [], alreadyDone: [...named], dropped: [], processes: { ended: 0, stillAlive: [] } }
  }

  /** Ends a run in the caller's transaction; null when it has ended. Once that is committed, `report` does the rest. */
  async function within(tx: Tx, target: Run, verdict: Verdict, ids: EndIds, now: number): Promise<Ending | null> {
    if (target.state === 'done') return null
    const waiting =
      verdict.revoked !== undefined
        ? await takeBack(tx, target, verdict.revoked)
        : verdict.followups === 'drop'
          ? (await unread(tx, target.session)).map(textOf)
          : []
    const after = await endRun(tx, options, target, verdict, ids, now)
    return after && { target, after, waiting }
  }

  async function report({ target, after, waiting }: Ending): Promise<Stopped> {
    announce(after, bells, options.tell)
    const runs = [
      { run: target.id, agent: target.agent, task: target.task, was: target.state },
      ...after.applied.ended.map(({ run, agent, task, was }) => ({ run, agent, task, was })),
    ]
    return {
      runs,
      alreadyDone: [],
      dropped: waiting,
      processes: await endProcesses(
        runs.map(one => one.run),
        after,
      ),
    }
  }

  /** Workers end their own process groups; the rows tell which there were, so that none is left over. */
  async function endProcesses(runs: readonly string[], after: After): Promise<Stopped['processes']> {
    const groups = await processesOf(options, runs, after.at)
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>(resolve => {
      timer = setTimeout(resolve, patienceMs)
    })
    const ends = Promise.all(groups.map(async group => ({ group, end: await options.endProcess(group) })))
    const results = await Promise.race([
      Promise.all([ends, workers.settled(runs)]).then(([done]) => done),
      patience.then(() => null),
    ])
    clearTimeout(timer)
    if (results === null) return { ended: 0, stillAlive: groups.map(group => group.pgid) }
    return {
      ended: results.filter(one => one.end !== 'alive').length,
      stillAlive: results.filter(one => one.end === 'alive').map(one => one.group.pgid),
    }
  }

  return { run, session, all, device, children, within, report }
}

/** A sub-agent that somebody has stopped by name is done with: what is written where it was bound is not for it any more. */
async function unbind(tx: Tx, { target, after }: Ending): Promise<void> {
  const session = target.depth > 0 ? await loadSession(tx, target.session) : null
  if (session) after.applied.unbound += await endBindingsOf(tx, [session.key], 'stopped', after.at)
}

/** Process groups of steps that were open when their run ended at `at`. */
async function processesOf(
  options: AgentOptions,
  runs: readonly string[],
  at: number,
): Promise<{ pgid: number; startedAt: string }[]> {
  const groups: { pgid: number; startedAt: string }[] = []
  for (let from = 0; from < runs.length; from += 400) {
    const rows = await options.store.read
      .selectFrom('steps')
      .selectAll()
      .where('run', 'in', runs.slice(from, from + 400))
      .where('kind', '=', 'tool')
      .where('state', '=', 'cancelled')
      .where('ended_at', '=', at)
      .execute()
    for (const process of rows.map(stepOf).map(processOf)) if (process) groups.push(process)
  }
  return groups
}

export function processOf(step: Step): { pgid: number; startedAt: string } | null {
  return (step.intent as ToolIntent).process ?? null
}

async function unread(tx: Tx, session: string): Promise<{ id: number; parts: string; meta: string }[]> {
  return tx
    .selectFrom('inbox')
    .innerJoin('messages', join =>
      join.onRef('messages.session', '=', 'inbox.session').onRef('messages.seq', '=', 'inbox.seq'),
    )
    .select(['inbox.id', 'messages.parts', 'messages.meta'])
    .where('inbox.session', '=', session)
    .where('inbox.state', '=', 'unread')
    .where('inbox.kind', '=', 'message')
    .orderBy('inbox.id')
    .execute()
}

/** Drops the words of a device that its run has not been shown; returns them. */
async function takeBack(tx: Tx, run: Run, device: string): Promise<string[]> {
  const from = nameOf({ kind: 'device', device, generation: 0, scopes: [] })
  const shown = await showingOf(tx, run)
  const rows = (await unread(tx, run.session)).filter(
    row => (JSON.parse(row.meta) as MessageMeta).from === from && !shown.includes(row.id),
  )
  for (const row of rows) await tx.updateTable('inbox').set({ state: 'dropped' }).where('id', '=', row.id).execute()
  return rows.map(textOf)
}

function textOf(row: { parts: string }): string {
  return (JSON.parse(row.parts) as { type: string; text?: string }[])
    .map(part => part.text ?? '')
    .join('')
    .slice(0, 200)
}

function words(by: Principal | null, reason: string): string {
  return by ? `${reason} (by ${nameOf(by)})` : reason
}

function merge(total: Stopped, more: Stopped): void {
  total.runs.push(...more.runs)
  total.alreadyDone.push(...more.alreadyDone)
  total.dropped.push(...more.dropped)
  total.processes.ended += more.processes.ended
  total.processes.stillAlive.push(...more.processes.stillAlive)
}
