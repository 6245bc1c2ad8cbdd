/**
 * `channels.*` and `web.login.*`: how accounts of chat services stand, starting and stopping them, logging in, and people who
 * ask to be let in. Owns the shapes of the answers.
 */
import type { AccountView } from '../../core/chat.ts'
import { nameOf } from '../../core/principal.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { ChannelAccountRow, LoginView } from '../../protocol/results.ts'
import { covers } from '../../protocol/scopes.ts'
import { decided, senderList } from '../../store/guests.ts'
import type { Handlers } from '../dispatch.ts'
import { openLogins } from '../logins.ts'
import type { GuestAt } from '../rooms.ts'
import type { Room } from './room.ts'

/** Where a client names no channel: the one that OpenClaw's clients mean. */
const webLogin = 'whatsapp'
const loginMs = 30_000

type Names = Extract<keyof Handlers, `channels.${string}` | `web.login.${string}`>

export function channelHandlers(room: Room): Pick<Handlers, Names> {
  const { chats } = room.rooms
  const logins = openLogins(chats)
  const meant = ({ channel, accountId }: { channel: string; accountId?: string | undefined }) => {
    const lower = channel.toLowerCase()
    return { channel: lower, account: accountId ?? chats.defaultAccount(lower) }
  }
  const done = ({ channel, account }: { channel: string; account: string }) =>
    ({ ok: true, channel, accountId: account }) as const

  return {
    'channels.status': (params, { principal }) => status(room, params, covers(principal.scopes, 'operator.admin')),
    'channels.start': async params => {
      const at = meant(params)
      await chats.start(at.channel, at.account)
      return { ...done(at), started: true }
    },
    'channels.stop': async params => {
      const at = meant(params)
      await chats.stop(at.channel, at.account)
      return { ...done(at), stopped: true }
    },
    'channels.logout': async params => {
      const at = meant(params)
      await chats.logout(at.channel, at.account)
      return { ...done(at), cleared: true, loggedOut: true }
    },
    'channels.pairing.list': () => guests(room),
    'channels.pairing.approve': async (params, { principal }) => {
      const owner = params.bootstrapCommandOwner === true
      const by = { who: nameOf(principal), notify: params.notify === true, owner }
      const { ownerAdded, ...guest } = await chats.guests.approve(guestAt(params), by)
      return { ...decided(guest), ownerAdded }
    },
    'channels.pairing.dismiss': async (params, { principal }) =>
      decided(await chats.guests.dismiss(guestAt(params), { who: nameOf(principal) })),
    'web.login.start': params => {
      const at = meant({ ...params, channel: params.channel ?? webLogin })
      const { phone = null, force = false, timeoutMs = loginMs } = params
      return logins.start({ ...at, phone }, { force, timeoutMs })
    },
    'web.login.wait': async params => {
      const at = meant({ ...params, channel: params.channel ?? webLogin })
      const view = await logins.wait(at, params.seen ?? null, params.timeoutMs ?? loginMs)
      return view ?? alreadyIn(chats.list().find(each => each.channel === at.channel && each.account === at.account))
    },
  }
}

/** No login is at work: whoever waits is told how the account stands. */
function alreadyIn(view: AccountView | undefined): LoginView {
  const connected = view?.status.state === 'connected'
  const message = connected ? 'The account is connected.' : 'No login is at work; begin one with web.login.start.'
  return { n: 0, message, connected, done: true }
}

function guestAt(params: {
  channel: string
  accountId?: string | undefined
  requestId?: string | undefined
  code?: string | undefined
}): GuestAt {
  const { requestId, code } = params
  if ((requestId === undefined) === (code === undefined))
    throw new DeputyError('INVALID_PARAMS', 'Name the request by requestId or by code: one of them.')
  const asked = requestId !== undefined ? { id: requestId } : { code: code ?? '' }
  return { channel: params.channel.toLowerCase(), account: params.accountId, asked }
}

async function guests({ rooms: { chats } }: Room): Promise<Result<'channels.pairing.list'>> {
  const accounts = chats.list().map(({ channel, account }) => ({ channel, accountId: account }))
  return senderList(await chats.guests.list(), { accounts, ownerKnown: chats.guests.ownerKnown() })
}

/** Whom an account lets in is shown to those who may change it. */
function status(room: Room, params: Params<'channels.status'>, admin: boolean): Result<'channels.status'> {
  const { chats } = room.rooms
  const views = chats.list().filter(({ channel }) => params.channel === undefined || channel === params.channel)
  const order = [...new Set(views.map(({ channel }) => channel))]
  const of = (channel: string) => views.filter(view => view.channel === channel)
  const labels = Object.fromEntries(order.map(channel => [channel, of(channel)[0]?.label ?? channel]))
  return {
    ts: room.now(),
    channelOrder: order,
    channelLabels: labels,
    channelDetailLabels: labels,
    channelSystemImages: {},
    channelMeta: order.map(id => ({ id, label: labels[id] ?? id, detailLabel: labels[id] ?? id })),
    channels: Object.fromEntries(
      order.map(channel => {
        const rows = of(channel).map(view => rowOf(room, view, admin))
        return [
          channel,
          {
            configured: rows.some(({ configured }) => configured),
            running: rows.some(({ running }) => running),
            connected: rows.some(({ connected }) => connected),
            lastError: rows.find(({ lastError }) => lastError !== null)?.lastError ?? null,
          },
        ]
      }),
    ),
    channelAccounts: Object.fromEntries(
      order.map(channel => [channel, of(channel).map(view => rowOf(room, view, admin))]),
    ),
    channelDefaultAccountId: Object.fromEntries(order.map(channel => [channel, chats.defaultAccount(channel)])),
    statusIssues: views.flatMap(({ channel, account, status }) =>
      status.problem === null
        ? []
        : [
            {
              channel,
              accountId: account,
              kind: status.problem.code,
              message: status.problem.message,
              fix: status.problem.fix,
            },
          ],
    ),
  }
}

function rowOf({ rooms: { chats } }: Room, view: AccountView, admin: boolean): ChannelAccountRow {
  const { status } = view
  const policy = chats.policy(view.channel, view.account)
  return {
    accountId: view.account,
    ...(view.name === null ? {} : { name: view.name }),
    enabled: view.enabled,
    configured: view.configured,
    ...(view.login === true && { linked: status.self !== null && status.state !== 'login' }),
    running: !['off', 'failed'].includes(status.state),
    connected: status.state === 'connected',
    reconnectAttempts: status.reconnects,
    lastConnectedAt: status.connectedAt,
    lastError: status.problem?.message ?? null,
    lastStartAt: view.startedAt,
    lastStopAt: view.stoppedAt,
    lastInboundAt: status.lastInboundAt,
    lastOutboundAt: status.lastOutboundAt,
    ...(policy && { dmPolicy: policy.dmPolicy }),
    ...(policy && admin && { allowFrom: policy.allowFrom }),
    state: status.state,
    self: status.self,
    problem: status.problem,
  }
}
