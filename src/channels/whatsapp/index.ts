/**
 * WhatsApp, as a device that a phone has linked: what it can show, and how an account of it is opened.
 *
 * Owns the channel's name and capabilities. Everything else of the folder is loaded when an account is opened.
 */
import type { Channel } from '../channel.ts'
import { maxText } from './writing.ts'

export const whatsapp: Channel = {
  id: 'whatsapp',
  label: 'WhatsApp',
  capabilities: {
    edit: true,
    threads: false,
    reactions: true,
    media: true,
    typing: true,
    buttons: false,
    polls: true,
    binds: null,
    maxText,
  },
  async open(options) {
    const { library } = await import('./library.ts')
    const { openAccount } = await import('./account.ts')
    return openAccount(options, await library())
  },
}
