/** `deputy chat`: a conversation with a gateway that runs. */
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import type { Cli } from '../program.ts'
import { reach } from '../reach.ts'
import { untilSignal } from '../signals.ts'
import { talk, talkCaps } from '../talk.ts'

interface Options {
  agent?: string
  session?: string
}

export function register(command: Command, cli: Cli): void {
  command
    .option('--agent <id>', 'which agent (default: the default agent)')
    .option('--session <key>', "which conversation (default: the agent's main one)")
    .addHelpText(
      'after',
      `
Ctrl-C stops what is at work; pressed twice it leaves. What is delegated goes on when you leave.

Examples:
  $ deputy chat
  $ deputy chat --agent extractor
  $ echo "list notes" | deputy chat`,
    )
    .action(cli.action<Options>((context, options) => chat(context, options, [])))
}

export async function chat(context: Context, options: Options, greeting: readonly string[]): Promise<number> {
  const client = await reach(context, talkCaps)
  const { defaultAgentId, mainKey } = client.hello.snapshot.sessionDefaults
  const signals = untilSignal(['SIGTERM', 'SIGHUP'])
  const agent = options.agent ?? defaultAgentId
  try {
    return await talk(context, client, {
      agent,
      sessionKey: options.session ?? `agent:${agent}:${mainKey}`,
      greeting,
      leave: signals.first,
    })
  } finally {
    signals.off()
  }
}
