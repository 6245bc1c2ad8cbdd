/**
 * Doctor: the state directory, who can enter it, what lies in it open, whether there is room.
 */
import { chmodSync, readdirSync, rmSync, type Stats, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isThere, prepareHome } from '../../config/home.ts'
import { agentIds, agentOf } from '../../config/read.ts'
import { takeHomeLock } from '../../store/lock.ts'
import { bytes } from '../format.ts'
import { type Check, type Finding, finding, type Patient } from './types.ts'

/** Less free space than this and the next transactions may not fit, bytes. */
const roomBytes = 200 * 1024 * 1024
/** What the kernel takes for the path of a unix socket. */
const longestSocket = 107
/** File systems on which SQLite's locks and shared memory cannot be relied on (statfs(2)). */
const shared: readonly (readonly [magic: number, name: string])[] = [
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
]

export const homeCheck: Check = {
  id: 'home',
  title: 'home',
  async run(patient) {
    const { home } = patient.context
    const facts = statSync(home.dir, { throwIfNoEntry: false })
    if (!facts) return { says: [`${home.dir} is not there yet; the first start makes it`], findings: [] }
    if (!facts.isDirectory()) return { says: [], findings: [notADirectory(home.dir)] }
    const findings = [
      ...owner(facts, home.dir),
      ...entered(patient, facts),
      ...open(patient),
      ...room(home.dir),
      ...socket(patient),
    ]
    const mode = (statSync(home.dir).mode & 0o777).toString(8)
    const { bavail, bsize } = statfsSync(home.dir)
    return { says: [`${home.dir}, mode 0${mode}, ${bytes(bavail * bsize)} free`], findings }
  },
}

function notADirectory(path: string): Finding {
  return finding('home.file', 'error', {
    what: 'A file stands where the state directory should be.',
    why: 'Nothing can be kept, so the gateway does not start.',
    evidence: `${path} is not a directory`,
    fix: `Move it away, or name another with --home.`,
  })
}

function owner(facts: Stats, path: string): Finding[] {
  const us = process.getuid?.()
  if (us === undefined || facts.uid === us) return []
  return [
    finding('home.owner', 'error', {
      what: 'The state directory belongs to another user.',
      why: 'The gateway refuses a home that somebody else can change.',
      evidence: `${path} belongs to user ${facts.uid}; this is user ${us}`,
      fix: `Run deputy as user ${facts.uid}, or give it to this one: sudo chown -R ${us} ${path}`,
    }),
  ]
}

function entered({ context: { home } }: Patient, facts: Stats): Finding[] {
  if ((facts.mode & 0o077) === 0) return []
  const ours = readdirSync(home.dir).some(name => ['deputy.json', 'deputy.sqlite', 'home.lock'].includes(name))
  return [
    finding('home.mode', 'error', {
      what: 'Other users of this machine can enter the state directory.',
      why: 'Whoever can open the socket in it is the operator, and the token lies in it.',
      evidence: `${home.dir} has mode 0${(facts.mode & 0o777).toString(8)}`,
      fix: `chmod 700 ${home.dir}`,
      // A directory that holds other things is not ours to close.
      mend: ours ? () => prepareHome(home).join('; ') : null,
    }),
  ]
}

/** Files with secrets or conversations in them that others could read if they came into the directory. */
function open(patient: Patient): Finding[] {
  const loose = secretFiles(patient).flatMap(path => {
    const facts = statSync(path, { throwIfNoEntry: false })
    if (!facts?.isFile() || facts.uid !== process.getuid?.() || (facts.mode & 0o077) === 0) return []
    return [{ path, mode: (facts.mode & 0o777).toString(8) }]
  })
  if (loose.length === 0) return []
  return [
    finding('home.files', 'warning', {
      what: `${loose.length === 1 ? 'A file' : `${loose.length} files`} with secrets or conversations can be read by others.`,
      why: 'Only the mode of the directory above still keeps other users out.',
      evidence: loose.map(({ path, mode }) => `${path} has mode 0${mode}`).join(', '),
      fix: `chmod 600 ${loose.map(({ path }) => path).join(' ')}`,
      mend() {
        for (const { path } of loose) chmodSync(path, 0o600)
        return `closed ${loose.map(({ path }) => path).join(', ')}`
      },
    }),
  ]
}

function secretFiles({ context: { home }, settings }: Patient): string[] {
  const top = readdirSync(home.dir).filter(name => /^(\.env|deputy\.(json|sqlite))/.test(name))
  const agents = settings === null ? [] : agentIds(settings).map(id => agentOf(settings, id).agentDir)
  return [...top.map(name => join(home.dir, name)), ...agents.map(dir => join(dir, 'auth-profiles.json'))]
}

function room(dir: string): Finding[] {
  const { bavail, bsize, type } = statfsSync(dir)
  const free = bavail * bsize
  const name = shared.find(([magic]) => magic === type)?.[1]
  return [
    ...(free >= roomBytes
      ? []
      : [
          finding('home.room', 'warning', {
            what: 'The disk is nearly full.',
            why: 'Without room nothing new can be recorded: messages are refused until there is some again.',
            evidence: `${bytes(free)} free on the file system of ${dir}`,
            fix: 'Free some space.',
          }),
        ]),
    ...(name === undefined
      ? []
      : [
          finding('home.network', 'warning', {
            what: 'The state directory lies on a network file system.',
            why: 'SQLite needs locks and shared memory that work; over the network they can fail silently and damage the database.',
            evidence: `${dir} is on ${name}`,
            fix: 'Put the home on a local disk: --home or DEPUTY_HOME.',
          }),
        ]),
  ]
}

function socket({ context: { home }, gateway }: Patient): Finding[] {
  const length = Buffer.byteLength(home.socket)
  if (length > longestSocket)
    return [
      finding('home.socket-path', 'error', {
        what: 'The path of the unix socket is too long.',
        why: 'The kernel does not open it, so the commands cannot reach a gateway.',
        evidence: `${home.socket} has ${length} bytes; at most ${longestSocket} are possible`,
        fix: 'Use a home with a shorter path.',
      }),
    ]
  if (gateway.state === 'silent')
    return [
      finding('home.silent', 'error', {
        what: 'A process holds the home and does not answer.',
        why: 'No command reaches the gateway, and no other can be started on this home.',
        evidence: `process ${gateway.pid ?? '(unknown)'} holds ${home.lock}; the socket says: ${gateway.why}`,
        fix: gateway.pid === null ? 'Look for the process and end it.' : `kill ${gateway.pid}`,
      }),
    ]
  if (gateway.state === 'running' || !isThere(home.socket)) return []
  return [
    finding('home.stale-socket', 'warning', {
      what: 'The socket of a gateway that is gone lies in the home.',
      why: 'Its last stop was no clean one. Programs that look for the file take the gateway for alive.',
      evidence: `${home.socket} exists, and no process holds ${home.lock}`,
      fix: `rm ${home.socket}, or start the gateway: it replaces it`,
      mend() {
        // With the lock in hand no gateway can have made a new one meanwhile.
        const lock = takeHomeLock(home.dir)
        try {
          rmSync(home.socket, { force: true })
        } finally {
          lock.release()
        }
        return `removed ${home.socket}`
      },
    }),
  ]
}
