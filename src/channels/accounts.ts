/**
 * The accounts that run: opened when the configuration has them, started, restarted when their block changes, stopped.
 *
 * Owns their lives and nothing of their meaning. An account that fails is told of in its status and ends nothing; no start
 * of the gateway waits for one. Invariants: what is done to one account is done one thing after the other; a message of an
 * account that was stopped is not taken; an account is only a way out while it is connected.
 */
import type { AccountView, Capabilities, InboundMessage, Ingested, LoginStep } from '../core/chat.ts'
import type { Clock, Outbound } from '../core/ports.ts'
import type { Route } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Channels } from './all.ts'
import type { Account, AccountOptions, Channel } from './channel.ts'
import { atRest, type Problem } from './standing.ts'

/** An account as the configuration wants it. */
export interface AccountWish {
  channel: string
  account: string
  name: string | null
  enabled: boolean
  configured: boolean
  /** The same as long as nothing that the account reads has changed. */
  print: string
  /** With secrets read; throws when one is not there. */
  settings(): Readonly<Record<string, unknown>>
}

export interface AccountsOptions {
  channels: Channels
  wishes(): readonly AccountWish[]
  stateDir(channel: string, account: string): string
  ingest(message: InboundMessage): Promise<Ingested>
  commands: AccountOptions['commands']
  /** The state of an account is another. */
  changed(view: AccountView): void
  clock: Clock
  log: AccountOptions['log']
}

export interface Accounts {
  /** Makes what runs what the configuration wants. Resolves when that has been begun everywhere; never rejects. */
  sync(): Promise<void>
  list(): readonly AccountView[]
  /** Null unless the account is connected: what is to be said waits. */
  outbound(route: Pick<Route, 'channel' | 'account'>): Outbound | null
  /** What its service can show; null for an account that is not there or off. */
  capabilities(route: Pick<Route, 'channel' | 'account'>): Capabilities | null
  typing(route: Route, on: boolean): void
  /** By hand, until the next change of its block or the next start. Throws CHANNEL_ACCOUNT, CHANNEL_DISABLED. */
  start(channel: string, account: string): Promise<void>
  stop(channel: string, account: string): Promise<void>
  /** Throws CHANNEL_NO_LOGIN besides. */
  login(channel: string, account: string, how: { phone: string | null; signal: AbortSignal }): AsyncIterable<LoginStep>
  logout(channel: string, account: string): Promise<void>
  close(): Promise<void>
}

interface Slot {
  wish: AccountWish
  label: string
  channel: Channel | null
  account: Account | null
  /** Of what is open. */
  print: string | null
  /** Stopped by hand. */
  halted: boolean
  /** Why it could not be opened. */
  problem: Problem | null
  startedAt: number | null
  stoppedAt: number | null
  line: Promise<void>
}

