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
  // What stands in the status of an account: how to mend it for this very service, the status says besides.
  CHANNEL_TOKEN_MISSING: row(
    'The account has no token, or one that is not of the right kind.',
    'operator',
    'deputy channels add <channel> takes it; docs/channels.md says where to get one.',
  ),
  CHANNEL_TOKEN_REFUSED: row(
    'The service does not know the token of this account.',
    'operator',
    'Copy it again from the service: deputy channels add <channel>',
  ),
  CHANNEL_SETTINGS: row(
    'A key of the account cannot be used as it is.',
    'operator',
    'The message names the key; mend it with: deputy config set channels.<channel>.<key> <value>',
  ),
  CHANNEL_INTENTS: row(
    'Discord does not let the bot read what is written.',
    'operator',
    'Switch on "Message Content Intent" of the application at https://discord.com/developers.',
  ),
  CHANNEL_CONFLICT: row(
    'Another program uses the same bot or login.',
    'operator',
    'Stop the other one, or give each its own; WhatsApp then wants: deputy channels login whatsapp',
  ),
  CHANNEL_WEBHOOK_PORT: row(
    'The port of the webhook cannot be listened on.',
    'operator',
    'Free the port, or set channels.<channel>.webhookPort and webhookHost.',
  ),
  CHANNEL_UNREACHABLE: row(
    'The service cannot be reached, or the connection to it was lost.',
    'nobody',
    'It is tried again by itself; if it stays so, see that this machine is online.',
  ),
  CHANNEL_SERVICE_ERROR: row(
    'The service answers with an error of its own.',
    'provider',
    'It is tried again by itself; if it stays so, look at the status page of the service.',
  ),
  CHANNEL_NOT_LINKED: row('No phone has linked this account.', 'operator', 'deputy channels login <channel>'),
  CHANNEL_LOGGED_OUT: row(
    'The service has ended the login: the device was removed on the phone.',
    'operator',
    'deputy channels login <channel>',
  ),
  CHANNEL_LOCKED: row(
    'The service has locked the account.',
    'operator',
    'Open the app on the phone to see why; then: deputy channels login <channel>',
  ),
  CHANNEL_NO_DEVICES: row(
    'The app on the phone knows no linked devices.',
    'operator',
    'Update it; then: deputy channels login <channel>',
  ),
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
