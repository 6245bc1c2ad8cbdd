/** `deputy channels`: the accounts of chat services. What is set needs no gateway; how they stand and logging in does. */
import type { Command } from 'commander'
import { accountsOf, isService, services } from '../../config/read-channels.ts'
import { type ConfigStore, openConfig } from '../../config/store.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { LoginView } from '../../protocol/results.ts'
import type { Context } from '../context.ts'
import { ago, line, plain, table } from '../format.ts'
import { exit } from '../host.ts'
import type { Cli } from '../program.ts'
import { withGateway } from '../reach.ts'

interface At {
  account?: string
}

interface Adding extends At {
  token?: string
  appToken?: string
  tokenEnv?: string
  name?: string
}

interface LoggingIn extends At {
  phone?: string
  force?: boolean
  channel?: string
}

export function register(command: Command, cli: Cli): void {
  command.addHelpText(
    'after',
    `
Channels: ${services.join(', ')}.

Examples:
  $ deputy channels add telegram --token 123456:ABC…
  $ deputy channels add whatsapp && deputy channels login whatsapp
  $ deputy channels status`,
  )
  const json = 'print one JSON document'
  const account = ['--account <id>', 'which account of the channel'] as const
  command
    .command('list')
    .description('the accounts of the configuration')
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy channels list')
    .action(cli.action(list))
  command
    .command('status')
    .description('how the accounts stand: connected, waiting for a login, or what is wrong')
    .option('--probe', 'accepted for compatibility: what is shown is always what is so now')
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy channels status')
    .action(cli.action(status))
  command
    .command('add')
    .description('set an account up, or switch it on again')
    .argument('<channel>', 'which')
    .option(...account)
    .option('--token <token>', 'of the bot; better: --token-env')
    .option('--token-env <name>', 'variable that holds the token; the file keeps only its name')
    .option('--app-token <token>', 'Slack: of the app')
    .option('--name <name>', 'what people call it')
    .option('--json', json)
    .addHelpText(
      'after',
      '\nExamples:\n  $ deputy channels add telegram --token-env TELEGRAM_BOT_TOKEN\n  $ deputy channels add whatsapp --account shop',
    )
    .action(cli.action<Adding>((context, options, [channel]) => add(context, channel!, options)))
  command
    .command('remove')
    .description('take an account out of the configuration; the file before is kept as its backup')
    .argument('<channel>', 'which')
    .option(...account)
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy channels remove telegram')
    .action(cli.action<At>((context, options, [channel]) => remove(context, channel!, options)))
  command
    .command('login')
    .description('log an account in: a QR to scan, or a code to type on the phone')
    .argument('[channel]', 'which; default: whatsapp')
    .option(...account)
    .option('--channel <channel>', 'the same as the argument')
    .option('--phone <number>', 'ask for a code for this number instead of a QR')
    .option('--force', 'begin afresh when a login is at work')
    .option('--json', 'print each thing to show as one JSON document a line')
    .addHelpText(
      'after',
      '\nExamples:\n  $ deputy channels login whatsapp\n  $ deputy channels login whatsapp --phone +4915112345678',
    )
    .action(cli.action<LoggingIn>((context, options, [channel]) => login(context, channel, options)))
  command
    .command('logout')
    .description('end the login of an account, at the service too')
    .argument('<channel>', 'which')
    .option(...account)
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy channels logout whatsapp')
    .action(
      cli.action<At>((context, { account }, [channel]) =>
        withGateway(context, async client => {
          const done = await client.request('channels.logout', { channel: named(channel!), ...at(account) })
          if (context.json) context.document(done)
          else context.say(`${done.channel} (${line(done.accountId)}) is logged out.`)
          return exit.done
        }),
      ),
    )
}

function named(channel: string): (typeof services)[number] {
  const lower = channel.toLowerCase()
  if (isService(lower)) return lower
  throw new DeputyError('CHANNEL_UNKNOWN', `There is no channel ${JSON.stringify(channel.slice(0, 40))}.`, {
    fix: `Channels: ${services.join(', ')}.`,
  })
}

function at(account: string | undefined) {
  return account === undefined ? {} : { accountId: account }
}

function open(context: Context): ConfigStore {
  return openConfig({ home: context.home.dir, file: context.home.config, env: context.host.env })
}

async function list(context: Context): Promise<number> {
  const all = accountsOf(open(context).current()).map(({ settings: _, ...account }) => account)
  if (context.json) {
    context.document({ accounts: all })
    return exit.done
  }
  if (all.length === 0) context.say('No channel is set up. One is added with: deputy channels add <channel>')
  else {
    const head = [{ title: 'channel' }, { title: 'account' }, { title: 'name' }, { title: 'state' }]
    const rows = all.map(({ channel, account, name, enabled, configured }) => [
      channel,
      line(account),
      line(name ?? ''),
      enabled ? (configured ? 'on' : context.paint.yellow('no token')) : 'off',
    ])
    for (const row of table(head, rows, context.columns, context.paint)) context.say(row)
  }
  return exit.done
}

