/**
 * The output of a command in bounded memory: its beginning and its end, and how much lies between.
 *
 * Owns the two buffers. However much is written, it holds at most `limit` bytes and one chunk.
 */

export interface Output {
  /** Copies what it keeps. */
  add(chunk: Buffer): void
  /** What was kept as text, with a line in the middle that says what was left out. */
  text(): string
  bytes(): number
  truncated(): boolean
}

export function keepOutput(limit: number): Output {
  const headSize = Math.floor(limit / 2)
  const head: Buffer[] = []
  const tail: Buffer[] = []
  const size = { all: 0, head: 0, tail: 0 }
  const tailSize = limit - headSize

  return {
    add(chunk) {
      size.all += chunk.length
      const first = chunk.subarray(0, Math.max(0, headSize - size.head))
      if (first.length > 0) {
        head.push(Buffer.from(first))
        size.head += first.length
      }
      const rest = chunk.subarray(first.length)
      if (rest.length === 0) return
      tail.push(Buffer.from(rest.subarray(Math.max(0, rest.length - tailSize))))
      size.tail += tail.at(-1)!.length
      // Whole chunks go as soon as the rest is enough, so the tail stays below its size and one chunk.
      while (tail.length > 1 && size.tail - tail[0]!.length >= tailSize) size.tail -= tail.shift()!.length
    },
    text() {
      const start = Buffer.concat(head)
      const end = Buffer.concat(tail)
      if (start.length + end.length === size.all && size.all <= limit)
        return Buffer.concat([start, end]).toString('utf8')
      const kept = end.subarray(Math.max(0, end.length - tailSize))
      const before = start.subarray(0, characterStart(start, start.length))
      const after = kept.subarray(nextCharacter(kept))
      const left = size.all - before.length - after.length
      return `${before.toString('utf8')}\n[… ${left} of ${size.all} bytes left out …]\n${after.toString('utf8')}`
    },
    bytes: () => size.all,
    truncated: () => size.all > limit,
  }
}

/** The last position up to `end` that doesn't split a UTF-8 character. */
function characterStart(bytes: Buffer, end: number): number {
  let at = end
  while (at > 0 && at > end - 4 && (bytes[at - 1]! & 0xc0) === 0x80) at -= 1
  return at > 0 && bytes[at - 1]! >= 0xc0 ? at - 1 : end
}

function nextCharacter(bytes: Buffer): number {
  let at = 0
  while (at < 4 && at < bytes.length && (bytes[at]! & 0xc0) === 0x80) at += 1
  return at
}
