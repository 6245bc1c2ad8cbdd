/**
 * The table of slash commands, in the order that help shows them. Owns the list; what each does is its family's file.
 * Everything that lists or finds commands reads it here: recognition, help, `commands.list`.
 */
import { agents, commands, help, status, whoami } from './about.ts'
import { approve } from './approving.ts'
import { compact, fresh, reset } from './conversation.ts'
import { explain, tasks } from './looking.ts'
import { focus, sessionCommand, unfocus } from './focusing.ts'
import { model, thinking, usage } from './settings.ts'
import { kill, stop } from './stopping.ts'
import { steer, subagents } from './subagents.ts'
import type { Command } from './types.ts'

export const commandTable: readonly Command[] = [
  stop,
  fresh,
  reset,
  compact,
  model,
  thinking,
  usage,
  status,
  tasks,
  agents,
  explain,
  whoami,
  help,
  commands,
  subagents,
  steer,
  kill,
  focus,
  unfocus,
  sessionCommand,
  approve,
]

export function commandNamed(name: string): Command | undefined {
  return commandTable.find(command => command.name === name || command.aliases.includes(name))
}
