/**
 * A block of lines that is drawn again in place.
 *
 * Owns the cursor between `draw` and `done`: nothing else may write to the terminal then. On anything but a terminal it
 * writes nothing until `done`, which writes the last state once.
 */
import { clip } from './format.ts'
import type { Stream } from './host.ts'

export interface Live {
  /** Lines may be painted; each must fit the width by itself. */
  draw(lines: readonly string[]): void
  /** Leaves the last state standing and the cursor below it. */
  done(): void
}

export function openLive(stream: Stream & { rows?: number }): Live {
  let last: readonly string[] = []
  let height = 0
  return {
    draw(lines) {
      last = lines
      if (!stream.isTTY) return
      // What has scrolled off can't be drawn again: a block taller than the screen shows its end until it is done.
      const room = Math.max(3, (stream.rows ?? 24) - 1)
      const hidden = lines.length - room
      const shown = hidden > 0 ? [clip(`… ${hidden + 1} more above`, 60), ...lines.slice(hidden + 1)] : lines
      const up = height > 0 ? `\x1b[${height}A\r` : ''
      stream.write(`\x1b[?25l${up}\x1b[J${shown.join('\n')}\n`)
      height = shown.length
    },
    done() {
      if (!stream.isTTY) {
        if (last.length > 0) stream.write(`${last.join('\n')}\n`)
        return
      }
      const up = height > 0 ? `\x1b[${height}A\r` : ''
      if (last.length > 0) stream.write(`${up}\x1b[J${last.join('\n')}\n`)
      stream.write('\x1b[?25h')
    },
  }
}
