/**
 * What the approval methods answer with (openclaw-facts.md §C4), and the payloads of their events. Types only.
 * Text of a model (`command`, `commandText`, `detail`) is exact, with invisible characters written out.
 */

export type ApprovalDecisionName = 'allow-once' | 'allow-always' | 'deny'

export interface ExecApprovalRecord {
  id: string
  request: {
    command: string
    cwd?: string
    host: 'gateway'
    agentId: string
    sessionKey: string
    allowedDecisions: readonly ApprovalDecisionName[]
    /** Deputy's own. */
    runId: string
    rule: string
  }
  createdAtMs: number
  expiresAtMs: number
}

export interface PluginApprovalRecord {
  id: string
  request: {
    title: string
    description: string
    severity: 'warning'
    toolName?: string
    agentId: string
    sessionKey: string
    allowedDecisions: readonly ApprovalDecisionName[]
    /** Deputy's own. */
    kind: 'tool' | 'spawn' | 'budget'
    runId: string
    rule: string
  }
  createdAtMs: number
  expiresAtMs: number
}

export interface ApprovalResolvedEvent {
  id: string
  /** Silence and the end of its run are denials. */
  decision: ApprovalDecisionName
  resolvedBy: string | null
  ts: number
}

export type ApprovalPresentation =
  | {
      kind: 'exec'
      commandText: string
      host: 'gateway'
      agentId: string
      allowedDecisions: readonly ApprovalDecisionName[]
    }
  | {
      kind: 'plugin'
      title: string
      description: string
      detail: string
      severity: 'warning'
      toolName?: string
      agentId: string
      allowedDecisions: readonly ApprovalDecisionName[]
    }

interface Common {
  id: string
  urlPath: string
  createdAtMs: number
  expiresAtMs: number
  presentation: ApprovalPresentation
}

interface Resolved extends Common {
  resolvedAtMs: number
  source: { agentId: string; sessionKey: string }
  resolver: { kind: 'device' | 'channel' | 'runtime' | 'system'; id?: string }
}

export type PendingSnapshot = Common & { status: 'pending' }
export type TerminalSnapshot =
  | (Resolved & { status: 'allowed'; decision: 'allow-once' | 'allow-always'; reason: 'user' })
  | (Resolved & { status: 'denied'; decision: 'deny'; reason: 'user' })
  | (Resolved & { status: 'expired'; reason: 'timeout' })
  | (Resolved & { status: 'cancelled'; reason: 'run-aborted' })
export type ApprovalSnapshot = PendingSnapshot | TerminalSnapshot

export interface ApprovalGrantRow {
  id: string
  agentId: string
  kind: 'exec' | 'tool' | 'spawn'
  pattern: string
  createdAtMs: number
  createdBy: string
  approvalId: string
}

export interface ApprovalResults {
  'exec.approval.list': readonly ExecApprovalRecord[]
  'exec.approval.get': ExecApprovalRecord
  'exec.approval.resolve': { ok: true }
  'exec.approval.waitDecision': {
    id: string
    decision: ApprovalDecisionName | null
    createdAtMs: number
    expiresAtMs: number
  }
  'exec.approval.grants.list': { grants: readonly ApprovalGrantRow[] }
  'exec.approval.grants.revoke': { ok: true; grant: ApprovalGrantRow }
  'plugin.approval.list': readonly PluginApprovalRecord[]
  'plugin.approval.resolve': { ok: true }
  'openclaw.approval.list': readonly []
  'approval.get': { approval: ApprovalSnapshot }
  'approval.resolve': { applied: boolean; approval: TerminalSnapshot }
  'approval.history': { items: readonly TerminalSnapshot[]; nextCursor?: string }
}
