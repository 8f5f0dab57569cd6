// A real Next.js application behind Larder, with no configuration and with routes.
// LARDER_BIN=/absolute/path/to/larder node --test tests/nextjs/nextjs.test.mjs
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  assertHit, assertNoHit, assertQuick, assertType, fresh, plain, render, renewed, said, visit, visitWhileStale, warm,
} from '../node/answers.mjs';
import { Larder, buildApp, buildId, larderBinary, run, startNext, until } from './harness.mjs';
import { rscHeaders } from './rsc.mjs';

const windowMs = 2000; // `revalidate` of the pages
const stateTree = '%5B%22%22%2C%7B%22children%22%3A%5B%22__PAGE__%22%2C%7B%7D%5D%7D%2Cnull%2Cnull%2C16%5D';

let next;
let folder;

before(async () => {
  larderBinary();
  folder = mkdtempSync(path.join(tmpdir(), 'larder-nextjs-'));
  await buildApp();
  next = await startNext();
});

after(async () => {
  await next?.kill();
  if (folder) rmSync(folder, { recursive: true });
});

function rsc(target, options) {
  const { query, headers } = rscHeaders(options);
  return { target: `${target}${target.includes('?') ? '&' : '?'}${query}`, headers };
}

/** One page of every kind that can be kept; `renews` marks those with a window and a render marker. */
async function everyKindOfPage() {
  const post = fresh('/blog/');
  const home = await next.get('/');
  return [
    plain('/'),
    plain('/login'),
    plain(assetsOf(home.text).css),
    { ...plain(post), renews: true },
    { ...plain(fresh('/blog/')), renews: true },
    { ...plain(fresh('/old/')), renews: true },
    { ...plain(fresh('/old-cached?n=')), renews: true },
    { ...rsc(post), renews: true },
    { ...rsc(post, { prefetch: '1', segment: '/blog/$d$slug/__PAGE__' }), renews: true },
    rsc(post, { prefetch: '1', segment: '/_tree' }),
  ];
}

function assetsOf(html) {
  const find = (ending) => html.match(new RegExp(`/_next/static/[^"'\\\\]+\\.${ending}`))?.[0];
  return { css: find('css'), js: find('js') };
}

// --- The two ways to run it ---

const modes = [
  {
    name: 'with no routes',
    args: (larder) => ['serve', '--origin', next.url, '--listen', larder.listen, '--admin', larder.admin],
  },
  {
    name: 'with routes',
    args: (larder) => ['serve', '--config', writeConfig(larder)],
  },
];

function writeConfig({ listen, admin }) {
  const file = path.join(folder, `${fresh('larder-')}.yaml`);
  writeFileSync(file, `listen: ${listen}
origin: ${next.url}
admin:
  listen: ${admin}
routes:
  - name: blog
    match: "/blog/{slug}"
    revalidate: 2s
  - name: old
    match: "/old/{id}"
    revalidate: 2s
  - name: gated
    match: /gated
    revalidate: 2s
`);
  return file;
}

test('larder check accepts the configuration with routes', async () => {
  const file = writeConfig({ listen: '127.0.0.1:8080', admin: '127.0.0.1:9900' });
  const { code, output } = await run(larderBinary(), ['check', file]);
  assert.equal(code, 0, output);
});

