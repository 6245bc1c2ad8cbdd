/**
 * The first deputy.json: what a newcomer finds, with a token made for this gateway and comments that say what can be set.
 *
 * Never changes a file that exists. Synchronous: it stands on the start path.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, constants, fsyncSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { DeputyError } from '../protocol/errors.ts'
import { ensureDir, type Home, reason } from './home.ts'

/** A token nobody guesses: 32 random bytes. */
export function newToken(): string {
  return randomBytes(32).toString('base64url')
}

/** Writes the first file (0600) and returns true; false when there is one already. Throws `HOME_UNWRITABLE` and `DISK_FULL`. */
export function firstConfig(home: Home): boolean {
  ensureDir(dirname(home.config))
  let file: number
  try {
    file = openSync(home.config, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600)
  } catch (cause) {
    if ((cause as { code?: string }).code === 'EEXIST') return false
    throw new DeputyError('HOME_UNWRITABLE', `${home.config} cannot be made: ${reason(cause)}.`, {
      details: { path: home.config },
      cause,
    })
  }
  try {
    writeFileSync(file, firstText(newToken()))
    fsyncSync(file)
  } catch (cause) {
    // Half a file would be taken for a whole one at the next start.
    rmSync(home.config, { force: true })
    const full = (cause as { code?: string }).code === 'ENOSPC'
    const message = `${home.config} cannot be written: ${reason(cause)}.`
    throw new DeputyError(full ? 'DISK_FULL' : 'HOME_UNWRITABLE', message, { details: { path: home.config }, cause })
  } finally {
    closeSync(file)
  }
  return true
}

export function firstText(token: string): string {
  return `// The configuration of Deputy. This is JSON5: comments and trailing commas are fine.
// A running gateway takes a saved change by itself. To check it first: deputy config validate
// Every key is in docs/configuration.md.
{
  gateway: {
    // Only programs on this machine can reach it. "lan" opens it to your network.
    bind: "loopback",
    port: 18789,
    auth: {
      mode: "token",
      // Made for this gateway. Who has it can do everything: keep it to yourself.
      token: "${token}",
    },
  },

  agents: {
    defaults: {
      // Which model to use, as provider/model. Without it the first provider that has a key is taken:
      // ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY or OPENROUTER_API_KEY in the environment or in the file
      // .env beside this one, or an Ollama on this machine.
      // model: "anthropic/claude-sonnet-4-5",

      subagents: {
        // How deep sub-agents may nest (1: they have none of their own), and how many may be at work at once.
        // maxSpawnDepth: 5,
        // maxChildrenPerAgent: 5,
        // maxConcurrent: 8,
      },
    },

    // Who works here. An agent may spawn itself, and those that allowAgents names.
    entries: {
      main: {
        default: true,
        // subagents: { allowAgents: ["researcher"] },
      },
      // researcher: { description: "Reads much, answers briefly", model: "anthropic/claude-haiku-4-5" },
    },
  },

  tools: {
    exec: {
      // Commands of agents run in bubblewrap and see their workspace only. "off" makes every agent you.
      sandbox: "bubblewrap",
    },
  },
}
`
}
