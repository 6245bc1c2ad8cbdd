/**
 * A worker of a walk: what it does next is read from the journal alone, as the real one does.
 * Owns no state; completed work is noted in the walk, and doing a step twice is an error there.
 */
import { type Approval, approvalDecisions, deniedWords } from '../../src/core/approval.ts'
import { childId } from '../../src/core/ids.ts'
import { undecided } from '../../src/core/run/approve.ts'
import { checkName } from '../../src/core/run/check.ts'
import type { Decision } from '../../src/core/run/facts.ts'
import { type ReplyCall, textOf } from '../../src/core/run/reply.ts'
import type { ModelIntent, Run, Step, Terms, ToolIntent, View, Wait } from '../../src/core/types.ts'
import { carry, endIds, fresh, id, parts, pick, sendKey, session, usage, type Walk } from './walk-kit.ts'
import { afford } from './walk-money.ts'
import { held, turnedAway } from './walk-hold.ts'
import { withThread } from './walk-threads.ts'
import { children, endView, lastReply, mailbox, stepsOf, unsaid } from './world.ts'

/** What a worker does next, read from the journal alone. `calm` spawns nothing and waits for nothing: for the drain. */
export function work(walk: Walk, run: Run, dice: number, calm = false): boolean {
  const { world, machine: by } = walk
  const box = mailbox(world, world.sessions.get(run.session)!)
  const steps = lastReply(world, run.id)
  const model = steps[0]
  const again = model?.state === 'open' ? model : null
  const open = steps.filter(one => one.kind === 'tool' && (one.state === 'open' || one.state === 'asking'))
  const answers = [...world.approvals.values()].filter(one => box.unread.some(row => row.key === `approval:${one.id}`))
  // A call that a provider put off has nothing set aside, and none is in flight after its owner was asked: it is asked anew.
  const waited = answers.some(one => one.kind === 'budget')
  const asked = model?.state === 'open' && (model.intent as ModelIntent).reserved.calls > 0 && !waited
  if (asked && dice % 5 > 0) return answer(walk, run, model, dice, calm)
  // What waits for others comes after every question is answered.
  const asking = open.some(undecided)
  const ready = open.filter(one => !undecided(one) && !(asking && waits.includes(one.name)))
  const tool = ready[dice % Math.max(1, ready.length)]
  if (tool) return use(walk, run, tool, dice, calm)
  if (open.length > 0) {
    const decision = by.holdOn({ run, box, steps }, { epoch: run.epoch })
    return decision.ok && decision.after === 'waiting' && carry(walk, decision)
  }
  const all = stepsOf(world, run.id)
  const last = all.length
  const condensing = all.find(one => one.kind === 'compact' && one.state === 'open') ?? null
  if (condensing && dice % 3 > 0) return summarise(walk, run, condensing)
  const turnStart = steps.length <= 1 || steps.at(-1)?.name === 'yield' || steps.at(-1)?.kind === 'model'
  if (run.paused) return carry(walk, by.standBy(run, { now: world.now, epoch: run.epoch }))
  const away = held(walk, run, box)
  if (away !== null) return away
  const money = afford(walk, run, { answers, open: again, turnStart, last, dice, calm })
  if ('done' in money) return money.done
  const { reserved } = money
  const wished = model?.state !== 'open' && box.unread.some(row => row.kind === 'compact')
  if (condensing || wished || (!calm && dice % 19 === 0 && model?.state !== 'open')) {
    const what = { view: world.sessions.get(run.session)!.view ?? null, after: 0, why: 'window' as const }
    const event = { now: world.now, epoch: run.epoch, model: 'm', what, reserve: reserved }
    return carry(walk, by.compact({ run, box, open: condensing, last }, event))
  }
  if (all.every(one => one.kind === 'compact') && box.unread.length === 0) {
    const over = { outcome: 'succeeded' as const, code: null, error: null, text: null, seq: null }
    return carry(walk, by.end(endView(world, run), { now: world.now, ...over, followups: 'keep', ...endIds(walk) }))
  }
  return carry(
    walk,
    by.intent(
      { run, box, open: again, last, turnStart },
      { now: world.now, epoch: run.epoch, view: null, upto: 0, reserve: reserved },
    ),
  )
}

/** A summary comes: another view of the conversation, made once and paid for once. */
function summarise(walk: Walk, run: Run, step: Step): boolean {
  const { world, machine: by } = walk
  const base = world.sessions.get(run.session)!.view ?? null
  const made: View = {
    id: id(walk),
    session: run.session,
    run: run.id,
    step: step.n,
    after: 0,
    summary: 's',
    pinned: [],
    base,
    why: 'window',
    messages: 1,
    tokensBefore: 2,
    tokensAfter: 1,
    at: world.now,
  }
  const event = { now: world.now, epoch: run.epoch, made, charged: { nano: 2, tokens: 2, calls: 1 }, usage }
  const done = carry(walk, by.compacted({ run, step }, event))
  if (done) once(walk, step)
  return done
}

