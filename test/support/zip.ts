/** Hostile archives for tests. Owns the bytes of a zip file; unpacks nothing. */

/** A zip file of one entry that claims four gigabytes, as zip programs write them. */
export function zip(name: string, packed: Buffer): Buffer {
  const head = Buffer.alloc(30)
  head.writeUInt32LE(0x04034b50, 0)
  head.writeUInt16LE(20, 4)
  head.writeUInt16LE(8, 8)
  head.writeUInt32LE(packed.length, 18)
  head.writeUInt32LE(0xfffffff0, 22)
  head.writeUInt16LE(name.length, 26)
  return Buffer.concat([head, Buffer.from(name), packed])
}