export function openAccounts(options: AccountsOptions): Accounts {
  const { clock } = options
  const slots = new Map<string, Slot>()
  let closed = false
  const keyOf = (channel: string, account: string) => `${channel}\n${account}`

  /** One thing after the other; what fails is the account's problem. */
  function then(slot: Slot, work: () => Promise<void>): Promise<void> {
    slot.line = slot.line.then(work).catch(error => {
      slot.problem = problemOf(error)
      options.log('error', `${slot.wish.channel}: ${slot.problem.message}`, { account: slot.wish.account })
      told(slot)
    })
    return slot.line
  }

  function told(slot: Slot): void {
    options.changed(viewOf(slot))
  }

  async function open(slot: Slot): Promise<Account> {
    if (slot.account) return slot.account
    const { channel, account } = slot.wish
    const load = Object.hasOwn(options.channels, channel) ? options.channels[channel] : undefined
    if (!load) throw new DeputyError('CHANNEL_UNKNOWN', `There is no channel ${channel} in this version.`)
    slot.channel ??= await load()
    slot.label = slot.channel.label
    const settings = slot.wish.settings()
    if (settings['proxy']) throw pastProxy(channel)
    const opened: Account = await slot.channel.open({
      account,
      settings,
      stateDir: options.stateDir(channel, account),
      async ingest(message) {
        if (slot.account !== opened) throw new DeputyError('GATEWAY_STOPPING', 'the account is being stopped')
        return options.ingest(message)
      },
      changed: () => told(slot),
      commands: options.commands,
      clock,
      log: (level, message, fields) => options.log(level, `${channel}: ${message}`, { account, ...fields }),
    })
    slot.account = opened
    slot.print = slot.wish.print
    slot.problem = null
    return opened
  }

  async function shut(slot: Slot): Promise<void> {
    const { account } = slot
    if (!account) return
    await account.stop()
    slot.account = null
    slot.stoppedAt = clock.now()
    told(slot)
  }

  async function run(slot: Slot): Promise<void> {
    const account = await open(slot)
    slot.startedAt ??= clock.now()
    account.start()
    told(slot)
  }

  function wanted(slot: Slot): boolean {
    return !closed && !slot.halted && slot.wish.enabled && slot.wish.configured
  }

  async function settle(slot: Slot): Promise<void> {
    const changed = slot.print !== null && slot.print !== slot.wish.print
    if (changed) slot.halted = false
    if (slot.account && (changed || !wanted(slot))) {
      await shut(slot)
      slot.startedAt = null
    }
    if (wanted(slot) && !slot.account) await run(slot)
  }

  function slotOf(channel: string, account: string): Slot {
    const slot = slots.get(keyOf(channel, account))
    if (slot) return slot
    if (!Object.hasOwn(options.channels, channel))
      throw new DeputyError('CHANNEL_UNKNOWN', `There is no channel ${JSON.stringify(channel.slice(0, 40))}.`, {
        fix: `Channels: ${Object.keys(options.channels).join(', ')}.`,
      })
    throw new DeputyError('CHANNEL_ACCOUNT', `${channel} has no account ${JSON.stringify(account.slice(0, 80))}.`, {
      details: { channel, account },
    })
  }

  function usable(slot: Slot): void {
    const { channel, account, enabled, configured } = slot.wish
    if (enabled && configured) return
    const why = enabled ? 'has no token' : 'is switched off'
    throw new DeputyError('CHANNEL_DISABLED', `The account ${account} of ${channel} ${why}.`, { details: { channel } })
  }

  /** Work whose failure its caller is told of. */
  async function asked(slot: Slot, work: () => Promise<void>): Promise<void> {
    const done = Promise.withResolvers<void>()
    await then(slot, () => work().then(done.resolve, done.reject))
    return done.promise
  }

  return {
    async sync() {
      const wishes = options.wishes()
      const keys = new Set(wishes.map(wish => keyOf(wish.channel, wish.account)))
      for (const wish of wishes) {
        const slot = slots.get(keyOf(wish.channel, wish.account)) ?? newSlot(wish)
        slot.wish = wish
        slots.set(keyOf(wish.channel, wish.account), slot)
      }
      for (const [key, slot] of slots) {
        if (!keys.has(key)) {
          slot.wish = { ...slot.wish, enabled: false }
          void then(slot, () => shut(slot)).then(() => slot.wish.enabled || slots.delete(key))
        } else void then(slot, () => settle(slot))
      }
      await Promise.all([...slots.values()].map(slot => slot.line))
    },
    list: () => [...slots.values()].map(viewOf),
    outbound({ channel, account }) {
      const slot = slots.get(keyOf(channel, account))
      return slot?.account && slot.account.status().state === 'connected' ? slot.account.outbound : null
    },
    capabilities({ channel, account }) {
      const slot = slots.get(keyOf(channel, account))
      return slot?.wish.enabled ? (slot.channel?.capabilities ?? null) : null
    },
    typing(route, on) {
      const account = slots.get(keyOf(route.channel, route.account))?.account
      if (account?.status().state === 'connected') account.typing?.(route, on)
    },
    async start(channel, account) {
      const slot = slotOf(channel, account)
      usable(slot)
      slot.halted = false
      await asked(slot, () => run(slot))
    },
    async stop(channel, account) {
      const slot = slotOf(channel, account)
      slot.halted = true
      await asked(slot, () => shut(slot))
      slot.startedAt = null
    },
    async *login(channel, account, how) {
      const slot = slotOf(channel, account)
      usable(slot)
      await asked(slot, async () => void (await open(slot)))
      const steps = slot.account?.login?.(how)
      if (!steps) throw noLogin(slot)
      for await (const step of steps) {
        if (step.show === 'done') {
          slot.halted = false
          await asked(slot, () => run(slot))
        }
        yield step
      }
    },
    async logout(channel, account) {
      const slot = slotOf(channel, account)
      await asked(slot, async () => {
        const opened = await open(slot)
        if (!opened.logout) throw noLogin(slot)
        await opened.logout()
      })
    },
    async close() {
      closed = true
      await Promise.all([...slots.values()].map(slot => then(slot, () => shut(slot))))
    },
  }
}

function newSlot(wish: AccountWish): Slot {
  return {
    wish,
    label: wish.channel,
    channel: null,
    account: null,
    print: null,
    halted: false,
    problem: null,
    startedAt: null,
    stoppedAt: null,
    line: Promise.resolve(),
  }
}

function viewOf(slot: Slot): AccountView {
  const { wish, label, account, problem, startedAt, stoppedAt } = slot
  const status = account?.status() ?? { ...atRest, ...(problem && { state: 'failed' as const, problem }) }
  return {
    channel: wish.channel,
    label,
    account: wish.account,
    name: wish.name,
    enabled: wish.enabled,
    configured: wish.configured,
    login: account ? account.login !== undefined : null,
    status,
    startedAt,
    stoppedAt,
  }
}

function problemOf(error: unknown): Problem {
  if (error instanceof DeputyError) return { code: error.code, message: error.message, fix: error.fix }
  const message = error instanceof Error ? error.message : String(error)
  return { code: 'INTERNAL', message, fix: 'deputy channels status; the log has more.' }
}

function noLogin({ wish }: Slot): DeputyError {
  return new DeputyError('CHANNEL_NO_LOGIN', `${wish.channel} works with a token and knows no login.`, {
    details: { channel: wish.channel },
  })
}

/** What is meant to go through a proxy must not go past it. */
function pastProxy(channel: string): DeputyError {
  return new DeputyError(
    'CHANNEL_SETTINGS',
    `channels.${channel}.proxy is set, and no account goes through a proxy of its own.`,
    {
      fix: `Remove it: deputy config unset channels.${channel}.proxy. For all of the gateway, start it with NODE_USE_ENV_PROXY=1 and HTTPS_PROXY=<address>.`,
      details: { channel },
    },
  )
}
