/**
 * Doctor: the door. Who holds the port, where the gateway listens, how callers show who they are, what is believed of proxies.
 */
import { isIP } from 'node:net'
import type { Config } from '../../config/config.ts'
import { portOwner } from '../../config/port-owner.ts'
import { type Gateway, gatewayOf } from '../../config/read.ts'
import { DeputyError } from '../../protocol/errors.ts'
import { type Check, type Finding, finding, type Patient, type Verdict } from './types.ts'

export const doorCheck: Check = {
  id: 'door',
  title: 'door',
  async run(patient) {
    if (patient.settings === null) return { says: [], findings: [] }
    const door = read(patient.settings)
    if (door instanceof DeputyError) return { says: [], findings: [unsafe(door)] }
    const port = portOf(patient, door)
    return {
      says: [...port.says, `callers show: ${shown(door)}`, ...proxies(door)],
      findings: [...port.findings, ...openness(door)],
    }
  },
}

function read(settings: Config): Gateway | DeputyError {
  try {
    const door = gatewayOf(settings)
    // Asks the machine for the addresses of a tailnet, which may not be there.
    return door.hosts.length > 0 ? door : new DeputyError('CONFIG_INVALID', 'The gateway would listen nowhere.')
  } catch (error) {
    if (error instanceof DeputyError) return error
    throw error
  }
}

function unsafe(problem: DeputyError): Finding {
  return finding('door.bind', 'error', {
    what: 'The gateway cannot listen as it is configured.',
    why: 'It does not start: the address is not there.',
    evidence: `${problem.message} [${problem.code}]`,
    fix: problem.fix,
  })
}

function portOf({ gateway }: Patient, { port, hosts }: Gateway): Verdict {
  const where = hosts.map(host => `${host}:${port}`).join(' and ')
  if (port === 0) return { says: ['the system chooses the port at each start (gateway.port is 0)'], findings: [] }
  const owner = portOwner(port)
  if (owner === null)
    return gateway.state === 'running'
      ? { says: [], findings: [elsewhere(port)] }
      : { says: [`${where} is free for the next start`], findings: [] }
  const ours = gateway.state === 'running' && owner.pid === gateway.status.pid
  if (ours) return { says: [`listens on ${where}`], findings: [] }
  if (gateway.state === 'silent' && owner.pid === gateway.pid) return { says: [], findings: [] }
  return { says: [], findings: [taken(port, owner)] }
}

function elsewhere(port: number): Finding {
  return finding('door.port-closed', 'warning', {
    what: 'The running gateway does not listen on the configured port.',
    why: 'Browsers and other clients cannot reach it. Commands and delegation do not need the port and go on.',
    evidence: `nothing of this user listens on port ${port}`,
    fix: 'gateway.port and gateway.bind take effect at a start: stop the gateway and start it again.',
  })
}

function taken(port: number, owner: { pid: number; command: string }): Finding {
  const peer = /openclaw/i.test(owner.command)
  return finding('door.port-taken', 'error', {
    what: peer ? 'An OpenClaw gateway holds the port.' : 'Another program holds the port.',
    why: peer
      ? 'Both have the same default port. Deputy does not start beside it, and clients that are meant for one reach the other.'
      : 'The gateway does not start while it does.',
    evidence: `port ${port}: process ${owner.pid} (${owner.command})`,
    fix: `Stop it (kill ${owner.pid}), or choose another: deputy config set gateway.port ${port + 1}`,
  })
}

function shown({ auth }: Gateway): string {
  const beside = auth.remoteDevices === 'required' ? 'and from elsewhere an approved device beside it' : 'from anywhere'
  if (auth.mode === 'token' || auth.mode === 'password') return `the gateway ${auth.mode}, ${beside}`
  return auth.mode === 'trusted-proxy' ? 'what the trusted proxy says of them' : 'nothing'
}

function openness(door: Gateway): Finding[] {
  const { auth, hosts, loopback, allowedOrigins } = door
  const findings: Finding[] = []
  if (auth.mode === 'none')
    findings.push(
      finding('door.open', 'warning', {
        what: 'Nobody is asked who they are.',
        why: 'Every program and every user of this machine that reaches the port is the operator.',
        evidence: `gateway.auth.mode is "none"; listens on ${hosts.join(', ')}`,
        fix: 'deputy config set gateway.auth.mode token',
      }),
    )
  if (!loopback && auth.mode !== 'none' && auth.remoteDevices === 'optional')
    findings.push(
      finding('door.secret-alone', 'warning', {
        what: 'From other machines the secret alone is enough.',
        why: 'Whoever gets hold of it once is the operator from anywhere, and no device can be taken back.',
        evidence: `gateway.auth.remoteDevices is "optional"; listens on ${hosts.join(', ')}`,
        fix: 'deputy config set gateway.auth.remoteDevices required',
      }),
    )
  if (allowedOrigins.includes('*'))
    findings.push(
      finding('door.any-origin', 'warning', {
        what: 'Any web page may connect.',
        why: 'A page that you open elsewhere can talk to the gateway with what your browser knows.',
        evidence: 'gateway.controlUi.allowedOrigins has "*"',
        fix: 'Name the pages: deputy config set gateway.controlUi.allowedOrigins \'["https://deputy.example"]\'',
      }),
    )
  return findings
}

/** What the list of proxies does and does not do. It is the usual first attempt against "pairing required". */
function proxies({ trustedProxies, auth }: Gateway): string[] {
  if (trustedProxies.length === 0) return []
  const local = trustedProxies.filter(entry => isLoopback(entry))
  const says = [
    `believes forwarded addresses from ${trustedProxies.join(', ')}: as addresses, for counting failed attempts and for display`,
  ]
  if (local.length > 0)
    says.push(
      `${local.join(', ')} in gateway.trustedProxies makes nobody local and grants nothing: a connection with forwarding headers counts as remote, whoever sent them`,
    )
  if (auth.mode === 'trusted-proxy' && local.length > 0 && !auth.trustedProxy?.allowLoopback)
    says.push('a proxy on this machine may say who its users are only with gateway.auth.trustedProxy.allowLoopback')
  return says
}

export function isLoopback(entry: string): boolean {
  const [ip = ''] = entry.split('/')
  return ip === '::1' || (isIP(ip) === 4 && ip.startsWith('127.'))
}
