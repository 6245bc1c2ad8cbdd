/** `deputy devices`: which devices wait and which are let in, and deciding about them. With the gateway running or stopped. */
import type { Command } from 'commander'
import { DeputyError } from '../../protocol/errors.ts'
import type { DeviceList } from '../../protocol/results.ts'
import type { Context } from '../context.ts'
import {
  type DeviceDesk,
  type DeviceRole,
  deviceNamed,
  nameOf,
  requestNamed,
  scopesNamed,
  scopeWords,
  shortDevice,
  shortRequest,
  withDevices,
} from '../devices.ts'
import { showDevices, whatIsNew } from '../device-table.ts'
import { line, plain, span } from '../format.ts'
import { exit } from '../host.ts'
import type { Cli } from '../program.ts'
import { withGateway } from '../reach.ts'

interface Taking {
  keepRuns?: boolean
  role: DeviceRole
}

interface Clearing {
  pending?: boolean
  yes?: boolean
}

interface Scoped {
  scopes?: string
}

export function register(command: Command, cli: Cli): void {
  command.addHelpText(
    'after',
    `
A device is a browser, a phone or another machine that shows a key of its own. It asks, and is let in with
what was approved for it; asking for more never costs it what it has. A request is named by its id or the
beginning of it, a device by its id, the beginning of it, or its name.

Examples:
  $ deputy devices list
  $ deputy devices approve <request>
  $ deputy devices remove <device>
  $ deputy devices pair`,
  )
  const json = 'print one JSON document'
  const role = ['--role <role>', 'operator or node', roleNamed, 'operator'] as const
  const keep = ['--keep-runs', 'let the runs that it started go on'] as const

  command
    .command('list')
    .description('who waits for approval and who is let in')
    .option('--json', json)
    .addHelpText('after', '\nExamples:\n  $ deputy devices list\n  $ deputy devices list --json')
    .action(cli.action(list))
  command
    .command('approve')
    .description('let a device in with exactly what its request shows')
    .argument('[request]', 'which; without it, what waits is shown')
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy devices approve 3f2a9c1e')
    .action(cli.action((context, _options: object, [request]) => approve(context, request)))
  command
    .command('reject')
    .description('turn a request down')
    .argument('<request>', 'which')
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy devices reject 3f2a9c1e')
    .action(
      cli.action((context, _options: object, [request]) =>
        decide(context, async (desk, all) => {
          const done = await desk.reject(requestNamed(all, request!))
          return [done, `Turned down: request ${shortRequest(done.requestId)}.`]
        }),
      ),
    )
  command
    .command('remove')
    .description('take back all that a device may; its connections end at once, and its runs')
    .argument('<device>', 'which')
    .option(...keep)
    .option('--json', json)
    .addHelpText(
      'after',
      '\nExamples:\n  $ deputy devices remove desk\n  $ deputy devices remove 9f3c12ab8e01 --keep-runs',
    )
    .action(
      cli.action<Taking>((context, { keepRuns = false }, [device]) =>
        decide(context, async (desk, all) => {
          const done = await desk.remove(deviceNamed(all, device!), keepRuns)
          return [done, `Removed ${called(all, done.deviceId)}.${runsEnded(desk, done.endedRuns, keepRuns)}`]
        }),
      ),
    )
  command
    .command('clear')
    .description('turn every request down and remove every device')
    .option('--pending', 'only the requests')
    .option('--yes', 'do it; needed where devices are removed')
    .option('--json', json)
    .addHelpText('after', '\nExamples:\n  $ deputy devices clear --pending\n  $ deputy devices clear --yes')
    .action(cli.action<Clearing>(clear))
  command
    .command('rename')
    .description('give a device your own name for it; an empty one takes it away')
    .argument('<device>', 'which')
    .argument('<name>', 'at most 64 signs')
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy devices rename 9f3c12ab8e01 "Anna\'s phone"')
    .action(
      cli.action((context, _options: object, [device, name]) =>
        decide(context, async (desk, all) => {
          const done = await desk.rename(deviceNamed(all, device!), name!.slice(0, 64))
          return [done, done.label ? `It is called ${line(done.label)} now.` : 'It has its own name again.']
        }),
      ),
    )
  command
    .command('rotate')
    .description("replace a device's token; it gets the new one when it connects")
    .argument('<device>', 'which')
    .option(...role)
    .option('--scopes <list>', 'what the new token may: at most what is approved (default: as before)')
    .option('--json', json)
    .addHelpText('after', '\nExamples:\n  $ deputy devices rotate desk\n  $ deputy devices rotate desk --scopes read')
    .action(
      cli.action<Taking & Scoped>((context, { role, scopes }, [device]) =>
        decide(context, async (desk, all) => {
          const done = await desk.rotate(
            deviceNamed(all, device!),
            role,
            scopes === undefined ? null : scopesNamed(scopes),
          )
          return [
            done,
            `The old token of ${called(all, done.deviceId)} is dead. The new one may: ${scopeWords(done.scopes)}.`,
          ]
        }),
      ),
    )
  command
    .command('revoke')
    .description('take back one role of a device; the operator role is all that most have')
    .argument('<device>', 'which')
    .option(...role)
    .option(...keep)
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy devices revoke desk')
    .action(
      cli.action<Taking>((context, { role, keepRuns = false }, [device]) =>
        decide(context, async (desk, all) => {
          const done = await desk.revoke(deviceNamed(all, device!), role, keepRuns)
          return [done, `Revoked ${called(all, done.deviceId)}.${runsEnded(desk, done.endedRuns, keepRuns)}`]
        }),
      ),
    )
  command
    .command('pair')
    .description('a one-time code that approves a device with nobody at its screen')
    .option('--scopes <list>', 'what the device may at most', 'read,write')
    .option('--json', json)
    .addHelpText(
      'after',
      `
The device shows the code as auth.bootstrapToken when it connects. It works once, for ten minutes.

Examples:
  $ deputy devices pair
  $ deputy devices pair --scopes read`,
    )
    .action(cli.action<Required<Scoped>>(pair))
}

