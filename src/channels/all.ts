/**
 * Which services there are: the id that the configuration gives them, and how each is loaded.
 *
 * Owns the list only. A folder is read when an account of it is enabled, and not before: its library is heavy.
 */
import type { Channel } from './channel.ts'

export type Channels = Readonly<Record<string, () => Promise<Channel>>>

export const channels: Channels = {
  discord: async () => (await import('./discord/index.ts')).discord,
  slack: async () => (await import('./slack/index.ts')).slack,
  telegram: async () => (await import('./telegram/index.ts')).telegram,
  whatsapp: async () => (await import('./whatsapp/index.ts')).whatsapp,
}
