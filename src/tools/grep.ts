/**
 * `grep`: a regular expression over the files of the workspace.
 *
 * Owns the tool and the threads it searches in: at most two at a time for the whole house, each ended on abort or after its
 * time, whatever the expression does. Never runs a model's expression on the gateway's own thread.
 */
import { lstat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Tool } from '../core/ports.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Zod } from '../protocol/zod.ts'
import { makeGuard, regular, resolveInside, shown, within } from './guard.ts'
import { makeTool, said } from './kit.ts'
import { type SearchJob, type SearchResult, search } from './search.ts'

const maxBytes = 48 * 1024
const maxMatches = 2000

export interface Searcher {
  run(job: SearchJob, signal: AbortSignal): Promise<SearchResult>
}

/** Threads for searches; `seconds` is the time one may take, waiting for a thread included. */
export function makeSearcher(seconds: number): Searcher {
  const free = { threads: Math.min(2, availableParallelism()) }
  const queue: (() => void)[] = []

  async function turn(signal: AbortSignal): Promise<void> {
    if (free.threads > 0) {
      free.threads -= 1
      return
    }
    await new Promise<void>((resolve, reject) => {
      const go = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        queue.splice(queue.indexOf(go), 1)
        reject(signal.reason)
      }
      queue.push(go)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  function release(): void {
    const next = queue.shift()
    if (next) next()
    else free.threads += 1
  }

  return {
    async run(job, outer) {
      const time = AbortSignal.timeout(seconds * 1000)
      const signal = AbortSignal.any([outer, time])
      try {
        signal.throwIfAborted()
        await turn(signal)
        try {
          return await inThread(job, signal)
        } finally {
          release()
        }
      } catch (error) {
        if (!time.aborted || outer.aborted) throw error
        throw new DeputyError('TOOL_TIMEOUT', `The search took longer than ${seconds} seconds and was ended.`, {
          fix: 'Search a smaller folder, or use a simpler expression: nested repeats like (a+)+ may never end.',
        })
      }
    },
  }
}

function inThread(job: SearchJob, signal: AbortSignal): Promise<SearchResult> {
  const body = `const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads')
parentPort.postMessage((${search})(workerData, process.getBuiltinModule))`
  const worker = new Worker(body, {
    eval: true,
    workerData: job,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 16 },
  })
  return new Promise<SearchResult>((resolve, reject) => {
    const stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    worker.once('message', resolve)
    worker.once('error', cause =>
      reject(
        new DeputyError('TOOL_FAILED', `The search failed: ${cause.message}.`, {
          cause,
          fix: 'Search a smaller folder.',
        }),
      ),
    )
    worker.once('exit', () =>
      reject(new DeputyError('TOOL_FAILED', 'The search ended without a result.', { fix: 'Search a smaller folder.' })),
    )
    if (signal.aborted) stop()
  }).finally(() => worker.terminate())
}

export function grepTool(stateDir: string, searcher: Searcher, zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'grep',
      label: 'Search in files',
      group: 'fs',
      repeat: 'safe',
      description:
        'Search files for a JavaScript regular expression, line by line. count: matching lines per file and in total.',
      aliases: {
        query: 'pattern',
        regex: 'pattern',
        include: 'glob',
        case_insensitive: 'ignoreCase',
        dir: 'path',
        file: 'path',
      },
      input: z =>
        z.object({
          pattern: z.string().min(1),
          path: z.string().optional().describe('file or folder'),
          glob: z.string().optional().describe('e.g. *.ts'),
          ignoreCase: z.boolean().optional(),
          literal: z.boolean().optional(),
          count: z.boolean().optional(),
          context: z.int().min(0).max(10).optional(),
          limit: z.int().min(1).max(maxMatches).optional(),
        }),
      async run(args, context) {
        const guard = await makeGuard(context.workspace, stateDir, context.folder)
        const { source, flags } = expression(args.pattern, args.literal ?? false, args.ignoreCase ?? false)
        const start = await resolveInside(guard, args.path ?? '.')
        const stat = await lstat(start)
        if (!stat.isDirectory()) regular(stat, shown(guard, start))
        const job: SearchJob = {
          start,
          root: guard.root,
          hidden: within(guard.root, guard.state) ? guard.state : '',
          source,
          flags,
          glob: args.glob ?? '',
          count: args.count ?? false,
          context: args.context ?? 0,
          limit: args.count ? Number.POSITIVE_INFINITY : (args.limit ?? 200),
          maxBytes,
        }
        const found = await searcher.run(job, context.signal)
        return said(worded(job, found), { matches: found.matches, files: found.files, searched: found.searched })
      },
    },
    zod,
  )
}

/** Checks the expression here, where a mistake can be told; compiling is quick, only matching may not be. */
function expression(pattern: string, literal: boolean, ignoreCase: boolean): { source: string; flags: string } {
  const inline = /^\(\?i\)/.test(pattern) && !literal
  const source = literal ? pattern.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&') : inline ? pattern.slice(4) : pattern
  const flags = `${ignoreCase || inline ? 'i' : ''}${/\\p\{/.test(source) ? 'u' : ''}`
  try {
    new RegExp(source, flags)
  } catch (cause) {
    throw new DeputyError('TOOL_ARGUMENTS', `${(cause as Error).message}.`, {
      cause,
      fix: 'Mend the expression, or set literal.',
    })
  }
  return { source, flags }
}

function worded(job: SearchJob, found: SearchResult): string {
  const notes: string[] = []
  if (job.count || found.matches === 0)
    notes.push(`${found.matches} matching lines in ${found.files} of ${found.searched} files searched.`)
  if (found.unlisted > 0) notes.push(`${found.unlisted} of these files are counted and not listed.`)
  if (found.stopped === 'limit') notes.push(`Stopped after ${found.matches} matches; there may be more.`)
  if (found.stopped === 'bytes')
    notes.push(`Stopped after ${maxBytes / 1024} kB of output; there is more: narrow the search.`)
  const more = found.skippedMore > 0 ? ` and ${found.skippedMore} more` : ''
  if (found.skipped.length > 0) notes.push(`Left out: ${found.skipped.join(', ')}${more}.`)
  return [found.text, notes.length > 0 ? `[${notes.join(' ')}]` : ''].filter(Boolean).join('\n')
}
