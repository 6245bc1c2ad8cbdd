/** Signals as promises, for commands that run until they are told to stop. Owns the process's handlers until `off`. */

export interface Signals {
  /** The first of the named signals. */
  first: Promise<NodeJS.Signals>
  /** One more after it: somebody does not want to wait. */
  second: Promise<NodeJS.Signals>
  off(): void
}

export function untilSignal(names: readonly NodeJS.Signals[]): Signals {
  const first = Promise.withResolvers<NodeJS.Signals>()
  const second = Promise.withResolvers<NodeJS.Signals>()
  let heard = 0
  const hear = (signal: NodeJS.Signals) => {
    heard++
    if (heard === 1) first.resolve(signal)
    else second.resolve(signal)
  }
  for (const name of names) process.on(name, hear)
  return {
    first: first.promise,
    second: second.promise,
    off() {
      for (const name of names) process.off(name, hear)
    },
  }
}
