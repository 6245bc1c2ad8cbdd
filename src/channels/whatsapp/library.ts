/**
 * Brings baileys in, on first use, with a libsignal that says nothing.
 *
 * Owns the import. libsignal prints whole sessions, private keys included, through the global console, and no option turns
 * that off: its modules get a console of their own while they are loaded. Nobody else's console is touched, and the hook
 * is gone once the library is there.
 */
import { registerHooks } from 'node:module'

export type Library = typeof import('baileys')

const silence = 'const console = Object.freeze({ log() {}, info() {}, warn() {}, error() {}, debug() {}, trace() {} });'
const ofSignal = /\/node_modules\/libsignal\/src\/[\w-]+\.js$/

/** Modules are loaded once: whoever asks again is handed the same. */
export async function library(): Promise<Library> {
  const hooks = registerHooks({
    load(url, context, next) {
      const loaded = next(url, context)
      if (!ofSignal.test(url) || !loaded.source) return loaded
      return { ...loaded, source: silence + text(loaded.source) }
    },
  })
  try {
    return await import('baileys')
  } finally {
    hooks.deregister()
  }
}

function text(source: string | ArrayBuffer | NodeJS.TypedArray): string {
  return typeof source === 'string' ? source : new TextDecoder().decode(source)
}
