/**
 * The search behind `grep`, as it runs in a thread of its own.
 *
 * Owns walking, reading and matching. It is one function that is handed to the thread as text, so it may use nothing from
 * outside itself but its argument and Node; that also keeps it whole in a bundle. It may block its thread: whoever started
 * it ends the thread when it takes too long, also in the middle of a regular expression.
 * Invariants: as guard.ts: links are not followed, every file and folder is checked by the kernel's name for it once it is
 * open, special files are never opened.
 */

export interface SearchJob {
  /** Real path of a file or folder inside the workspace. */
  start: string
  root: string
  /** What may not be seen although it lies under root; empty when nothing. */
  hidden: string
  source: string
  flags: string
  glob: string
  count: boolean
  context: number
  limit: number
  maxBytes: number
}

export interface SearchResult {
  text: string
  /** Matching lines: of all files when counting, else those shown. */
  matches: number
  files: number
  searched: number
  /** Why it ended before everything was searched. */
  stopped: 'limit' | 'bytes' | null
  /** Counting went on, but not every file with matches is listed. */
  unlisted: number
  /** Folders left out by name, and files left out for their size. */
  skipped: string[]
}

/** Node's modules by name, so that the text below needs no import. */
type Modules = (name: string) => unknown

export function search(job: SearchJob, modules: Modules): SearchResult {
  const fs = modules('node:fs') as typeof import('node:fs')
  const { matchesGlob, relative } = modules('node:path') as typeof import('node:path')
  const leftOut = ['.git', 'node_modules']
  const maxFile = 32 * 1024 * 1024
  const maxLine = 400
  const procfs = process.platform === 'linux'
  const pattern = new RegExp(job.source, job.flags)
  const out: string[] = []
  const result: SearchResult = { text: '', matches: 0, files: 0, searched: 0, stopped: null, unlisted: 0, skipped: [] }
  const skipped = new Set<string>()
  let bytes = 0

  const inside = (folder: string, path: string) => path === folder || path.startsWith(`${folder}/`)
  const name = (path: string) => relative(job.root, path) || '.'

  /** Opens what is still where it was found, or nothing. */
  function opened<T>(path: string, flags: number, use: (fd: number) => T): T | null {
    let fd: number
    try {
      fd = fs.openSync(path, flags | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
    } catch (error) {
      // Gone, swapped for a link, or not ours to read: a search goes on without it.
      skipped.add(`${name(path)} (${(error as NodeJS.ErrnoException).code})`)
      return null
    }
    try {
      const real = procfs ? fs.readlinkSync(`/proc/self/fd/${fd}`) : fs.realpathSync(path)
      if (!inside(job.root, real) || (job.hidden && inside(job.hidden, real))) return null
      return use(fd)
    } finally {
      fs.closeSync(fd)
    }
  }

  function emit(line: string): void {
    bytes += Buffer.byteLength(line) + 1
    if (bytes <= job.maxBytes) out.push(line)
    else if (job.count) result.unlisted += 1
    else result.stopped = 'bytes'
  }

  function clip(line: string, at: number): string {
    if (line.length <= maxLine) return line
    const from = Math.max(0, Math.min(at - 100, line.length - maxLine))
    return `${from > 0 ? '…' : ''}${line.slice(from, from + maxLine)}…`
  }

  function searchFile(path: string): void {
    const data = opened(path, fs.constants.O_RDONLY, fd => {
      const stat = fs.fstatSync(fd)
      if (!stat.isFile()) return null
      if (stat.size > maxFile) {
        skipped.add(`${name(path)} (${stat.size} bytes)`)
        return null
      }
      return fs.readFileSync(fd)
    })
    if (!data || data.subarray(0, 8192).includes(0)) return
    result.searched += 1
    const text = data.toString('utf8')
    const lines = text.split(/\r?\n/)
    if (lines.at(-1) === '') lines.pop()
    let found = 0
    let shownTo = -1
    for (const [at, line] of lines.entries()) {
      pattern.lastIndex = 0
      const match = pattern.exec(line)
      if (!match) continue
      found += 1
      result.matches += 1
      if (job.count) continue
      const from = Math.max(shownTo + 1, at - job.context)
      if (job.context > 0 && from > shownTo + 1 && out.length > 0) emit('--')
      for (let n = from; n < at; n++) emit(`${name(path)}-${n + 1}-${clip(lines[n] ?? '', 0)}`)
      emit(`${name(path)}:${at + 1}:${clip(line, match.index)}`)
      shownTo = at
      for (let n = at + 1; n <= at + job.context && n < lines.length; n++) {
        pattern.lastIndex = 0
        if (pattern.test(lines[n] ?? '')) break
        emit(`${name(path)}-${n + 1}-${clip(lines[n] ?? '', 0)}`)
        shownTo = n
      }
      if (result.matches >= job.limit) result.stopped ??= 'limit'
      if (result.stopped) break
    }
    if (found > 0) result.files += 1
    if (job.count && found > 0) emit(`${name(path)}: ${found}`)
  }

  function wanted(path: string): boolean {
    if (!job.glob) return true
    const relativePath = name(path)
    return matchesGlob(relativePath, job.glob) || matchesGlob(relativePath, `**/${job.glob}`)
  }

  function walk(folder: string): void {
    const entries = opened(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY, fd =>
      fs.readdirSync(procfs ? `/proc/self/fd/${fd}` : folder, { withFileTypes: true }),
    )
    for (const entry of (entries ?? []).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (result.stopped) return
      const path = `${folder}/${entry.name}`
      if (entry.isDirectory() && leftOut.includes(entry.name)) skipped.add(`${name(path)}/`)
      else if (entry.isDirectory()) walk(path)
      else if (entry.isFile() && wanted(path)) searchFile(path)
    }
  }

  if (fs.lstatSync(job.start).isDirectory()) walk(job.start)
  else searchFile(job.start)
  return { ...result, text: out.join('\n'), skipped: [...skipped].slice(0, 20) }
}
