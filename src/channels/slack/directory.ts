/**
 * Names of people and channels by their ids: the service sends ids, people and the configuration speak of names.
 *
 * Owns what was looked up and how long it holds. A courtesy: whatever goes wrong, there is no name then, and the message is
 * not held up for long by it.
 */
import type { WebClient } from '@slack/web-api'
import type { Clock } from '../../core/ports.ts'

export interface Directory {
  userName(id: string): Promise<{ handle: string; name: string } | null>
  /** Without `#`. */
  channelName(id: string): Promise<string | null>
}

const holdsMs = 3_600_000
const holdsFailedMs = 60_000
const patienceMs = 2000
const most = 5000

export function openDirectory(web: () => Promise<WebClient>, clock: Clock): Directory {
  const known = new Map<string, { until: number; value: Promise<unknown> }>()

  function get<T>(key: string, look: (web: WebClient) => Promise<T | null>): Promise<T | null> {
    const found = known.get(key)
    if (found && found.until > clock.now()) return found.value as Promise<T | null>
    if (known.size >= most) known.clear()
    const entry = { until: clock.now() + holdsMs, value: Promise.resolve() as Promise<unknown> }
    const failed = (): null => {
      entry.until = clock.now() + holdsFailedMs
      return null
    }
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<null>(resolve => {
      timer = setTimeout(() => resolve(failed()), patienceMs)
    })
    const value = Promise.race([web().then(look).catch(failed), late]).finally(() => clearTimeout(timer))
    entry.value = value
    known.set(key, entry)
    return value
  }

  return {
    userName: id =>
      get(id, async web => {
        const { user } = await web.users.info({ user: id })
        const name = user?.profile?.display_name || user?.real_name || user?.name
        return user?.name && name ? { handle: user.name, name } : null
      }),
    channelName: id => get(id, async web => (await web.conversations.info({ channel: id })).channel?.name ?? null),
  }
}
