/**
 * Discord, as a bot: what it can show, and how an account of it is opened.
 *
 * Owns the channel's name and capabilities. Everything else of the folder is loaded when an account is opened.
 */
import type { Channel } from '../channel.ts'
import { maxText } from './limits.ts'

export const discord: Channel = {
  id: 'discord',
  label: 'Discord',
  capabilities: {
    edit: true,
    threads: true,
    reactions: true,
    media: true,
    typing: true,
    buttons: true,
    polls: true,
    // Neither direct chats nor groups of people have any.
    binds: { opens: ['channel'] },
    maxText,
  },
  async open(options) {
    const { openAccount } = await import('./account.ts')
    return openAccount(options)
  },
}
