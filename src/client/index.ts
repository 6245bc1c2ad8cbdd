/** The package's `./client`: a connection to a gateway, over its unix socket or a WebSocket. */
export * from './connect.ts'
