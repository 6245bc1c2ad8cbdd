/**
 * Questions that work waits for, as operators' clients know them (openclaw-facts.md §C4, §C5).
 *
 * Owns the shapes: `exec.approval.*` shows commands, `plugin.approval.*` every other question, `approval.*` both. Who may
 * answer is the method table's scope; what an answer does is decided inside. The model's text goes out with everything
 * invisible written out, so that what is shown is what would be done.
 */
import { type Approval, allows, visible } from '../../core/approval.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Result } from '../../protocol/methods.ts'
import type {
  ApprovalDecisionName,
  ApprovalGrantRow,
  ApprovalSnapshot,
  ExecApprovalRecord,
  PluginApprovalRecord,
  TerminalSnapshot,
} from '../../protocol/results.ts'
import type { Remembered } from '../../core/approval.ts'
import type { Handlers } from '../dispatch.ts'
import type { Room } from './room.ts'

const titleLength = 80
const descriptionLength = 512
const historyPage = 50
const waitMs = 60_000
const lookMs = 250

type Names = Extract<keyof Handlers, `${'exec.' | 'plugin.' | 'openclaw.' | ''}approval.${string}`>

export function approvalHandlers(room: Room): Pick<Handlers, Names> {
  const { approvals } = room.house
  const isExec = ({ kind }: Approval) => kind === 'exec'

  async function found(id: string, fits: (one: Approval) => boolean): Promise<Approval> {
    const one = await approvals.find(id)
    if (!fits(one)) throw new DeputyError('UNKNOWN_APPROVAL', `There is no such question: ${id}.`)
    return one
  }

  return {
    'exec.approval.list': async () => (await approvals.pending()).filter(isExec).map(execRecord),
    'exec.approval.get': async ({ id }) => execRecord(await found(id, isExec)),
    'exec.approval.resolve': async ({ id, decision }, { principal }) => {
      await approvals.answer({ principal, id: (await found(id, isExec)).id, decision })
      return { ok: true }
    },
    'exec.approval.waitDecision': async ({ id, timeoutMs = waitMs }) => waitDecision(room, id, timeoutMs),
    'exec.approval.grants.list': async ({ agentId = null }) => ({
      grants: (await approvals.remembered(agentId)).map(grantRow),
    }),
    'exec.approval.grants.revoke': async ({ id }, { principal }) => ({
      ok: true,
      grant: grantRow(await approvals.revoke({ principal, id })),
    }),
    'plugin.approval.list': async () => (await approvals.pending()).filter(one => !isExec(one)).map(pluginRecord),
    'plugin.approval.resolve': async ({ id, decision }, { principal }) => {
      await approvals.answer({ principal, id: (await found(id, one => !isExec(one))).id, decision })
      return { ok: true }
    },
    // Changes that OpenClaw proposes to itself: none are made here.
    'openclaw.approval.list': () => [],
    'approval.get': async ({ id }) => ({ approval: snapshot(await approvals.find(id)) }),
    'approval.resolve': async ({ id, decision }, { principal }) => {
      try {
        const done = await approvals.answer({ principal, id, decision })
        return { applied: true, approval: terminal(done) }
      } catch (error) {
        const lost = error instanceof DeputyError && ['APPROVAL_ANSWERED', 'APPROVAL_EXPIRED'].includes(error.code)
        if (!lost) throw error
        // Whoever comes second sees what was decided.
        return { applied: false, approval: terminal(await approvals.find(id)) }
      }
    },
    'approval.history': async ({ cursor, limit = historyPage, kind }) => {
      const [, at, id = ''] = cursor === undefined ? [] : (/^(\d{1,15})\/(.+)$/.exec(cursor) ?? ['', 'x'])
      if (at === 'x') throw new DeputyError('INVALID_PARAMS', 'invalid approval.history cursor; restart without one')
      const page = await approvals.decided(limit, at === undefined ? null : { at: Number(at), id })
      const items = page.filter(one => kind === undefined || (isExec(one) ? 'exec' : 'plugin') === kind)
      const last = page.at(-1)
      return {
        items: items.map(terminal),
        ...(page.length === limit && last ? { nextCursor: `${last.decidedAt}/${last.id}` } : {}),
      }
    },
  }
}

