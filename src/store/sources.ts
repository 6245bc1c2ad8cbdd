/**
 * Where a stranger comes from, as far as strangers are counted: an IPv4 address, or the /64 network that one IPv6 host has
 * at its disposal. Owns that reduction only.
 */
import { isIPv6 } from 'node:net'

/** Null is the unix socket or unknown: one source as well. */
export function sourceOf(address: string | null): string {
  if (address === null || !isIPv6(address)) return address ?? ''
  const [head = '', tail] = address.toLowerCase().split('::')
  const groups = head.split(':').filter(group => group !== '')
  const rest = tail === undefined ? 0 : tail.split(':').filter(group => group !== '').length
  const zeros = tail === undefined ? 0 : 8 - groups.length - rest
  const all = [...groups, ...Array<string>(Math.max(0, zeros)).fill('0')]
  return all
    .slice(0, 4)
    .map(group => group.replace(/^0+(?=.)/, ''))
    .join(':')
}
