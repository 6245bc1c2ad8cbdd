/**
 * Emoji by the names that Slack knows them by: its reactions are named, not shown.
 *
 * Owns the table of those that people react with. A name is taken as it is, with or without colons.
 */
const table: Readonly<Record<string, string>> = {
  '👍': 'thumbsup',
  '👎': 'thumbsdown',
  '❤': 'heart',
  '🔥': 'fire',
  '🎉': 'tada',
  '👀': 'eyes',
  '🤔': 'thinking_face',
  '👌': 'ok_hand',
  '🙏': 'pray',
  '👏': 'clap',
  '😁': 'grin',
  '😂': 'joy',
  '😢': 'cry',
  '😮': 'open_mouth',
  '💯': '100',
  '🚀': 'rocket',
  '✅': 'white_check_mark',
  '❌': 'x',
  '⏳': 'hourglass_flowing_sand',
  '⚠': 'warning',
  '✍': 'writing_hand',
  '🤖': 'robot_face',
}

export function emojiName(emoji: string): string | null {
  const bare = emoji.replace(/\uFE0F/g, '').trim()
  const name = table[bare] ?? bare.replace(/^:|:$/g, '')
  return /^[a-z0-9_+'-]{1,100}$/.test(name) ? name : null
}
