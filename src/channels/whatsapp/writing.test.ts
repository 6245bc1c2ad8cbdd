/** How words look in WhatsApp, and which messages they become. */
import { expect, test } from 'vitest'
import type { OutboundMedia } from '../../core/chat.ts'
import { maxText, messageId, partsOf } from './writing.ts'

const texts = (markdown: string) => partsOf({ text: markdown }, maxText).map(part => part.text)

test.each([
  ['**bold**, *italic* and ~~gone~~', '*bold*, _italic_ and ~gone~'],
  ['`code` and\n\n```ts\nlet x = 1\n```', '`code` and\n\n```\nlet x = 1\n```'],
  ['# A heading', '*A heading*'],
  ['[words](https://a.example/x) https://b.example', 'words (https://a.example/x) https://b.example'],
  ['> quoted\n> twice', '> quoted\n> twice'],
  // Signs within a word are no marks there.
  ['un**bold**ed, file_name_x', 'unbolded, file_name_x'],
])('%j is shown as %j', (markdown, shown) => {
  expect(texts(markdown)).toEqual([shown])
})

test('a mark ends with its line, and begins again on the next', () => {
  expect(texts('**one\ntwo**')).toEqual(['*one*\n*two*'])
})

const file = (kind: OutboundMedia['kind'], name = 'f'): OutboundMedia => ({
  path: `/media/${name}`,
  name,
  mimeType: 'application/octet-stream',
  bytes: 1,
  kind,
  voice: false,
})

test('files carry words that fit beneath them; the first part answers', () => {
  const image = file('image')
  expect(partsOf({ text: 'look', media: [image, file('document')], replyTo: 'Q' }, maxText)).toEqual([
    { text: 'look', media: [image], replyTo: 'Q' },
    { text: '', media: [file('document')] },
  ])
  expect(partsOf({ text: 'listen', media: [file('audio')] }, maxText).map(part => part.text)).toEqual(['listen', ''])
  expect(partsOf({ text: 'w'.repeat(2000), media: [image] }, maxText)).toHaveLength(2)
})

test('buttons are said in words, since there are none', () => {
  const buttons = [
    [
      { label: 'Allow', value: '/approve a1 once' },
      { label: 'Deny', value: '/approve a1 deny' },
    ],
  ]
  expect(partsOf({ text: 'May I?', buttons }, maxText)).toEqual([
    { text: 'May I?\n\nAllow: `/approve a1 once`\nDeny: `/approve a1 deny`' },
  ])
})

test('an id is the same for a key, and has the form of the others', () => {
  expect(messageId('out-1')).toBe(messageId('out-1'))
  expect(messageId('out-1')).not.toBe(messageId('out-2'))
  expect(messageId('out-1')).toMatch(/^3EB0[0-9A-F]{18}$/)
})
