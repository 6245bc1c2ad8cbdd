/**
 * The event loop's turns, shared: what comes in a crowd is worked through piece by piece, and a person who asks meanwhile is
 * answered between two pieces. Owns the shape only; engine/pace.ts measures.
 */
export interface Pace {
  /** True when this turn of the loop has done its share. */
  due(): boolean
  /** Resolves in a later turn. */
  turn(): Promise<void>
  /**
   * Runs pieces of work one after the other, what follows from each at once before the next, and goes on in a later turn
   * when this one has done its share. The first runs now if nothing waits. Pieces keep the order in which they were given.
   */
  pass(pieces: readonly (() => void)[]): void
}

/** Everything at once. */
export const unpaced: Pace = {
  due: () => false,
  turn: () => Promise.resolve(),
  pass: pieces => {
    for (const piece of pieces) piece()
  },
}