function roleNamed(text: string): DeviceRole {
  if (text === 'operator' || text === 'node') return text
  throw new DeputyError('USAGE', `There is no role ${text}.`, { fix: 'Roles: operator, node.' })
}

/** One decision: what it was is printed as words, or its answer as a document. */
async function decide(
  context: Context,
  body: (desk: DeviceDesk, all: DeviceList) => Promise<readonly [answer: object, words: string]>,
): Promise<number> {
  const [answer, words] = await withDevices(context, async desk => body(desk, await desk.list()))
  if (context.json) context.document(answer)
  else context.say(words)
  return exit.done
}

function called({ paired }: DeviceList, device: string): string {
  const found = paired.find(each => each.deviceId === device)
  return found ? `${nameOf(found)} (${shortDevice(device)})` : shortDevice(device)
}

function runsEnded(desk: DeviceDesk, ended: number, keepRuns: boolean): string {
  if (keepRuns) return ' Its runs go on.'
  if (!desk.running) return ' Its runs end when the gateway starts.'
  return ended === 0 ? '' : ` Its runs were ended: ${ended}.`
}

async function list(context: Context): Promise<number> {
  const all = await withDevices(context, desk => desk.list())
  if (context.json) context.document(all)
  else showDevices(context, all)
  return exit.done
}

async function approve(context: Context, request: string | undefined): Promise<number> {
  if (request === undefined) {
    const all = await withDevices(context, desk => desk.list())
    if (context.json) context.document(all)
    else showDevices(context, all)
    context.note('Nothing was approved: name the request.')
    return exit.failed
  }
  return decide(context, async (desk, all) => {
    const id = requestNamed(all, request)
    const asked = all.pending.find(each => each.requestId === id)
    const done = await desk.approve(id)
    const added = asked && asked.heldScopes.length > 0 ? ` New: ${whatIsNew(asked)}.` : ''
    return [
      done,
      `${nameOf(done.device)} (${shortDevice(done.device.deviceId)}) may: ${scopeWords(done.device.scopes)}.${added}`,
    ]
  })
}

async function clear(context: Context, { pending = false, yes = false }: Clearing): Promise<number> {
  if (!pending && !yes)
    throw new DeputyError('USAGE', 'This removes every device; each has to be approved again.', {
      fix: 'Say --yes if that is meant, or --pending for the requests alone.',
    })
  return decide(context, async (desk, all) => {
    const rejected: string[] = []
    const removed: string[] = []
    for (const { requestId } of all.pending) rejected.push((await desk.reject(requestId)).requestId)
    if (!pending) for (const { deviceId } of all.paired) removed.push((await desk.remove(deviceId, false)).deviceId)
    const words = [
      `Requests turned down: ${rejected.length}.`,
      ...(pending ? [] : [`Devices removed: ${removed.length}.`]),
    ]
    return [{ rejected, removed }, words.join(' ')]
  })
}

async function pair(context: Context, { scopes }: Required<Scoped>): Promise<number> {
  const asked = scopesNamed(scopes)
  const made = await withGateway(context, client => client.request('device.pair.setupCode', { scopes: asked }))
  if (context.json) {
    context.document(made)
    return exit.done
  }
  const { paint: p } = context
  context.say(p.bold(made.setupCode))
  context.note(
    p.dim(
      `Approves one device at ${plain(made.gatewayUrl)} for: ${scopeWords(made.scopes)}. Works once, within ${span(made.expiresAtMs - Date.now())}.`,
    ),
  )
  return exit.done
}
