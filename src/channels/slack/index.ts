/**
 * Slack, as an app in a workspace: what it can show, and how an account of it is opened.
 *
 * Owns the channel's name and capabilities. Everything else of the folder is loaded when an account is opened.
 */
import type { Channel } from '../channel.ts'
import { maxText } from './limits.ts'

export const slack: Channel = {
  id: 'slack',
  label: 'Slack',
  capabilities: {
    edit: true,
    threads: true,
    reactions: true,
    media: true,
    // Apps have no such sign in ordinary conversations.
    typing: false,
    buttons: true,
    polls: false,
    binds: { opens: ['direct', 'group', 'channel'] },
    maxText,
  },
  async open(options) {
    const { openAccount } = await import('./account.ts')
    return openAccount(options)
  },
}
