import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'deputy-app-'))
  writeFileSync(join(home, 'deputy.json'), '{ gateway: { port: 0 } }', { mode: 0o600 })
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

/** Runs a script around the real house in a process of its own; `app` is open in it, `lines` is its log. */
function around(script: string): Promise<{ code: number | null; out: string }> {
  const source = `
    const { openApp } = await import(${JSON.stringify(`file://${resolve(import.meta.dirname, '../../src/app.ts')}`)})
    const lines = []
    const env = { PATH: process.env.PATH, HOME: ${JSON.stringify(home)}, OLLAMA_HOST: 'http://127.0.0.1:9' }
    const options = { home: ${JSON.stringify(home)}, env, log: line => lines.push(line), tcp: false, version: '0.0.0' }
    const app = await openApp(options)
    const turn = () => new Promise(resolve => setTimeout(resolve, 20))
    const ask = method => app.gateway.inject({ type: 'req', id: '1', method, params: {} },
      { kind: 'operator', via: 'socket', user: null, scopes: ['operator.admin'] })
    ${script}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source])
  let out = ''
  child.stdout.on('data', chunk => (out += chunk))
  child.stderr.on('data', chunk => (out += chunk))
  return new Promise(resolve => void child.on('close', code => resolve({ code, out })))
}

test('a rejection that nobody caught is told with its place, and ends nothing', async () => {
  const { code, out } = await around(`
    Promise.reject(new Error('nobody caught this'))
    await turn()
    const [answer] = await ask('health')
    console.log(answer.ok, lines.filter(line => line.includes('nobody caught this')).join())
    await app.stop()`)
  expect({ code, out: code === 0 ? '' : out }).toEqual({ code: 0, out: '' })
  expect(out).toMatch(/^true .*INTERNAL Error: nobody caught this\s+at /)
})

test('one room that cannot be closed keeps none of the others open, and nothing stays behind', async () => {
  const { code, out } = await around(`
    const close = app.gateway.close
    app.gateway.close = async () => { await close(); throw new Error('the door is stuck') }
    await app.stop()
    console.log(lines.filter(line => line.includes('stuck')).join())
    const again = await openApp(options)
    await again.stop()
    console.log('opened again', process.listenerCount('unhandledRejection'))`)
  expect({ code, out: code === 0 ? '' : out }).toEqual({ code: 0, out: '' })
  expect(out).toMatch(/stopping: the door is stuck\nopened again 0\n/)
})
