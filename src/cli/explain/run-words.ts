/**
 * A run in words: what it is, why it waits, where its result went, what it cost, which rule refused what.
 * Pure over the facts, today's limits and the time.
 */
import { fixOf, isErrorCode } from '../../protocol/errors.ts'
import { ago, clip, count, line, moment, money, plain, span } from '../format.ts'
import { shortId } from '../runs.ts'
import { heldFor } from '../../store/facts.ts'
import type { Explanation } from './explanation.ts'
import { recognise } from './recognise.ts'
import type { Hold, RunFacts } from './run-facts.ts'

/** What the configuration sets for its lane and agent now; null when it can't be read. */
export interface Limits {
  lane: number
  agent: number | null
}

const shown = 6

export function explainRun(
  facts: RunFacts,
  { limits, up }: { limits: Limits | null /** A gateway runs. */; up: boolean },
  now: number,
  flags: string,
): Explanation {
  const { run } = facts
  const id = shortId(run.id)
  const here = [
    ...(up || run.state === 'done' ? why(facts, limits, now) : stopped(facts, limits, now)),
    ...takenUp(facts),
    ...asks(facts, now),
    ...whereItWent(facts, now),
    ...answeredInstead(facts),
    ...whatItCost(facts),
    ...refused(facts),
    ...deadline(facts, now),
  ]
  const commands = [`deputy runs log ${id}${flags}`, `deputy runs tree ${id}${flags}`]
  if (run.state !== 'done' && run.paused) commands.push(`deputy runs resume ${id}${flags}`)
  const [question] = facts.asked
  if (question)
    commands.unshift(`deputy approvals approve ${question.id}${flags}`, `deputy approvals deny ${question.id}${flags}`)
  if (run.state !== 'done') commands.push(`deputy runs cancel ${id}${flags}`)
  else if (run.outcome !== 'succeeded') commands.push(`deputy runs retry ${id}${flags}`)
  if (run.state === 'done' && (run.result !== null || run.resultSeq !== null))
    commands.splice(1, 0, `deputy runs result ${id}${flags}`)
  if (run.state !== 'done' && !up) commands.unshift(`deputy gateway run${flags}`)
  return {
    about: `run ${run.id}`,
    code: run.errorCode !== null && isErrorCode(run.errorCode) ? run.errorCode : null,
    reading: null,
    means: whatItIs(facts, now),
    here,
    who:
      run.state === 'done'
        ? 'It has ended; nothing is to be granted.'
        : facts.asked.length > 0
          ? 'Whoever holds operator.approvals may answer; whoever holds operator.write may stop it.'
          : 'Whoever holds operator.write may write to it or stop it.',
    fix: whatToDo(facts, up),
    commands,
  }
}

function whatItIs({ run, sessionKey, steps }: RunFacts, now: number): string {
  const what =
    run.parent !== null
      ? `A sub-agent of ${shortId(run.parent)}`
      : run.lane === 'subagent'
        ? 'A sub-agent that a person started'
        : 'A turn'
  const task = clip(line(run.label ?? run.task), 120)
  return `${what}: ${line(run.agent)} on "${task}", in ${line(sessionKey)}, with ${line(run.model)}. Asked ${ago(run.createdAt, now)}, ${some(steps, 'step')} so far, ${stands(run)}.`
}

function some(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}

function stands(run: RunFacts['run']): string {
  if (run.state === 'done') return `ended as ${run.outcome}`
  return run.paused ? 'paused' : run.state
}

