/**
 * Where the service's channels stand: a direct chat, a group, a channel of a server, a thread of one.
 *
 * Owns a bounded memory of what the service answered. Asks once a channel, and again after it was changed; never about a
 * direct chat that an event told of, since then as many calls as strangers write would hold up everybody else's messages.
 */
import type { APIChannel } from 'discord-api-types/v10'
import type { Place } from './inbound.ts'

export interface Places {
  of(channel: string): Promise<Place>
  /** An event that names no server tells of a direct chat: bots are in no groups. */
  isDirect(channel: string): void
  /** It was changed or is gone. */
  forget(channel: string): void
}

const most = 2000
/** Kinds of the API: a direct chat, a group of people, and threads in news, in public and in private. */
const direct = 1
const group = 3
const threads = new Set([10, 11, 12])

export function openPlaces(ask: (channel: string) => Promise<APIChannel>): Places {
  const known = new Map<string, Promise<Place>>()

  async function look(channel: string): Promise<Place> {
    const raw = (await ask(channel)) as APIChannel & {
      name?: string | null
      guild_id?: string
      parent_id?: string | null
    }
    const title = raw.name ?? null
    if (raw.type === direct) return directPlace(channel)
    if (raw.type === group) return { kind: 'group', id: channel, thread: null, title, guild: null }
    const guild = raw.guild_id ?? null
    if (threads.has(raw.type) && raw.parent_id)
      return { kind: 'channel', id: raw.parent_id, thread: channel, title, guild }
    return { kind: 'channel', id: channel, thread: null, title, guild }
  }

  function keep(channel: string, place: Promise<Place>): void {
    known.set(channel, place)
    for (const oldest of known.keys()) {
      if (known.size <= most) break
      known.delete(oldest)
    }
  }

  return {
    of(channel) {
      const found = known.get(channel)
      if (found) return found
      const asked = look(channel)
      keep(channel, asked)
      asked.catch(() => known.delete(channel))
      return asked
    },
    isDirect(channel) {
      if (!known.has(channel)) keep(channel, Promise.resolve(directPlace(channel)))
    },
    forget: channel => void known.delete(channel),
  }
}

function directPlace(channel: string): Place {
  return { kind: 'direct', id: channel, thread: null, title: null, guild: null }
}
