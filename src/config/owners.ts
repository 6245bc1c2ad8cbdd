/**
 * The first owner: whoever is let in first, when nobody may give commands yet (openclaw-facts.md §E8).
 *
 * Owns that one change of the file. Never adds a second owner: further ones are named by hand.
 */
import { DeputyError } from '../protocol/errors.ts'
import type { ConfigStore } from './types.ts'

/** True when it was written. A file that somebody changes at this moment stays as they want it. */
export async function seedOwner(
  config: Pick<ConfigStore, 'current' | 'set' | 'reload'>,
  owner: { channel: string; sender: string },
): Promise<boolean> {
  config.reload()
  if (config.current().commands.ownerAllowFrom.length > 0) return false
  try {
    await config.set('commands.ownerAllowFrom', [`${owner.channel}:${owner.sender}`])
    return true
  } catch (error) {
    if (error instanceof DeputyError && error.code === 'CONFIG_CONFLICT') return false
    throw error
  }
}
