import { defineConfig } from 'vitest/config'

// Starts OpenClaw's own programs, which take seconds each and gigabytes on the disk: npm run test:openclaw, never by default.
export default defineConfig({
  test: {
    include: ['test/compat/openclaw/**/*.test.ts'],
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 900_000,
  },
})