function why(facts: RunFacts, limits: Limits | null, now: number): string[] {
  const { run, children, open, lane } = facts
  const live = children.filter(({ state }) => state !== 'done')
  if (run.state === 'done') {
    const took = run.startedAt !== null && run.endedAt !== null ? ` after ${span(run.endedAt - run.startedAt)}` : ''
    const because = run.error === null ? '' : `: ${line(run.error)}${run.errorCode ? ` [${run.errorCode}]` : ''}`
    return [`It ended ${ago(run.endedAt ?? now, now)}${took} as ${run.outcome}${because || '.'}`]
  }
  if (run.paused)
    return [
      run.state === 'running'
        ? 'It is paused: it lets go once the call in flight is answered; its deadline goes on.'
        : 'It is paused: nobody takes it up until it is resumed; its deadline goes on.',
    ]
  if (run.state === 'running') {
    if (open === null) return ['It is at work between two steps.']
    const since = open.startedAt === null ? '' : ` for ${span(now - open.startedAt)}`
    return [
      open.kind === 'model'
        ? `It waits for its model (${line(open.name)})${since}.`
        : open.kind === 'compact'
          ? `It waits for a summary of what came before (${line(open.name)})${since}.`
          : `The tool ${line(open.name)} is at work${since}.`,
    ]
  }
  if (run.state === 'queued') {
    const slots = limits === null ? '' : ` of ${limits.lane}`
    const before = lane.before > 0 ? `, ${lane.before} wait before it` : ''
    return [
      `It waits for a slot: ${lane.running}${slots} of its lane (${run.lane}) are taken${before}.${limit(facts, limits)}`,
    ]
  }
  return [
    `It waits ${waitsFor(run.wait, live, now)}${run.error === null ? '' : ` It pauses because: ${line(run.error)}`}`,
  ]
}

/** While no gateway runs nobody works: the row says where it stood. */
function stopped(facts: RunFacts, limits: Limits | null, now: number): string[] {
  const { run, open } = facts
  if (run.state === 'waiting' || run.paused)
    return ['No gateway runs: what it waits for is looked at again at the next start.', ...why(facts, limits, now)]
  const at = open === null ? '' : ` in step ${open.n}, ${line(open.name)}`
  const was = run.state === 'running' ? `it was at work${at} when the gateway stopped` : 'it has not begun yet'
  return [`No gateway runs: ${was}. It goes on from its last completed step at the next start.`]
}

function takenUp({ run }: RunFacts): string[] {
  if (run.state === 'done' || run.attempts === 0) return []
  const times = run.attempts === 1 ? 'once' : `${run.attempts} times`
  return [`The gateway has stopped ${times} in the middle of this step; it was taken up again each time.`]
}

const laneKeys: Readonly<Record<string, string>> = {
  main: 'agents.defaults.maxConcurrent',
  subagent: 'agents.defaults.subagents.maxConcurrent',
}

/** Which limit holds a queued run, by the key that sets it. */
function limit({ run, lane }: RunFacts, limits: Limits | null): string {
  if (limits === null) return ''
  if (limits.agent !== null && lane.ofAgent >= limits.agent)
    return ` What holds it is agents.entries.${line(run.agent)}.maxConcurrent: ${lane.ofAgent} of ${limits.agent} runs of its agent are at work.`
  if (lane.running >= limits.lane) return ` What holds it is ${laneKeys[run.lane]}.`
  return ' A slot is free: it starts at once where a gateway runs.'
}

/** The exact text of what is asked: every line of it, so that nothing in it passes for a line of this page. */
function asks({ asked }: RunFacts, now: number): string[] {
  return asked.flatMap(one => [
    `Question ${one.id}: it ${line(one.title)}; denied in ${span(Math.max(0, one.deadlineAt - now))} without an answer:`,
    ...one.text.split('\n').map(each => `    | ${plain(each)}`),
  ])
}

function waitsFor(wait: RunFacts['run']['wait'], live: RunFacts['children'], now: number): string {
  const names = live
    .slice(0, shown)
    .map(each => `${line(each.label ?? each.agent)} (${shortId(each.id)}, ${childStands(each)})`)
    .join(', ')
  const open =
    live.length === 0 ? '' : ` At work: ${names}${live.length > shown ? ` and ${live.length - shown} more` : ''}.`
  const until = wait?.until == null ? '' : ` At the latest until ${moment(wait.until)}.`
  switch (wait?.for) {
    case 'children':
      return `for ${wait.mode === 'all' ? 'all of its sub-agents' : 'the first of its sub-agents'}; a message to it wakes it earlier.${open}${until}`
    case 'message':
      return `for a message.${until}`
    case 'timer':
      return `${wait.hold ? `for ${line(heldFor(wait.hold))}, ` : ''}until ${moment(wait.until)} (${span(Math.max(0, wait.until - now))} from now).${wait.hold ? held(wait.hold) : ''}`
    case 'ask':
      return wait.outside
        ? `inside step ${wait.n} for ${wait.runs.length > 0 ? `${wait.mode} of ${wait.runs.length} sub-agents` : 'an answer'}.${open}${until}`
        : `inside step ${wait.n} for a person's answer; a message does not wake it.${until}`
    default:
      return 'for nothing that is written down.'
  }
}

