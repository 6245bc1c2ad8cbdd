/** What the outbox of a test has to say: messages of one to three parts in four chats, and replies that grow. Data only. */
export const account = 'default'

export const messages = Array.from({ length: 16 }, (_, i) => ({
  key: `m${i}`,
  chat: `chat ${i % 4}`,
  parts: Array.from({ length: 1 + (i % 3) }, (_, part) => `m${i} part ${part}`),
}))

export const growing = ['g1', 'g2', 'g3'].map(run => ({
  run,
  chat: `chat of ${run}`,
  words: `The words of ${run} grow in the chat until they are whole.`,
}))
