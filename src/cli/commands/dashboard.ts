/**
 * `deputy dashboard`: a login link for one browser. The code in it works once, for five minutes, and pairs the browser that
 * opens it as a device; nothing else is let in by it, and no other credential is in it.
 */
import type { Command } from 'commander'
import { DeputyError } from '../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { span } from '../format.ts'
import { exit } from '../host.ts'
import type { Cli } from '../program.ts'
import { withGateway } from '../reach.ts'

/** Long enough to carry the link to another machine, too short to find it lying about, ms. */
const lifeMs = 300_000
/** A gateway on this machine answers at once or not at all, ms. */
const answerMs = 2_000

export function register(command: Command, cli: Cli): void {
  command
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
The browser that opens the link becomes a device of its own, with every scope; see it, and take it
back, with: deputy devices list. The code stands behind the # of the address, which browsers send to
nobody and servers do not log.

Example:
  $ deputy dashboard`,
    )
    .action(cli.action(dashboard))
}

async function dashboard(context: Context): Promise<number> {
  const made = await withGateway(context, client =>
    client.request('device.pair.setupCode', { scopes: ['operator.admin'], lifeMs }),
  )
  const page = new URL(made.gatewayUrl.replace(/^ws/, 'http'))
  // Every address of the machine is listened on; this one is always among them.
  if (page.hostname === '0.0.0.0' || page.hostname === '[::]') page.hostname = '127.0.0.1'
  const served = await serves(page, context)
  // As OpenClaw's own page reads it (openclaw-clients.md §2); ours does too.
  page.hash = new URLSearchParams({ bootstrapToken: made.setupCode, bootstrapProfile: 'owner' }).toString()
  if (context.json) {
    context.document({ url: page.href, expiresAtMs: made.expiresAtMs, scopes: made.scopes, page: served })
    return exit.done
  }
  const { paint: p } = context
  context.say(page.href)
  context.note(p.dim(`Works once, for ${span(made.expiresAtMs - Date.now())}, in one browser.`))
  if (!served)
    context.note(
      p.yellow('This gateway serves no page at that address; a client that reads the code from it can use it.'),
    )
  if (page.hostname === '127.0.0.1')
    context.note(
      p.dim(
        `From another machine first: ssh -N -L ${page.port}:127.0.0.1:${page.port} ${context.host.env['USER'] ?? 'you'}@<this host>`,
      ),
    )
  return exit.done
}

/** Whether there is a page. A gateway without a TCP port has none, and no browser can reach it. */
async function serves(page: URL, { flags }: Context): Promise<boolean> {
  try {
    return (await fetch(page, { method: 'HEAD', signal: AbortSignal.timeout(answerMs) })).ok
  } catch (cause) {
    throw new DeputyError(
      'GATEWAY_UNREACHABLE',
      `The gateway does not answer on ${page.origin}, where a browser would ask.`,
      {
        fix: `It was started without its TCP port, or on another one. See: deputy doctor${flags}`,
        cause,
      },
    )
  }
}
