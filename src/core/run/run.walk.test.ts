import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { drain, type Machine, machine, openWalk, step } from '../../../test/support/walk.ts'
import type { Run } from '../types.ts'
import { type Effect, nothing } from './facts.ts'

const walks = process.env['DEPUTY_LONG'] ? 100_000 : 2_000

const moves = fc.array(fc.tuple(fc.nat(15), fc.nat(30), fc.nat(5000)), { minLength: 5, maxLength: 150, size: 'max' })

function property(by: Machine) {
  return fc.property(moves, list => {
    const walk = openWalk(by)
    for (const [what, at, dice] of list) step(walk, what, at, dice)
    drain(walk)
  })
}

/** The words of the counterexample that a broken machine gives; null when none was found. */
function found(by: Machine, runs = 6_000): string | null {
  const result = fc.check(property(by), { numRuns: runs, seed: 7, endOnFailure: true })
  return result.failed ? ((result.errorInstance as Error | null)?.message ?? 'failed') : null
}

type AnyDecision = { ok: boolean; effects?: Effect[] }

/** A machine in which the effects of some decisions come out different. */
function spoiled<K extends keyof Machine>(
  names: readonly K[],
  change: (effects: Effect[], view: never) => Effect[],
): Machine {
  const wrapped = Object.fromEntries(
    names.map(name => [
      name,
      (view: never, event: never) => {
        const decision = (machine[name] as (view: never, event: never) => AnyDecision)(view, event)
        return decision.ok && decision.effects ? { ...decision, effects: change(decision.effects, view) } : decision
      },
    ]),
  )
  return { ...machine, ...wrapped } as Machine
}

const not = (name: Effect['do']) => (effect: Effect) => (effect.do === name ? [] : [effect])

/** A machine in which an opener's end comes out different. */
function settled(change: (effect: Effect) => Effect[]): Machine {
  return { ...machine, settle: (view, now) => machine.settle(view, now).flatMap(change) }
}

const spoiledWords = spoiled(['reply', 'end'], (effects, view: never) => {
  const { run } = view as { run: Run }
  return run.terms?.thread ? effects.filter(one => one.do !== 'outbox.put' || !one.key.endsWith('/final')) : effects
})

describe('walks over the run machine', () => {
  test('every invariant holds after every transaction, and a fair drain leaves nothing stuck', () => {
    fc.assert(property(machine), { numRuns: walks })
  }, 600_000)
})

