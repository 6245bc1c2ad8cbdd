/**
 * What a device signs (openclaw-facts.md §B2). Owns the text; never signs or verifies (gateway/crypto.ts, the client's caller).
 */

export interface DeviceProof {
  deviceId: string
  clientId: string
  clientMode: string
  role: string
  /** In the order sent in `connect.params.scopes`. */
  scopes: readonly string[]
  /** Epoch milliseconds. */
  signedAt: number
  /** First of `auth.token`, `auth.deviceToken`, `auth.bootstrapToken`; null when none. A password is never part. */
  token: string | null
  nonce: string
  platform?: string
  deviceFamily?: string
}

/** Trimmed, and only ASCII letters lowered. */
function plain(text: string | undefined): string {
  return (text ?? '').trim().replace(/[A-Z]/g, letter => letter.toLowerCase())
}

/** Both Control UIs and openclaw-node sign v2, CLI and TUI v3. */
export function devicePayload(version: 2 | 3, proof: DeviceProof): string {
  const fields = [
    `v${version}`,
    proof.deviceId,
    proof.clientId,
    proof.clientMode,
    proof.role,
    proof.scopes.join(','),
    String(proof.signedAt),
    proof.token ?? '',
    proof.nonce,
  ]
  if (version === 3) fields.push(plain(proof.platform), plain(proof.deviceFamily))
  return fields.join('|')
}
