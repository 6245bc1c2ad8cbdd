/**
 * A whole house without doors: real store, real tools, real runner and engine; the model is a script.
 *
 * Owns opening and closing it in a temporary home. `crash()` drops every worker as a killed process would and opens the same
 * home again, so that recovery is tested on real rows.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openRunner, type Runner } from '../../src/agent/runner.ts'
import { openTimers, recoverAll } from '../../src/agent/recover.ts'
import type { AgentOptions, Bells, Compaction, Policies } from '../../src/agent/room.ts'
import type { LoopRules } from '../../src/core/breaker.ts'
import { type Caps, noCaps } from '../../src/config/budgets.ts'
import type { ResetRule, Sharing } from '../../src/config/sharing.ts'
import type { ThreadBindings } from '../../src/config/thread-bindings.ts'
import type { Chats, HouseEvent, ModelEvent, ModelRequest, Models, ResolvedModel } from '../../src/core/ports.ts'
import type { Principal } from '../../src/core/principal.ts'
import type { AskPolicy } from '../../src/core/approval.ts'
import { type AgentPolicy, rootGrant } from '../../src/core/grant.ts'
import { unpaced } from '../../src/core/pace.ts'
import { type Engine, openEngine } from '../../src/engine/engine.ts'
import type { Senders } from '../../src/sessions/commands/types.ts'
import { openHouse } from '../../src/sessions/house.ts'
import type { House } from '../../src/sessions/types.ts'
import { noCrash } from '../../src/store/crash.ts'
import { openStore, type Store } from '../../src/store/open.ts'
import { endProcess } from '../../src/tools/process.ts'
import { openTools } from '../../src/tools/toolbox.ts'

/** What a scripted model says to one request. Throwing from `wait` when aborted is done for it. */
export interface Said {
  text?: string
  calls?: { name: string; args: unknown; id?: string }[]
  fail?: Extract<ModelEvent, { type: 'fail' }>['failure']
  /** Held back until this resolves; an abort ends it. */
  wait?: Promise<unknown>
  stop?: 'stop' | 'length' | 'refusal'
  costNano?: number
}

export type Script = (request: ModelRequest, n: number) => Said | Promise<Said>

export interface TestHouse {
  house: House
  store: Store
  engine: Engine
  runner: Runner
  events: HouseEvent[]
  requests: ModelRequest[]
  dir: string
  operator: Principal
  say(text: string, more?: Partial<Parameters<House['accept']>[0]>): ReturnType<House['accept']>
  /** The final words of a run. */
  done(id: string): Promise<{ text: string | null; outcome: string | null; error: string | null }>
  crash(): Promise<void>
  close(): Promise<void>
}

export interface HouseSetup {
  script: Script
  agents?: Record<string, Partial<AgentPolicy>>
  lanes?: { main: number; subagent: number }
  runTimeoutSeconds?: number
  maxSteps?: number
  sharing?: Partial<Sharing>
  compaction?: Partial<Compaction>
  /** Default: no conversation starts afresh by itself. */
  reset?: ResetRule
  bindings?: Partial<ThreadBindings>
  /** Tokens that the model can read. */
  contextWindow?: number
  /** Default: nobody is asked about anything. By agent, or for all. */
  asking?: (agent: string) => Partial<AskPolicy>
  /** Default: no limits over many runs. */
  caps?: Caps
  loops?: LoopRules
  maxSpawnsPerMinute?: number
  /** Whether the provider can't be asked now. */
  pause?: Models['pause']
  /** A models room instead of the script; a new one each time the house is opened. */
  models?: () => Models
  /** Default: no sender of a channel may command. */
  senders?: Senders
  /** Default: none. */
  chats?: Chats
}

const sharing: Sharing = {
  visibility: null,
  agentsMeet: () => true,
  maxPingPongTurns: 5,
  maxForkTokens: 100_000,
  attachments: null,
  outreach: { withinProvider: true, acrossProviders: false, marker: null, actions: null },
  redactPatterns: [],
}

const bindings: ThreadBindings = {
  enabled: true,
  idleMs: 24 * 3_600_000,
  maxAgeMs: 0,
  spawns: true,
  context: 'fork',
}

const compaction: Compaction = {
  enabled: true,
  model: null,
  thinking: null,
  keepRecentTokens: 20_000,
  recentTurns: 0,
  reserveTokens: 20_000,
  timeoutMs: 60_000,
  instructions: null,
}

