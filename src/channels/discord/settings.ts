/**
 * The account's block of the configuration as this channel uses it.
 *
 * Owns which keys are read and what is wrong with them. A problem is a value: the account then stands as failed and says so.
 */
import type { Problem } from '../standing.ts'
import { maxText } from './limits.ts'

export interface Settings {
  token: string
  apiRoot: string
  /** Longest message. */
  textLimit: number
  /** Longer texts are divided, since a wall of lines fills a screen. */
  maxLines: number
  /** Only the asker sees that a slash command was taken. */
  ephemeral: boolean
  /** The service is the real one: files come from its own hosts and over https only. */
  official: boolean
}

const officialRoot = 'https://discord.com/api'

export function readSettings(
  block: Readonly<Record<string, unknown>>,
): { ok: true; settings: Settings } | { ok: false; problem: Problem } {
  const token = text(block['token'])?.replace(/^Bot /, '')
  if (!token)
    return {
      ok: false,
      problem: {
        code: 'CHANNEL_TOKEN_MISSING',
        message: 'No bot token is set.',
        fix: 'Copy it from https://discord.com/developers (your application, Bot) into channels.discord.token.',
      },
    }
  const apiRoot = (text(block['apiRoot']) ?? officialRoot).replace(/\/+$/, '')
  if (!/^https?:\/\/[^/]/.test(apiRoot))
    return {
      ok: false,
      problem: {
        code: 'CHANNEL_SETTINGS',
        message: 'apiRoot is not an address.',
        fix: 'Set channels.discord.apiRoot to an http or https address, or remove it.',
      },
    }
  const limit = Number(block['textChunkLimit'])
  const lines = Number(block['maxLinesPerMessage'])
  const slash = block['slashCommand']
  return {
    ok: true,
    settings: {
      token,
      apiRoot,
      textLimit: limit >= 64 ? Math.min(limit, maxText) : maxText,
      maxLines: lines >= 1 ? lines : 17,
      ephemeral: !(typeof slash === 'object' && slash !== null && 'ephemeral' in slash && slash.ephemeral === false),
      official: apiRoot === officialRoot,
    },
  }
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : null
}
