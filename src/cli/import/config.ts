/**
 * openclaw.json becomes deputy.json, as it is: key names, comments, `${VAR}` and includes stay.
 *
 * Never writes a file with which the gateway would not start, and never over a deputy.json that differs unless it is told to.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, isAbsolute, join, relative } from 'node:path'
import { homeOf } from '../../config/home.ts'
import { judge } from '../../config/load.ts'
import { keepBackup, writeWhole } from '../../config/write.ts'
import { type Importing, type Item, item } from './item.ts'

export async function bringConfig(about: Importing): Promise<Item[]> {
  const { source, home, env, dry, force } = about
  const items: Item[] = []
  const from = join(source, 'openclaw.json')
  const variables = join(source, '.env')
  if (existsSync(variables)) {
    if (existsSync(home.envFile)) items.push(item('there', 'variables', variables, `${home.envFile} stays as it is`))
    else {
      if (!dry) await writeWhole(home.envFile, readFileSync(variables, 'utf8'))
      items.push(item('taken', 'variables', variables, `as ${home.envFile}`))
    }
  }
  if (!existsSync(from)) {
    items.push(item('left', 'configuration', from, 'there is none'))
    return items
  }
  const raw = readFileSync(from, 'utf8')
  const there = homeOf({ home: source, config: from, env: { HOME: home.user } })
  const read = judge(raw, { home: there, env, cwd: source, exists: true })
  if (read.issues.length > 0) {
    for (const { path, message, fix } of read.issues)
      items.push(
        item('failed', 'configuration', from, `${path}: ${message}`, fix ?? `Mend ${path}, then import again.`),
      )
    return items
  }
  const before = existsSync(home.config) ? readFileSync(home.config, 'utf8') : null
  if (before === raw) items.push(item('there', 'configuration', from, `${home.config} is the same`))
  else if (before !== null && !force) {
    const why = `${home.config} is there and differs; it stays as it is`
    items.push(
      item('failed', 'configuration', from, why, 'To replace it, the old one kept as .bak: deputy import --force'),
    )
    return items
  } else {
    if (!dry) {
      if (before !== null) await keepBackup(home.config)
      for (const file of read.files) await bringInclude(file, about)
      await writeWhole(home.config, raw)
    }
    const many = read.files.length === 0 ? '' : `, and ${read.files.length} included`
    items.push(item('taken', 'configuration', from, `as ${home.config}${many}; token, port and key names stay`))
  }
  for (const { path, message } of read.warnings) items.push(item('left', `key ${path}`, from, message))
  return items
}

/** To the same place beside deputy.json; one that an absolute path names stays where it is. */
async function bringInclude(file: string, { source, home }: Importing): Promise<void> {
  const way = relative(source, file)
  if (way.startsWith('..') || isAbsolute(way)) return
  await writeWhole(join(dirname(home.config), way), readFileSync(file, 'utf8'))
}
