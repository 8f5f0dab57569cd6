// A real Nuxt application behind Larder, with no configuration and with a route.
// LARDER_BIN=/absolute/path/to/larder node --test tests/nuxt/nuxt.test.mjs
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  assertHit, assertNoHit, assertQuick, assertType, fresh, plain, render, renewed, said, visitWhileStale, warm,
} from '../node/answers.mjs';
import { App, Larder, Server, larderBinary, until } from '../node/harness.mjs';

const windowMs = 2000; // of every page that has one
const limit = { timeout: 120_000 };
const app = new App(fileURLToPath(new URL('./app', import.meta.url)), {
  output: '.output',
  whole: '.output/nitro.json',
  build: ['node_modules/nuxt/bin/nuxt.mjs', 'build'],
  others: ['.nuxt'],
});

let nuxt;
let folder;

before(async () => {
  larderBinary();
  folder = mkdtempSync(path.join(tmpdir(), 'larder-nuxt-'));
  await app.ready();
  nuxt = await Server.start((port) => ({
    args: [app.path('.output/server/index.mjs')],
    options: { cwd: app.folder, env: { HOST: '127.0.0.1', PORT: String(port) } },
  }), '/robots.txt');
});

after(async () => {
  await nuxt?.kill();
  if (folder) rmSync(folder, { recursive: true });
});

const modes = [
  {
    name: 'with no routes',
    args: ({ listen, admin }) => ['serve', '--origin', nuxt.url, '--listen', listen, '--admin', admin],
    // Kinds of pages that have a window, by what Nuxt says of them.
    kept: ['/said/', '/cdn/', '/swr/'],
    passed: ['/isr/', '/other/', '/swr-cookie/'],
  },
  {
    name: 'with a route',
    args: (larder) => ['serve', '--config', writeConfig(larder)],
    kept: ['/said/', '/cdn/', '/swr/', '/isr/', '/swr-cookie/'],
    passed: ['/other/'],
  },
];

function writeConfig({ listen, admin }) {
  const file = path.join(folder, `${fresh('larder-')}.yaml`);
  writeFileSync(file, `listen: ${listen}
origin: ${nuxt.url}
admin:
  listen: ${admin}
routes:
  - name: pages
    match: ["/isr/**", "/swr-cookie/**"]
    revalidate: 2s
`);
  return file;
}

/** Breaks the renders of the application while `during` runs. */
async function broken(during) {
  try {
    assert.deepEqual(JSON.parse((await nuxt.get('/api/break?on=1')).text), { broken: true });
    await during(Date.now());
  } finally {
    await nuxt.get('/api/break?on=0');
  }
}

