/** Params that several rows have. Owns their bounds. */
import type { Zod } from '../zod.ts'

export const key = (z: Zod) => z.string().min(1).max(512)
export const agentId = (z: Zod) => z.string().min(1).max(128)
export const idempotency = (z: Zod) => z.string().min(1).max(512)

/** `type` decides nothing; `content` is base64. */
export function attachments(z: Zod) {
  return z
    .array(
      z.strictObject({
        type: z.string().max(64).optional(),
        mimeType: z.string().max(256).optional(),
        fileName: z.string().max(1024).optional(),
        content: z.string(),
      }),
    )
    .max(32)
}