const asking: AskPolicy = {
  exec: { security: 'full', ask: 'off', safeBins: [] },
  tools: [],
  budget: null,
  timeoutMs: 60_000,
  chats: {
    exec: { origin: true, targets: [], sessions: null },
    other: { origin: true, targets: [], sessions: null },
  },
}

export const model: ResolvedModel = {
  ref: 'test/model',
  provider: 'test',
  model: 'model',
  contextWindow: 1_000_000,
  maxTokens: 1000,
  price: { input: 1000, output: 2000, cacheRead: 100, cacheWrite: 1000 },
  priced: true,
}

export async function openTestHouse(setup: HouseSetup): Promise<TestHouse> {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-house-'))
  mkdirSync(join(dir, 'workspace'))
  const events: HouseEvent[] = []
  const requests: ModelRequest[] = []
  const operator: Principal = { kind: 'operator', via: 'socket', user: null, scopes: ['operator.admin'] }
  const test: Partial<TestHouse> & { bellsOff?: () => Promise<void> } = {}

  async function open(): Promise<void> {
    let dead = false
    const store = await openStore({ dir, log: () => undefined })
    const models = setup.models?.() ?? scripted(setup, requests)
    const tools = openTools({
      stateDir: join(dir, 'none'),
      exec: () => ({
        sandbox: 'off',
        network: false,
        timeoutSeconds: 30,
        maxOutputBytes: 100_000,
        pathPrepend: [],
        env: {},
      }),
    })
    const catalogue = tools.list().map(({ name, group }) => ({ name, group }))
    const policies = testPolicies(setup, catalogue, join(dir, 'workspace'))
    let hear: (event: HouseEvent) => void = () => undefined
    const options: AgentOptions = {
      store: { ...store, write: (name, body) => (dead ? new Promise(() => undefined) : store.write(name, body)) },
      models,
      tools,
      policies,
      secrets: { hide: value => value, reveal: value => value },
      chats: setup.chats ?? { any: () => false, capabilities: () => null },
      clock: { now: () => Date.now() },
      pace: unpaced,
      crash: noCrash,
      tell(event) {
        if (dead) return
        events.push(event)
        hear(event)
      },
      log: line => process.env['DEPUTY_TEST_LOG'] && console.error(line),
      uuid: randomUUID,
      guide: async () => null,
      endProcess,
    }
    const bells: Bells = {
      queued: runs => engine.queued(runs),
      ended: runs => runner.ended(runs),
      timer: at => timers.arm(at),
      outbox: () => undefined,
    }
    const runner = openRunner(options, bells, run => engine.reserve(run))
    const timers = openTimers(options, bells)
    const engine = openEngine({
      store,
      drive: run => runner.drive(run),
      limits: () => ({ ...(setup.lanes ?? { main: 4, subagent: 8 }), agent: () => null }),
      log: options.log,
    })
    const house = openHouse({ options, bells, runner, ...(setup.senders && { senders: () => setup.senders! }) })
    hear = house.hear
    await recoverAll(options, bells)
    await timers.start()
    await engine.start()
    Object.assign(test, { house, store, engine, runner })
    test.bellsOff = async () => {
      dead = true
      timers.stop()
      engine.stop()
      void runner.stop()
      await tools.endAll()
      await store.close()
    }
  }

  await open()
  return Object.assign(test as TestHouse, {
    events,
    requests,
    dir,
    operator,
    say: (text: string, more: Partial<Parameters<House['accept']>[0]> = {}) =>
      (test as TestHouse).house.accept({
        principal: operator,
        method: 'chat.send',
        parts: [{ type: 'text', text }],
        idempotencyKey: randomUUID(),
        ...more,
      }),
    async done(id: string) {
      const end = await (test as TestHouse).house.wait(id, { until: 'done', timeoutMs: 20_000 })
      if (!end || end.status === 'pending')
        throw new Error(`run ${id} did not end: ${JSON.stringify(await (test as TestHouse).house.run(id))}`)
      return { text: end.text, outcome: end.outcome, error: end.error }
    },
    async crash() {
      await test.bellsOff?.()
      await open()
    },
    async close() {
      await test.bellsOff?.()
      rmSync(dir, { recursive: true, force: true })
    },
  })
}

/** Any number of calls may be out. */
const noLine: Models['line'] = {
  admits: () => true,
  enter: async () => null,
  park: () => undefined,
  arrive: () => undefined,
  rest: () => undefined,
  leave: () => undefined,
  onCall: () => undefined,
}

