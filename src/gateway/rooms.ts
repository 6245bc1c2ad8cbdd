/**
 * The rooms beside the house that methods show: configuration, models, tools, the log, the gateway's own identity.
 * Owns the shape that the composition root fills; what is asked of them is in methods/.
 */
import type { ConfigStore } from '../config/types.ts'
import type { Guest } from '../core/admission.ts'
import type { AccountView, LoginStep } from '../core/chat.ts'
import type { Tool } from '../core/ports.ts'
import type { Post } from '../delivery/post.ts'
import type { ModelRoom } from '../models/options.ts'
import type { Logbook } from './logbook.ts'

/** The accounts of chat services, and who asks to be let in there. */
export interface ChatRoom {
  list(): readonly AccountView[]
  /** The account that is meant when none is named. */
  defaultAccount(channel: string): string
  /** As the configuration has it; null for one that is not there. */
  policy(channel: string, account: string): { dmPolicy: string; allowFrom: readonly string[] } | null
  /** Each throws CHANNEL_UNKNOWN, CHANNEL_ACCOUNT, CHANNEL_DISABLED or CHANNEL_NO_LOGIN. */
  start(channel: string, account: string): Promise<void>
  stop(channel: string, account: string): Promise<void>
  logout(channel: string, account: string): Promise<void>
  login(channel: string, account: string, how: { phone: string | null; signal: AbortSignal }): AsyncIterable<LoginStep>
  guests: Guests
}

/** People who ask to write. Times are epoch milliseconds. */
export interface Guests {
  list(): Promise<readonly Guest[]>
  approve(at: GuestAt, by: { who: string; notify: boolean; owner: boolean }): Promise<Guest & { ownerAdded: boolean }>
  dismiss(at: GuestAt, by: { who: string }): Promise<Guest>
  ownerKnown(): boolean
}

export interface GuestAt {
  channel: string
  account: string | undefined
  asked: { id: string } | { code: string }
}

export interface Rooms {
  config: Pick<ConfigStore, 'view' | 'patch' | 'apply' | 'onChange' | 'issues'>
  models: Pick<ModelRoom, 'list' | 'resolve'>
  tools: {
    ready(): Promise<void>
    list(): readonly Tool[]
    /** Names that an agent's own runs may call today, and the profile that its policy starts from. */
    policy(agent: string): { names: readonly string[]; profile: string }
  }
  chats: ChatRoom
  /** What goes out to chats by hand. */
  post: Post
  /** Where files that go along are taken from and kept. */
  files(agent: string | undefined): { workspace: string; stateDir: string }
  log: Pick<Logbook, 'tail'>
  /** Of the gateway itself: hex fingerprint and raw Ed25519 key as base64url, as devices have them. */
  identity: { deviceId: string; publicKey: string }
  /** Resolves secret references anew; what can't be resolved is told. */
  reloadSecrets(): Promise<readonly { path: string; message: string }[]>
}