for (const mode of modes) {
  describe(mode.name, () => {
    let larder;
    const limit = { timeout: 120_000 };

    before(async () => {
      larder = await Larder.start(mode.args);
    });

    after(async () => {
      await larder?.kill();
    });

    for (const router of ['/blog/', '/old/']) {
      test(`the second visit of an ISR page below ${router} is a hit with the same render`, limit, async () => {
        const target = fresh(router);
        const first = await larder.get(target);
        assert.equal(first.status, 200);
        assertNoHit(first, 'the first visit');
        const second = await larder.get(target);
        assertHit(second, 'the second visit');
        assert.equal(second.text, first.text);
        assertType(second, /^text\/html/, target);
        assert.ok('age' in second.headers, 'a hit says its Age');
        assert.ok(!('x-nextjs-cache' in second.headers), 'the origin\'s cache word is not passed off as ours');
      });
    }

    for (const router of ['/blog/', '/blog/slow-', '/old/']) {
      test(`a stale page below ${router} comes at once, and a newer render follows`, limit, async () => {
        const page = plain(fresh(router));
        const first = render(await visit(larder, page));
        await renewed(larder, page, first.at);
      });
    }

    for (const router of ['/blog/', '/old/']) {
      test(`a page below ${router} younger than its window is served, though Next.js answers stale first`, limit, async () => {
        const page = plain(fresh(router));
        const first = render(await visit(larder, page));
        await until('a young page', async () => {
          const answer = await visit(larder, page);
          assertHit(answer, page.target);
          const { at } = render(answer);
          return at > first.at && Date.now() - at < windowMs;
        }, { every: 500 });
      });
    }

    test('every page seen before is kept while Next.js is dead, and renews when it is back', limit, async () => {
      const pages = await everyKindOfPage();
      for (const page of pages) await warm(larder, page);
      try {
        await next.kill();
        const kept = new Map();
        for (const page of pages) {
          const answer = await visit(larder, page);
          assertHit(answer, page.target);
          kept.set(page, answer.text);
        }
        await visitWhileStale(larder, pages, 10, (page, answer) => {
          assertHit(answer, page.target);
          assertQuick(answer, page.target);
          assert.equal(answer.text, kept.get(page), `${page.target} changed while Next.js was dead`);
        });
      } finally {
        await next.restart();
      }
      const back = Date.now();
      for (const page of pages.filter((one) => one.renews)) await renewed(larder, page, back, { within: 30_000 });
    });

    test('visits are quick and good while Next.js hangs, and pages renew when it goes on', limit, async () => {
      const pages = await everyKindOfPage();
      for (const page of pages) await warm(larder, page);
      let frozen;
      try {
        next.freeze();
        frozen = Date.now();
        await visitWhileStale(larder, pages, 10, (page, answer) => {
          assertHit(answer, page.target);
          assertQuick(answer, page.target);
          if (page.renews) assert.ok(render(answer).at <= frozen);
        });
      } finally {
        next.thaw();
      }
      for (const page of pages.filter((one) => one.renews)) await renewed(larder, page, frozen, { within: 30_000 });
    });

    test('in a mixed crowd members alone see the gated page, from the first request on', limit, async () => {
      const own = await Larder.start(mode.args); // cold
      const secret = /members only secret/;
      // Every road to the page. To members each of them says "s-maxage=31536000".
      const roads = [
        { page: (query) => plain(`/gated${query}`), type: /^text\/html/ },
        { page: (query) => rsc(`/gated${query}`), type: /^text\/x-component/ },
        { page: (query) => plain(`/_next/data/${buildId()}/gated.json${query}`, { 'x-nextjs-data': '1' }), type: /^text\/html/ },
        { page: (query) => rsc(`/gated${query}`, { prefetch: '1', segment: '/gated/__PAGE__' }), type: /^text\/x-component/ },
      ];
      async function oneVisit(query, isMember, i) {
        const road = roads[i % roads.length];
        const { target, headers } = road.page(query);
        const cookie = isMember ? { cookie: `session=member; user=name-${i}` } : {};
        const answer = await own.get(target, { ...headers, ...cookie });
        const what = `${isMember ? 'a member' : 'anonymous'} at ${target} with ${JSON.stringify(headers)}: ${said(answer)}`;
        if (isMember) {
          assert.equal(answer.status, 200, what);
          assert.match(answer.text, secret, what);
          assertType(answer, road.type, what);
        } else {
          assert.doesNotMatch(answer.text, secret, what);
          assert.equal(answer.status, 307, what);
          assert.match(answer.headers.location ?? answer.headers['x-nextjs-redirect'], /\/login$/, what);
        }
      }
      try {
        const cold = fresh('?n=');
        for (const query of ['', '', cold, cold, fresh('?n='), '']) {
          await Promise.all(Array.from({ length: 200 }, (_, i) => oneVisit(query, i % 2 === 0, i >> 1)));
        }
        // Members first and alone, then one who is not: the order in which a shared copy would show.
        const query = fresh('?n=');
        for (let i = 0; i < 12; i += 1) await oneVisit(query, true, i);
        for (let i = 0; i < 4; i += 1) await oneVisit(query, false, i);
      } finally {
        await own.kill();
      }
    });

    test('in a mixed crowd everybody sees their own personal page', limit, async () => {
      const own = await Larder.start(mode.args); // cold
      async function oneVisit(target, i) {
        const user = i % 2 === 0 ? `name-${i}` : 'anonymous';
        const page = target === '/me' && i % 4 >= 2 ? rsc(target, { tree: stateTree, url: '/' }) : plain(target);
        const headers = user === 'anonymous' ? page.headers : { ...page.headers, cookie: `session=member; user=${user}` };
        const answer = await own.get(page.target, headers);
        assert.equal(answer.status, 200, `${user}: ${said(answer)}`);
        assertNoHit(answer, `${page.target} for ${user}`);
        const shown = new Set([...answer.text.matchAll(/"?user"?:"?([\w-]+)/g)].map((match) => match[1]));
        assert.deepEqual([...shown], [user], `${page.target} for ${user} (${i}): ${said(answer)}`);
      }
      try {
        for (const target of ['/me', '/me', '/old-ssr', '/old-ssr', '/me']) {
          await Promise.all(Array.from({ length: 200 }, (_, i) => oneVisit(target, i)));
        }
      } finally {
        await own.kill();
      }
    });

    // What each request for a post must get. The path of a post is the same for all of them.
    const asks = {
      'an HTML visit': {
        page: (post) => plain(post),
        check(answer) {
          assert.equal(answer.status, 200);
          assertType(answer, /^text\/html/);
          assert.match(answer.text, /^<!DOCTYPE html>/);
          render(answer);
        },
      },
      'an HTML visit with a left-over _rsc': {
        page: (post) => plain(`${post}?_rsc=abc`),
        check: (answer) => asks['an HTML visit'].check(answer),
      },
      'a navigation': {
        page: (post) => rsc(post, { tree: stateTree, url: '/' }),
        check(answer) {
          assert.equal(answer.status, 200);
          assertType(answer, /^text\/x-component/);
          assert.match(answer.text, /"S":true/);
          render(answer);
        },
      },
      'a navigation from another page': {
        page: (post) => rsc(post, { tree: stateTree, url: '/blog/world' }),
        check: (answer) => asks['a navigation'].check(answer),
      },
      'a bare RSC request': {
        page: (post) => rsc(post),
        check: (answer) => asks['a navigation'].check(answer),
      },
      'a prefetch': {
        page: (post) => rsc(post, { prefetch: '1', url: '/' }),
        check: (answer) => asks['a navigation'].check(answer),
      },
      'a prefetch of the route tree': {
        page: (post) => rsc(post, { prefetch: '1', segment: '/_tree', url: '/' }),
        check(answer) {
          assert.equal(answer.status, 200);
          assertType(answer, /^text\/x-component/);
          assert.doesNotMatch(answer.text, /render:/);
        },
      },
      'a prefetch of the page segment': {
        page: (post) => rsc(post, { prefetch: '1', segment: '/blog/$d$slug/__PAGE__', url: '/' }),
        check(answer) {
          assert.equal(answer.status, 200);
          assertType(answer, /^text\/x-component/);
          assert.doesNotMatch(answer.text, /"S":true/);
          render(answer);
        },
      },
      'an RSC request without its hash': {
        page: (post) => plain(post, { rsc: '1' }),
        check(answer) {
          // Next.js redirects to the hash; an answer with the payload would be right as well.
          if (answer.status === 307) assert.match(answer.headers.location, /\?_rsc=?$/);
          else asks['a navigation'].check(answer);
        },
      },
    };

    async function ask(name, post) {
      const answer = await visit(larder, asks[name].page(post));
      try {
        asks[name].check(answer);
        const others = (answer.text.match(/render:[\w-]+/g) ?? []).filter((found) => found !== `render:${post.slice('/blog/'.length)}`);
        assert.deepEqual(others, []);
      } catch (error) {
        error.message = `${name} of ${post}: ${said(answer)}: ${error.message}\n${answer.text.slice(0, 300)}`;
        throw error;
      }
    }

    test('HTML and RSC answers never swap on a warm page', limit, async () => {
      const names = Object.keys(asks);
      const order = Array.from({ length: 100 }, (_, i) => names[(i * 5 + Math.floor(i / 9)) % names.length]);
      assert.equal(new Set(order).size, names.length);
      for (const name of names) await ask(name, '/blog/hello');
      const lane = async (offset) => {
        for (let i = offset; i < order.length; i += 10) await ask(order[i], '/blog/hello');
      };
      await Promise.all(Array.from({ length: 10 }, (_, offset) => lane(offset)));
    });

    test('HTML and RSC answers never swap on a page that was never rendered', limit, async () => {
      const names = Object.keys(asks);
      for (let round = 0; round < names.length; round += 1) {
        const post = fresh('/blog/');
        const order = [...names.slice(round), ...names.slice(0, round), ...names]; // another one first each round
        await Promise.all(order.map((name) => ask(name, post)));
        for (const name of order) await ask(name, post);
      }
    });

    test('RSC navigations and prefetches are hits on the second visit', limit, async () => {
      const post = fresh('/blog/');
      for (const options of [{}, { prefetch: '1', segment: '/_tree' }, { prefetch: '1', segment: '/blog/$d$slug/__PAGE__' }]) {
        const page = rsc(post, options);
        await visit(larder, page);
        const answer = await visit(larder, page);
        assertHit(answer, JSON.stringify(page.headers));
        assertType(answer, /^text\/x-component/, JSON.stringify(page.headers));
      }
    });

    test('a client that asked for no encoding gets none, whoever came before', limit, async () => {
      const target = fresh('/blog/');
      await larder.get(target, { 'accept-encoding': 'gzip, br, zstd' });
      const answer = await larder.get(target);
      assert.equal(answer.headers['content-encoding'], undefined);
      assert.match(answer.text, /^<!DOCTYPE html>/);
    });

    test('a visitor who has the page already is told so without its body', limit, async () => {
      const page = plain(fresh('/blog/'));
      const first = await warm(larder, page);
      const second = await larder.get(page.target, { 'if-none-match': first.headers.etag });
      assert.equal(second.status, 304, said(second));
      assert.equal(second.bytes.length, 0);
      assert.equal(second.headers.etag, first.headers.etag);
      const other = await larder.get(page.target, { 'if-none-match': '"another"' });
      assert.equal(other.text, first.text);
    });

    test('a POST reaches its handler, and its answer is that body', limit, async () => {
      for (const size of [0, 5, 64 * 1024]) {
        const body = randomBytes(size);
        const answer = await larder.get('/api/echo', { 'content-type': 'application/x-test' }, { method: 'POST', body });
        assert.equal(answer.status, 200, said(answer));
        assertType(answer, /^application\/x-test/, 'the echo');
        assert.ok(answer.bytes.equals(body), `${size} bytes came back as ${answer.bytes.length}`);
        assertNoHit(answer, 'a POST');
      }
    });

    test('a no-store route handler answers every request itself', limit, async () => {
      const answers = [await larder.get('/api/time'), await larder.get('/api/time')];
      answers.push(...await Promise.all(Array.from({ length: 20 }, () => larder.get('/api/time'))));
      for (const answer of answers) {
        assert.equal(answer.status, 200);
        assertNoHit(answer, '/api/time');
      }
      assert.equal(new Set(answers.map((answer) => render(answer).text)).size, answers.length);
    });

    test('a streamed page arrives as it is rendered', limit, async () => {
      for (let round = 0; round < 2; round += 1) {
        const answer = await larder.get('/stream');
        assert.equal(answer.status, 200, said(answer));
        assert.match(answer.chunks[0].bytes.toString(), /still cooking/);
        render(answer);
        const lead = answer.endAfter - answer.chunks[0].after;
        assert.ok(lead >= 200, `the first chunk came ${Math.round(lead)} ms before the end`);
      }
    });

    test('server-sent events arrive one by one', limit, async () => {
      const answer = await larder.get('/api/events');
      assertType(answer, /^text\/event-stream/, 'events');
      assert.equal(answer.text.match(/^data: event \d$/gm).join(), 'data: event 1,data: event 2,data: event 3');
      const arrival = (event) => {
        let seen = '';
        return answer.chunks.find((chunk) => (seen += chunk.bytes).includes(`data: event ${event}\n\n`)).after;
      };
      for (const event of [2, 3]) {
        const gap = arrival(event) - arrival(event - 1);
        assert.ok(gap >= 150, `event ${event} came ${Math.round(gap)} ms after the one before`);
      }
    });

    test('hashed assets are hits on the second visit, byte for byte', limit, async () => {
      const { css, js } = assetsOf((await larder.get('/')).text);
      for (const [target, type] of [[css, /^text\/css/], [js, /javascript/]]) {
        const original = await next.get(target);
        await larder.get(target);
        const answer = await larder.get(target);
        assertHit(answer, target);
        assertType(answer, type, target);
        assert.match(answer.headers['cache-control'], /immutable/);
        assert.ok(answer.bytes.equals(original.bytes));
      }
    });

    test('a public file is answered with its type, byte for byte', limit, async () => {
      const original = await next.get('/picture.png');
      for (let round = 0; round < 2; round += 1) {
        const answer = await larder.get('/picture.png');
        assert.equal(answer.status, 200, said(answer));
        assertType(answer, /^image\/png/, '/picture.png');
        assert.ok(answer.bytes.equals(original.bytes));
      }
    });

    test('optimised images are hits on the second visit, each format for who accepts it', limit, async () => {
      const target = (await larder.get('/picture')).text.match(/\/_next\/image\?[^" ]+/)[0].replaceAll('&amp;', '&');
      const formats = [['image/webp,*/*', 'image/webp'], ['*/*', 'image/png']];
      for (const [accept, type] of formats) {
        const first = await larder.get(target, { accept });
        assert.equal(first.status, 200, said(first));
        assert.equal(first.headers['content-type'], type);
        // Whoever reads a body's last byte may be faster than the store.
        const second = await warm(larder, plain(target, { accept }));
        assert.ok(second.bytes.equals(first.bytes));
      }
      for (const [accept, type] of formats) {
        const again = await larder.get(target, { accept });
        assertHit(again, `${target} as ${type}`);
        assert.equal(again.headers['content-type'], type);
      }
    });

    test('a getServerSideProps page with s-maxage is a hit in its window', limit, async () => {
      const target = fresh('/old-cached?n=');
      const first = await larder.get(target);
      const second = await larder.get(target);
      assertHit(second, target);
      assert.equal(render(second).text, render(first).text);
      await renewed(larder, plain(target), render(first).at);
    });

    test('a getServerSideProps page that is private is never a hit', limit, async () => {
      for (const user of ['ada', 'ada', undefined, 'grace', undefined]) {
        const answer = await larder.get('/old-ssr', user ? { cookie: `user=${user}` } : {});
        assert.equal(answer.status, 200, said(answer));
        assertNoHit(answer, '/old-ssr');
        assert.match(answer.text, new RegExp(`user:${user ?? 'anonymous'}<`));
      }
    });

    test('the data of a pages router page is JSON, and its page stays HTML', limit, async () => {
      const target = fresh('/old/');
      for (let round = 0; round < 2; round += 1) {
        const data = await larder.get(`/_next/data/${buildId()}${target}.json`, { 'x-nextjs-data': '1' });
        assert.equal(data.status, 200, said(data));
        assertType(data, /^application\/json/, 'data');
        assert.match(JSON.parse(data.text).pageProps.render, /^render:/);
        assertType(await larder.get(target), /^text\/html/, target);
      }
    });

    test('a post that does not exist is 404, again and again', limit, async () => {
      for (let round = 0; round < 3; round += 1) {
        const answer = await larder.get('/blog/missing');
        assert.equal(answer.status, 404, said(answer));
        assert.doesNotMatch(answer.text, /render:missing/);
      }
    });

    test('a page whose renders throw stays as it was, and renews when they work again', limit, async () => {
      const page = { ...plain(fresh('/blog/')), renews: true };
      const cold = fresh('/blog/');
      await warm(larder, page);
      let broken;
      try {
        assert.deepEqual(JSON.parse((await next.get('/api/break?on=1')).text), { broken: true });
        broken = Date.now();
        await visitWhileStale(larder, [page], 3, (_, answer) => {
          assertHit(answer, page.target);
          assertQuick(answer, page.target);
          assert.ok(render(answer).at <= broken);
        });
        assert.equal((await larder.get(cold)).status, 500, 'there is nothing to keep of a page that never was');
      } finally {
        await next.get('/api/break?on=0');
      }
      await renewed(larder, page, broken, { within: 30_000 });
      await until('the page that never was to be rendered', async () => (await larder.get(cold)).status === 200);
    });

    if (mode.name === 'with routes') {
      test('browsers are told to ask again for the page of an ISR route', limit, async () => {
        const target = fresh('/blog/');
        for (let round = 0; round < 2; round += 1) {
          const answer = await larder.get(target);
          assert.equal(answer.headers['cache-control'], 'public, max-age=0, must-revalidate', said(answer));
        }
      });

      test('a query that no route asked for shares the page of its path', limit, async () => {
        const target = fresh('/blog/');
        const first = await larder.get(target);
        const second = await larder.get(`${target}?utm_source=x&anything=1`);
        assertHit(second, 'with a query');
        assert.equal(second.text, first.text);
      });
    } else {
      test('the Cache-Control of Next.js reaches the browser unchanged', limit, async () => {
        const target = fresh('/blog/');
        for (let round = 0; round < 2; round += 1) {
          const answer = await larder.get(target);
          assert.equal(answer.headers['cache-control'], (await next.get(target)).headers['cache-control'], said(answer));
        }
      });
    }
  });
}
