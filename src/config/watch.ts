/**
 * Tells when files were changed by somebody else: an editor, a person, a deployment.
 *
 * Owns the watchers. Never reads a file and never polls: idle costs nothing. Directories are watched and not files, since
 * editors put a new file in the place of the old.
 */
import { type FSWatcher, realpathSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'

/** Editors write in several steps; what they leave is read after this long a silence, in ms. */
const settle = 100

/** `files` is asked again after each call of `changed`, since includes come and go. The function returned ends it. */
export function watchFiles(
  files: () => readonly string[],
  changed: () => void,
  failed: (error: unknown) => void,
): () => void {
  const watchers = new Map<string, FSWatcher>()
  /** The files by directory. Asked all the time: the home's own is told of with every row that is written. */
  let wanted = new Map<string, readonly string[]>()
  let timer: NodeJS.Timeout | null = null
  let ended = false

  const arrange = () => {
    wanted = Map.groupBy(files().flatMap(withTarget), dirname)
    for (const [directory, watcher] of watchers) {
      if (wanted.has(directory)) continue
      watcher.close()
      watchers.delete(directory)
    }
    for (const directory of wanted.keys()) {
      if (!watchers.has(directory)) open(directory)
    }
  }

  const open = (directory: string) => {
    try {
      const watcher = watch(directory, { persistent: false }, (_, name) => {
        if (name === null || wanted.get(directory)?.some(file => basename(file) === name)) later()
      })
      watcher.on('error', error => {
        failed(error)
        watcher.close()
        watchers.delete(directory)
      })
      watchers.set(directory, watcher)
    } catch (error) {
      failed(error)
    }
  }

  const later = () => {
    if (timer) clearTimeout(timer)
    timer = setTimeout(() => {
      timer = null
      changed()
      // It may have ended the watch itself.
      if (!ended) arrange()
    }, settle)
  }

  arrange()
  return () => {
    ended = true
    if (timer) clearTimeout(timer)
    for (const watcher of watchers.values()) watcher.close()
    watchers.clear()
  }
}

/** The file and, when it is a link, what it leads to. */
function withTarget(file: string): string[] {
  try {
    return [...new Set([file, realpathSync(file)])]
  } catch {
    // Gone, or not to be entered: it is told when it is read.
    return [file]
  }
}