async function waitDecision(room: Room, id: string, timeoutMs: number): Promise<Result<'exec.approval.waitDecision'>> {
  const until = performance.now() + timeoutMs
  for (;;) {
    const one = await room.house.approvals.find(id)
    const left = until - performance.now()
    if (one.state !== 'pending' || left <= 0)
      return {
        id: one.id,
        decision: one.state === 'pending' ? null : decisionOf(one),
        createdAtMs: one.createdAt,
        expiresAtMs: one.deadlineAt,
      }
    await new Promise(resolve => setTimeout(resolve, Math.min(lookMs, left)))
  }
}

/** As older clients know it: whatever does not allow denies. */
export function decisionOf({ state }: Approval): ApprovalDecisionName {
  return state === 'allow-once' || state === 'allow-always' ? state : 'deny'
}

export function execRecord(approval: Approval): ExecApprovalRecord {
  const { question } = approval
  return {
    id: approval.id,
    request: {
      command: visible(question.text),
      ...(question.cwd === undefined ? {} : { cwd: visible(question.cwd) }),
      host: 'gateway',
      agentId: question.agent,
      sessionKey: question.sessionKey,
      allowedDecisions: question.decisions,
      runId: approval.run,
      rule: question.rule,
    },
    createdAtMs: approval.createdAt,
    expiresAtMs: approval.deadlineAt,
  }
}

export function pluginRecord(approval: Approval): PluginApprovalRecord {
  const { question } = approval
  return {
    id: approval.id,
    request: {
      title: titleOf(approval),
      description: visible(question.text),
      severity: 'warning',
      ...(question.tool === null ? {} : { toolName: question.tool }),
      agentId: question.agent,
      sessionKey: question.sessionKey,
      allowedDecisions: question.decisions,
      kind: approval.kind === 'exec' ? 'tool' : approval.kind,
      runId: approval.run,
      rule: question.rule,
    },
    createdAtMs: approval.createdAt,
    expiresAtMs: approval.deadlineAt,
  }
}

function titleOf({ question }: Approval): string {
  return `${question.agent} ${question.title}`.slice(0, titleLength)
}

export function snapshot(approval: Approval): ApprovalSnapshot {
  return approval.state === 'pending' ? { ...common(approval), status: 'pending' } : terminal(approval)
}

function common(approval: Approval) {
  const { question, kind } = approval
  const text = visible(question.text)
  const who = { agentId: question.agent, allowedDecisions: question.decisions }
  return {
    id: approval.id,
    urlPath: `/approvals/${approval.id}`,
    createdAtMs: approval.createdAt,
    expiresAtMs: approval.deadlineAt,
    presentation:
      kind === 'exec'
        ? { kind, commandText: text, host: 'gateway' as const, ...who }
        : {
            kind: 'plugin' as const,
            title: titleOf(approval),
            description: text.slice(0, descriptionLength) || question.title,
            detail: text,
            severity: 'warning' as const,
            ...(question.tool === null ? {} : { toolName: question.tool }),
            ...who,
          },
  }
}

function terminal(approval: Approval): TerminalSnapshot {
  const { state, decidedBy, decidedAt, question } = approval
  const resolved = {
    ...common(approval),
    resolvedAtMs: decidedAt ?? approval.deadlineAt,
    source: { agentId: question.agent, sessionKey: question.sessionKey },
    resolver: { kind: resolverOf(decidedBy), ...(decidedBy === null ? {} : { id: decidedBy }) },
  }
  if (allows(state)) {
    const decision = state === 'allow-always' ? ('allow-always' as const) : ('allow-once' as const)
    return { ...resolved, status: 'allowed', decision, reason: 'user' }
  }
  if (state === 'deny') return { ...resolved, status: 'denied', decision: 'deny', reason: 'user' }
  return state === 'expired'
    ? { ...resolved, status: 'expired', reason: 'timeout' }
    : { ...resolved, status: 'cancelled', reason: 'run-aborted' }
}

function resolverOf(by: string | null): TerminalSnapshot['resolver']['kind'] {
  if (by === null) return 'system'
  if (by.startsWith('device:')) return 'device'
  return by.startsWith('sender:') ? 'channel' : 'runtime'
}

function grantRow(one: Remembered): ApprovalGrantRow {
  return {
    id: one.id,
    agentId: one.agent,
    kind: one.kind,
    pattern: visible(one.pattern),
    createdAtMs: one.at,
    createdBy: one.by,
    approvalId: one.approval,
  }
}
