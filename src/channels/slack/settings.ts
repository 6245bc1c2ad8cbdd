/**
 * The account's block of the configuration as this channel uses it.
 *
 * Owns which keys are read and what is wrong with them. A problem is a value: the account then stands as failed and says so.
 */
import type { Problem } from '../standing.ts'
import { maxText } from './limits.ts'

export interface Settings {
  botToken: string
  /** Null: Slack calls us (`http`). */
  appToken: string | null
  /** Null: socket mode. */
  http: { signingSecret: string; path: string; host: string; port: number } | null
  /** Ends with a slash. */
  apiRoot: string
  textLimit: number
  /** The app's own slash command without its slash: what follows it is what is said. */
  slashName: string
}

export function readSettings(
  block: Readonly<Record<string, unknown>>,
): { ok: true; settings: Settings } | { ok: false; problem: Problem } {
  const mode = block['mode'] ?? 'socket'
  if (mode !== 'socket' && mode !== 'http') {
    return no(
      'CHANNEL_SETTINGS',
      `The mode ${String(mode)} is not served.`,
      'Set channels.slack.mode to socket or http.',
    )
  }
  const botToken = text(block['botToken'])
  if (!botToken?.startsWith('xoxb-')) {
    const fix = 'Copy it from OAuth & Permissions of the Slack app into channels.slack.botToken.'
    return no('CHANNEL_TOKEN_MISSING', 'No bot token (xoxb-…) is set.', fix)
  }
  const appToken = mode === 'socket' ? text(block['appToken']) : null
  if (mode === 'socket' && !appToken?.startsWith('xapp-')) {
    const fix = 'Make one with connections:write under Basic Information of the Slack app; set channels.slack.appToken.'
    return no('CHANNEL_TOKEN_MISSING', 'No app-level token (xapp-…) is set.', fix)
  }
  const signingSecret = text(block['signingSecret'])
  if (mode === 'http' && (signingSecret === null || signingSecret.length < 16)) {
    const fix = 'Copy it from Basic Information of the Slack app into channels.slack.signingSecret.'
    return no('CHANNEL_TOKEN_MISSING', 'No signing secret is set; without it anybody could speak as Slack.', fix)
  }
  const apiRoot = `${(text(block['apiRoot']) ?? 'https://slack.com/api').replace(/\/+$/, '')}/`
  if (!/^https?:\/\/[^/]/.test(apiRoot)) {
    return no(
      'CHANNEL_SETTINGS',
      'apiRoot is not an address.',
      'Set channels.slack.apiRoot to an address, or remove it.',
    )
  }
  const limit = Number(block['textChunkLimit'])
  const command = block['slashCommand'] as { name?: unknown } | undefined
  return {
    ok: true,
    settings: {
      botToken,
      appToken,
      http: mode === 'http' && signingSecret !== null ? { signingSecret, ...listener(block) } : null,
      apiRoot,
      textLimit: limit >= 100 ? Math.min(limit, maxText) : maxText,
      slashName: (text(command?.name) ?? 'deputy').replace(/^\//, ''),
    },
  }
}

/** Where the requests come in; a proxy in front of it has the public address. */
function listener(block: Readonly<Record<string, unknown>>): { path: string; host: string; port: number } {
  const path = text(block['webhookPath']) ?? '/slack/events'
  const port = Number(block['webhookPort'] ?? 8788)
  return {
    path: path.startsWith('/') ? path : `/${path}`,
    host: text(block['webhookHost']) ?? '127.0.0.1',
    port: Number.isInteger(port) && port >= 0 && port <= 65_535 ? port : 8788,
  }
}

function no(code: Problem['code'], message: string, fix: string): { ok: false; problem: Problem } {
  return { ok: false, problem: { code, message, fix } }
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : null
}
