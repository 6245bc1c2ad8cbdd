/** What stands on a command line as text, turned into values; a wrong one is a usage error that says what fits. */
import { InvalidArgumentError } from 'commander'

/** Seconds, fractions allowed, as milliseconds. */
export function seconds(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('Give a number of seconds above 0.')
  return value * 1000
}

export function limit(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 1000)
    throw new InvalidArgumentError('Give a number from 1 to 1000.')
  return value
}
