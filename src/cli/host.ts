/**
 * What the CLI is handed by main.ts: the process's streams and the function that opens the house.
 * Owns the shapes only. The CLI is a leaf and never imports the composition root; this is how it starts a gateway all the same.
 */

export interface Stream {
  write(text: string): boolean
  isTTY?: boolean
  columns?: number
}

export interface StartOptions {
  home: string
  /** Default: deputy.json in the home. */
  configFile?: string
  env: Readonly<Record<string, string | undefined>>
  /** One line of the log, without the newline. */
  log(line: string): void
  /** False: no TCP listener, the unix socket only. */
  tcp?: boolean
}

/** A gateway that runs in this process and takes requests. */
export interface RunningGateway {
  ready: {
    /** `http://127.0.0.1:18789`; null without a TCP listener. */
    url: string | null
    socket: string
    /** Model reference that new conversations use. */
    model: string
    /** What the operator should know, a sentence each. */
    warnings: readonly string[]
  }
  stop(): Promise<void>
}

export interface Host {
  argv: readonly string[]
  env: Readonly<Record<string, string | undefined>>
  version: string
  stdin: NodeJS.ReadStream
  stdout: Stream
  stderr: Stream
  /** Folder of the package: examples/ lies in it. */
  root: string
  startGateway(options: StartOptions): Promise<RunningGateway>
}

/** Exit codes of every command. */
export const exit = { done: 0, failed: 1, usage: 2, unreachable: 3 } as const