const childWaits: Readonly<Record<string, string>> = {
  children: 'waits for its own',
  message: 'waits for a message',
  timer: 'pauses for a time',
  person: "waits for a person's answer",
  ask: 'waits inside a step',
}

function childStands({ state, paused, waitsFor }: RunFacts['children'][number]): string {
  if (paused) return 'paused'
  return state === 'waiting' ? (childWaits[waitsFor ?? ''] ?? state) : state
}

/** What becomes of a run that is held, and whom else it concerns. */
function held({ class: kind, whose, strikes }: Hold): string {
  const others = {
    key: 'Every run that would use this key for this model waits so',
    provider: 'Every run that would ask this model waits so',
    conversation: 'Other conversations go on',
    line: 'It has its turn as soon as a call comes back, first come first served',
  }[whose]
  const so = strikes > 1 ? `, after ${strikes} refusals in a row` : ''
  const end =
    kind === 'rate_limit' ? 'asks again then by itself' : 'asks again then by itself, and gives up after a while'
  return ` ${others}${so}; it holds no slot, waiting costs nothing, and it ${end}. A message to it only has it look again.`
}

const mailStates: Readonly<Record<string, string>> = {
  unread: 'it lies there unread and wakes whoever works there next',
  read: 'it was read',
  kept: 'it is kept to be read and starts no turn, since whoever asked was stopped',
  dropped: 'it was taken back by a stop before it was read',
  dead: 'the conversation had been closed, so nobody reads it; it is kept',
}

export function whereItWent({ run, mail, sent, sessionKey }: RunFacts, now: number): string[] {
  const went: string[] = []
  if (mail !== null) {
    const by = mail.state === 'read' && mail.readBy !== null ? ` by ${shortId(mail.readBy)}` : ''
    went.push(
      `Its result went to ${line(mail.sessionKey)} ${ago(mail.at, now)}: ${mailStates[mail.state] ?? mail.state}${by}.`,
    )
  } else if (run.returnTo !== null && run.state !== 'done')
    went.push('Its result will go to the conversation that asked for it.')
  else if (run.parent !== null && run.returnTo === null)
    went.push('No result was asked for: it was started without one.')
  else if (run.state !== 'done')
    went.push(
      run.route === null
        ? `Its answer will stand in ${line(sessionKey)}.`
        : `Its answer will stand in ${line(sessionKey)}, and be sent to ${line(run.route.channel)}.`,
    )
  for (const each of sent) {
    const what = each.final ? 'Its answer' : 'Interim words'
    const trouble = each.error === null ? '' : `; ${line(each.error)}`
    went.push(`${what} to ${line(each.channel)}: ${each.state}, ${each.attempt} attempts${trouble}.`)
  }
  if (went.length === 0 && run.state === 'done')
    went.push(
      run.result === null && run.resultSeq === null
        ? `It left no final words; what it wrote stands in ${line(sessionKey)}.`
        : `Its answer stands in ${line(sessionKey)} and was sent nowhere else.`,
    )
  return went
}

/** Where a fallback has answered. */
function answeredInstead({ instead }: RunFacts): string[] {
  const told = instead.slice(-shown)
  const more = instead.length - told.length
  return [
    ...(more > 0 ? [`${more} earlier steps were answered by a fallback too.`] : []),
    ...told.map(
      ({ n, by, of, why }) => `Step ${n} was answered by ${line(by)} instead of ${line(of)}: ${clip(line(why), 200)}`,
    ),
  ]
}

