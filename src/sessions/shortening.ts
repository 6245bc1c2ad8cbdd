/**
 * A person shortens what a model reads of a conversation, or takes that back (decisions.md 31).
 *
 * Owns the wish and what is said of it; a run writes the summary and pays for it. Nothing is removed by either: taking back
 * points the conversation at the view before, which stays as it was.
 */
import { announce, carryOut } from '../agent/commit.ts'
import { fresh } from '../agent/fresh.ts'
import { nameOf } from '../core/principal.ts'
import { wish } from '../core/run/compact.ts'
import type { Run, View } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import { apply } from '../store/apply.ts'
import { liveRunOf, loadPostbox, loadView, openSessionByKey } from '../store/facts.ts'
import type { AcceptDeps } from './accepting.ts'
import { authorityIn } from './authority.ts'
import { meant } from './keys.ts'
import type { CompactInput, Wished } from './types.ts'

const longestNote = 2000

export async function compactSession(deps: AcceptDeps, input: CompactInput): Promise<Wished> {
  const { options, bells } = deps
  const at = meant({ sessionKey: input.sessionKey }, options.policies.defaultAgent())
  const now = options.clock.now()
  const id = options.uuid()
  const key = `compact:${nameOf(input.principal)}|${input.idempotencyKey}`
  const text = options.secrets.hide(input.note?.trim() ?? '')
  if (text.length > longestNote)
    throw new DeputyError('MESSAGE_TOO_LARGE', `Instructions for a summary have at most ${longestNote} characters.`)
  const done = await options.store.write('accept', async tx => {
    const session = await openSessionByKey(tx, at.key)
    if (!session) throw new DeputyError('UNKNOWN_SESSION', `There is no session ${at.key}.`)
    const box = await loadPostbox(tx, session)
    const again = await tx
      .selectFrom('inbox')
      .select('read_run')
      .where('session', '=', session.id)
      .where('key', '=', key)
      .executeTakeFirst()
    const doing = again && (again.read_run ?? box.live?.id)
    if (doing) return { after: null, wished: { run: doing, begun: true, view: session.view ?? null } }
    const { grant, terms } = await authorityIn(tx, options, session, input.principal)
    const decision = wish(box, {
      now,
      key,
      note: text === '' ? null : text,
      fresh: { ...fresh(options, id, session, null, now), grant, ...(terms ? { terms } : {}) },
    })
    if (!decision.ok) throw new DeputyError(decision.code, decision.message)
    const started = decision.effects.flatMap(effect => (effect.do === 'run.put' ? [effect.run] : []))[0]
    const run: Run | null = started ?? box.live
    if (!run) throw new DeputyError('INTERNAL', 'a wish was accepted that nobody will read')
    const runs = box.live ? [box.live] : []
    const after = await carryOut(tx, decision.effects, { sessions: [session], runs, at: now })
    return { after, wished: { run: run.id, begun: started !== undefined, view: session.view ?? null } }
  })
  if (done.after) announce(done.after, bells, options.tell)
  return done.wished
}

/** Shows again what was shown before the newest summary. Null when there is none. */
export async function undoCompaction(
  { options }: Pick<AcceptDeps, 'options'>,
  input: Pick<CompactInput, 'principal' | 'sessionKey'>,
): Promise<{ undone: View; now: View | null } | null> {
  const at = meant({ sessionKey: input.sessionKey }, options.policies.defaultAgent())
  const now = options.clock.now()
  const done = await options.store.write('session', async tx => {
    const session = await openSessionByKey(tx, at.key)
    if (!session) throw new DeputyError('UNKNOWN_SESSION', `There is no session ${at.key}.`)
    const view = session.view === undefined ? null : await loadView(tx, session.view)
    if (!view) return null
    const live = await liveRunOf(tx, session.id)
    // Its worker holds what it shows; the one that claims it next reads it anew.
    if (live?.state === 'running')
      throw new DeputyError('RUN_LIVE', `The conversation ${at.key} is at work with the run ${live.id}.`, {
        fix: 'Wait until it rests, or stop it: /stop',
        details: { run: live.id },
      })
    await apply(tx, [{ do: 'session.set', session: session.id, to: { view: view.base }, at: now }])
    await tx
      .insertInto('audit')
      .values({
        at: now,
        who: nameOf(input.principal),
        what: 'session.compact.undo',
        details: JSON.stringify({ session: session.id, key: at.key, view: view.id }),
      })
      .execute()
    return { session, undone: view, now: view.base === null ? null : await loadView(tx, view.base) }
  })
  if (!done) return null
  const { session } = done
  options.tell({
    on: 'session.changed',
    session: session.id,
    sessionKey: at.key,
    agent: session.agent,
    reason: 'compact',
    at: now,
  })
  return { undone: done.undone, now: done.now }
}
