/**
 * The refusals about channels, the people who write there and what they send: part of the one table of errors.ts.
 */
import { row } from './error-row.ts'

export const channelErrors = {
  CHANNEL_UNKNOWN: row('There is no such channel.', 'you', 'deputy channels list shows those that there are.'),
  CHANNEL_ACCOUNT: row(
    'The channel has no such account.',
    'operator',
    'deputy channels list shows them; add one with: deputy channels add <channel>',
  ),
  CHANNEL_DISABLED: row(
    'The channel or its account is switched off or has no token.',
    'operator',
    'deputy channels add <channel> switches it on.',
  ),
  CHANNEL_NO_LOGIN: row(
    'The channel knows no login: it works with a token of the configuration.',
    'you',
    'deputy channels add <channel> takes the token.',
  ),
  CHANNEL_LOGIN_FAILED: row('The login was not finished.', 'operator', 'Begin again: deputy channels login <channel>'),
  SENDER_CODE_UNKNOWN: row(
    'Nobody waits with that code; a code lives for an hour.',
    'you',
    'deputy pairing list shows who waits. The sender gets a new code by writing again.',
  ),
  MEDIA_TOO_LARGE: row(
    'The file is larger than may be read or sent.',
    'operator',
    'Send a smaller one, or raise channels.<channel>.mediaMaxMb.',
  ),
} as const