function whatItCost({ run, cost, aside }: RunFacts): string[] {
  const priced = (nano: number) => money(nano) || 'nothing'
  const lines = cost.map(each => {
    const doubt =
      each.unknown > 0 ? `; of ${each.unknown} the true cost is not known, what was set aside is counted` : ''
    return `${line(each.model)}: ${some(each.calls, 'call')}, ${count(each.input)} tokens in, ${count(each.output)} out, ${priced(each.nano)}${doubt}.`
  })
  const open =
    aside.calls > 0
      ? [
          `Set aside for the call in flight, and given back as far as it is not used: ${priced(aside.nano)}, ${count(aside.tokens)} tokens.`,
        ]
      : []
  const own = cost.reduce((sum, each) => sum + each.calls, aside.calls)
  const all =
    run.spent.calls > own
      ? [
          `With its sub-agents that have ended: ${priced(run.spent.nano)}, ${count(run.spent.tokens)} tokens, ${some(run.spent.calls, 'call')}.`,
        ]
      : []
  const { nano, tokens, calls } = run.grant.budget
  const limits = [
    nano === null ? '' : money(nano),
    tokens === null ? '' : `${count(tokens)} tokens`,
    calls === null ? '' : some(calls, 'call'),
  ].filter(each => each !== '')
  const limit = limits.length > 0 ? [`It may use ${limits.join(', ')}.`] : []
  return [...lines, ...open, ...all, ...limit]
}

/** Where what refuses a spawn is configured. */
const keys: Readonly<Record<string, string>> = {
  SPAWN_AGENT_NOT_ALLOWED: 'agents.entries.<agent>.subagents.allowAgents',
  SPAWN_AGENT_REQUIRED: 'agents.entries.<agent>.subagents.requireAgentId',
  SPAWN_DEPTH: 'agents.defaults.subagents.maxSpawnDepth',
  SPAWN_CHILDREN: 'agents.defaults.subagents.maxChildrenPerAgent',
  SPAWN_THREADS_OFF: 'session.threadBindings.spawnSessions',
}

/**
 * A spawn that policy refused says so as JSON: `{"status":"forbidden","error":…,"code":…,"configure":…}`; other calls may have
 * failed for any reason. What the same tool said again and again is said once.
 */
function refused({ run, refusals }: RunFacts): string[] {
  const seen = new Map<string, { first: number; times: number; text: string }>()
  for (const { n, tool, said } of refusals) {
    const { error, configure, ...own } = parse(said)
    const code = own.code ?? recognise(said)?.code
    const key = configure ?? keys[code ?? '']?.replace('<agent>', run.agent)
    const rule = key ? ` The rule: ${key}.` : ''
    const words = clip(line((error ?? said).split('\n')[0]!), 200)
    const what = `${line(tool)} ${code ? 'was refused' : 'failed'}: ${words}${code ? ` [${code}]` : ''}${rule}`
    const before = seen.get(what)
    if (before) before.times += 1
    else seen.set(what, { first: n, times: 1, text: what })
  }
  const all = [...seen.values()]
  const told = all
    .slice(-shown)
    .map(({ first, times, text }) => `Step ${first}${times > 1 ? ` and ${times - 1} more` : ''}: ${text}`)
  const more = all.length - told.length
  return more > 0 ? [`${more} other calls before these were refused or failed.`, ...told] : told
}

function parse(text: string): { error?: string; code?: string; configure?: string } {
  try {
    return JSON.parse(text) as { error?: string; code?: string; configure?: string }
  } catch {
    // Words and not JSON: shown as they are.
    return {}
  }
}

function deadline({ run }: RunFacts, now: number): string[] {
  if (run.deadlineAt === null || run.state === 'done') return []
  return [`It has until ${moment(run.deadlineAt)} (${span(Math.max(0, run.deadlineAt - now))}).`]
}

function whatToDo({ run, refusals, asked }: RunFacts, up: boolean): string {
  if (run.errorCode !== null && isErrorCode(run.errorCode))
    return fixOf(run.errorCode, { run: shortId(run.id), id: run.model.split('/')[0] })
  if (run.state === 'done')
    return refusals.some(({ said }) => parse(said).code ?? recognise(said))
      ? 'What was refused can be allowed by the rule that is named.'
      : 'Nothing.'
  if (!up) return 'Start the gateway: it goes on by itself.'
  if (asked.some(({ kind }) => kind === 'budget'))
    return 'Answer the question: allowed, it goes on; denied, it ends with what it has done so far.'
  if (asked.length > 0) return 'Answer the question: it goes on then, whatever the answer is.'
  return 'Nothing, unless it waits for something that will not come: then write to its conversation, or stop it.'
}
