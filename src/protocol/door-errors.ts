/**
 * The refusals of the door: part of the one table of errors.ts, which is where everybody reads them.
 */
import { row } from './error-row.ts'

export const doorErrors = {
  INVALID_REQUEST: row('The request was not understood.', 'you', 'Send what the message names.'),
  UNKNOWN_METHOD: row('There is no such method.', 'you', 'hello-ok lists the methods that exist.'),
  INVALID_PARAMS: row('The parameters do not fit the method.', 'you', 'Send what the message names.'),
  MISSING_SCOPE: row(
    'The caller lacks a scope that this call needs.',
    'operator',
    'deputy devices list shows what is asked; approve it with: deputy devices approve <requestId>',
  ),
  PAIRING_REQUIRED: row(
    'This device has not been approved for what it asks.',
    'operator',
    'deputy devices approve <requestId>',
  ),
  UNKNOWN_REQUEST: row('There is no such pairing request.', 'you', 'deputy devices list shows those that are pending.'),
  REQUEST_CLOSED: row(
    'The pairing request is not pending any more.',
    'you',
    'Connect the device again; deputy devices list shows the request that counts now.',
  ),
  UNKNOWN_DEVICE: row('There is no such paired device.', 'you', 'deputy devices list'),
  DEVICE_IDENTITY_REQUIRED: row(
    'No credential was shown.',
    'you',
    'Send the gateway token, or sign with a device key.',
  ),
  DEVICE_AUTH_INVALID: row(
    'The proof that the device holds its key does not fit.',
    'you',
    'Sign the challenge of this connection with the device key; check the clock.',
  ),
  DEVICE_AUTH_DEVICE_ID_MISMATCH: row(
    'The device id is not the fingerprint of its key.',
    'you',
    'Send the hex SHA-256 of the raw public key as device.id.',
  ),
  DEVICE_AUTH_PUBLIC_KEY_INVALID: row(
    'The device key is not an Ed25519 public key.',
    'you',
    'Send the raw 32 bytes as base64url.',
  ),
  DEVICE_AUTH_SIGNATURE_EXPIRED: row(
    'The device signed too long ago, or its clock is wrong.',
    'you',
    'Check the clock, or sign with the time of the challenge.',
  ),
  DEVICE_AUTH_NONCE_REQUIRED: row(
    'The device signed without the challenge.',
    'you',
    'Send the nonce of connect.challenge as device.nonce.',
  ),
  DEVICE_AUTH_NONCE_MISMATCH: row(
    'The device signed another challenge.',
    'you',
    'Sign the challenge of this connection.',
  ),
  DEVICE_AUTH_SIGNATURE_INVALID: row(
    'The device signature does not fit its key.',
    'you',
    'Sign the v2 or v3 payload with the device key, with the same client, role, scopes and token as in connect.',
  ),
  AUTH_TOKEN_MISSING: row(
    'The gateway token is missing.',
    'you',
    'Send it as auth.token. On the gateway host: deputy config get gateway.auth.token --show-secrets',
  ),
  AUTH_TOKEN_MISMATCH: row(
    'The gateway token is wrong.',
    'you',
    'On the gateway host: deputy config get gateway.auth.token --show-secrets',
  ),
  AUTH_PASSWORD_MISSING: row('The gateway password is missing.', 'you', 'Send it as auth.password.'),
  AUTH_PASSWORD_MISMATCH: row('The gateway password is wrong.', 'you', 'The operator of the gateway knows it.'),
  AUTH_TOKEN_NOT_CONFIGURED: row(
    'The gateway has no token, so none can be right.',
    'operator',
    'Set gateway.auth.token and start again.',
  ),
  AUTH_PASSWORD_NOT_CONFIGURED: row(
    'The gateway has no password, so none can be right.',
    'operator',
    'Set gateway.auth.password and start again.',
  ),
  AUTH_DEVICE_TOKEN_MISMATCH: row(
    'The device token is not valid any more.',
    'operator',
    'Connect with the gateway token once, or pair the device again.',
  ),
  AUTH_BOOTSTRAP_TOKEN_INVALID: row(
    'The one-time code is wrong, used or too old.',
    'operator',
    'Make a new one on the gateway host: deputy devices pair',
  ),
  AUTH_IDENTITY_HEADER_REQUIRED: row(
    'The proxy that vouches for users named none.',
    'operator',
    'Come through the proxy; it must be in gateway.trustedProxies and set the headers of gateway.auth.trustedProxy.',
  ),
  AUTH_UNAUTHORIZED: row(
    'The user that the proxy names may not come in.',
    'operator',
    'Add the user to gateway.auth.trustedProxy.allowUsers, and to gateway.auth.identityScopes where that is used.',
  ),
  AUTH_RATE_LIMITED: row('Too many failed attempts.', 'nobody', 'Wait for the time given.'),
  AUTH_REQUIRED: row(
    'Nothing was shown that says who is calling.',
    'you',
    'Send the gateway token or a device signature.',
  ),
  PROTOCOL_MISMATCH: row(
    'Client and gateway have no protocol version in common.',
    'you',
    'This gateway speaks 3 and 4; update the client.',
  ),
  ORIGIN_NOT_ALLOWED: row(
    'The page that makes this request is not on the list.',
    'operator',
    'Add its origin to gateway.controlUi.allowedOrigins.',
  ),
  HOST_NOT_ALLOWED: row(
    'The request names a host that this gateway is not.',
    'operator',
    'Use the address of the gateway, or set gateway.publicOrigin.',
  ),
  PAYLOAD_TOO_LARGE: row('The message is larger than allowed.', 'you', 'Send less, or send it as an attachment.'),
  SLOW_CONSUMER: row('The client does not read fast enough.', 'you', 'Connect again and read the history.'),
  TOO_MANY_CONNECTIONS: row('Too many connections are open.', 'operator', 'Close some, or wait.'),
  ROLE_NOT_SERVED: row('The gateway does not serve this role.', 'you', 'Connect with the role operator.'),
  CREDENTIAL_IN_URL: row(
    'A credential stood in the address, where logs and histories keep it.',
    'you',
    'Send it in connect, or in the Authorization header; change it if the address was shared.',
  ),
  TOO_MANY_REQUESTS: row(
    'Too many requests of this connection are at work.',
    'you',
    'Wait for answers, then send again.',
  ),
  IDEMPOTENCY_CONFLICT: row(
    'The same idempotency key was used for another request.',
    'you',
    'Use a new key for a new request.',
  ),
} as const
