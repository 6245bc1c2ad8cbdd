/** A toolbox over real folders, called as the runner calls it: parse, then run. */
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Intent, ToolContext, ToolView } from '../../src/core/ports.ts'
import { noFacts } from '../../src/agent/looking.ts'
import type { ExecSettings } from '../../src/tools/exec.ts'
import { openTools, type ToolBox } from '../../src/tools/toolbox.ts'

export const execSettings: ExecSettings = {
  sandbox: 'bubblewrap',
  network: false,
  timeoutSeconds: 30,
  maxOutputBytes: 200_000,
  pathPrepend: [],
  env: {},
}

export interface Answer {
  text: string
  isError: boolean
  details: Record<string, unknown>
  intent?: Intent
}

export interface Bench extends AsyncDisposable {
  home: string
  workspace: string
  stateDir: string
  box: ToolBox
  call(name: string, args: unknown, over?: Partial<ToolContext>): Promise<Answer>
  /** The problem of a call that must be refused. */
  refused(name: string, args: unknown, view?: ToolView): string
}

export const view: ToolView = { agents: ['extractor', 'main'], canSpawn: true }

/** Two folders under a fresh one. Keys of calls are unique: processes are found by them, those of another test run too. */
export async function makeBench(
  options: { exec?: Partial<ExecSettings>; searchSeconds?: number; workspace?: string; stateDir?: string } = {},
): Promise<Bench> {
  const home = await realpath(await mkdtemp(join(tmpdir(), 'deputy-tools-')))
  const workspace = join(home, options.workspace ?? 'workspace')
  const stateDir = join(home, options.stateDir ?? 'state')
  await mkdir(stateDir, { recursive: true })
  await mkdir(workspace, { recursive: true })
  const settings = { ...execSettings, ...options.exec }
  const { searchSeconds } = options
  const box = openTools({ stateDir, exec: () => settings, ...(searchSeconds === undefined ? {} : { searchSeconds }) })
  await box.ready()
  return {
    home,
    workspace,
    stateDir,
    box,
    async call(name, args, over = {}) {
      const tool = box.get(name)!
      const parsed = tool.parse(args, view)
      if (!parsed.ok) throw new Error(parsed.problem)
      const answer = await tool.run(parsed.args, { ...contextOf(workspace, `run:${randomUUID()}`), ...over })
      if ('intent' in answer) return { text: '', isError: false, details: {}, intent: answer.intent }
      const { parts, isError, details = {} } = answer.reply
      return { text: parts.map(part => (part.type === 'text' ? part.text : '')).join(''), isError, details }
    },
    refused(name, args, seen = view) {
      const parsed = box.get(name)!.parse(args, seen)
      if (parsed.ok) throw new Error(`${name} took ${JSON.stringify(args)}`)
      return parsed.problem
    },
    async [Symbol.asyncDispose]() {
      await box.endAll()
      await rm(home, { recursive: true, force: true })
    },
  }
}

export function contextOf(workspace: string, key: string): ToolContext {
  return {
    run: 'run',
    session: 'session',
    agent: 'main',
    key,
    workspace,
    signal: new AbortController().signal,
    facts: {
      ...noFacts,
      agents: () => ({ requester: 'main', allowAny: false, agents: [{ id: 'extractor', name: 'Extractor' }] }),
    },
    progress: () => undefined,
    started: async () => undefined,
  }
}