async function status(context: Context): Promise<number> {
  return withGateway(context, async client => {
    const answer = await client.request('channels.status', {})
    if (context.json) {
      context.document(answer)
      return exit.done
    }
    const { paint: p } = context
    if (answer.channelOrder.length === 0)
      context.say('No channel is set up. One is added with: deputy channels add <channel>')
    const now = Date.now()
    for (const channel of answer.channelOrder) {
      for (const each of answer.channelAccounts[channel] ?? []) {
        const colour = each.connected ? p.green : each.enabled ? p.yellow : p.dim
        const self = each.self === null ? '' : ` as ${line(each.self)}`
        const heard = each.lastInboundAt === null ? '' : p.dim(`, last message ${ago(each.lastInboundAt, now)}`)
        context.say(
          `${answer.channelLabels[channel]} (${line(each.accountId)}): ${colour(each.enabled ? each.state : 'switched off')}${self}${heard}`,
        )
        if (each.problem)
          context.say(
            `  ${plain(each.problem.message)} ${p.dim(`[${each.problem.code}]`)}\n  ${plain(each.problem.fix)}`,
          )
        if (each.state === 'login')
          context.say(
            `  Log it in: deputy channels login ${channel}${each.accountId === 'default' ? '' : ` --account ${line(each.accountId)}`}`,
          )
      }
    }
    return exit.done
  })
}

const tokenKey = { telegram: 'botToken', discord: 'token', slack: 'botToken', whatsapp: null } as const

async function add(context: Context, given: string, options: Adding): Promise<number> {
  const channel = named(given)
  const key = tokenKey[channel]
  if (key === null && (options.token ?? options.tokenEnv) !== undefined)
    throw new DeputyError('USAGE', `${channel} has no token: it is logged in.`, {
      fix: `deputy channels add ${channel}, then deputy channels login ${channel}`,
    })
  const secret =
    options.tokenEnv === undefined
      ? options.token
      : { source: 'env' as const, provider: 'default', id: options.tokenEnv }
  const block = {
    enabled: true,
    ...(options.name !== undefined && { name: options.name }),
    ...(key !== null && secret !== undefined && { [key]: secret }),
    ...(options.appToken !== undefined && { appToken: options.appToken }),
  }
  const account = options.account ?? 'default'
  const config = open(context)
  // An account that was there without a word about it stays when others are named.
  const first = accountsOf(config.current()).some(each => each.channel === channel && each.account === 'default')
  const accounts = { ...(first && { default: { enabled: true } }), [account]: block }
  const patch = { channels: { [channel]: account === 'default' ? block : { accounts } } }
  const change = await config.patch(JSON.stringify(patch), config.exists ? config.hash : undefined)
  const made = accountsOf(config.current()).find(each => each.channel === channel && each.account === account)
  if (context.json) {
    context.document({ channel, accountId: account, configured: made?.configured ?? false, changed: change.changed })
    return exit.done
  }
  context.say(`${channel} (${line(account)}) is switched on.`)
  if (key === null) context.note(`Log it in: deputy channels login ${channel}`)
  else if (!made?.configured) context.note(`It has no token yet: deputy channels add ${channel} --token <token>`)
  return exit.done
}

async function remove(context: Context, given: string, { account = 'default' }: At): Promise<number> {
  const channel = named(given)
  const config = open(context)
  const found = accountsOf(config.current()).find(each => each.channel === channel && each.account === account)
  if (!found)
    throw new DeputyError('CHANNEL_ACCOUNT', `${channel} has no account ${JSON.stringify(account)}.`, {
      details: { channel },
    })
  const others = accountsOf(config.current()).some(each => each.channel === channel && each.account !== account)
  if (account === 'default' && others)
    throw new DeputyError('USAGE', `The default account holds what the other accounts of ${channel} inherit.`, {
      fix: `Remove those first, or switch it off: deputy config set channels.${channel}.enabled false`,
    })
  const key = account === 'default' ? `channels.${channel}` : `channels.${channel}.accounts["${account}"]`
  await config.set(key, undefined)
  if (context.json) context.document({ channel, accountId: account, removed: true })
  else context.say(`${channel} (${line(account)}) is removed. The file before is deputy.json.bak.`)
  return exit.done
}

/** One look for something new to show, ms. */
const lookMs = 25_000

async function login(context: Context, given: string | undefined, options: LoggingIn): Promise<number> {
  const channel = named(given ?? options.channel ?? 'whatsapp')
  return withGateway(context, async client => {
    const where = { channel, ...at(options.account) }
    const { phone, force = false } = options
    let view = await client.request('web.login.start', { ...where, force, ...(phone === undefined ? {} : { phone }) })
    for (let shown = 0; ; ) {
      if (view.n > shown || view.done) await show(context, view)
      shown = view.n
      if (view.done) return view.connected ? exit.done : exit.failed
      view = await client.request('web.login.wait', { ...where, seen: shown, timeoutMs: lookMs })
    }
  })
}

async function show(context: Context, view: LoginView): Promise<void> {
  if (context.json) {
    const { qrDataUrl: _, ...plainly } = view
    context.host.stdout.write(`${JSON.stringify(plainly)}\n`)
    return
  }
  if (view.qr !== undefined) {
    const { default: qrcode } = await import('qrcode')
    context.say(await qrcode.toString(view.qr, { type: 'utf8', errorCorrectionLevel: 'L' }))
  }
  if (view.code !== undefined) context.say(context.paint.bold(plain(view.code)))
  context.say(plain(view.message))
}
