/**
 * `message`: what an agent says in a chat besides its replies (openclaw-facts.md §D, §E5).
 *
 * Owns the parameters, and the copies of the files that go along. Which chat may be meant is decided where the intent is
 * committed (agent/saying.ts), in one transaction with the call's own result.
 */
import type { Content } from '../core/chat.ts'
import { outreachActions } from '../core/outreach.ts'
import type { Tool } from '../core/ports.ts'
import type { Zod } from '../protocol/zod.ts'
import { makeGuard } from './guard.ts'
import { failed, makeTool } from './kit.ts'
import { copyOut, mostFiles } from './media.ts'

export function messageTool(stateDir: string, zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'message',
      label: 'Write to a chat',
      group: 'messaging',
      // A row in the transaction that answers the call, under the call's own key.
      repeat: 'keyed',
      description:
        'Send something to a chat besides your reply: words, files of the workspace, a poll; or react to, reply to or edit a message. Without target it goes to the chat you are in; your reply goes there by itself, so do not repeat it.',
      aliases: { to: 'target', accountId: 'account', threadId: 'thread', text: 'message', content: 'message' },
      input: z =>
        z.object({
          action: z.enum(outreachActions).optional().describe('default send'),
          channel: z.string().optional(),
          target: z.string().optional().describe('chat id'),
          account: z.string().optional(),
          thread: z.string().optional(),
          message: z.string().max(100_000).optional(),
          messageId: z.string().optional().describe('to reply, react, edit: its id, or an id that this tool gave'),
          emoji: z.string().max(40).optional().describe('empty takes the reaction off'),
          media: z.array(z.string()).max(mostFiles).optional().describe('paths in the workspace'),
          voice: z.boolean().optional().describe('send audio as a voice message'),
          question: z.string().max(300).optional(),
          options: z.array(z.string().min(1).max(100)).min(2).max(12).optional(),
          multiple: z.boolean().optional(),
        }),
      async run(args, context) {
        const { action = 'send', message = '', messageId, media = [] } = args
        const wrong = (text: string) => failed('TOOL_ARGUMENTS', text)
        let content: Content = { text: message }
        if (action === 'react') {
          if (!messageId || args.emoji === undefined) return wrong('react needs messageId and emoji.')
          content = { text: '', react: { message: messageId, emoji: args.emoji } }
        } else if (action === 'poll') {
          if (!args.question || !args.options) return wrong('poll needs question and options.')
          const { question, options, multiple = false } = args
          content = { text: '', poll: { question, options, multiple } }
        } else if (action === 'edit') {
          if (!messageId || !message) return wrong('edit needs messageId and message.')
          content = { text: message, edit: messageId }
        } else {
          if (!message && media.length === 0) return wrong(`${action} needs message or media.`)
          if (action === 'reply' && !messageId) return wrong('reply needs messageId.')
          const guard = await makeGuard(context.workspace, stateDir, context.folder)
          const files = []
          for (const path of media) files.push(await copyOut(guard, stateDir, path, args.voice))
          content = {
            text: message,
            ...(files.length > 0 && { media: files }),
            ...(messageId && { replyTo: messageId }),
          }
        }
        const { channel = null, account = null, target: to = null, thread = null } = args
        return { intent: { do: 'say', outreach: { action, channel, account, to, thread }, content } }
      },
    },
    zod,
  )
}
