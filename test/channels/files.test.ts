/**
 * Files through a whole turn, both ways, over the wire of each service: what a person sends reaches the model or is named to
 * it and lies in the workspace; what the agent sends out of the workspace reaches the person byte for byte.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openApp } from '../../src/app.ts'
import { until } from '../support/app.ts'
import { type FilePlace, places, type Sample } from '../support/chat-files.ts'
import { stubConfig } from '../support/gateway.ts'
import { type Provider, startProvider } from '../support/provider.ts'

const fill = (head: Buffer | string, bytes: number) => Buffer.concat([Buffer.from(head), Buffer.alloc(bytes, 7)])
const png = fill(Buffer.from('89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de', 'hex'), 900)
const opus = fill(`OggS\0\x02${'\0'.repeat(20)}\x01\x13OpusHead\x01\x01`, 700)
const webp = fill('RIFF\x24\x00\x00\x00WEBPVP8 ', 300)
const pdf = fill('%PDF-1.7\n', 2000)

const samples: Record<string, Sample> = {
  picture: { kind: 'picture', name: 'cat.png', mimeType: 'image/png', bytes: png },
  voice: { kind: 'voice', name: 'voice.ogg', mimeType: 'audio/ogg; codecs=opus', bytes: opus },
  document: { kind: 'document', name: '../../plan.pdf', mimeType: 'application/pdf', bytes: pdf },
  sticker: { kind: 'sticker', name: 'fun.webp', mimeType: 'image/webp', bytes: webp },
}

interface Turns extends FilePlace {
  provider: Provider
  home: string
}

async function open(name: string, model: Record<string, unknown> = {}, api = 'openai-completions'): Promise<Turns> {
  const home = mkdtempSync(join(tmpdir(), 'deputy-files-'))
  const place = await places[name]!(home)
  const provider = await startProvider()
  const baseUrl = api === 'google-generative-ai' ? provider.googleUrl : provider.baseUrl
  const models = [{ id: 'm', contextWindow: 200_000, maxTokens: 4096, cost: { input: 1, output: 1 }, ...model }]
  const config = {
    ...stubConfig(provider.baseUrl, { channels: place.block }),
    models: { providers: { stub: { baseUrl, api, apiKey: 'k-1234567890', models } } },
  }
  writeFileSync(join(home, 'deputy.json'), JSON.stringify(config), { mode: 0o600 })
  mkdirSync(join(home, 'workspace'), { recursive: true })
  const app = await openApp({ home, env: {}, log: () => undefined, tcp: false, version: '9.9.9' })
  onTestFinished(async () => {
    await app.stop()
    await provider.close()
    await place.close()
    rmSync(home, { recursive: true, force: true })
  })
  await place.there?.()
  return { ...place, provider, home }
}

/** What the model was shown of the newest message. */
async function shown(provider: Provider, turn: number): Promise<string> {
  const { body } = await provider.request(turn)
  const all = (body['messages'] ?? body['contents']) as { role: string }[]
  // What the house itself says of the moment comes last, as words of the user too.
  const own = all.findLastIndex(({ role }) => role === 'assistant' || role === 'model')
  return JSON.stringify(all.slice(own + 1))
}

for (const name of Object.keys(places)) {
  test(`${name}: a picture is seen, a voice message named, a document and a sticker kept; files go out whole`, async () => {
    const { provider, home, send, received } = await open(name)
    const answered = (n: number) => until(received, seen => seen.filter(({ text }) => text === 'ok').length === n)
    const kept = async (turn: number) => {
      const path = /saved as (inbox\/\w+\.\w+)/.exec(await shown(provider, turn))?.[1]
      return readFileSync(join(home, 'workspace', path!))
    }

    await send(samples['picture']!, 'look at this')
    await answered(1)
    const seen = await shown(provider, 0)
    expect(seen).toContain('look at this')
    expect(seen).toContain(`data:image/png;base64,${png.toString('base64')}`)

    await send(samples['voice']!, '')
    await answered(2)
    const heard = await shown(provider, 1)
    expect(heard).toContain('voice message')
    expect(heard).toContain('cannot listen')
    expect(heard).not.toContain(opus.toString('base64'))
    expect(await kept(1)).toEqual(opus)

    await send(samples['document']!, '')
    await answered(3)
    expect(await shown(provider, 2)).toMatch(/\[file: [^\]]*plan\.pdf: application\/pdf/)
    expect(await kept(2)).toEqual(pdf)

    await send(samples['sticker']!, '')
    await answered(4)
    expect(await shown(provider, 3)).toContain(webp.toString('base64'))

    // And out: what it truly is decides as what it is shown, and a name that claims otherwise does not.
    const files: Record<string, Buffer> = {
      'cat.png': png,
      'note.ogg': opus,
      'plan.pdf': pdf,
      'fake.png': Buffer.from('no picture'),
    }
    for (const [file, bytes] of Object.entries(files)) writeFileSync(join(home, 'workspace', file), bytes)
    provider.script(({ results }) =>
      results.length > 0
        ? {
            text: `said: ${results.at(-1)!.text.slice(0, 300)}`,
          }
        : {
            toolCalls: [
              { name: 'message', args: { message: 'the picture', media: ['cat.png'] } },
              { name: 'message', args: { media: ['note.ogg'], voice: true } },
              { name: 'message', args: { media: ['plan.pdf', 'fake.png'] } },
              { name: 'message', args: { media: ['../deputy.json'] } },
            ],
          },
    )
    await send(samples['document']!, 'now you')
    const all = await until(received, list => list.some(({ text }) => text.startsWith('said:')))
    const sent = all.filter(({ file }) => file !== null)
    const as = {
      whatsapp: ['image', 'voice', 'document', 'document'],
      telegram: ['photo', 'voice', 'document', 'document'],
      discord: ['cat.png', 'note.ogg', 'plan.pdf', 'fake.png'],
      slack: ['cat.png', 'note.ogg', 'plan.pdf', 'fake.png'],
    }
    expect(sent.map(({ file }) => file!.as)).toEqual(as[name as keyof typeof as])
    const whole = sent.map(({ file }, i) => file!.bytes.equals([png, opus, pdf, files['fake.png']!][i]!))
    expect(whole).toEqual([true, true, true, true])
    expect(sent[0]!.text).toBe('the picture')
    expect(all.find(({ text }) => text.startsWith('said:'))!.text).toContain('outside the workspace')
  }, 60_000)
}

test.each(['telegram', 'whatsapp'])('%s: the pictures of an album are one turn', async name => {
  const { provider, album, received } = await open(name)
  const others = [1, 2, 3].map(n => ({ ...samples['picture']!, bytes: fill(png, n) }))
  await album!(others, 'which one?')
  await until(received, seen => seen.some(({ text }) => text === 'ok'))
  const seen = await shown(provider, 0)
  expect(seen).toContain('which one?')
  for (const { bytes } of others) expect(seen).toContain(bytes.toString('base64'))
  expect(provider.requests).toHaveLength(1)
})

test('a model that takes no pictures is told of one; a model that listens is played the voice message', async () => {
  const { provider, send } = await open('telegram', { input: ['text', 'audio'] }, 'google-generative-ai')
  await send(samples['picture']!, 'look')
  expect(await shown(provider, 0)).toContain('takes no images')
  expect(await shown(provider, 0)).not.toContain(png.toString('base64'))
  await send(samples['voice']!, '')
  expect(await shown(provider, 1)).toContain(JSON.stringify({ mimeType: 'audio/ogg', data: opus.toString('base64') }))
})
