/** `deputy start`, what `npm start` runs: the gateway, and in a terminal a conversation right there. */
import type { Command } from 'commander'
import { DeputyError } from '../../protocol/errors.ts'
import type { Context } from '../context.ts'
import type { Cli } from '../program.ts'
import { named, readyText, serve, startGateway, stopGateway } from '../serve.ts'
import { untilSignal } from '../signals.ts'
import { chat } from './chat.ts'

export function register(command: Command, cli: Cli): void {
  command
    .addHelpText(
      'after',
      `
In a terminal a chat opens, and the gateway stops when you leave it. Anywhere else this is the same
as: deputy gateway run

Examples:
  $ deputy start
  $ deputy start --home /tmp/try-it`,
    )
    .action(cli.action(start))
}

async function start(context: Context): Promise<number> {
  if (!context.host.stdin.isTTY || !context.host.stdout.isTTY) return await serve(context)
  const again = untilSignal(['SIGINT'])
  try {
    const gateway = await startGateway(context, 'nowhere').catch((error: unknown) => {
      if (error instanceof DeputyError && error.code === 'HOME_LOCKED') return null
      throw error
    })
    if (gateway === null)
      return await chat(context, {}, [
        context.paint.dim(`A gateway already runs for ${context.home.dir}; this is a chat with it.`),
      ])
    const code = await chat(context, {}, [
      ...readyText(context, gateway),
      ...named(
        'keys',
        ['Enter sends', 'Ctrl-C stops what is at work', 'twice leaves and stops the gateway', '/help'],
        context,
      ),
      '',
    ])
    context.note(context.paint.dim('Stopping the gateway; what is at work goes on at the next start.'))
    const ended = await stopGateway(gateway, again.first)
    return code || ended
  } finally {
    again.off()
  }
}
