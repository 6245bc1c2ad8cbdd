/**
 * All tools that a model can call here, as one box.
 *
 * Owns which tools exist, and what they share: the threads that search, the turns of
 * those who write, the commands that run. Decides nothing about who
 * may call what (core/tool-policy.ts, core/grant.ts).
 * Opening costs next to nothing; zod (18 ms, 13 MB) is loaded by ready(), which must be awaited before the first spec() or
 * parse() of a tool. Names, groups and repeat are there at once.
 */
import type { Tool, ToolSpec, ToolView } from '../core/ports.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Zod } from '../protocol/zod.ts'
import { type ExecSettings, openCommands } from './exec.ts'
import { grepTool, makeSearcher } from './grep.ts'
import { lsTool } from './ls.ts'
import { messageTool } from './message.ts'
import { readTool } from './read.ts'
import { editTool, writeTool } from './save.ts'
import { historyTool, sendTool, sessionsTool, statusTool } from './sessions.ts'
import { agentsTool, spawnTool, yieldTool } from './spawn.ts'
import { subagentsTool } from './subagents.ts'
import { makeTurns } from './turns.ts'
import { openWorkspaces, type Workspaces } from './workspace.ts'

export interface ToolBoxOptions {
  /** Never shown to a tool, whatever the workspace is. */
  stateDir: string
  /** Settings for commands, asked at each call. */
  exec(agent: string): ExecSettings
  /** How long a search may take; default 20. */
  searchSeconds?: number
}

export interface Shown {
  specs: readonly ToolSpec[]
  json: string
}

/** Sets of tools, as different runs are shown them, that are kept. */
const mostShown = 100

export interface ToolBox {
  /** Loads and builds the schemas. May be called any number of times. */
  ready(): Promise<void>
  list(): readonly Tool[]
  get(name: string): Tool | undefined
  names(): string[]
  /** What a model is shown of these tools, and the same as text. */
  specs(names: readonly string[], view: ToolView): Shown
  workspaces: Workspaces
  /** Ends the processes of one run's commands, or all, within two seconds. `stillAlive`: process groups that would not end. */
  endAll(run?: string): Promise<{ ended: number; stillAlive: number[] }>
}

export function openTools(options: ToolBoxOptions): ToolBox {
  const { stateDir } = options
  const loaded: { zod?: Zod } = {}
  const zod = () => {
    if (!loaded.zod) throw new DeputyError('INTERNAL', 'The toolbox was used before ready().')
    return loaded.zod
  }
  const commands = openCommands(stateDir, agent => options.exec(agent), zod)
  const turns = makeTurns()
  const tools: readonly Tool[] = [
    readTool(stateDir, zod),
    writeTool(stateDir, turns, zod),
    editTool(stateDir, turns, zod),
    lsTool(stateDir, zod),
    grepTool(stateDir, makeSearcher(options.searchSeconds ?? 20), zod),
    commands.tool,
    spawnTool(zod),
    yieldTool(zod),
    subagentsTool(zod),
    agentsTool(zod),
    sessionsTool(zod),
    historyTool(zod),
    sendTool(zod),
    statusTool(zod),
    messageTool(stateDir, zod),
  ]
  const byName = new Map(tools.map(tool => [tool.name, tool]))
  const shown = new Map<string, Shown>()
  return {
    async ready() {
      if (loaded.zod) return
      loaded.zod = (await import('zod')).z
      // Every schema is built now, so that the first prompt need not.
      for (const tool of tools) tool.spec({ agents: [], canSpawn: false })
    },
    list: () => tools,
    get: name => byName.get(name),
    names: () => tools.map(tool => tool.name),
    specs(names, view) {
      const key = `${names.join()} ${JSON.stringify(view)}`
      const known = shown.get(key)
      if (known) return known
      // Without a chat service the tool would only take room.
      const useful = names.filter(name => name !== 'message' || view.chats === true)
      const specs = useful.flatMap(name => byName.get(name)?.spec(view) ?? [])
      const made = { specs, json: JSON.stringify(specs) }
      if (shown.size === mostShown) shown.clear()
      shown.set(key, made)
      return made
    },
    workspaces: openWorkspaces(stateDir),
    endAll: run => commands.endAll(run),
  }
}