function once(walk: Walk, step: Step): void {
  const key = `${step.run}/${step.n}`
  if (walk.completed.has(key)) throw new Error(`step ${key} was completed twice`)
  walk.completed.add(key)
  walk.crashes.delete(step.run)
  const began = walk.begun.get(key)
  if (began !== undefined && began !== walk.world.runs.get(step.run)?.epoch)
    throw new Error(`never tool ${key} began before a crash and was completed after it`)
}

function answer(walk: Walk, run: Run, model: Step, dice: number, calm: boolean): boolean {
  const { world, machine: by } = walk
  if (!calm && dice % 11 === 0) return turnedAway(walk, run, model, dice % 2 === 0 ? 'rate_limit' : 'overloaded')
  const calls = calm ? [] : callsOf(walk, run, model, dice)
  const event = {
    now: world.now,
    epoch: run.epoch,
    messageId: id(walk),
    parts: dice % 3 === 0 ? parts : [{ type: 'text' as const, text: '{"ok":true}' }],
    meta: {},
    calls,
    resultIds: calls.map(() => id(walk)),
    stop: dice % 17 === 0 ? ('refusal' as const) : ('stop' as const),
    usage,
    charged: { nano: 3, tokens: 3, calls: 1 },
    followups: 'keep' as const,
    ...endIds(walk),
  }
  const done = carry(walk, by.reply({ ...endView(world, run), step: model }, event))
  if (done) once(walk, model)
  return done
}

function callsOf(walk: Walk, run: Run, model: Step, dice: number): ReplyCall[] {
  const kinds = [
    [],
    [],
    ['spawn'],
    ['spawn', 'spawn', 'tool'],
    ['tool', 'never'],
    ['yield'],
    ['spawn', 'ask'],
    ['never', 'yield'],
    ['refused'],
    ['send', 'spawn'],
    ['gate'],
    ['never', 'gate', 'gate', 'spawn'],
    ['gate', 'ask'],
    ['spawn', 'yield'],
  ][dice % 14]!
  let free = (run.grant.budget.calls ?? 0) - run.spent.calls - run.lent.calls
  return kinds.map((kind, i): ReplyCall => {
    const call = {
      callId: id(walk),
      name: kind,
      args: {},
      repeat: kind === 'never' || kind === 'gate' ? ('never' as const) : ('safe' as const),
    }
    if (kind === 'gate') return { ...call, asks: approvalOf(walk, run, model.n + 1 + i) }
    if (kind === 'refused') return { ...call, refused: 'no' }
    if (kind !== 'spawn') return call
    if (run.grant.depth === 0 || free < 6) return { ...call, spawn: { ok: false, text: 'no' } }
    free -= 4
    const home = walk.world.sessions.get(run.session)!
    const fork = dice % 5 === 0
    const child = session(`s${childId(run.id, model.n + 1 + i)}`, home.tree, run.depth + 1, run.id)
    const detached = dice % 7 === 0
    const plan: Run = {
      ...walk.machine.newRun(
        child,
        {
          id: childId(run.id, model.n + 1 + i),
          grant: { ...run.grant, depth: run.grant.depth - 1, budget: { nano: 100, tokens: 100, calls: 4 } },
          model: 'm',
          deadlineAt: null,
        },
        { now: walk.world.now, task: 't', route: null, lane: 'subagent' },
      ),
      parent: run.id,
      detached,
      payer: detached ? null : run.id,
      returnTo: detached ? null : run.session,
      ...termsOf(dice + i),
    }
    const made = fork ? { ...child, seq: home.seq } : child
    const born = {
      messageId: id(walk),
      ...((dice + i) % 3 === 0 ? withThread(walk, run, plan, made, dice % 5 < 2) : { run: plan, session: made }),
    }
    return { ...call, spawn: { ok: true, plan: fork ? { ...born, copyOf: home.id } : born, receipt: 'ok' } }
  })
}

/** A question of a step. */
function approvalOf(walk: Walk, run: Run, step: number): Approval {
  const { now, sessions } = walk.world
  const { route, key } = sessions.get(run.session)!
  return {
    id: id(walk),
    run: run.id,
    step,
    session: run.session,
    kind: 'exec',
    question: {
      agent: run.agent,
      sessionKey: key,
      tool: 'exec',
      title: 'wants',
      text: 'ls',
      decisions: approvalDecisions,
      remembers: 'ls',
      rule: 'tools.exec',
      chats: route ? [route] : [],
    },
    state: 'pending',
    route,
    deadlineAt: now + 60,
    decidedBy: null,
    decidedAt: null,
    createdAt: now,
  }
}

/** Calls that may wait: they come after the others of their reply. */
const waits = ['yield', 'ask', 'send']

