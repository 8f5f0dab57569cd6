// The Next.js application in `app/`, on what all tests with real applications stand on.
import { cpSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { App, Server } from '../node/harness.mjs';

export { Larder, freePort, larderBinary, request, run, until } from '../node/harness.mjs';

const folder = fileURLToPath(new URL('./app', import.meta.url));

/** A version of the app: all have the same sources, what differs is inlined. `named` is Next.js' `deploymentId`. */
function version(output, { text, named } = {}) {
  const env = { LARDER_DIST: output, ...(text && { NEXT_PUBLIC_VERSION: text }), ...(named && { LARDER_DEPLOYMENT_ID: named }) };
  const app = new App(folder, {
    output,
    whole: `${output}/BUILD_ID`,
    build: ['node_modules/next/dist/bin/next', 'build'],
    env: output === '.next' ? undefined : env,
    others: ['scripts', ...outputs],
  });
  return Object.assign(app, { named });
}
const outputs = ['.next', '.next-second', '.next-named', '.next-named-second'];

const app = version('.next');

/** For deployments: each is the app of the tests, or would be with another text in one of its components. */
export const versions = {
  first: app,
  second: version('.next-second', { text: 'second' }),
  named: version('.next-named', { named: 'named-first' }),
  namedSecond: version('.next-named-second', { text: 'second', named: 'named-second' }),
};

export function buildApp(version = app) {
  // As deploy/nextjs/README.md has it: Turbopack takes nothing from outside of the app.
  for (const file of ['cache-handler', 'handler', 'larder', 'shared-tags']) {
    cpSync(new URL(`../../deploy/nextjs/${file}.mjs`, import.meta.url), app.path(`larder/${file}.mjs`));
  }
  return version.ready();
}

export function buildId(version = app) {
  return version.read(version.whole);
}

/** The build's secret: the value of its Draft Mode cookie, and what its own on-demand revalidation is known by. */
export function previewModeId() {
  return JSON.parse(app.read('.next/prerender-manifest.json')).preview.previewModeId;
}

/** `next start`, on a port and with an environment of its own where that is said. */
export function startNext({ env = {}, port, version = app } = {}) {
  const command = (port) => ({
    args: [app.path('node_modules/next/dist/bin/next'), 'start', '-p', String(port), '-H', '127.0.0.1'],
    options: { cwd: app.folder, env: { ...version.env, ...env } },
  });
  return Server.start(command, '/login', port);
}

export const appFolder = folder;

/** Where a handler finds the application that it is for. */
export const serverDistDir = app.path('.next/server');
