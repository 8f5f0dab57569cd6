// The Next.js application in `app/`, on what all tests with real applications stand on.
import { fileURLToPath } from 'node:url';
import { App, Server } from '../node/harness.mjs';

export { Larder, larderBinary, request, run, until } from '../node/harness.mjs';

const app = new App(fileURLToPath(new URL('./app', import.meta.url)), {
  output: '.next',
  whole: '.next/BUILD_ID',
  build: ['node_modules/next/dist/bin/next', 'build'],
  others: ['scripts'],
});

export function buildApp() {
  return app.ready();
}

export function buildId() {
  return app.read('.next/BUILD_ID');
}

/** `next start` */
export function startNext() {
  const command = (port) => ({
    args: [app.path('node_modules/next/dist/bin/next'), 'start', '-p', String(port), '-H', '127.0.0.1'],
    options: { cwd: app.folder },
  });
  return Server.start(command, '/login');
}
