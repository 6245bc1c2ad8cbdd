/**
 * The gateway's own page as one document, and the policy that lets it run this script and this style and nothing else.
 *
 * Owns how the parts are put together (page.html, page.css, page.js; the build puts them beside its chunk). Nothing is
 * loaded besides, nobody may frame it, and it can speak to its own gateway only. It is read once, at the first request.
 */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'

export interface Page {
  html: string
  policy: string
}

const part = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8')
const source = (text: string) => `'sha256-${hash('sha256', text, 'base64')}'`

export function makePage(): Page {
  const style = part('page.css')
  const script = part('page.js')
  const html = part('page.html')
    .replace(/\s*\/\*page\.css\*\/\s*/, () => style)
    .replace(/\s*\/\*page\.js\*\/\s*/, () => script)
  const policy = [
    "default-src 'none'",
    `script-src ${source(script)}`,
    `style-src ${source(style)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
  return { html, policy }
}
