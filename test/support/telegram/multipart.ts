/**
 * Reads a multipart/form-data body into fields and files. Only what a Bot API client sends: no nesting, no encodings.
 */
export interface UploadedFile {
  name: string
  bytes: Buffer
}

export function readMultipart(
  body: Buffer,
  contentType: string,
): { fields: Record<string, string>; files: Record<string, UploadedFile> } {
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1]
  if (!boundary) throw new Error('multipart without a boundary')
  const fields: Record<string, string> = {}
  const files: Record<string, UploadedFile> = {}
  const mark = Buffer.from(`--${boundary}`)
  let at = body.indexOf(mark)
  while (at >= 0) {
    const start = at + mark.length + 2
    const next = body.indexOf(mark, start)
    if (next < 0) break
    const part = body.subarray(start, next - 2)
    const split = part.indexOf('\r\n\r\n')
    const head = part.subarray(0, split).toString('utf8')
    const value = part.subarray(split + 4)
    const name = /name="?([^";\r\n]+)"?/.exec(head)?.[1] ?? ''
    const file = /filename="?([^"\r\n]+?)"?(?:;|\r\n|$)/.exec(head)?.[1]
    if (file === undefined) fields[name] = value.toString('utf8')
    else files[name] = { name: file, bytes: Buffer.from(value) }
    at = next
  }
  return { fields, files }
}
