/**
 * Telegram, as a bot: what it can show, and how an account of it is opened.
 *
 * Owns the channel's name and capabilities. Everything else of the folder is loaded when an account is opened.
 */
import type { Channel } from '../channel.ts'
import { maxText } from './limits.ts'

export const telegram: Channel = {
  id: 'telegram',
  label: 'Telegram',
  capabilities: {
    edit: true,
    threads: true,
    reactions: true,
    media: true,
    typing: true,
    buttons: true,
    polls: true,
    binds: 'here',
    maxText,
  },
  async open(options) {
    const { openAccount } = await import('./account.ts')
    return openAccount(options)
  },
}
