/**
 * A prompt at the bottom of the terminal with words arriving above it.
 *
 * Owns the terminal while it is open. While an answer streams in, the prompt is hidden and what is typed is kept for the
 * next prompt; whole lines that arrive in between push the prompt down. Works on a pipe as well: lines in, lines out.
 */
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import type { Stream } from './host.ts'

export interface Screen {
  /** Whole lines, above the prompt. */
  print(text: string): void
  /** As print, but what is being streamed is said to its end first. */
  later(text: string): void
  /** Part of a line that goes on; hides the prompt until `settle`. */
  stream(text: string): void
  /** Ends a streamed line, if one is open, and shows the prompt again. */
  settle(): void
  setPrompt(prompt: string): void
  close(): void
}

export interface Keys {
  line(text: string): void
  /** Ctrl-C. */
  interrupt(): void
  /** Ctrl-D, or the end of the input. */
  end(): void
}

export function openScreen(stdin: NodeJS.ReadStream, stdout: Stream & { columns?: number }, keys: Keys): Screen {
  const tty = Boolean(stdin.isTTY && stdout.isTTY)
  let streaming = false
  /** The streamed line has no newline yet. */
  let open = false
  let closed = false
  const held: string[] = []
  const echo = Object.assign(
    new Writable({
      write(chunk: Buffer, _encoding, next) {
        if (!streaming) stdout.write(chunk.toString())
        next()
      },
    }),
    { columns: stdout.columns ?? 80, isTTY: tty },
  )
  const input = createInterface({ input: stdin, output: echo, terminal: tty, historySize: 200 })
  const resize = () => {
    echo.columns = stdout.columns ?? 80
    echo.emit('resize')
  }
  if (tty) process.stdout.on('resize', resize)

  input.on('line', text => {
    // Nothing of it was seen while the answer came in.
    if (streaming && tty) print(`${input.getPrompt()}${text}`)
    keys.line(text)
  })
  input.on('SIGINT', () => keys.interrupt())
  input.on('close', () => {
    if (!closed) keys.end()
  })

  const hidePrompt = () => {
    if (!tty || streaming) return
    const { rows } = input.getCursorPos()
    stdout.write(`${rows > 0 ? `\x1b[${rows}A` : ''}\r\x1b[J`)
  }
  const showPrompt = () => {
    if (tty && !closed) input.prompt(true)
  }
  const settle = () => {
    if (open) stdout.write('\n')
    open = false
    for (const text of held.splice(0)) stdout.write(`${text}\n`)
    if (!streaming) return
    streaming = false
    showPrompt()
  }
  const print = (text: string) => {
    if (streaming) {
      stdout.write(`${open ? '\n' : ''}${text}\n`)
      open = false
      return
    }
    hidePrompt()
    stdout.write(`${text}\n`)
    showPrompt()
  }

  return {
    print,
    later: text => {
      if (streaming) held.push(text)
      else print(text)
    },
    stream(text) {
      hidePrompt()
      streaming = true
      stdout.write(text)
      open = !text.endsWith('\n')
    },
    settle,
    setPrompt(prompt) {
      input.setPrompt(tty ? prompt : '')
      if (!streaming) showPrompt()
    },
    close() {
      hidePrompt()
      closed = true
      if (tty) process.stdout.off('resize', resize)
      input.close()
    },
  }
}
