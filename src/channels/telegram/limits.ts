/**
 * What the Bot API takes at most. Text is counted in UTF-16 units, which is never less than the service counts.
 */
export const maxText = 4096
export const maxCaption = 1024
/** A photo; whatever is larger goes as a document. */
export const maxPhotoBytes = 10_000_000
export const maxUploadBytes = 50_000_000
/** What getFile hands out. */
export const maxDownloadBytes = 20_000_000
export const maxPollOptions = 12
export const maxPollQuestion = 300
export const maxPollOption = 100
/** Commands a bot may list, and the length of what is said of one. */
export const maxCommands = 100
export const maxCommandWords = 256
