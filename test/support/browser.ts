/**
 * Chromium without a window, spoken to over its own debugging protocol: nothing has to be installed but the browser.
 *
 * Owns the process and its profile. A tab is a browser of its own: another profile, with no key of the others.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
/** Null where there is none. */
export const chromium = process.env['CHROMIUM'] ?? places.find(place => existsSync(place)) ?? null

export interface Tab {
  open(url: string): Promise<void>
  /** The value of an expression in the page. */
  evaluate(expression: string): Promise<unknown>
  /** The words of the page, as soon as they fit. */
  says(words: RegExp): Promise<string>
  /** What the console and the page's errors said. */
  readonly console: readonly string[]
  picture(path: string): Promise<void>
}

export interface Browser {
  tab(): Promise<Tab>
  close(): Promise<void>
}

type Message = { id?: number; sessionId?: string; method?: string; params?: never; result?: never; error?: unknown }

export async function openBrowser(): Promise<Browser> {
  if (chromium === null)
    throw new Error('There is no Chromium; install it (apt install chromium) or name it in CHROMIUM.')
  const profile = mkdtempSync(join(tmpdir(), 'deputy-browser-'))
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking']
  const args = [...flags, '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank']
  const child = spawn(chromium, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const address = await new Promise<string>((resolve, reject) => {
    let said = ''
    child.stderr.on('data', chunk => {
      said += String(chunk)
      const found = /DevTools listening on (ws:\S+)/.exec(said)
      if (found) resolve(found[1]!)
    })
    child.once('exit', () => reject(new Error(`Chromium ended: ${said}`)))
  })
  const socket = new WebSocket(address, { perMessageDeflate: false })
  await new Promise(resolve => socket.once('open', resolve))
  const waiting = new Map<number, { resolve(value: never): void; reject(error: Error): void }>()
  const listeners = new Map<string, (message: Message) => void>()
  let next = 1
  socket.on('message', data => {
    const message = JSON.parse(String(data)) as Message
    if (message.id === undefined) return listeners.get(message.sessionId ?? '')?.(message)
    const asked = waiting.get(message.id)
    waiting.delete(message.id)
    if (message.error) asked?.reject(new Error(JSON.stringify(message.error)))
    else asked?.resolve(message.result as never)
  })
  const send = <T>(method: string, params: object = {}, sessionId?: string): Promise<T> =>
    new Promise((resolve, reject) => {
      const id = next++
      waiting.set(id, { resolve, reject })
      socket.send(JSON.stringify({ id, method, params, sessionId }))
    })

  return {
    async tab() {
      const { browserContextId } = await send<{ browserContextId: string }>('Target.createBrowserContext')
      const { targetId } = await send<{ targetId: string }>('Target.createTarget', {
        url: 'about:blank',
        browserContextId,
      })
      const { sessionId } = await send<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true })
      const said: string[] = []
      listeners.set(sessionId, ({ method, params }) => {
        if (/consoleAPICalled|exceptionThrown|entryAdded/.test(method ?? '')) said.push(JSON.stringify(params))
      })
      for (const domain of ['Page', 'Runtime', 'Log']) await send(`${domain}.enable`, {}, sessionId)
      const evaluate = async (expression: string) => {
        const options = { expression, awaitPromise: true, returnByValue: true }
        const { result } = await send<{ result: { value?: unknown } }>('Runtime.evaluate', options, sessionId)
        return result.value
      }
      return {
        console: said,
        evaluate,
        async open(url) {
          // A change of the fragment alone would load nothing.
          await send('Page.navigate', { url: 'about:blank' }, sessionId)
          await send('Page.navigate', { url }, sessionId)
        },
        async says(words) {
          let text = ''
          for (const end = Date.now() + 20_000; Date.now() < end; await sleep(50)) {
            text = String((await evaluate('document.body?.innerText ?? ""')) ?? '')
            if (words.test(text)) return text
          }
          throw new Error(`the page does not say ${words}:\n${text}\n${said.join('\n')}`)
        },
        async picture(path) {
          const { data } = await send<{ data: string }>('Page.captureScreenshot', { format: 'png' }, sessionId)
          writeFileSync(path, data, 'base64')
        },
      }
    },
    async close() {
      socket.terminate()
      child.kill('SIGKILL')
      await ended
      rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    },
  }
}