function scripted(
  { script, contextWindow = model.contextWindow, pause = () => null }: HouseSetup,
  requests: ModelRequest[],
): Models {
  return {
    resolve: ref =>
      ref.startsWith('test/')
        ? { ok: true, model: { ...model, ref, contextWindow } }
        : { ok: false, reason: `no model ${ref}`, fix: 'Use test/model.' },
    inPlaceOf: () => [],
    pause,
    line: noLine,
    recall: () => undefined,
    async *stream(request) {
      requests.push(request)
      const said = await script(request, requests.length)
      if (said.wait) {
        const aborted = new Promise<'aborted'>(resolve =>
          request.signal.addEventListener('abort', () => resolve('aborted'), { once: true }),
        )
        if ((await Promise.race([said.wait, aborted])) === 'aborted') {
          yield {
            type: 'fail',
            failure: {
              class: 'aborted',
              code: 'MODEL_NETWORK',
              message: 'aborted',
              fix: '',
              provider: 'test',
              model: 'model',
            },
          }
          return
        }
      }
      if (said.fail) {
        yield { type: 'fail', failure: said.fail }
        return
      }
      if (said.text) yield { type: 'text', delta: said.text }
      const calls = (said.calls ?? []).map((call, i) => ({ id: call.id ?? `c${requests.length}-${i}`, ...call }))
      for (const call of calls)
        yield {
          type: 'call',
          id: call.id,
          name: call.name,
          args: typeof call.args === 'string' ? call.args : JSON.stringify(call.args),
        }
      yield {
        type: 'end',
        stop: calls.length > 0 ? 'toolUse' : (said.stop ?? 'stop'),
        usage: { input: 100, output: 10, cacheRead: 0, cacheWrite: 0 },
        costNano: said.costNano ?? 120_000,
        parts: said.text ? [{ type: 'text', text: said.text }] : [],
      }
    },
  }
}

function testPolicies(setup: HouseSetup, catalogue: { name: string; group: string }[], workspace: string): Policies {
  const base: AgentPolicy = {
    id: 'main',
    scopes: ['operator.read', 'operator.write'],
    tools: catalogue.map(tool => tool.name),
    allowAgents: ['*'],
    requireAgentId: false,
    maxSpawnDepth: 5,
    maxChildrenPerAgent: 20,
    budget: { nano: null, tokens: null, calls: null },
  }
  const agents = new Map(
    Object.entries({ main: {}, ...setup.agents }).map(([id, own]) => [id, { ...base, ...own, id }]),
  )
  const of = (id: string) => agents.get(id) ?? base
  return {
    agents: () => [...agents.keys()].map(id => ({ id })),
    has: id => agents.has(id),
    defaultAgent: () => 'main',
    rootGrant: (id, scopes, holder = {}) => rootGrant(of(id), { ...holder, scopes, budget: null }),
    caps: () => setup.caps ?? noCaps,
    loops: () => setup.loops ?? null,
    spawnLimits: () => ({ maxFailuresInRow: 3, maxSpawnsPerMinute: setup.maxSpawnsPerMinute ?? 0 }),
    spawn: caller => ({ caller: of(caller), agents, catalogue, subagentTools: {} }),
    model: () => 'test/model',
    childModel: () => 'test/model',
    runTimeoutSeconds: () => setup.runTimeoutSeconds ?? 0,
    timeoutSeconds: () => 0,
    maxDepth: id => of(id).maxSpawnDepth,
    maxSteps: () => setup.maxSteps ?? 500,
    thinking: () => null,
    childThinking: () => null,
    sharing: () => ({ ...sharing, ...setup.sharing }),
    compaction: () => ({ ...compaction, ...setup.compaction }),
    bindings: () => ({ ...bindings, ...setup.bindings }),
    resetRule: () => setup.reset ?? { mode: 'none', atHour: 4 },
    asking: id => ({ ...asking, ...setup.asking?.(id) }),
    prompt: id => ({ agentId: id, agentName: id, instructions: null, workspace }),
  }
}

/** The text of the newest user message or tool results that a request shows. */
export function lastText(request: ModelRequest): string {
  const last = request.messages.at(-1)
  return last ? last.parts.map(part => (part.type === 'text' ? part.text : '')).join('') : ''
}

export function firstText(request: ModelRequest): string {
  return request.messages[0]?.parts.map(part => (part.type === 'text' ? part.text : '')).join('') ?? ''
}