describe('the walks', () => {
  test('go everywhere: waits of each kind, deep and detached children, every outcome, unknown tools', () => {
    const seen = new Set<string>()
    fc.assert(
      fc.property(moves, list => {
        const walk = openWalk(machine)
        for (const [what, at, dice] of list) {
          step(walk, what, at, dice)
          for (const run of walk.world.runs.values()) {
            if (run.paused) seen.add(`paused ${run.state}`)
            if (run.errorCode) seen.add(`code ${run.errorCode}`)
            if (run.wait?.for === 'timer' && run.wait.hold)
              seen.add(
                `held ${run.wait.hold.whose === 'line' ? 'in line' : `for ${run.wait.hold.class}`}${run.spent.calls === 0 ? ' before its first call' : ''}`,
              )
            seen.add(
              run.wait ? `wait ${run.wait.for}` : `${run.state} depth ${run.depth}${run.detached ? ' detached' : ''}`,
            )
          }
        }
        for (const run of walk.world.runs.values()) seen.add(`outcome ${run.outcome}`)
        for (const one of walk.world.steps) seen.add(`step ${one.state}`)
        for (const one of walk.world.approvals.values()) {
          seen.add(`approval ${one.state}`)
          if (one.kind !== 'budget') continue
          seen.add(`more for ${one.subject!.split(/[:/]/)[1]} ${one.state}${one.question.joins ? ' joined' : ''}`)
        }
        for (const row of walk.world.inbox) seen.add(`row ${row.kind} ${row.state}`)
        for (const row of walk.world.outbox) {
          if (row.content.opens) seen.add(`opener ${row.state}`)
          if (row.route.thread)
            seen.add(`words ${row.state} ${row.route.thread.startsWith('t') ? 'in a thread' : 'waiting'}`)
        }
        for (const run of walk.world.runs.values())
          if (run.terms?.thread) seen.add(`thread ${run.outcome} ${run.detached ? 'lasting' : 'attached'}`)
        if ([...walk.world.runs.values()].some(run => run.terms?.repaired)) drain(walk)
        for (const run of walk.world.runs.values()) if (run.terms?.repaired) seen.add(`repaired ${run.outcome}`)
      }),
      { numRuns: 3000, seed: 3 },
    )
    for (const place of [
      'wait children',
      'wait message',
      'wait timer',
      'wait ask',
      'held in line before its first call',
      'held for rate_limit',
      'held for rate_limit before its first call',
      'held for overloaded',
      'held for overloaded before its first call',
      'code MODEL_OVERLOADED',
      'running depth 2',
      'running depth 1 detached',
      'outcome succeeded',
      'outcome cancelled',
      'outcome interrupted',
      'outcome failed',
      'outcome budget_exhausted',
      'code RUN_CAP',
      'paused queued',
      'paused running',
      'paused waiting',
      'step unknown',
      'step cancelled',
      'row result unread',
      'row result dead',
      'row result kept',
      'row message dropped',
      'row timer read',
      'row check read',
      'row answer read',
      'row answer kept',
      'row compact read',
      'repaired succeeded',
      'repaired failed',
      'approval pending',
      'approval allow-once',
      'approval allow-always',
      'approval deny',
      'approval expired',
      'approval cancelled',
      ...['allow-once', 'deny', 'expired', 'cancelled'].flatMap(state => [
        `more for run ${state}`,
        `more for all ${state}`,
      ]),
      'more for all allow-once joined',
      'more for tree allow-once',
      'opener sent',
      'opener dead',
      'words open in a thread',
      'words open waiting',
      'words dead waiting',
      'thread succeeded lasting',
      'thread succeeded attached',
      'thread cancelled attached',
    ])
      expect([...seen]).toContain(place)
  })
})

