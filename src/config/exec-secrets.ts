/**
 * Asks a program for secrets: the exec protocol of openclaw-facts.md §E6, one question for all ids of a provider.
 *
 * Owns the child process, its limits and its environment: it sees what its settings name and nothing else of the gateway's.
 * Never throws for what the program does; every id gets a value or a problem. Its standard error is not passed on, since
 * nobody knows what is in it.
 */
import { spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import { isRecord } from './check.ts'
import type { Config } from './config.ts'
import type { Env } from './env.ts'
import { reason } from './home.ts'

type ProgramSettings = Config['secrets']['providers'][string]
type Answers = Map<string, string | { problem: string }>

export async function askProgram(
  provider: string,
  settings: ProgramSettings,
  ids: readonly string[],
  env: Env,
): Promise<Answers> {
  const all = (problem: string): Answers => new Map(ids.map(id => [id, { problem }]))
  const { command } = settings
  if (command === undefined) return all(`secrets.providers.${provider}.command is not set`)
  try {
    if ((statSync(command).mode & 0o022) !== 0) return all(`${command} can be written by other users`)
  } catch (error) {
    return all(`${command} cannot be run: ${reason(error)}`)
  }
  const passed = settings.passEnv.flatMap(name => (env[name] === undefined ? [] : [[name, env[name]] as const]))
  const answer = await run(
    command,
    settings,
    { ...Object.fromEntries(passed), ...settings.env },
    {
      protocolVersion: 1,
      provider,
      ids,
    },
  )
  if ('problem' in answer) return all(answer.problem)
  return readAnswer(answer.text, ids, settings.jsonOnly)
}

function readAnswer(text: string, ids: readonly string[], jsonOnly: boolean): Answers {
  const parsed = parse(text)
  const only = ids.length === 1 ? ids[0] : undefined
  if (!isRecord(parsed) || !isRecord(parsed['values'])) {
    const value = text.trim()
    if (!jsonOnly && only !== undefined && value !== '') return new Map([[only, value]])
    return new Map(ids.map(id => [id, { problem: 'the program did not answer {"protocolVersion":1,"values":{…}}' }]))
  }
  const { values, errors } = parsed as { values: Record<string, unknown>; errors?: unknown }
  return new Map(
    ids.map((id): [string, string | { problem: string }] => {
      const value = Object.hasOwn(values, id) ? values[id] : undefined
      if (typeof value === 'string' && value !== '') return [id, value]
      const said = isRecord(errors) && Object.hasOwn(errors, id)
      return [id, { problem: said ? 'the program reports an error for it' : 'the program does not have it' }]
    }),
  )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function run(
  command: string,
  settings: ProgramSettings,
  env: Record<string, string>,
  question: unknown,
): Promise<{ text: string } | { problem: string }> {
  const limit = settings.maxOutputBytes ?? 1024 * 1024
  const timeout = settings.timeoutMs ?? 10_000
  return new Promise(resolve => {
    const child = spawn(command, settings.args, { env, stdio: ['pipe', 'pipe', 'ignore'], shell: false })
    const chunks: Buffer[] = []
    let size = 0
    const end = (answer: { text: string } | { problem: string }) => {
      clearTimeout(timer)
      child.kill('SIGKILL')
      resolve(answer)
    }
    const timer = setTimeout(() => end({ problem: `the program did not answer within ${timeout} ms` }), timeout)
    child.on('error', error => end({ problem: `${command} cannot be run: ${reason(error)}` }))
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > limit) end({ problem: `the program answered more than ${limit} bytes` })
      else chunks.push(chunk)
    })
    child.on('close', code =>
      end(
        code === 0 ? { text: Buffer.concat(chunks).toString('utf8') } : { problem: `the program ended with ${code}` },
      ),
    )
    // It may end without reading its question; what it answers decides.
    child.stdin.on('error', () => child.stdin.destroy())
    child.stdin.end(JSON.stringify(question))
  })
}
