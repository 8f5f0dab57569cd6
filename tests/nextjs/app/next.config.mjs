import { existsSync } from 'node:fs';
import path from 'node:path';

// The harness copies it here. Without LARDER_ADMIN_TOKEN, which on-demand.test.mjs alone sets, it is Next.js' own cache and nothing else.
const cacheHandler = path.join(import.meta.dirname, 'larder/cache-handler.mjs');

/** @type {import('next').NextConfig} */
export default {
  // What the harness says of the app's other versions, which lie beside the first.
  distDir: process.env.LARDER_DIST ?? '.next',
  deploymentId: process.env.LARDER_DEPLOYMENT_ID,
  // The nearest lockfile is this one, whatever lies in the folders above.
  turbopack: { root: import.meta.dirname },
  outputFileTracingRoot: import.meta.dirname,
  cacheHandler: existsSync(cacheHandler) ? cacheHandler : undefined,
};