for (const mode of modes) {
  describe(mode.name, () => {
    let larder;

    before(async () => {
      larder = await Larder.start(mode.args);
    });

    after(async () => {
      await larder?.kill();
    });

    for (const kind of mode.kept) {
      test(`the second visit of a page below ${kind} is a hit with the same render`, limit, async () => {
        const target = fresh(kind);
        const first = await larder.get(target);
        assert.equal(first.status, 200, said(first));
        assertNoHit(first, 'the first visit');
        // Whoever reads a body's last byte may be faster than the store.
        const second = await warm(larder, plain(target));
        assert.equal(second.text, first.text);
        assertType(second, /^text\/html/, target);
        assert.ok('age' in second.headers, 'a hit says its Age');
      });

      test(`200 visits of a page below ${kind} that was never rendered are one render`, limit, async () => {
        const target = fresh(kind);
        const answers = await Promise.all(Array.from({ length: 200 }, () => larder.get(target)));
        for (const answer of answers) assert.equal(answer.status, 200, said(answer));
        assert.equal(new Set(answers.map((answer) => render(answer).text)).size, 1);
      });
    }

    // Pages with Nitro's own cache are another matter: see below.
    const renewing = mode.kept.filter((kind) => kind !== '/swr/');

    test(`stale pages below ${renewing.join(', ')} come at once, and newer renders follow, once a window`, limit, async () => {
      const pages = renewing.map((kind) => ({ ...plain(fresh(kind)), renews: true }));
      const newest = new Map();
      for (const page of pages) newest.set(page, render(await warm(larder, page)));
      await visitWhileStale(larder, pages, 3, (page, answer) => {
        assertHit(answer, page.target);
        assertQuick(answer, page.target);
        const seen = render(answer);
        const apart = seen.at - newest.get(page).at;
        assert.ok(apart >= 0, `${page.target}: a visitor saw a render, then one ${-apart} ms older`);
        assert.ok(apart === 0 || apart >= windowMs - 50, `${page.target}: two renders within ${apart} ms`);
        newest.set(page, seen);
      });
    });

    test(`pages below ${renewing.join(', ')} stay while renders throw, and renew when they work again`, limit, async () => {
      const pages = renewing.map((kind) => ({ ...plain(fresh(kind)), renews: true }));
      for (const page of pages) await warm(larder, page);
      let since;
      await broken(async (now) => {
        since = now;
        await visitWhileStale(larder, pages, 3, (page, answer) => {
          assertHit(answer, page.target);
          assertQuick(answer, page.target);
          assert.ok(render(answer).at <= since);
        });
        for (const kind of renewing) {
          assert.equal((await larder.get(fresh(kind))).status, 500, 'there is nothing to keep of a page that never was');
        }
      });
      await Promise.all(pages.map((page) => renewed(larder, page, since, { within: 30_000 })));
    });

    test('a page that Nitro keeps as well is renewed, and never goes back to an older render', limit, async () => {
      const target = fresh('/swr/');
      const first = render(await warm(larder, plain(target)));
      let newest = first.at;
      // Its 304s name no window for stale use, so now and then a visit is a validation; none waits for a render.
      await until(`${target} to be renewed twice`, async () => {
        const answer = await larder.get(target);
        assert.equal(answer.status, 200, said(answer));
        assertQuick(answer, target);
        const { at } = render(answer);
        assert.ok(at >= newest, `${target}: a render of ${newest}, then one of ${at}`);
        newest = at;
        return newest - first.at >= 2 * windowMs;
      }, { within: 30_000 });
    });

    for (const kind of mode.passed) {
      test(`every visit of a page below ${kind} is answered by Nuxt`, limit, async () => {
        const target = fresh(kind);
        for (let round = 0; round < 3; round += 1) {
          const answer = await larder.get(target);
          assert.equal(answer.status, 200, said(answer));
          assertNoHit(answer, target);
        }
      });
    }

    test('what Nuxt says to caches in front of it reaches the browser unchanged', limit, async () => {
      for (const kind of ['/said/', '/cdn/']) {
        const target = fresh(kind);
        const { headers } = await nuxt.get(target);
        for (let round = 0; round < 2; round += 1) {
          const answer = await larder.get(target);
          assert.equal(answer.headers['cache-control'], headers['cache-control'], said(answer));
          assert.equal(answer.headers['cdn-cache-control'], headers['cdn-cache-control'], said(answer));
        }
      }
    });

    test('everybody sees the page that is his own', limit, async () => {
      const visits = Array.from({ length: 200 }, async (_, i) => {
        const user = i % 2 === 0 ? `name-${i}` : 'anonymous';
        const answer = await larder.get('/me', user === 'anonymous' ? {} : { cookie: `user=${user}` });
        assert.equal(answer.status, 200, `${user}: ${said(answer)}`);
        assertNoHit(answer, `/me for ${user}`);
        assert.ok(answer.text.includes(`user:${user};`), `${user}: ${answer.text.slice(0, 300)}`);
      });
      await Promise.all(visits);
    });

    test('a prerendered page and its payload are asked about and come whole', limit, async () => {
      for (const [target, type] of [['/', /^text\/html/], ['/_payload.json', /^application\/json/]]) {
        const original = await nuxt.get(target);
        for (let round = 0; round < 3; round += 1) {
          const answer = await larder.get(target);
          assertNoHit(answer, target);
          assertType(answer, type, target);
          assert.equal(answer.text, original.text);
        }
        const known = await larder.get(target, { 'if-none-match': original.headers.etag });
        assert.equal(known.status, 304, said(known));
        assert.equal(known.bytes.length, 0);
      }
    });

    test('the payload of a page is JSON, and its page stays HTML', limit, async () => {
      const target = fresh('/swr/');
      for (let round = 0; round < 2; round += 1) {
        const payload = await larder.get(`${target}/_payload.json`);
        assert.equal(payload.status, 200, said(payload));
        assertType(payload, /^application\/json/, 'the payload');
        assertType(await larder.get(target), /^text\/html/, target);
      }
      await warm(larder, plain(`${target}/_payload.json`));
    });

    test('hashed assets are hits on the second visit, byte for byte', limit, async () => {
      const target = (await larder.get('/')).text.match(/\/_nuxt\/[\w-]+\.js/)[0];
      const original = await nuxt.get(target);
      const answer = await warm(larder, plain(target));
      assertType(answer, /javascript/, target);
      assert.match(answer.headers['cache-control'], /immutable/);
      assert.ok(answer.bytes.equals(original.bytes));
    });

    test('a page that does not exist is 404, again and again', limit, async () => {
      for (const target of ['/said/missing', '/swr/missing', '/no/such/page/at/all']) {
        for (let round = 0; round < 2; round += 1) {
          const answer = await larder.get(target);
          assert.equal(answer.status, 404, `${target}: ${said(answer)}`);
          assertNoHit(answer, target);
        }
      }
    });

    test('a POST reaches its handler, and its answer is that body', limit, async () => {
      for (const size of [5, 64 * 1024]) {
        const body = randomBytes(size);
        const answer = await larder.get('/api/echo', { 'content-type': 'application/x-test' }, { method: 'POST', body });
        assert.equal(answer.status, 200, said(answer));
        assert.ok(answer.bytes.equals(body), `${size} bytes came back as ${answer.bytes.length}`);
        assertNoHit(answer, 'a POST');
      }
    });

    if (mode.name === 'with a route') {
      test('nobody gets the cookie of another on a page of a route', limit, async () => {
        const target = fresh('/swr-cookie/');
        assert.match((await nuxt.get(target)).headers['set-cookie'], /^seen=/);
        for (let round = 0; round < 2; round += 1) {
          const answer = await larder.get(target);
          assert.equal(answer.headers['set-cookie'], undefined, said(answer));
          assert.equal(answer.headers['cache-control'], 'public, max-age=0, must-revalidate', said(answer));
        }
      });
    } else {
      test('a page that sets a cookie gives everybody his own', limit, async () => {
        const target = fresh('/swr-cookie/');
        for (let round = 0; round < 2; round += 1) {
          assert.match((await larder.get(target)).headers['set-cookie'] ?? 'none', /^seen=/);
        }
      });
    }
  });
}
