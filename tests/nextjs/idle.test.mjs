// Two layers with a window each: a page that idled is young again within a few visits, though Next.js answers stale first.
// LARDER_BIN=/absolute/path/to/larder node --test tests/nextjs/idle.test.mjs
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { assertHit, assertQuick, fresh, isStale, plain, render, said, visit, warm } from '../node/answers.mjs';
import { Larder, buildApp, freePort, larderBinary, startNext, until } from './harness.mjs';

const windowMs = 5000; // `revalidate` of the pages
const limit = { timeout: 120_000 };
let folder;

before(async () => {
  larderBinary();
  folder = mkdtempSync(path.join(tmpdir(), 'larder-idle-'));
  await buildApp();
}, { timeout: 300_000 });

after(() => {
  if (folder) rmSync(folder, { recursive: true });
});

/** Stands before one `next start`, and notes what it is asked for and answers. */
class Relay {
  requests = [];

  static async start(port) {
    const relay = new Relay();
    relay.server = http.createServer((request, response) => {
      const noted = { target: request.url, at: Date.now() };
      relay.requests.push(noted);
      const { method, headers, url } = request;
      const out = http.request({ host: '127.0.0.1', port, method, headers, path: url }, (answer) => {
        noted.said = `${answer.statusCode} ${answer.headers['x-nextjs-cache'] ?? '-'}`;
        response.writeHead(answer.statusCode, answer.rawHeaders);
        answer.pipe(response);
      });
      out.on('error', () => response.destroy());
      request.pipe(out);
    }).listen(await freePort(), '127.0.0.1');
    await new Promise((resolve) => relay.server.once('listening', resolve));
    relay.port = relay.server.address().port;
    return relay;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

// All of them idle at the same time.
describe('behind one Larder', { concurrency: true }, () => {
  for (const processes of [1, 2]) {
    for (const routes of ['', `routes:\n  - match: "/idle/{slug}"\n    revalidate: ${windowMs / 1000}s\n`]) {
      describe(`${processes} \`next start\`, ${routes ? 'with a route' : 'with no routes'}`, { concurrency: true }, () => {
        let larder;
        let apps = [];
        let relays = [];

        before(async () => {
          const ports = await Promise.all(Array.from({ length: processes }, () => freePort()));
          apps = await Promise.all(ports.map((port) => startNext({ port })));
          relays = await Promise.all(ports.map((port) => Relay.start(port)));
          larder = await Larder.start(({ listen, admin }) => {
            const file = path.join(folder, `${fresh('larder-')}.yaml`);
            const servers = relays.map(({ port }) => `{ url: "http://127.0.0.1:${port}" }`);
            writeFileSync(file, `listen: ${listen}
origins:
  app:
    servers: [${servers.join(', ')}]
admin:
  listen: ${admin}
${routes}`);
            return ['serve', '--config', file];
          });
        }, { timeout: 120_000 });

        after(async () => {
          await larder?.kill();
          for (const relay of relays) await relay.stop();
          for (const app of apps) await app.kill();
        });

        const asked = (target) => relays.flatMap(({ requests }) => requests).filter((one) => one.target === target).sort((a, b) => a.at - b.at);
        const story = (target, since) => asked(target).map(({ at, said }) => `${at - since} ms: ${said}`).join(', ');

        for (const [what, target] of [['that was made at build time', '/idle/built'], ['that was made for a visitor', fresh('/idle/')]]) {
          test(`a page ${what} and has idled is young at the 3rd visit, for two requests`, limit, async () => {
            const page = plain(target);
            await warm(larder, page);
            // A full life first: Larder and each process have a page of this run.
            await until('a young page', async () => {
              const answer = await visit(larder, page);
              return !isStale(answer) && Date.now() - render(answer).at < windowMs;
            }, { within: 30_000 });
            for (const round of [1, 2]) {
              await until('the page to have idled', () => Date.now() - asked(target).at(-1).at > 2.2 * windowMs);
              await comesBack(page, round);
            }
          });
        }

        async function comesBack(page, round) {
          const before = asked(page.target).length;
          const start = Date.now();
          const visits = [];
          for (let i = 0; i < 4; i += 1) {
            await until('the next second', () => Date.now() - start >= i * 1000, { every: 10 });
            const answer = await visit(larder, page);
            assertHit(answer, page.target);
            assertQuick(answer, page.target);
            visits.push({ age: Date.now() - render(answer).at, said: said(answer) });
          }
          const all = `round ${round}: ${JSON.stringify(visits)}; Next.js: ${story(page.target, start)}`;
          assert.ok(visits[0].age > windowMs, all);
          for (const { age } of visits.slice(2)) assert.ok(age < windowMs, all);
          assert.ok(asked(page.target).length - before <= 2, all);
        }
      });
    }
  }
});
