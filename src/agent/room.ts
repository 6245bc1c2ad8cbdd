/**
 * What the agent room is handed by the composition root, and what it shows to those above it.
 * Owns the shapes only.
 */
import type { Caps } from '../config/budgets.ts'
import type { AskPolicy } from '../core/approval.ts'
import type { LoopRules, SpawnLimits } from '../core/breaker.ts'
import type { Holder, SpawnPolicy } from '../core/grant.ts'
import type { Pace } from '../core/pace.ts'
import type { Chats, Clock, Models, Tell, Tool, ToolSpec, ToolView } from '../core/ports.ts'
import type { Grant, Run } from '../core/types.ts'
import type { Scope } from '../protocol/scopes.ts'
import type { CrashPoints } from '../store/crash.ts'
import type { Store } from '../store/open.ts'
import type { ThreadBindings } from '../config/thread-bindings.ts'
import type { ResetRule, Sharing } from '../config/sharing.ts'
import type { Workspaces } from '../tools/workspace.ts'
import type { PromptFacts } from './context.ts'

/** Today's configuration, as far as runs need it. Read anew at each use: a change holds from the next step on. */
export interface Policies {
  agents(): readonly { id: string; name?: string; model?: string }[]
  has(agent: string): boolean
  defaultAgent(): string
  rootGrant(agent: string, scopes: readonly Scope[], holder?: Holder): Grant
  /** What all that work may spend together, as far as it concerns this agent. */
  caps(agent: string): Caps
  /** When an agent's calls are taken to go round in circles; null = never. */
  loops(agent: string): LoopRules | null
  spawnLimits(caller: string): SpawnLimits
  spawn(caller: string): SpawnPolicy
  /** Model of an agent at work for itself, and of one spawned by `caller`. */
  model(agent: string): string
  childModel(caller: string, target: string): string
  runTimeoutSeconds(caller: string): number
  /** Longest time a root run may take, in seconds; 0 = no limit. */
  timeoutSeconds(agent: string): number
  maxDepth(agent: string): number
  /** Steps of one run before it is taken to go round in circles. */
  maxSteps(agent: string): number
  /** How much an agent thinks when nobody says otherwise; null leaves it to the model. */
  thinking(agent: string): string | null
  /** The same for those that it spawns; null leaves it to the spawned agent. */
  childThinking(caller: string): string | null
  sharing(): Sharing
  compaction(agent: string): Compaction
  /** When a conversation of such a chat starts afresh by itself. */
  resetRule(kind: 'direct' | 'group' | 'thread'): ResetRule
  /** What is said of bindings of threads and chats there. */
  bindings(at: { channel: string; account: string }): ThreadBindings
  /** Which of its calls a person is asked about, where, and for how long. */
  asking(agent: string): AskPolicy
  prompt(agent: string): Omit<PromptFacts, 'depth' | 'maxDepth' | 'canSpawn' | 'guide'>
}

/** How conversations of an agent are shortened (openclaw-facts.md §E3). */
export interface Compaction {
  /** By itself; a person may always ask. */
  enabled: boolean
  /** Writes the summaries; null = the run's own. */
  model: string | null
  thinking: string | null
  /** So much of the newest stays as it is: in tokens, and in things that people said. */
  keepRecentTokens: number
  recentTurns: number
  /** So much of the window is left free. */
  reserveTokens: number
  timeoutMs: number
  /** What every summary is asked for besides. */
  instructions: string | null
}

export interface ToolBox {
  /** Loads what the tools' schemas need; awaited before a run's first step. */
  ready(): Promise<void>
  get(name: string): Tool | undefined
  names(): string[]
  /** What a model is shown of these tools, and the same as text. */
  specs(names: readonly string[], view: ToolView): { specs: readonly ToolSpec[]; json: string }
  /** What the supervisor itself does there. */
  workspaces: Workspaces
}

/** Values of known secrets ↔ `${secret:NAME}` (decisions.md 19). */
export interface Secrets {
  hide<T>(value: T): T
  reveal<T>(value: T): T
}

export interface AgentOptions {
  store: Store
  models: Models
  tools: ToolBox
  policies: Policies
  secrets: Secrets
  chats: Chats
  clock: Clock
  pace: Pace
  crash: CrashPoints
  tell: Tell
  log: (line: string) => void
  uuid: () => string
  /** Reads AGENTS.md of a workspace; null when there is none. */
  guide(workspace: string): Promise<string | null>
  /** Ends a process group that a step recorded, when no worker of this process holds it. */
  endProcess(process: { pgid: number; startedAt: string }): Promise<'ended' | 'gone' | 'alive'>
}

/** Who is told, without waiting, that rows have changed: new claimable runs, ended runs, timers. */
export interface Bells {
  queued(runs: readonly Pick<Run, 'id' | 'lane' | 'tree' | 'agent' | 'woken' | 'queuedAt'>[]): void
  /** Runs that ended under somebody else's hand: their workers stop. */
  ended(runs: readonly string[]): void
  /** A deadline or a wait that runs out at `at`. */
  timer(at: number): void
  /** Something was put into the outbox. */
  outbox(): void
}
