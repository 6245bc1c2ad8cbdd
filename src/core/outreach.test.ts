import { describe, expect, test } from 'vitest'
import { marked, type Outreach, outreach, type OutreachRules, unable } from './outreach.ts'

const own = { channel: 'telegram', account: 'default', to: '42', thread: '7' }
const rules: OutreachRules = {
  withinProvider: true,
  acrossProviders: false,
  marker: { prefix: '[from {channel}] ', suffix: '' },
  actions: null,
}
const want = (over: Partial<Outreach> = {}): Outreach => ({
  action: 'send',
  channel: null,
  account: null,
  to: null,
  thread: null,
  ...over,
})

describe('to which chat an agent may write', () => {
  test('its own, by default, in the thread where it is talked to', () => {
    expect(outreach(own, want(), rules)).toEqual({ ok: true, route: own, foreign: false })
    expect(outreach(own, want({ to: '42', thread: '9' }), { ...rules, withinProvider: false })).toEqual({
      ok: true,
      route: { ...own, thread: '9' },
      foreign: false,
    })
  })

  test('others of the same service where that is allowed, under its own account', () => {
    const { thread: _, ...there } = { ...own, to: '43' }
    expect(outreach(own, want({ to: '43' }), rules)).toEqual({ ok: true, route: there, foreign: true })
    expect(outreach(own, want({ to: '43' }), { ...rules, withinProvider: false })).toMatchObject({ ok: false })
    expect(outreach(own, want({ account: 'work' }), rules)).toMatchObject({ ok: false })
    expect(outreach(own, want({ account: 'work', to: '42' }), { ...rules, withinProvider: false }).ok).toBe(false)
  })

  test('other services only where that is allowed', () => {
    const there = want({ channel: 'slack', to: 'C1' })
    expect(outreach(own, there, rules)).toMatchObject({ ok: false })
    expect(outreach(own, there, { ...rules, acrossProviders: true })).toEqual({
      ok: true,
      route: { channel: 'slack', account: 'default', to: 'C1' },
      foreign: true,
    })
    expect(outreach(own, want({ channel: 'slack' }), { ...rules, acrossProviders: true }).ok).toBe(false)
  })

  test('any that is named, from a conversation that is in no chat', () => {
    expect(outreach(null, want(), rules)).toMatchObject({ ok: false })
    expect(outreach(null, want({ channel: 'slack', to: 'C1' }), rules)).toMatchObject({ ok: true, foreign: false })
  })

  test('with the actions that the operator allows', () => {
    expect(outreach(own, want({ action: 'poll' }), { ...rules, actions: ['send'] })).toMatchObject({ ok: false })
    expect(outreach(own, want(), { ...rules, actions: ['send'] }).ok).toBe(true)
  })
})

test('what is said in another chat says where it comes from', () => {
  expect(marked({ text: 'hi' }, 'telegram', rules)).toEqual({ text: '[from telegram] hi' })
  expect(marked({ text: 'hi' }, 'telegram', { ...rules, marker: null })).toEqual({ text: 'hi' })
  expect(marked({ text: '', react: { message: '1', emoji: '👍' } }, 'telegram', rules).text).toBe('')
})

test('what a service cannot show is refused, but words never are', () => {
  const none = {
    edit: false,
    threads: false,
    reactions: false,
    media: false,
    typing: false,
    buttons: false,
    polls: false,
    binds: null,
    maxText: 100,
  }
  expect(unable({ text: 'x', buttons: [[{ label: 'a', value: 'b' }]] }, none)).toBeNull()
  expect(unable({ text: '', react: { message: '1', emoji: 'x' } }, none)).toMatch('reactions')
  expect(unable({ text: 'x', edit: '1' }, none)).toMatch('change')
  expect(unable({ text: '', poll: { question: 'q', options: ['a', 'b'], multiple: false } }, none)).toMatch('polls')
  const file = { path: '/x', name: 'x', mimeType: 'text/plain', bytes: 1, kind: 'document', voice: false } as const
  expect(unable({ text: '', media: [file] }, none)).toMatch('files')
})
