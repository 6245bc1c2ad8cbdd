/**
 * The words that mark a message which may have been seen already, where a service can neither recognise nor look up what was
 * sent (decisions.md 22). Owns them alone, so that they read the same everywhere; a channel leaves room for them.
 */
export const repeatMark = '(may be a repeat) '

export function markRepeat(text: string, maybeRepeat: boolean): string {
  if (!maybeRepeat) return text
  return text === '' ? repeatMark.trim() : repeatMark + text
}