describe('planted bugs are found', () => {
  const wakes = (effect: Effect) => effect.do === 'run.set' && effect.to.state === 'queued'
  const marks = (effect: Effect) => effect.do === 'inbox.mark' && effect.state === 'read'

  test.each<[string, Machine]>([
    [
      'yieldNoCheck: waits although a row is there',
      spoiled(['yielded', 'ask'], (effects, view: never) => {
        const { run } = view as { run: { id: string } }
        return effects.some(effect => effect.do === 'run.set' && effect.to.state === 'waiting')
          ? effects
          : [
              ...effects,
              { do: 'run.set', run: run.id, to: { state: 'waiting', wait: { for: 'message', until: null } } },
            ]
      }),
    ],
    [
      'finishNoCheck: ends and forgets who wrote meanwhile',
      spoiled(['reply', 'end'], effects =>
        effects.filter(effect => effect.do !== 'run.put' || effect.run.parent !== null),
      ),
    ],
    [
      'acceptTwoTx: the row without the wake',
      spoiled(['accept'], effects => effects.filter(effect => effect.do !== 'run.put' && !wakes(effect))),
    ],
    [
      'readAtIntent: read before it was answered',
      spoiled(['intent'], effects => [
        ...effects,
        ...effects.flatMap((effect): Effect[] =>
          effect.do === 'step.put' && effect.step.intent.kind === 'model' && effect.step.intent.inbox.length > 0
            ? [
                {
                  do: 'inbox.mark',
                  session: '',
                  ids: effect.step.intent.inbox,
                  state: 'read',
                  run: effect.step.run,
                  step: effect.step.n,
                  ord: null,
                },
              ]
            : [],
        ),
      ]),
    ],
    [
      'consumeAllAtResult: everything unread is read',
      spoiled(['reply'], (effects, view: never) => {
        const { box } = view as { box: { unread: { id: number }[] } }
        return effects.map(effect =>
          marks(effect) && effect.do === 'inbox.mark' ? { ...effect, ids: box.unread.map(row => row.id) } : effect,
        )
      }),
    ],
    [
      'followupsTogether: what was to have a turn of its own shares one',
      spoiled(['intent'], (effects, view: never) => {
        const { box } = view as { box: { unread: { id: number; kind: string }[] } }
        const all = box.unread.filter(row => row.kind !== 'compact').map(row => row.id)
        return effects.map(effect =>
          effect.do === 'step.put' && effect.step.intent.kind === 'model'
            ? { ...effect, step: { ...effect.step, intent: { ...effect.step.intent, inbox: all } } }
            : effect,
        )
      }),
    ],
    [
      'cascadeWakes: results of a cancelled tree start turns',
      spoiled(['end'], effects =>
        effects.flatMap((effect): Effect[] =>
          effect.do === 'tree.end'
            ? [
                effect,
                {
                  do: 'inbox.put',
                  row: {
                    session: effect.root,
                    kind: 'result',
                    mode: 'steer',
                    state: 'unread',
                    seq: null,
                    key: `cascade:${effect.root}`,
                    from: effect.root,
                    at: 1,
                  },
                },
              ]
            : [effect],
        ),
      ),
    ],
    [
      'cancelBottomUp: only the run itself ends',
      spoiled(['end', 'reply'], effects => effects.filter(effect => effect.do !== 'tree.end')),
    ],
    [
      'cancelForgets: a call in flight is charged to nobody',
      spoiled(['end'], effects => effects.filter(effect => effect.do !== 'usage.unknown')),
    ],
    [
      'crashForgets: a repeated call forgets the first',
      spoiled(['intent'], effects => effects.filter(effect => effect.do !== 'usage.unknown')),
    ],
    [
      'summaryForgets: a summary asked for again forgets the first',
      spoiled(['compact'], effects => effects.filter(effect => effect.do !== 'usage.unknown')),
    ],
    [
      'wishKept: a wish is carried out and stays',
      spoiled(['compacted'], effects => effects.filter(effect => effect.do !== 'inbox.mark')),
    ],
    [
      'wishWithoutReader: a wish that nobody reads',
      spoiled(['wish'], effects => effects.filter(effect => effect.do !== 'run.put')),
    ],
    [
      'noRefund: a child keeps its limit',
      spoiled(['end', 'reply'], effects => effects.filter(effect => effect.do !== 'run.settle')),
    ],
    [
      'returnNowhere: the result is not posted',
      spoiled(['end', 'reply'], effects =>
        effects.filter(effect => effect.do !== 'inbox.put' || effect.row.kind !== 'result'),
      ),
    ],
    [
      'postedWithoutWake: the result arrives and nobody is woken',
      spoiled(['end', 'reply'], effects => effects.filter(effect => !wakes(effect))),
    ],
    [
      'toolRepeat: a never call is simply called again',
      { ...machine, recover: (view, event) => machine.recover({ ...view, open: [] }, event) },
    ],
    [
      'attNeverReset: crashes are counted for ever',
      spoiled(['reply', 'result'], effects =>
        effects.filter(effect => effect.do !== 'run.set' || effect.to.attempts !== 0),
      ),
    ],
    [
      'staleWorker: an old epoch still writes',
      {
        ...machine,
        claim: (view, event) => {
          const decision = machine.claim(view, event)
          return decision.ok
            ? {
                ok: true,
                effects: decision.effects.map(effect =>
                  effect.do === 'run.set'
                    ? { ...effect, to: { ...effect.to, epoch: view.run.epoch + (view.run.attempts > 0 ? 0 : 1) } }
                    : effect,
                ),
              }
            : decision
        },
      },
    ],
    [
      'lostLent: a spawn takes nothing from its payer',
      spoiled(['reply'], effects => effects.filter(effect => effect.do !== 'run.money' || effect.lent.calls === 0)),
    ],
    [
      'twoFinals: interim and final words share a key',
      spoiled(['reply'], effects =>
        effects.map(effect => (effect.do === 'outbox.put' ? { ...effect, key: `${effect.run}/final` } : effect)),
      ),
    ],
    [
      'silentDelegation: words beside a spawn or a question stay inside',
      spoiled(['reply'], effects =>
        effects.some(effect => effect.do === 'step.put')
          ? effects.filter(effect => effect.do !== 'outbox.put' || effect.key.startsWith('approval:'))
          : effects,
      ),
    ],
    [
      'silentYield: words before a yield stay inside',
      spoiled(['yielded'], effects => effects.filter(effect => effect.do !== 'outbox.put')),
    ],
    [
      'saidAgain: a yield repeats what its spawns have said',
      {
        ...machine,
        yielded: (view, event) => {
          const words = { step: view.step.n - 2, text: 'words' }
          return machine.yielded(view, { ...event, words: event.words ?? words })
        },
      },
    ],
    [
      'shapeUnchecked: words of any shape count as the result',
      {
        ...machine,
        reply: (view, event) => {
          const { outputSchema: _, ...terms } = view.run.terms ?? {}
          return machine.reply({ ...view, run: { ...view.run, terms } }, event)
        },
      },
    ],
    [
      'checkIgnored: what a check found does not count',
      {
        ...machine,
        checked: (view, event) => machine.checked(view, { ...event, found: { ...event.found, faults: [] } }),
      },
    ],
    [
      'repairUnsaid: it is to be mended, and nobody says what',
      spoiled(['reply', 'checked'], effects =>
        effects.filter(effect => effect.do !== 'inbox.put' || effect.row.kind !== 'check'),
      ),
    ],
    [
      'repairForEver: the one repair is forgotten',
      spoiled(['reply', 'checked'], effects =>
        effects.filter(effect => effect.do !== 'run.set' || effect.to.terms === undefined),
      ),
    ],
    [
      'keptOpen: a session that was to go stays',
      spoiled(['end', 'reply', 'checked'], effects => effects.filter(effect => effect.do !== 'session.close')),
    ],
    [
      'replyUntold: who waits for a reply is not told of it',
      { ...machine, answered: () => ({ ok: true, effects: [] }) },
    ],
    [
      'replyWithoutWake: the reply arrives and nobody is woken',
      spoiled(['answered'], effects => effects.filter(effect => !wakes(effect))),
    ],
    [
      'pauseUnheeded: a paused run is claimed',
      { ...machine, claim: (view, event) => machine.claim({ ...view, run: { ...view.run, paused: false } }, event) },
    ],
    ['pauseForEver: the flag is never taken away', { ...machine, pause: run => machine.pause(run, true) }],
    [
      'capSettledOnly: what is set aside does not count towards a cap',
      { ...machine, counted: charge => ({ ...charge.charged, ...(charge.state === 'reserved' ? { calls: 0 } : {}) }) },
    ],
    [
      'capForgotten: only its own budget is looked at',
      { ...machine, reserve: (account, call) => machine.reserve(account, call) },
    ],
    [
      'holdSatisfied: what is there already ends the pause',
      spoiled(['hold'], effects =>
        effects.map(effect =>
          effect.do === 'run.set' && effect.to.wait?.for === 'timer'
            ? { ...effect, to: { ...effect.to, wait: { ...effect.to.wait, after: 0 } } }
            : effect,
        ),
      ),
    ],
    [
      'holdCharges: the call that was not made is counted',
      spoiled(['hold'], (effects, view: never) => {
        const { run } = view as { run: { id: string } }
        return [...effects, { do: 'run.money', run: run.id, spent: { ...nothing, calls: 1 }, lent: nothing }]
      }),
    ],
    ['holdsLane: a held run stays at work', spoiled(['hold'], () => [])],
    [
      'holdDeaf: it waits for a message, and time does not end it',
      spoiled(['hold'], effects =>
        effects.map(effect =>
          effect.do === 'run.set' ? { ...effect, to: { ...effect.to, wait: { for: 'message', until: null } } } : effect,
        ),
      ),
    ],
    [
      'holdForEver: a provider that never comes back is waited for without end',
      { ...machine, hold: (view, event) => machine.hold(view, { ...event, patienceMs: Number.POSITIVE_INFINITY }) },
    ],
    [
      'callUnheard: its turn comes, and nobody wakes it',
      spoiled(['fire'], effects => effects.filter(one => !wakes(one))),
    ],
    [
      'holdStays: what held it is said still when it goes on',
      spoiled(['claim'], effects =>
        effects.map(effect =>
          effect.do === 'run.set'
            ? { ...effect, to: { state: effect.to.state!, epoch: effect.to.epoch!, woken: false, wait: null } }
            : effect,
        ),
      ),
    ],
    [
      'askForgotten: recovery drops a step that asks',
      spoiled(['ask'], effects =>
        effects
          .filter(effect => effect.do !== 'step.set')
          .map(effect =>
            effect.do === 'run.set' && effect.to.wait
              ? { ...effect, to: { ...effect.to, wait: { for: 'message' as const, until: null } } }
              : effect,
          ),
      ),
    ],
    [
      'approvalWithoutWake: the answer arrives and nobody is woken',
      spoiled(['answerAll', 'lapse'], effects => effects.filter(effect => !wakes(effect))),
    ],
    [
      'approvalTwice: the second answer counts too',
      {
        ...machine,
        answerAll: (view, others, event) =>
          machine.answerAll({ ...view, approval: { ...view.approval, state: 'pending' } }, others, event),
      },
    ],
    [
      'approvalLate: an answer counts after the deadline',
      {
        ...machine,
        answerAll: (view, others, event) =>
          machine.answerAll({ ...view, approval: { ...view.approval, deadlineAt: event.now + 1 } }, others, event),
      },
    ],
    [
      'approvalOrphan: a run ends and its question stays',
      spoiled(['end'], effects => effects.filter(effect => effect.do !== 'approvals.cancel')),
    ],
    [
      'approvalIgnored: what was denied is done',
      spoiled(['answerAll', 'lapse'], effects =>
        effects.map(effect =>
          effect.do === 'step.set' && effect.to.intent?.kind === 'tool' && effect.to.intent.approval
            ? {
                ...effect,
                to: {
                  ...effect.to,
                  intent: {
                    ...effect.to.intent,
                    approval: { ...effect.to.intent.approval, decision: 'allow-once' as const },
                  },
                },
              }
            : effect,
        ),
      ),
    ],
    [
      'approvalWoken: a message wakes who waits for a person',
      {
        ...machine,
        accept: (box, event) => {
          const decision = machine.accept(box, event)
          const { live } = box
          return decision.ok && live?.state === 'waiting' && live.wait?.for === 'ask' && !live.wait.outside
            ? {
                ok: true,
                effects: [...decision.effects, { do: 'run.set', run: live.id, to: { state: 'queued', wait: null } }],
              }
            : decision
        },
      },
    ],
    [
      'approvalUnasked: a call waits and no question is put',
      spoiled(['reply'], effects =>
        effects.filter(effect => effect.do !== 'outbox.put' || !effect.key.startsWith('approval:')),
      ),
    ],
    [
      'approvalUnspent: an answer ends the wait for another too',
      spoiled(['result'], effects => effects.filter(effect => effect.do !== 'inbox.mark')),
    ],
    [
      'approvalAlways: an answer for once is remembered',
      {
        ...machine,
        answerAll: (view, others, event) => {
          const decision = machine.answerAll(view, others, event)
          if (!decision.ok || event.decision !== 'allow-once' || decision.late) return decision
          const { id, question } = view.approval
          const remembered = { id: event.rememberedId, agent: question.agent, kind: 'exec' as const, pattern: 'ls' }
          return {
            ok: true,
            effects: [
              ...decision.effects,
              { do: 'remembered.put', remembered: { ...remembered, by: event.by, at: event.now, approval: id } },
            ],
          }
        },
      },
    ],
    [
      'raiseForgotten: it is allowed, and the limit stays',
      spoiled(['answerAll'], effects =>
        effects.filter(
          effect => effect.do !== 'cap.raise' && (effect.do !== 'run.set' || effect.to.grant === undefined),
        ),
      ),
    ],
    [
      'raiseEach: each who waits raises the limit anew',
      {
        ...machine,
        answerAll: (view, others, event) => {
          const all = [view, ...others].map(each => machine.answerAll(each, [], event))
          const refused = all.find(one => !one.ok)
          return refused ?? { ok: true, effects: all.flatMap(one => (one.ok ? one.effects : [])) }
        },
      },
    ],
    [
      'raiseAlone: who waits for the same goes on waiting',
      { ...machine, answerAll: (view, _others, event) => machine.answerAll(view, [], event) },
    ],
    [
      'raiseAsked: the same is asked again after it was refused',
      { ...machine, askForMore: (view, event) => machine.askForMore({ ...view, asked: [] }, event) },
    ],
    ['raiseUnheeded: a refusal is not looked at when the run goes on', { ...machine, refusedRaise: () => null }],
    [
      'raiseUnspent: an answer ends the wait for the next one',
      {
        ...machine,
        askForMore: (view, event) => {
          const decision = machine.askForMore(view, event)
          if (!decision.ok || decision.after === 'over') return decision
          return { ...decision, effects: decision.effects.filter(effect => effect.do !== 'inbox.mark') }
        },
      },
    ],
    [
      'raiseChild: a sub-agent asks for itself',
      {
        ...machine,
        askForMore: (view, event) => {
          const run = { ...view.run, parent: null, payer: null, returnTo: null, detached: false }
          return machine.askForMore({ ...view, run }, event)
        },
      },
    ],
    ['threadUnspoken: last words of a run with a thread go nowhere', spoiledWords],
    ['openerForgets: runs go on speaking to a thread that is not to be had', settled(not('run.set'))],
    ['openerLeavesRows: words wait for a thread that is decided about', settled(not('outbox.move'))],
    ['openerLeavesQuestions: a question is asked where nothing is', settled(not('approval.move'))],
    ['openerLeavesItself: its conversation stays at the place', settled(not('session.set'))],
    ['openerBindsNothing: the thread is there and nobody answers in it', settled(not('binding.put'))],
    [
      'openerBindsAnyhow: a thread that could not be opened is bound',
      {
        ...machine,
        settle: (view, now) => [
          ...machine.settle(view, now),
          ...(view.session && view.session.closedAt === null && view.opener.state === 'dead'
            ? [
                {
                  do: 'binding.put' as const,
                  place: view.place,
                  session: view.session,
                  run: view.opener.run,
                  by: '',
                  at: now,
                },
              ]
            : []),
        ],
      },
    ],
    [
      'fallenBackTwice: a result is told by its own words and by who asked for it',
      settled(effect => [effect.do === 'outbox.move' ? { ...effect, dead: null } : effect]),
    ],
  ])('%s', (_name, broken) => {
    expect(found(broken)).not.toBeNull()
  })

  test('and the machine itself has none under the same seed', () => {
    expect(found(machine, 1_000)).toBeNull()
  })
})
