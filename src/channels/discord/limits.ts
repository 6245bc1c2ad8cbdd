/**
 * What Discord takes at most. Text is counted in UTF-16 units, which is never less than the service counts.
 */
export const maxText = 2000
export const maxUploadBytes = 10_000_000
export const maxFiles = 10
/** Rows of buttons under a message, buttons in a row, and the words of one. */
export const maxRows = 5
export const maxRowButtons = 5
export const maxLabel = 80
export const maxPollOptions = 10
export const maxPollQuestion = 300
export const maxPollOption = 55
export const maxCommands = 100
export const maxCommandWords = 100
