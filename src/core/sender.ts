/**
 * One form for the ids of people, so that what a configuration lists and what a service says are the same word.
 *
 * Pure. Invariants: two different people of a service never get the same form; a user name (`@name`) never stands for anybody,
 * since whoever gives it up leaves it to the next who asks.
 */
import type { ChatSender } from './chat.ts'

/** Other names of a service before an id, as people write them in lists. */
const prefixes: Readonly<Record<string, readonly string[]>> = {
  telegram: ['telegram:', 'tg:'],
  whatsapp: ['whatsapp:', 'wa:'],
  discord: ['discord:', 'user:', 'pk:'],
  slack: ['slack:', 'user:'],
}

export function senderForm(channel: string, raw: string): string {
  let id = raw.trim().toLowerCase()
  for (const prefix of prefixes[channel] ?? [`${channel}:`]) if (id.startsWith(prefix)) id = id.slice(prefix.length)
  if (channel !== 'whatsapp') return id
  // 4912345@s.whatsapp.net, 4912345:7@s.whatsapp.net (one of their devices) and +49 123-45 are one number.
  const [, user, host] = /^([^@:]+)(?::\d+)?@(.+)$/.exec(id) ?? []
  if (user !== undefined) return host === 's.whatsapp.net' ? `+${user}` : `${user}@${host}`
  const digits = id.replace(/[\s().-]/g, '')
  return /^\+?\d+$/.test(digits) ? `+${digits.replace(/^\+/, '')}` : id
}

/** Of the form that a list has it in. */
export function isUserName(form: string): boolean {
  return form.startsWith('@')
}

/** Every form of a person's ids, the one that stands in rows first: a number rather than an id that only the service knows. */
export function formsOf(channel: string, sender: Pick<ChatSender, 'id' | 'also'>): readonly string[] {
  const all = [sender.id, ...sender.also].map(id => senderForm(channel, id))
  const forms = [...new Set(all)].filter(form => !isUserName(form))
  const best = channel === 'whatsapp' ? forms.find(form => form.startsWith('+')) : undefined
  return best === undefined ? forms : [best, ...forms.filter(form => form !== best)]
}
