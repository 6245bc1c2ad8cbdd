// Stands in the bundle for node-fetch, which grammY asks for as a matter of course: src/channels/telegram/wire.ts gives it
// Node's own fetch to use. The package would only bring two warnings about Node's past along.
exports.default = globalThis.fetch
