/** Thinking levels, as configuration, methods and providers name them (openclaw-facts.md §E3). Pinned by their use only. */
export const thinkingLevels = ['off', 'minimal', 'low', 'medium', 'high', 'xhigh', 'adaptive', 'max', 'ultra'] as const

export type ThinkingLevel = (typeof thinkingLevels)[number]
