/**
 * Doctor: the configuration file. What keeps it from being taken, what in it is ignored or probably not meant.
 * Names of agents are the agents check's.
 */
import { plain } from '../format.ts'
import { type Check, type Finding, finding } from './types.ts'

export const configCheck: Check = {
  id: 'config',
  title: 'configuration',
  async run({ context, config }) {
    const { home, flags } = context
    if (!config.exists) return { says: [`${home.config} does not exist: every default holds`], findings: [] }
    const findings: Finding[] = config.issues.map(issue =>
      finding('config.invalid', 'error', {
        what: `${plain(issue.path)}: ${plain(issue.message)}`,
        why: 'The file is not taken. A gateway that runs keeps the one before; none starts with this one.',
        evidence: `${home.config}${issue.line === undefined ? '' : `, line ${issue.line}`} [${issue.code}]`,
        fix: issue.fix ?? `Mend the line, or go back: deputy config restore${flags}`,
      }),
    )
    const ignored = config.warnings.filter(({ path }) => !isAgentList(path))
    findings.push(
      ...ignored.map(({ path, message }) =>
        finding('config.ignored', 'warning', {
          what: `${plain(path)}: ${plain(message)}`,
          why: 'What stands there has no effect, or not the one that was probably meant.',
          evidence: home.config,
          fix: `Change it in the file, or take it out: deputy config unset ${plain(path)}${flags}`,
        }),
      ),
    )
    const says = findings.length === 0 ? [`${home.config} passes, every key is known`] : []
    return { says, findings }
  },
}

/** Where agents are named that may be spawned. */
export function isAgentList(path: string): boolean {
  return path.endsWith('.subagents.allowAgents')
}
