/**
 * Where a connection comes from, and whether the page and the address that it names may be served.
 *
 * Owns locality, forwarding headers, the Origin and Host lists. Locality grants nothing by itself (design.md 1): it decides
 * whether a shared secret is enough alone. Forwarding headers make a connection remote, whoever sent them; an address in
 * them is believed from trusted proxies only, and never makes anyone local.
 */
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { DeputyError } from '../protocol/errors.ts'
import type { Settings } from './types.ts'

export interface Peer {
  via: 'unix' | 'tcp'
  /** Who is counted for failed attempts: the client's address; null on the unix socket. */
  address: string | null
  /** On this machine, with nothing in between that says otherwise. */
  direct: boolean
  /** The page that connects, for browsers. */
  origin: string | null
  /** The socket's own address, whatever a header says; empty on the unix socket. */
  remote: string
  /** A header of the request, trimmed; empty when it was not sent. Only proxy-user.ts asks for any. */
  header(name: string): string
}

export const localPeer: Peer = { via: 'unix', address: null, direct: true, origin: null, remote: '', header: () => '' }

/** `::ffff:1.2.3.4` is `1.2.3.4`. */
function plain(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address
}

export function isLoopback(address: string): boolean {
  const ip = plain(address)
  return ip === '::1' || (isIP(ip) === 4 && ip.startsWith('127.'))
}

function isForwarding(header: string): boolean {
  return header === 'forwarded' || header === 'x-real-ip' || header.startsWith('x-forwarded-')
}

/** Builds a list once per call: it is asked for forwarded requests only. An entry that is no address is skipped. */
export function listed(entries: readonly string[], address: string): boolean {
  const list = new BlockList()
  for (const entry of entries) {
    const [ip = '', bits] = entry.split('/')
    const family = isIP(ip) === 6 ? 'ipv6' : 'ipv4'
    if (isIP(ip) === 0) continue
    if (bits === undefined) list.addAddress(ip, family)
    else if (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 'ipv6' ? 128 : 32))
      list.addSubnet(ip, Number(bits), family)
  }
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

/** The nearest address of X-Forwarded-For that is not itself a trusted proxy. */
function forwardedFor(header: string | undefined, trusted: readonly string[]): string | null {
  const hops = (header ?? '').split(',').map(hop => plain(hop.trim()))
  for (const hop of hops.reverse()) {
    if (isIP(hop) === 0) return null
    if (!listed(trusted, hop)) return hop
  }
  return null
}

export function peerOf(request: IncomingMessage, settings: Settings): Peer {
  const remote = plain(request.socket.remoteAddress ?? '')
  const forwarded = Object.keys(request.headers).some(isForwarding)
  const trusted = settings.trustedProxies()
  const header = request.headers['x-forwarded-for']
  const behind =
    forwarded && listed(trusted, remote)
      ? forwardedFor(Array.isArray(header) ? header.join(',') : header, trusted)
      : null
  return {
    via: 'tcp',
    address: behind ?? remote,
    direct: !forwarded && isLoopback(remote),
    origin: request.headers.origin ?? null,
    remote,
    header(name) {
      const value = request.headers[name]
      return (Array.isArray(value) ? value.join(',') : (value ?? '')).trim()
    },
  }
}

function hostnameOf(authority: string): string | null {
  try {
    const { hostname, host } = new URL(`http://${authority}`)
    return host === '' ? null : hostname.replace(/^\[|\]$/g, '').toLowerCase()
  } catch {
    return null
  }
}

function originOf(text: string): URL | null {
  try {
    return new URL(text)
  } catch {
    return null
  }
}

/**
 * Refuses what a hostile page could send: a Host that is a foreign name (DNS rebinding; an address can't be rebound), an
 * Origin that is neither the gateway's own nor listed, a credential in the address. Null when it may pass.
 */
export function refuseRequest(request: IncomingMessage, settings: Settings): DeputyError | null {
  const host = request.headers.host ?? ''
  const name = hostnameOf(host)
  const publicOrigin = settings.publicOrigin()
  const named = [publicOrigin, ...settings.allowedOrigins()].flatMap(text => (text && originOf(text)?.hostname) || [])
  const known =
    name !== null &&
    (isIP(name) !== 0 ||
      name === 'localhost' ||
      name.endsWith('.localhost') ||
      settings.hosts().includes(name) ||
      named.includes(name))
  if (!known) {
    return new DeputyError('HOST_NOT_ALLOWED', `This gateway does not answer for the host ${JSON.stringify(host)}.`, {
      details: { host },
    })
  }
  const origin = request.headers.origin
  if (origin !== undefined) {
    const page = originOf(origin)
    const own = page !== null && (page.protocol === 'http:' || page.protocol === 'https:') && page.host === host
    const allowed = settings.allowedOrigins()
    if (!own && origin !== publicOrigin && !allowed.includes(origin) && !allowed.includes('*')) {
      return new DeputyError('ORIGIN_NOT_ALLOWED', `The origin ${JSON.stringify(origin)} is not allowed.`, {
        details: { origin, reason: 'origin not allowed' },
      })
    }
  }
  const query = (request.url ?? '').split('?')[1]
  if (query && /(^|&)(token|password|access_token|auth)=/i.test(query)) {
    return new DeputyError('CREDENTIAL_IN_URL', 'A credential in the address is refused.')
  }
  return null
}