/** A message to another session, and the wait for its reply, in one transaction. */
function send(walk: Walk, run: Run, tool: Step, dice: number): boolean {
  const { world, machine: by } = walk
  const home = world.sessions.get(run.session)!
  const target = pick(
    [...world.sessions.values()].filter(one => one.id !== home.id && one.closedAt === null),
    dice,
  )
  const until = world.now + 7
  const wait = { for: 'ask' as const, n: tool.n, runs: [], mode: 'any' as const, until, outside: true }
  const view = { run, box: mailbox(world, home), step: tool }
  const asked = by.ask(view, { now: world.now, epoch: run.epoch, wait })
  if (!target || !asked.ok || asked.effects.length === 0) {
    const event = { now: world.now, epoch: run.epoch, messageId: id(walk), parts, isError: false }
    const done = carry(walk, by.result(view, event))
    if (done) once(walk, tool)
    return done
  }
  const box = mailbox(world, target)
  const key = sendKey(run.id, tool.n)
  const mode = (['steer', 'followup', 'steer', 'collect'] as const)[dice % 4]!
  const event = {
    now: world.now,
    messageId: id(walk),
    parts,
    meta: {},
    key,
    mode,
    route: null,
    fresh: fresh(walk),
    task: 't',
  }
  const sent = by.accept(box, event)
  if (!sent.ok) return false
  const reader = box.live ?? sent.effects.flatMap(effect => (effect.do === 'run.put' ? [effect.run] : []))[0]!
  walk.sends.push({ sender: run.id, n: tool.n, reader: reader.id, answered: false })
  return carry(walk, { ok: true, effects: [...sent.effects, ...asked.effects] })
}

/** Some children have to hand something in, and some of their sessions are put away. */
function termsOf(dice: number): { terms?: Terms } {
  const outputSchema = { type: 'object', required: ['ok'] }
  const deliverables = { files: ['out.md'] }
  const terms: Terms[] = [
    { outputSchema },
    { deliverables },
    { outputSchema, deliverables, cleanup: 'delete' },
    { cleanup: 'delete' },
  ]
  const some = terms[dice % 7]
  return some ? { terms: some } : {}
}

/** A check finds faults or none; the words it is about are those of the reply before it. */
function look(walk: Walk, run: Run, tool: Step, dice: number): boolean {
  const { world, machine: by } = walk
  const said = lastReply(world, run.id)[0]!.result!.seq!
  const text = textOf(world.messages.find(row => row.session === run.session && row.seq === said)!.parts)
  const faults = dice % 3 === 0 ? ['out.md is not there'] : []
  walk.faults.set(run.id, faults.length)
  const done = carry(
    walk,
    by.checked(
      { ...endView(world, run), step: tool },
      {
        now: world.now,
        epoch: run.epoch,
        found: { faults, evidence: ['looked'] },
        text,
        seq: said,
        followups: 'keep',
        ...endIds(walk),
      },
    ),
  )
  if (done) once(walk, tool)
  return done
}

function use(walk: Walk, run: Run, tool: Step, dice: number, calm: boolean): boolean {
  const { world, machine: by } = walk
  if (tool.name === checkName) return look(walk, run, tool, dice)
  const box = mailbox(world, world.sessions.get(run.session)!)
  const event = { now: world.now, epoch: run.epoch, messageId: id(walk), parts, isError: false }
  const view = { run, box, step: tool }
  const others = lastReply(world, run.id).some(
    one => one.kind === 'tool' && one.state === 'open' && one.n !== tool.n && !waits.includes(one.name),
  )
  if (waits.includes(tool.name) && others) return false
  let decision: Decision
  if (tool.name === 'yield' && !calm) {
    const wait: Wait =
      box.openChildren > 0
        ? { for: 'children', mode: dice % 2 === 0 ? 'all' : 'any', until: null }
        : { for: 'message', until: world.now + 9 }
    decision = by.yielded(view, { ...event, wait, already: parts, words: unsaid(world, run) })
  } else if (tool.name === 'ask' && tool.state === 'open' && !calm) {
    const runs = children(world, run.id).map(one => one.id)
    decision = by.ask(
      { ...view, box: { ...box, askedOpen: runs.length } },
      {
        now: world.now,
        epoch: run.epoch,
        wait: {
          for: 'ask',
          n: tool.n,
          runs,
          mode: dice % 2 === 0 ? 'all' : 'any',
          until: world.now + 7,
          outside: true,
        },
      },
    )
    if (decision.ok && decision.effects.length === 0) decision = by.result(view, event)
  } else if (tool.name === 'send' && tool.state === 'open' && !calm) {
    return send(walk, run, tool, dice)
  } else if (tool.name === 'gate' && deniedWords(tool.intent as ToolIntent) !== null && dice % 4 > 0) {
    decision = by.result(view, { ...event, isError: true })
  } else if (tool.startedAt === null && (tool.intent as { repeat?: string }).repeat === 'never') {
    decision = by.started({ run, step: tool }, { now: world.now, epoch: run.epoch })
    if (decision.ok) walk.begun.set(`${run.id}/${tool.n}`, run.epoch)
    return carry(walk, decision)
  } else decision = by.result(view, event)
  const done = carry(walk, decision)
  if (done && world.steps.find(one => one.run === tool.run && one.n === tool.n)?.state === 'done') once(walk, tool)
  return done
}
