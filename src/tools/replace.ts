/**
 * Finding the one place that an edit means, and saying what was near when it is not there. Pure.
 *
 * Owns the rule: an exact match, once, unless all are asked for. Line ends are no reason to fail: in a file with CRLF a
 * text written with LF matches, and what replaces it gets CRLF too.
 */

const maxPlaces = 10_000
/** Longer texts are not searched for near misses: that would hold up everybody else. */
const maxNearText = 256 * 1024
const maxNearWanted = 8 * 1024
const shownLength = 600

export type Replaced = { ok: true; text: string; lines: number[] } | { ok: false; problem: string }

export function replace(text: string, oldText: string, newText: string, all: boolean): Replaced {
  if (oldText === '') return { ok: false, problem: 'oldText is empty.' }
  if (oldText === newText) return { ok: false, problem: 'oldText and newText are the same.' }
  const windows = text.includes('\r\n') && !oldText.includes('\r') && !text.includes(oldText)
  const wanted = windows ? oldText.replaceAll('\n', '\r\n') : oldText
  const written = windows ? newText.replaceAll(/\r?\n/g, '\r\n') : newText
  const places = placesOf(text, wanted)
  if (places.length === 0) return { ok: false, problem: `oldText is not in the file. ${nearest(text, oldText)}` }
  if (places.length > maxPlaces)
    return { ok: false, problem: `oldText is in the file over ${maxPlaces} times: use exec.` }
  const lines = linesOf(text, places)
  if (places.length > 1 && !all) {
    const shown = `${lines.slice(0, 10).join(', ')}${lines.length > 10 ? ', …' : ''}`
    return {
      ok: false,
      problem: `oldText is in the file ${places.length} times (lines ${shown}): add lines around it, or set replaceAll.`,
    }
  }
  return { ok: true, text: text.split(wanted).join(written), lines }
}

/** Where `wanted` begins, from left to right, without overlaps: the same places that split finds. */
function placesOf(text: string, wanted: string): number[] {
  const places: number[] = []
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
    if (places.push(at) > maxPlaces) break
  }
  return places
}

function linesOf(text: string, places: number[]): number[] {
  let line = 1
  let at = 0
  return places.map(place => {
    for (let end = text.indexOf('\n', at); end >= 0 && end < place; end = text.indexOf('\n', at)) {
      line += 1
      at = end + 1
    }
    return line
  })
}

/** The lines that the model most likely meant, as they truly are. */
function nearest(text: string, oldText: string): string {
  const blind = 'Read the file and copy the text from it.'
  if (text.length > maxNearText || oldText.length > maxNearWanted) return blind
  const lines = text.split('\n')
  const squeezed = lines.map(squeeze)
  const wanted = oldText.split('\n').map(squeeze)
  while (wanted.length > 1 && wanted.at(-1) === '') wanted.pop()
  while (wanted.length > 1 && wanted[0] === '') wanted.shift()
  const whole = `\n${squeezed.join('\n')}\n`
  const at = wanted[0] === '' ? -1 : whole.indexOf(`\n${wanted.join('\n')}\n`)
  if (at >= 0) {
    const first = whole.slice(0, at).split('\n').length
    const last = first + wanted.length - 1
    return `Lines ${first}–${last} differ from it in white space or case only; they are:\n${excerpt(lines, first - 1, wanted.length)}`
  }
  const anchor = wanted.reduce((best, line) => (line.length > best.length ? line : best), '')
  const near = anchor.length > 3 ? squeezed.findIndex(line => line.includes(anchor)) : -1
  if (near < 0) return `Nothing like it is there. ${blind}`
  return `Near line ${near + 1} it reads:\n${excerpt(lines, Math.max(0, near - wanted.indexOf(anchor)), wanted.length)}`
}

function squeeze(line: string): string {
  return line.trim().replaceAll(/\s+/g, ' ').toLowerCase()
}

function excerpt(file: string[], start: number, count: number): string {
  const lines = file.slice(start, start + count).join('\n')
  return lines.length > shownLength ? `${lines.slice(0, shownLength)}…` : lines
}
