/**
 * The search behind `grep`, as it runs in a thread of its own.
 *
 * Owns walking, reading and matching. It is one function that is handed to the thread as text, so it may use nothing from
 * outside itself but its arguments; that also keeps it whole in a bundle. It may block its thread: whoever started it ends
 * the thread when it takes too long, also in the middle of a regular expression.
 * Invariants: 1 as guard.ts: links are not followed, every file and folder is checked by the kernel's name for it once it
 * is open, special files are not read. 2 memory does not grow with a file, a folder or the number of matches: a thread
 * that runs out of memory can take the whole process with it, whatever its limits say.
 */

export interface SearchJob {
  /** Real path of a file or folder inside the workspace. */
  start: string
  root: string
  /** What may not be seen although it lies under root; empty when nothing. */
  hidden: string
  source: string
  flags: string
  /** Empty: every file. */
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
  /** Files with matches that are counted and not listed. */
  unlisted: number
  /** What was left out, the first few by name. */
  skipped: string[]
  skippedMore: number
}

/** Node's modules by name, so that the text below needs no import. */
type Modules = (name: string) => unknown

export function search(job: SearchJob, modules: Modules): SearchResult {
  const fs = modules('node:fs') as typeof import('node:fs')
  const { matchesGlob, relative } = modules('node:path') as typeof import('node:path')
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = fs.constants
  const leftOut = ['.git', 'node_modules']
  const maxNames = 100_000
  const maxShown = 400
  const procfs = process.platform === 'linux'
  const pattern = new RegExp(job.source, job.flags)
  const buffer = Buffer.alloc(1024 * 1024)
  const out: string[] = []
  let bytes = 0
  const result: SearchResult = {
    text: '',
    matches: 0,
    files: 0,
    searched: 0,
    stopped: null,
    unlisted: 0,
    skipped: [],
    skippedMore: 0,
  }

  const inside = (folder: string, path: string) => path === folder || path.startsWith(`${folder}/`)
  const name = (path: string) => relative(job.root, path) || '.'

  function skip(what: string): void {
    if (result.skipped.length < 20) result.skipped.push(what)
    else result.skippedMore += 1
  }

  /** Opens what is still where it was found, and only then uses it. */
  function opened(path: string, flags: number, use: (fd: number) => void): void {
    let fd: number
    try {
      fd = fs.openSync(path, flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    } catch (error) {
      // Gone, swapped for a link, or not ours to read: a search goes on without it, and says so.
      skip(`${name(path)} (${(error as NodeJS.ErrnoException).code})`)
      return
    }
    try {
      const real = procfs ? fs.readlinkSync(`/proc/self/fd/${fd}`) : fs.realpathSync(path)
      if (inside(job.root, real) && !(job.hidden && inside(job.hidden, real))) use(fd)
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
    if (line.length <= maxShown) return line
    const from = Math.max(0, Math.min(at - 100, line.length - maxShown))
    return `${from > 0 ? '…' : ''}${line.slice(from, from + maxShown)}${from + maxShown < line.length ? '…' : ''}`
  }

  /** Calls `take` with every line. A line longer than the buffer is given by its beginning. False for a binary file. */
  function eachLine(fd: number, take: (line: string) => void, cut: () => void): boolean {
    let held = 0
    let dropping = false
    for (let first = true; !result.stopped; first = false) {
      const read = fs.readSync(fd, buffer, held, buffer.length - held, null)
      if (first && buffer.subarray(0, Math.min(read, 8192)).includes(0)) return false
      const filled = held + read
      const end = read === 0 ? filled : buffer.subarray(0, filled).lastIndexOf(10) + 1
      const full = end === 0 && filled === buffer.length
      if (full && !dropping) cut()
      const upTo = full ? filled : end
      const lines = buffer.toString('utf8', 0, upTo).split('\n')
      // Behind the last line end there is nothing, unless the file or the buffer ended there.
      if (lines.at(-1) === '') lines.pop()
      for (const [n, line] of lines.entries()) {
        if (result.stopped) break
        if (n > 0 || !dropping) take(line.endsWith('\r') ? line.slice(0, -1) : line)
      }
      if (upTo > 0) dropping = full
      buffer.copy(buffer, 0, upTo, filled)
      held = filled - upTo
      if (read === 0) break
    }
    return true
  }

  function searchFile(path: string, fd: number): void {
    if (!fs.fstatSync(fd).isFile()) return
    const file = name(path)
    const before: string[] = []
    let found = 0
    let number = 0
    let shownTo = 0
    let after = 0
    const take = (line: string): void => {
      number += 1
      const match = pattern.exec(line)
      if (match && job.count) {
        found += 1
        result.matches += 1
      } else if (match) {
        found += 1
        if (job.context > 0 && out.length > 0 && number - before.length > shownTo + 1) emit('--')
        for (const [n, earlier] of before.entries()) emit(`${file}-${number - before.length + n}-${clip(earlier, 0)}`)
        emit(`${file}:${number}:${clip(line, match.index)}`)
        if (!result.stopped) result.matches += 1
        if (result.matches >= job.limit) result.stopped ??= 'limit'
        before.length = 0
        shownTo = number
        after = job.context
      } else if (after > 0) {
        after -= 1
        shownTo = number
        emit(`${file}-${number}-${clip(line, 0)}`)
      } else if (job.context > 0) {
        before.push(line)
        if (before.length > job.context) before.shift()
      }
    }
    const text = eachLine(fd, take, () => skip(`${file} line ${number + 1} behind its first MB`))
    if (text) result.searched += 1
    if (found > 0) result.files += 1
    if (job.count && found > 0) emit(`${file}: ${found}`)
  }

  function wanted(path: string): boolean {
    const file = name(path)
    return !job.glob || matchesGlob(file, job.glob) || matchesGlob(file, `**/${job.glob}`)
  }

  function entries(path: string, fd: number): { name: string; folder: boolean }[] {
    const found: { name: string; folder: boolean }[] = []
    const folder = fs.opendirSync(procfs ? `/proc/self/fd/${fd}` : path)
    try {
      for (let entry = folder.readSync(); entry; entry = folder.readSync()) {
        if (found.length === maxNames) {
          skip(`${name(path)}/ behind its first ${maxNames} entries`)
          break
        }
        if (entry.isDirectory() || entry.isFile()) found.push({ name: entry.name, folder: entry.isDirectory() })
      }
    } finally {
      folder.closeSync()
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  function walk(path: string, fd: number): void {
    for (const entry of entries(path, fd)) {
      if (result.stopped) return
      const inner = `${path}/${entry.name}`
      if (entry.folder && leftOut.includes(entry.name)) skip(`${name(inner)}/`)
      else if (entry.folder) opened(inner, O_DIRECTORY, open => walk(inner, open))
      else if (wanted(inner)) opened(inner, 0, open => searchFile(inner, open))
    }
  }

  if (fs.lstatSync(job.start).isDirectory()) opened(job.start, O_DIRECTORY, fd => walk(job.start, fd))
  else opened(job.start, 0, fd => searchFile(job.start, fd))
  return { ...result, text: out.join('\n') }
}
