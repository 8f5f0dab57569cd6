// The Next.js application in `app/`, on what all tests with real applications stand on.
import { cpSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { App, Server } from '../node/harness.mjs';

export { Larder, freePort, larderBinary, request, run, until } from '../node/harness.mjs';

const app = new App(fileURLToPath(new URL('./app', import.meta.url)), {
  output: '.next',
  whole: '.next/BUILD_ID',
  build: ['node_modules/next/dist/bin/next', 'build'],
  others: ['scripts'],
});

export function buildApp() {
  // As deploy/nextjs/README.md has it: Turbopack takes nothing from outside of the app.
  for (const file of ['cache-handler', 'handler', 'larder', 'shared-tags']) {
    cpSync(new URL(`../../deploy/nextjs/${file}.mjs`, import.meta.url), app.path(`larder/${file}.mjs`));
  }
  return app.ready();
}

export function buildId() {
  return app.read('.next/BUILD_ID');
}

/** The build's secret: the value of its Draft Mode cookie, and what its own on-demand revalidation is known by. */
export function previewModeId() {
  return JSON.parse(app.read('.next/prerender-manifest.json')).preview.previewModeId;
}

/** `next start`, on a port and with an environment of its own where that is said. */
export function startNext({ env = {}, port } = {}) {
  const command = (port) => ({
    args: [app.path('node_modules/next/dist/bin/next'), 'start', '-p', String(port), '-H', '127.0.0.1'],
    options: { cwd: app.folder, env },
  });
  return Server.start(command, '/login', port);
}

export const appFolder = app.folder;

/** Where a handler finds the application that it is for. */
export const serverDistDir = app.path('.next/server');
