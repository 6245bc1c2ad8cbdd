/**
 * Process groups: who they are, and how they are ended for good.
 *
 * Owns the mark by which a process group is known after a restart, and ending by SIGTERM, then SIGKILL. Never starts one.
 * Invariants: 1 a group is ended only if its leader is the very process that the mark was made of: a process number that
 * was given out again, or another boot of the machine, fits no mark. 2 ending takes at most two seconds.
 * A mark: `startedAt` is `<boot id>/<start time in clock ticks>/<key>`. The key is the call's for commands outside the
 * sandbox, whose processes may leave their group and are then known by the key in their environment, as far as they kept
 * it; inside the sandbox it is empty, since there nothing outlives the group's leader.
 */
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Mark {
  pgid: number
  startedAt: string
}

/** Set for commands outside the sandbox. */
export const callVariable = 'DEPUTY_CALL'

const graceMs = 1000
const killMs = 700

/** Null when the process is gone, or on a system without /proc. */
export async function markOf(pid: number, key: string): Promise<Mark | null> {
  const [boot, stat] = await Promise.all([bootId(), statOf(pid)])
  return stat && boot ? { pgid: pid, startedAt: `${boot}/${stat.startTicks}/${key}` } : null
}

/**
 * Ends a process group that an earlier life of the gateway started. `gone`: nothing of it was there any more; `alive`: it
 * could not be ended.
 */
export async function endProcess(mark: Mark): Promise<'ended' | 'gone' | 'alive'> {
  const [boot = '', ticks = '', ...key] = mark.startedAt.split('/')
  if (boot === '' || boot !== (await bootId())) return 'gone'
  const leader = await statOf(mark.pgid)
  const left = remaining(leader?.startTicks === ticks ? [mark.pgid] : [], key.join('/'))
  if ((await left()).length === 0) return 'gone'
  return (await kill(left)) ? 'ended' : 'alive'
}

/**
 * Ends groups of ours: asks `polite` (the group of the command itself) to end, and after a grace makes all of them end.
 * False when something of them is still alive after that.
 */
export async function endGroups(
  groups: readonly number[],
  polite: number | null,
  key: string,
  exited: Promise<unknown>,
): Promise<boolean> {
  if (polite !== null) {
    signal(-polite, 'SIGTERM')
    await Promise.race([exited, sleep(graceMs, undefined, { ref: false })])
  }
  return kill(remaining(groups, key))
}

/** Ends what a command that has exited left behind. */
export function sweep(group: number, key: string): Promise<boolean> {
  return kill(remaining([group], key))
}

/** What is still alive of some groups and of the processes that left them, as targets of a signal. */
function remaining(groups: readonly number[], key: string): () => Promise<number[]> {
  return async () => {
    const alive = await Promise.all(groups.map(hasMembers))
    return [...groups.filter((_, at) => alive[at]).map(group => -group), ...(await strays(key))]
  }
}

/** Sends SIGKILL to whatever `left` names until it names nothing; false when the time runs out. */
async function kill(left: () => Promise<number[]>): Promise<boolean> {
  const until = performance.now() + killMs
  for (;;) {
    const targets = await left()
    if (targets.length === 0) return true
    if (performance.now() > until) return false
    for (const target of targets) signal(target, 'SIGKILL')
    await sleep(10)
  }
}

/** Whether the group has a member that is more than a zombie waiting for its parent. */
async function hasMembers(group: number): Promise<boolean> {
  try {
    process.kill(-group, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const pids = await processes()
  if (pids.length === 0) return true
  const stats = await Promise.all(pids.map(statOf))
  return stats.some(stat => stat?.pgrp === group && stat.state !== 'Z')
}

/** Every process number; empty on a system without /proc. */
async function processes(): Promise<number[]> {
  if (process.platform !== 'linux') return []
  return (await readdir('/proc')).filter(name => /^\d+$/.test(name)).map(Number)
}

/** Processes that carry the key of a call in their environment, wherever they have gone. */
async function strays(key: string): Promise<number[]> {
  if (key === '') return []
  const wanted = Buffer.from(`${callVariable}=${key}\0`)
  const pids = await processes()
  const found = await Promise.all(
    pids.map(async pid => {
      // A process of somebody else, or one that has just ended, is none of ours.
      const environ = await readFile(`/proc/${pid}/environ`).catch(() => Buffer.alloc(0))
      return environ.includes(wanted) && pid !== process.pid
    }),
  )
  return pids.filter((_, at) => found[at])
}

function signal(target: number, name: NodeJS.Signals): void {
  try {
    process.kill(target, name)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // Gone already, or changed its user: whether it is still there is looked at afterwards.
    if (code !== 'ESRCH' && code !== 'EPERM') throw error
  }
}

/** State, process group and start time; null when there is no such process. */
export async function statOf(pid: number): Promise<{ state: string; pgrp: number; startTicks: string } | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(error => {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return null
    throw error
  })
  if (text === null) return null
  // The name in brackets may hold anything, brackets and spaces included.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', pgrp: Number(fields[2]), startTicks: fields[19] ?? '' }
}

async function bootId(): Promise<string> {
  return readFile('/proc/sys/kernel/random/boot_id', 'latin1').then(
    text => text.trim(),
    error => {
      if (error.code === 'ENOENT') return ''
      throw error
    },
  )
}
