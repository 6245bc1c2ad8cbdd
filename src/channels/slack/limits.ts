/**
 * What Slack takes at most. Text is counted in UTF-16 units, which is never less than the service counts.
 */
/** The service cuts at 40,000, but shows and edits long messages badly; this is what its manual asks for. */
export const maxText = 4000
/** Words within a block: where buttons are, the words stand in one. */
export const maxBlockText = 3000
export const maxButtonLabel = 75
export const maxUploadBytes = 1_000_000_000
/** How far back a look-up goes: pages of so many messages. */
export const lookUpPages = 5
export const lookUpPageSize = 200
