/**
 * The account's block of the configuration as this channel uses it.
 *
 * Owns which keys are read and what is wrong with them. A problem is a value: the account then stands as failed and says so.
 */
import { readFileSync } from 'node:fs'
import type { Problem } from '../standing.ts'
import { maxText } from './limits.ts'

export interface Settings {
  token: string
  apiRoot: string
  /** Null: long polling. */
  webhook: { url: string; secret: string; path: string; host: string; port: number; certificate: string | null } | null
  linkPreview: boolean
  /** Which reactions of people come in: none, those to what the bot said, all. */
  reactions: 'off' | 'own' | 'all'
  /** Longest message. */
  textLimit: number
  customCommands: readonly { name: string; description: string }[]
}

/** The character set that the service allows in a webhook's secret. */
const secretForm = /^[A-Za-z0-9_-]{16,256}$/

export function readSettings(
  block: Readonly<Record<string, unknown>>,
): { ok: true; settings: Settings } | { ok: false; problem: Problem } {
  const token = tokenOf(block)
  if (typeof token !== 'string') return { ok: false, problem: token }
  const apiRoot = (text(block['apiRoot']) ?? 'https://api.telegram.org').replace(/\/+$/, '')
  if (!/^https?:\/\/[^/]/.test(apiRoot)) {
    return wrong(
      'apiRoot is not an address.',
      'Set channels.telegram.apiRoot to an http or https address, or remove it.',
    )
  }
  const url = text(block['webhookUrl'])
  const secret = text(block['webhookSecret']) ?? ''
  if (url !== null && !secretForm.test(secret)) {
    return wrong(
      'A webhook needs a secret of 16 to 256 letters, digits, _ and -.',
      'Set channels.telegram.webhookSecret, for instance to the output of: openssl rand -hex 32',
    )
  }
  const limit = Number(block['textChunkLimit'])
  const webhook = url === null ? null : { url, secret, ...listener(block), certificate: text(block['webhookCertPath']) }
  return {
    ok: true,
    settings: {
      token,
      apiRoot,
      webhook,
      linkPreview: block['linkPreview'] !== false,
      reactions:
        block['reactionNotifications'] === 'own' || block['reactionNotifications'] === 'all'
          ? block['reactionNotifications']
          : 'off',
      textLimit: limit >= 64 ? Math.min(limit, maxText) : maxText,
      customCommands: list(block['customCommands']).flatMap(one => {
        const name = text(one['command'])?.replace(/^\//, '')
        return name ? [{ name, description: text(one['description']) ?? name }] : []
      }),
    },
  }
}

function tokenOf(block: Readonly<Record<string, unknown>>): string | Problem {
  const file = text(block['tokenFile'])
  let token = text(block['botToken'])
  if (token === null && file !== null) {
    try {
      token = readFileSync(file, 'utf8').trim()
    } catch (error) {
      return {
        code: 'CHANNEL_TOKEN_MISSING',
        message: `The token file cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'}).`,
        fix: 'Check channels.telegram.tokenFile and that the gateway may read the file.',
      }
    }
  }
  if (token === null || token === '') {
    return {
      code: 'CHANNEL_TOKEN_MISSING',
      message: 'No bot token is set.',
      fix: 'Get one from @BotFather and set channels.telegram.botToken, or tokenFile.',
    }
  }
  if (/^\d+:[\w-]+$/.test(token)) return token
  return {
    code: 'CHANNEL_TOKEN_REFUSED',
    message: 'The bot token does not look like one: digits, a colon, letters.',
    fix: 'Copy it again from @BotFather into channels.telegram.botToken.',
  }
}

/** Where the webhook's requests come in; a proxy in front of it has the public address. */
function listener(block: Readonly<Record<string, unknown>>): { path: string; host: string; port: number } {
  const path = text(block['webhookPath']) ?? '/telegram-webhook'
  const port = Number(block['webhookPort'] ?? 8787)
  return {
    path: path.startsWith('/') ? path : `/${path}`,
    host: text(block['webhookHost']) ?? '127.0.0.1',
    port: Number.isInteger(port) && port >= 0 && port <= 65_535 ? port : 8787,
  }
}

function wrong(message: string, fix: string): { ok: false; problem: Problem } {
  return { ok: false, problem: { code: 'CHANNEL_SETTINGS', message, fix } }
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : null
}

function list(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(one => typeof one === 'object' && one !== null) : []
}
