/**
 * The rooms beside the house that methods show: configuration, models, tools, the log, the gateway's own identity.
 * Owns the shape that the composition root fills; what is asked of them is in methods/.
 */
import type { ConfigStore } from '../config/types.ts'
import type { Tool } from '../core/ports.ts'
import type { ModelRoom } from '../models/options.ts'
import type { Logbook } from './logbook.ts'

export interface Rooms {
  config: Pick<ConfigStore, 'view' | 'patch' | 'apply' | 'onChange' | 'issues'>
  models: Pick<ModelRoom, 'list' | 'resolve'>
  tools: {
    ready(): Promise<void>
    list(): readonly Tool[]
    /** Names that an agent's own runs may call today, and the profile that its policy starts from. */
    policy(agent: string): { names: readonly string[]; profile: string }
  }
  log: Pick<Logbook, 'tail'>
  /** Of the gateway itself: hex fingerprint and raw Ed25519 key as base64url, as devices have them. */
  identity: { deviceId: string; publicKey: string }
  /** Resolves secret references anew; what can't be resolved is told. */
  reloadSecrets(): Promise<readonly { path: string; message: string }[]>
}
