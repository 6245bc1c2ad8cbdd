/**
 * The house as the doors see it: accepting, spawning, stopping, waiting, reading.
 *
 * Owns the composition of this room, and closing a conversation: the row is closed, its runs are cancelled and its key points
 * at a new row from then on (decisions.md 5). Every call names its principal.
 */
import type { AgentOptions, Bells } from '../agent/room.ts'
import type { Runner } from '../agent/runner.ts'
import { nameOf } from '../core/principal.ts'
import { DeputyError } from '../protocol/errors.ts'
import { apply } from '../store/apply.ts'
import { openSessionByKey } from '../store/facts.ts'
import { acceptSpawn } from './accepting.ts'
import { injectWords, openSession, patchSession } from './changing.ts'
import { openCommands } from './commands/commands.ts'
import type { Senders } from './commands/types.ts'
import { meant, newSession } from './keys.ts'
import { openLedger } from './ledger.ts'
import { openReads } from './reading.ts'
import { together } from './reports.ts'
import type { CancelInput, CancelReport, House, PatchInput, SpawnInput } from './types.ts'
import { openWaits, type Waits } from './waiting.ts'

export interface HouseOptions {
  options: AgentOptions
  bells: Bells
  runner: Pick<Runner, 'cancel' | 'interrupt'>
  /** The senders of channels that may give commands; default nobody. */
  senders?(): Senders
}

/** `hear` takes every event that is told; the caller wires it before the first run. */
export function openHouse({ options, bells, runner, senders = nobody }: HouseOptions): House & Pick<Waits, 'hear'> {
  const { store } = options
  const reads = openReads(store.read)
  const waits = openWaits(store.read)
  const deps = { options, bells, interrupt: runner.interrupt }

  async function cancel(input: CancelInput): Promise<CancelReport> {
    const { target, principal, reason } = input
    if ('all' in target) return runner.cancel.all(principal, reason)
    if ('device' in target) return runner.cancel.device(target.device, target.before, reason)
    if ('run' in target) {
      const found = await reads.run(target.run)
      if (!found)
        throw new DeputyError('UNKNOWN_RUN', `There is no run ${JSON.stringify(target.run.slice(0, 80))}.`, {
          details: { run: target.run },
        })
      return runner.cancel.run(found.run.id, principal, reason)
    }
    const key = meant({ sessionKey: target.session }, options.policies.defaultAgent()).key
    const session = (await reads.session(target.session)) ?? (await reads.sessionByKey(key))
    if (!session)
      throw new DeputyError('UNKNOWN_SESSION', `There is no session ${JSON.stringify(target.session.slice(0, 80))}.`)
    return runner.cancel.session(session.id, principal, reason)
  }

  async function reset(input: Parameters<House['reset']>[0]): ReturnType<House['reset']> {
    const at = meant({ sessionKey: input.sessionKey }, options.policies.defaultAgent())
    const now = options.clock.now()
    const id = options.uuid()
    const closed = await store.write('session', async tx => {
      const session = await openSessionByKey(tx, at.key)
      if (!session) return null
      await apply(tx, [{ do: 'session.close', session: session.id, at: now }])
      await tx
        .insertInto('audit')
        .values({
          at: now,
          who: nameOf(input.principal),
          what: `session.${input.reason}`,
          details: JSON.stringify({ session: session.id, key: at.key }),
        })
        .execute()
      if (input.reason === 'delete') return { old: session, next: null }
      const next = newSession(id, at, now, session.route)
      const { unread: _, ...settings } = session.settings ?? {}
      const heir = { ...next, label: session.label, settings }
      await apply(tx, [{ do: 'session.put', session: heir }])
      return { old: session, next: heir }
    })
    if (!closed) throw new DeputyError('UNKNOWN_SESSION', `There is no session ${at.key}.`)
    const why = `the session was ${input.reason === 'delete' ? 'deleted' : 'reset'}`
    const reports = [await runner.cancel.session(closed.old.id, input.principal, why)]
    // Detached work ends with the session that its result would have come to (decisions.md 33).
    const homeless = await store.read
      .selectFrom('runs')
      .select('id')
      .where('return_to', '=', closed.old.id)
      .where('state', '<>', 'done')
      .execute()
    for (const { id: run } of homeless) reports.push(await runner.cancel.run(run, input.principal, why))
    const report = together(reports)
    options.tell({
      on: 'session.changed',
      session: closed.old.id,
      sessionKey: at.key,
      agent: at.agent,
      reason: input.reason,
      at: now,
    })
    return { session: closed.next, report }
  }

  const house = {
    ...reads,
    ...openLedger(store.read),
    spawn: (input: SpawnInput) => acceptSpawn(deps, input),
    cancel,
    reset,
    patch: (input: PatchInput) => patchSession(options, input),
  }
  return {
    ...house,
    ...openCommands({ ...deps, house, senders }),
    open: input => openSession(options, input),
    inject: input => injectWords(options, input),
    wait: waits.wait,
    hear: waits.hear,
  }
}

function nobody(): Senders {
  return { allowFrom: {}, owners: [] }
}
