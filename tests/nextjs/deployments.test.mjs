// Deployments of a real Next.js application: two builds of it come and go at one address, behind one Larder.
// LARDER_BIN=/absolute/path/to/larder node --test tests/nextjs/deployments.test.mjs
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { assertHit, assertNoHit, assertQuick, assertType, fresh, isHit, isStale, plain, render, said, visit, warm } from '../node/answers.mjs';
import {
  Origin, accepts, activate, activation, activeDeployment, api, assertMadeBy, assertStaleHit, assertTrueAge, deployments,
  invalidate, madeBy, scratch, startLarder,
} from './deploying.mjs';
import { buildApp, buildId, until, versions } from './harness.mjs';
import { rscHeaders } from './rsc.mjs';

const { first, second, named, namedSecond } = versions;
const limit = { timeout: 180_000 };
const windowMs = 2000; // `revalidate` of the pages below /blog and /old
const syncMs = 1000;

const can = {
  deployments: await accepts('deployment: { id: a, keep: 5, bridge: true }\n'),
  disk: await accepts('store: { disk: { path: /nonexistent/larder, sync: 1s } }\n'),
};
const needs = (...what) => {
  const missing = what.filter((one) => !can[one]);
  return missing.length > 0 && `this binary has no ${missing.join(', no ')}`;
};

const routes = `routes:
  - match: "/versioned/{slug}"
    revalidate: 1h
  - match: "/blog/{slug}"
    revalidate: 2s
  - match: "/old/{id}"
    revalidate: 2s
`;
const modes = [['with no routes', ''], ['with routes', routes]];

let place;
let origin;

before(async () => {
  place = scratch();
  for (const version of Object.values(versions)) await buildApp(version);
  origin = await Origin.start(first);
}, { timeout: 600_000 });

after(async () => {
  await origin?.stop();
  place?.remove();
});

function rsc(target, options) {
  const { query, headers } = rscHeaders(options);
  return plain(`${target}?${query}`, headers);
}

/** Ids of two deployments that no other test has. */
function twoIds() {
  return { a: fresh('a-'), b: fresh('b-') };
}

/** Pages that nothing but a deployment renews while a test runs. */
const kept = () => plain(fresh('/versioned/'));

/** One page of every kind that says which version made it; `at` marks those that say when. */
function everyKindOfPage() {
  const post = fresh('/blog/');
  return [
    plain('/'),
    plain('/login'),
    { ...kept(), at: true },
    { ...plain(post), at: true },
    { ...plain(fresh('/old/')), at: true },
    rsc(post),
    rsc(post, { prefetch: '1', segment: '/_tree' }),
    rsc(post, { prefetch: '1', segment: '/blog/$d$slug/__PAGE__' }),
    rsc('/login'),
  ];
}

/** The pages are stored, as this version made them; their answers. */
async function stored(larder, pages, version) {
  const answers = new Map();
  for (const page of pages) {
    const answer = await warm(larder, page);
    assertMadeBy(answer, version, page.target);
    answers.set(page, answer);
  }
  return answers;
}

/** The chunks of a page that one version has and the other does not. */
async function chunksOf(version, other) {
  const target = '/versioned/built';
  await origin.deploy(version);
  const page = await origin.get(target);
  const chunks = [...new Set(page.text.match(/\/_next\/static\/[^"'\\]+\.js/g))];
  await origin.deploy(other);
  const gone = [];
  for (const chunk of chunks) {
    if ((await origin.get(chunk)).status === 404) gone.push(chunk);
  }
  return gone;
}

for (const [mode, more] of modes) {
  describe(`deploying, ${mode}`, () => {
    let larder;

    before(async () => {
      larder = await startLarder(place.folder, origin, () => (can.deployments ? `deployment: { id: a }\n${more}` : more));
    });

    after(async () => {
      await larder?.kill();
    });

    beforeEachIsFirst(() => larder);

    test('with the activation visitors get the new version: every page of the old one is rendered anew, once', limit, async () => {
      const { a, b } = twoIds();
      const pages = everyKindOfPage();
      await activate(larder, a);
      const old = await stored(larder, pages, 'first');
      await origin.deploy(second, larder);
      // Not told yet.
      const [long] = pages.slice(2);
      const before = await visit(larder, long);
      assertHit(before, long.target);
      assert.equal(before.text, old.get(long).text);
      const asked = origin.asked(long.target);

      await activate(larder, b);
      assert.equal(await activeDeployment(larder), b);
      for (const page of pages) {
        const answer = await visit(larder, page);
        assertNoHit(answer, `the first visit of ${page.target}`);
        assertMadeBy(answer, 'second', page.target);
      }
      await stored(larder, pages, 'second');
      assertHit(await visit(larder, long), long.target);
      assert.equal(origin.asked(long.target), asked + 1);
    });

    test('a visitor waits for a page that the new version has not rendered', limit, async () => {
      const { a, b } = twoIds();
      const page = kept();
      await activate(larder, a);
      await stored(larder, [page], 'first');
      await origin.deploy(second, larder);
      await activate(larder, b);
      const hold = origin.hold(page.target);
      const visits = [waiting(visit(larder, page)), waiting(visit(larder, page))];
      await hold.came();
      assert.ok(visits.every((one) => !one.isDone));
      hold.release();
      for (const { answer } of visits) assertMadeBy(await answer, 'second', page.target);
      assert.equal(hold.answers, 1);
    });

    test('after a rollback the old pages are hits with their true age, though nothing runs at the origin', limit, async () => {
      const { a, b } = twoIds();
      const pages = everyKindOfPage();
      await activate(larder, a);
      await stored(larder, pages, 'first');
      // Renders of this test: what idles from here on is not renewed by a visit.
      const before = new Map();
      for (const page of pages) before.set(page, await visit(larder, page));
      await origin.deploy(second, larder);
      await activate(larder, b);
      const between = await stored(larder, pages, 'second');
      await origin.stop();
      await until('the pages with a window to be past it', () => pages.every((page) => !page.at || Date.now() - render(before.get(page)).at > 2 * windowMs));

      await activate(larder, a);
      for (const page of pages) {
        const answer = await visit(larder, page);
        assertHit(answer, page.target);
        assertQuick(answer, page.target);
        assertMadeBy(answer, 'first', page.target);
        if (!page.at) continue;
        assert.equal(answer.text, before.get(page).text);
        assertTrueAge(answer, render(answer).at, page.target);
        assert.equal(isStale(answer), !page.target.startsWith('/versioned/'), `${page.target}: ${said(answer)}`);
      }

      // And forward again.
      await activate(larder, b);
      for (const page of pages) {
        const answer = await visit(larder, page);
        assertHit(answer, page.target);
        assertMadeBy(answer, 'second', page.target);
        if (page.at) assertTrueAge(answer, render(answer).at, page.target);
        if (page.target.startsWith('/versioned/')) assert.equal(answer.text, between.get(page).text);
      }
    });

    test('after a rollback the origin is not asked for what is still fresh', limit, async () => {
      const { a, b } = twoIds();
      const pages = [kept(), kept(), plain('/login')];
      await activate(larder, a);
      const before = await stored(larder, pages, 'first');
      await origin.deploy(second, larder);
      await activate(larder, b);
      await stored(larder, pages, 'second');
      await origin.deploy(first, larder);
      await activate(larder, a);
      const asked = origin.requests.length;
      for (const page of pages) {
        const answer = await visit(larder, page);
        assertHit(answer, page.target);
        assert.equal(answer.text, before.get(page).text);
      }
      assert.deepEqual(origin.requests.slice(asked), []);
    });

    test('what was asked for under one deployment is never served under another', limit, async () => {
      const { a, b } = twoIds();
      const page = kept();
      await activate(larder, a);
      const hold = origin.hold(page.target, { times: 1 });
      const early = waiting(visit(larder, page));
      await hold.came();
      await origin.deploy(second, larder);
      await activate(larder, b);
      // It neither waits for the render that began before, nor gets it.
      assertMadeBy(await visit(larder, page), 'second', page.target);
      assert.ok(!early.isDone);
      hold.release();
      assertMadeBy(await early.answer, 'first', 'the visit before the activation');
      for (let round = 0; round < 5; round += 1) {
        const answer = await visit(larder, page);
        assertHit(answer, page.target);
        assertMadeBy(answer, 'second', page.target);
      }
      await activate(larder, a);
      const back = await visit(larder, page);
      assertHit(back, `${page.target} after the rollback`);
      assert.equal(back.text, (await early.answer).text);
    });

    test('a regeneration that began under one deployment ends under it alone', limit, async () => {
      const { a, b } = twoIds();
      const page = plain(fresh('/blog/'));
      await activate(larder, a);
      const [old] = (await stored(larder, [page], 'first')).values();
      // Next.js answers stale itself: the visit makes it render, and only then Larder's regeneration gets something new.
      await until('the app to have a new render', async () => render(await origin.get(page.target)).at > render(old).at);
      const hold = origin.hold(page.target, { times: 1 });
      await until('a regeneration', async () => {
        const answer = await visit(larder, page);
        assertMadeBy(answer, 'first', page.target);
        return hold.answers > 0;
      });
      await origin.deploy(second, larder);
      await activate(larder, b);
      const since = Date.now();
      const fromNew = await visit(larder, page);
      assertMadeBy(fromNew, 'second', page.target);
      hold.release();
      // Long enough for it to have come: the new version's page lives a whole life, and is renewed.
      await until('a newer render of the new version', async () => {
        const answer = await visit(larder, page);
        assertHit(answer, page.target);
        assertMadeBy(answer, 'second', page.target);
        return render(answer).at > Math.max(since, render(fromNew).at);
      });
      await origin.stop();
      await activate(larder, a);
      const back = await visit(larder, page);
      assertHit(back, `${page.target} after the rollback`);
      assertMadeBy(back, 'first', page.target);
      assert.ok(render(back).at > render(old).at, 'the regeneration is stored where it began');
    });
  });
}

describe('a tab that was opened before the deployment', () => {
  for (const [what, old, next, oldName, nextName] of [
    ['with build ids', first, second, 'first', 'second'],
    ['with deployment ids in Next.js too', named, namedSecond, 'named', 'namedSecond'],
  ]) {
    for (const bridge of can.deployments ? [false, true] : [false]) {
      describe(`${what}${bridge ? ', and bridges' : ''}`, () => {
        let larder;

        before(async () => {
          larder = await startLarder(place.folder, origin, () => (can.deployments ? `deployment: { id: a, bridge: ${bridge} }\n` : ''));
        });

        after(async () => {
          await larder?.kill();
        });

        test('gets the new version\'s payloads, as from Next.js itself, and never one of the old version', limit, async () => {
          const { a, b } = twoIds();
          const [post, page] = [fresh('/blog/'), fresh('/versioned/')];
          const tree = encodeURIComponent(JSON.stringify(['', { children: ['login', { children: ['__PAGE__', {}] }] }, null, null, 16]));
          const asOld = old.named ? { 'x-deployment-id': old.named } : {};
          const requests = [
            rsc(post, { tree, url: '/login' }),
            rsc(post, { prefetch: '1', segment: '/_tree', url: '/' }),
            rsc(post, { prefetch: '1', segment: '/blog/$d$slug/__PAGE__', url: '/' }),
            rsc(page, { tree, url: '/login' }),
            rsc(page, { prefetch: '1', segment: '/versioned/$d$slug/__PAGE__', url: '/' }),
            rsc('/login', { tree, url: '/' }),
          ].map(({ target, headers }) => plain(target, { ...headers, ...asOld }));
          await origin.deploy(old, larder);
          await activate(larder, a);
          await stored(larder, requests, oldName);
          await origin.deploy(next, larder);
          await activate(larder, b);
          for (const one of requests) {
            const direct = await origin.get(one.target, one.headers);
            assertMadeBy(direct, nextName, `${one.target}, from Next.js itself`);
            const answer = await visit(larder, one);
            assertMadeBy(answer, nextName, one.target);
            assertType(answer, /^text\/x-component/, one.target);
            assert.equal(answer.headers['x-nextjs-deployment-id'], direct.headers['x-nextjs-deployment-id'], one.target);
          }
          const hits = await stored(larder, requests, nextName);
          for (const [one, answer] of hits) assert.equal(answer.headers['x-nextjs-deployment-id'], next.named, one.target);
        });

        test('gets no data of the old version\'s pages', limit, async () => {
          const { a, b } = twoIds();
          const target = fresh('/old/');
          const data = plain(`/_next/data/${buildId(old)}${target}.json`, { 'x-nextjs-data': '1', ...(old.named && { 'x-deployment-id': old.named }) });
          await origin.deploy(old, larder);
          await activate(larder, a);
          const before = await warm(larder, data);
          assert.equal(before.headers['x-nextjs-deployment-id'], old.named);
          await origin.deploy(next, larder);
          await activate(larder, b);
          const direct = await origin.get(data.target, data.headers);
          // Next.js has one build id for all builds that have a deployment id: then the address stays, and a header says whose it is.
          assert.equal(direct.status, old.named ? 200 : 404);
          for (let round = 0; round < 3; round += 1) {
            const answer = await visit(larder, data);
            assert.equal(answer.status, direct.status, said(answer));
            assert.notEqual(answer.text, before.text);
            if (old.named) assert.equal(answer.headers['x-nextjs-deployment-id'], next.named, said(answer));
            else assertNoHit(answer, data.target);
          }
        });

        test('waits for a payload that the new version has not rendered', limit, async () => {
          const { a, b } = twoIds();
          const one = rsc(fresh('/versioned/'));
          await origin.deploy(old, larder);
          await activate(larder, a);
          await stored(larder, [one], oldName);
          await origin.deploy(next, larder);
          await activate(larder, b);
          const hold = origin.hold(one.target);
          const early = waiting(visit(larder, one));
          await hold.came();
          assert.ok(!early.isDone);
          hold.release();
          assertMadeBy(await early.answer, nextName, one.target);
        });
      });
    }
  }
});

describe('chunks of an earlier version', { skip: needs('deployments') }, () => {
  let larder;

  before(async () => {
    larder = await startLarder(place.folder, origin, () => 'deployment: { id: a }\n');
  });

  after(async () => {
    await larder?.kill();
  });

  test('one that was fetched once stays for old tabs, byte for byte, when the app has forgotten it', limit, async () => {
    const { a, b } = twoIds();
    const chunks = await chunksOf(first, second);
    assert.ok(chunks.length > 0, 'the versions have different chunks');
    await origin.deploy(first, larder);
    await activate(larder, a);
    const before = new Map();
    for (const chunk of chunks) {
      const answer = await larder.get(chunk);
      assert.equal(answer.status, 200);
      assert.match(answer.headers['cache-control'], /\bimmutable\b/);
      before.set(chunk, answer);
    }
    await origin.deploy(second, larder);
    await activate(larder, b);
    for (const [chunk, old] of before) {
      assert.equal((await origin.get(chunk)).status, 404, 'the app has forgotten it');
      const answer = await larder.get(chunk);
      assertHit(answer, chunk);
      assert.ok(answer.bytes.equals(old.bytes), chunk);
      for (const field of ['content-type', 'cache-control', 'etag']) assert.equal(answer.headers[field], old.headers[field]);
      assert.ok(Number(answer.headers.age) >= 0);
      const again = await larder.get(chunk, { 'if-none-match': old.headers.etag });
      assert.equal(again.status, 304, said(again));
    }
  });

  test('one that was never fetched is not there, and nothing is kept of that', limit, async () => {
    const { a, b } = twoIds();
    const chunk = `/_next/static/${buildId(first)}/_ssgManifest.js`;
    await activate(larder, a);
    await origin.deploy(second, larder);
    await activate(larder, b);
    for (let round = 0; round < 2; round += 1) {
      const answer = await larder.get(chunk);
      assert.equal(answer.status, 404);
      assertNoHit(answer, chunk);
    }
    await origin.deploy(first, larder);
    await activate(larder, a);
    assert.equal((await larder.get(chunk)).status, 200);
  });

  test('after a rollback tabs of the newer version keep theirs', limit, async () => {
    const { a, b } = twoIds();
    const chunks = await chunksOf(second, first);
    await origin.deploy(second, larder);
    await activate(larder, b);
    for (const chunk of chunks) assert.equal((await larder.get(chunk)).status, 200);
    await origin.stop();
    await activate(larder, a);
    for (const chunk of chunks) assertHit(await larder.get(chunk), chunk);
  });
});

for (const [mode, more] of modes) {
  describe(`bridges, ${mode}`, { skip: needs('deployments') }, () => {
    let larder;

    before(async () => {
      larder = await startLarder(place.folder, origin, () => `deployment: { id: a, bridge: true }\n${more}`);
    });

    after(async () => {
      await larder?.kill();
    });

    beforeEachIsFirst(() => larder);

    for (const router of ['/versioned/', '/blog/', '/old/']) {
      test(`a page below ${router} that the new version has not rendered is the previous one, at once and called stale`, limit, async () => {
        const { a, b } = twoIds();
        const page = plain(fresh(router));
        await activate(larder, a);
        await stored(larder, [page], 'first');
        await origin.deploy(second, larder);
        const hold = origin.hold(page.target);
        const asked = origin.asked(page.target);
        await activate(larder, b);
        const look = async () => {
          const answer = await visit(larder, page);
          assertStaleHit(answer, page.target);
          assertQuick(answer, page.target);
          assertMadeBy(answer, 'first', page.target);
          assertTrueAge(answer, render(answer).at, page.target);
        };
        await look();
        await hold.came();
        for (let round = 0; round < 5; round += 1) await look();
        assert.equal(origin.asked(page.target), asked + 1, 'one render, whatever is visited meanwhile');
        hold.release();
        await until('the new version', async () => {
          const answer = await visit(larder, page);
          assertHit(answer, page.target);
          assertQuick(answer, page.target);
          return madeBy(answer) === 'second';
        }, { every: 10 });
        for (let round = 0; round < 5; round += 1) {
          const answer = await visit(larder, page);
          assertHit(answer, page.target);
          assertMadeBy(answer, 'second', page.target);
        }
      });
    }

    test('the previous page stays while nothing runs at the origin, and the new one comes with it', limit, async () => {
      const { a, b } = twoIds();
      const page = plain(fresh('/blog/'));
      await activate(larder, a);
      await stored(larder, [page], 'first');
      await origin.stop();
      await activate(larder, b);
      const since = Date.now();
      await until('some visits over some time', async () => {
        const answer = await visit(larder, page);
        assertStaleHit(answer, page.target);
        assertQuick(answer, page.target);
        assertMadeBy(answer, 'first', page.target);
        return Date.now() - since > 2 * windowMs;
      });
      await origin.deploy(second);
      await until('the new version', async () => {
        const answer = await visit(larder, page);
        assertHit(answer, page.target);
        assertQuick(answer, page.target);
        return madeBy(answer) === 'second';
      }, { within: 45_000 });
    });

    test('a page that has no previous version waits', limit, async () => {
      const { a, b } = twoIds();
      const page = kept();
      await activate(larder, a);
      await origin.deploy(second, larder);
      await activate(larder, b);
      const hold = origin.hold(page.target);
      const early = waiting(visit(larder, page));
      await hold.came();
      assert.ok(!early.isDone);
      hold.release();
      assertMadeBy(await early.answer, 'second', page.target);
    });

    test('a page that was invalidated the hard way is no bridge', limit, async () => {
      const { a, b } = twoIds();
      const pages = [kept(), kept()];
      await activate(larder, a);
      await stored(larder, pages, 'first');
      await invalidate(larder, { paths: [pages[0].target], hard: true });
      await origin.deploy(second, larder);
      await activate(larder, b);
      await invalidate(larder, { paths: [pages[1].target], hard: true });
      const hold = origin.hold(pages.map((page) => page.target));
      const visits = pages.map((page) => waiting(visit(larder, page)));
      await hold.came(2);
      assert.ok(visits.every((one) => !one.isDone));
      hold.release();
      for (const { answer } of visits) assertMadeBy(await answer, 'second', 'a page that was invalidated');
    });

    test('after a rollback the old pages are hits again, and no bridges', limit, async () => {
      const { a, b } = twoIds();
      const page = kept();
      await activate(larder, a);
      const [old] = (await stored(larder, [page], 'first')).values();
      await origin.deploy(second, larder);
      await activate(larder, b);
      await until('the new version', async () => madeBy(await visit(larder, page)) === 'second');
      await origin.stop();
      await activate(larder, a);
      const answer = await visit(larder, page);
      assertHit(answer, page.target);
      assert.equal(answer.text, old.text);
      assert.match(said(answer), /hit; ttl=[1-9]/);
    });
  });
}

describe('a Larder that is killed and comes back', { skip: needs('deployments', 'disk') }, () => {
  let larder;
  let configured;

  before(async () => {
    configured = 'a';
    const disk = path.join(place.folder, fresh('disk-'));
    larder = await startLarder(place.folder, origin, () => `deployment: { id: ${configured}, keep: 5 }
store:
  disk: { path: "${disk}", sync: 1s }
${routes}`);
  });

  after(async () => {
    await larder?.kill();
  });

  // One story, told in order.
  const story = { pages: [] };

  test('has every page of both deployments, with their true age, and the one that was activated serves', limit, async () => {
    const chunks = await chunksOf(first, second);
    await origin.deploy(first, larder);
    assert.equal(await activeDeployment(larder), 'a');
    story.pages = everyKindOfPage();
    const old = await stored(larder, story.pages, 'first');
    for (const chunk of chunks) assert.equal((await larder.get(chunk)).status, 200);
    await origin.deploy(second, larder);
    await activate(larder, 'b');
    const now = await stored(larder, story.pages, 'second');
    await origin.stop();
    const storedAt = Date.now();
    await until('all that to be on disk', () => Date.now() - storedAt > 3 * syncMs);

    await larder.kill();
    await larder.restart();
    assert.equal(await activeDeployment(larder), 'b');
    const listed = new Map((await deployments(larder)).map(({ id, entries }) => [id, entries]));
    for (const id of ['a', 'b']) assert.ok(listed.get(id) >= story.pages.length, `${id}: ${JSON.stringify([...listed])}`);
    const look = async (version, before) => {
      for (const page of story.pages) {
        const answer = await visit(larder, page);
        assertHit(answer, page.target);
        assertMadeBy(answer, version, page.target);
        if (!page.at) continue;
        assert.ok(render(answer).at >= render(before.get(page)).at, page.target);
        assertTrueAge(answer, render(answer).at, page.target);
      }
    };
    await look('second', now);
    for (const chunk of chunks) assertHit(await larder.get(chunk), chunk);
    await activate(larder, 'a');
    await look('first', old);
    await activate(larder, 'b');
  });

  test('has forgotten no activation, however shortly before it was killed', limit, async () => {
    for (const id of ['a', 'b']) {
      await activate(larder, id);
      await larder.kill();
      await larder.restart();
      assert.equal(await activeDeployment(larder), id);
    }
  });

  test('activates the configured id where that was changed, and only then', limit, async () => {
    await origin.deploy(second);
    configured = 'c';
    await larder.kill();
    await larder.restart();
    assert.equal(await activeDeployment(larder), 'c');
    const [page] = story.pages.slice(2);
    const anew = await visit(larder, page);
    assertNoHit(anew, `${page.target} under another id`);
    assertMadeBy(anew, 'second', page.target);

    await activate(larder, 'b');
    await larder.kill();
    await larder.restart();
    assert.equal(await activeDeployment(larder), 'b', 'the file says c still');
    assertHit(await visit(larder, page), page.target);
  });
});

describe('an activation that warms', { skip: needs('deployments') }, () => {
  let larder;

  before(async () => {
    larder = await startLarder(place.folder, origin, () => 'deployment: { id: a }\n');
  });

  after(async () => {
    await larder?.kill();
  });

  beforeEachIsFirst(() => larder);

  /** Pages that were visited: the first the most. */
  async function visited(id) {
    const pages = [kept(), kept(), kept()];
    await activate(larder, id);
    const answers = await stored(larder, pages, 'first');
    for (const [i, page] of pages.entries()) {
      for (let times = pages.length - i; times > 0; times -= 1) assertHit(await visit(larder, page), page.target);
    }
    return { pages, answers };
  }

  async function assertStillOld(pages, answers, id) {
    assert.equal(await activeDeployment(larder), id);
    for (const page of pages) {
      const answer = await visit(larder, page);
      assertHit(answer, page.target);
      assertQuick(answer, page.target);
      assert.equal(answer.text, answers.get(page).text);
    }
  }

  test('renders the visited pages first; until then the old ones are served, then the first visit of the new ones is a hit', limit, async () => {
    const { a, b } = twoIds();
    const { pages, answers } = await visited(a);
    await origin.deploy(second, larder);
    const hold = origin.hold(pages.map((page) => page.target));
    const asked = pages.map((page) => origin.asked(page.target));
    const activated = waiting(activation(larder, b, { warm: true }));
    await hold.came();
    await assertStillOld(pages, answers, a);
    assert.ok(!activated.isDone);
    hold.release();
    const answer = await activated.answer;
    assert.equal(answer.status, 200, answer.text);
    assert.equal(JSON.parse(answer.text).active, b);
    for (const [i, page] of pages.entries()) {
      const first = await visit(larder, page);
      assertHit(first, `the first visit of ${page.target}`);
      assertMadeBy(first, 'second', page.target);
      assert.equal(origin.asked(page.target), asked[i] + 1, `renders of ${page.target}`);
    }
    await activate(larder, a);
    await assertStillOld(pages, answers, a);
  });

  for (const [what, breakIt, repairIt] of [
    ['its renders fail', async () => origin.get('/api/break?on=1'), async () => origin.get('/api/break?on=0')],
    ['nothing runs at the origin', async () => origin.stop(), async () => origin.deploy(second)],
  ]) {
    test(`refuses to switch when ${what}, and switches where it is forced to`, limit, async () => {
      const { a, b } = twoIds();
      const { pages, answers } = await visited(a);
      await origin.deploy(second, larder);
      await breakIt();
      const refused = await activation(larder, b, { warm: true });
      assert.equal(refused.status, 409, refused.text);
      assertType(refused, /^application\/problem\+json/, 'the refusal');
      const problem = JSON.parse(refused.text);
      assert.equal(problem.status, 409);
      assert.ok(problem.title, refused.text);
      await assertStillOld(pages, answers, a);

      const forced = await activation(larder, b, { warm: true, force: true });
      assert.equal(forced.status, 200, forced.text);
      assert.equal(await activeDeployment(larder), b);
      await repairIt();
      for (const page of pages) {
        await until(`${page.target} of the new version`, async () => {
          const answer = await visit(larder, page);
          assert.ok(!isHit(answer) || madeBy(answer) === 'second', `${page.target}: ${said(answer)}`);
          return madeBy(answer) === 'second';
        }, { within: 45_000 });
      }
    });
  }

  test('of what is active already changes nothing', limit, async () => {
    const { a } = twoIds();
    const { pages, answers } = await visited(a);
    const answer = await activation(larder, a, { warm: true });
    assert.equal(answer.status, 200, answer.text);
    await assertStillOld(pages, answers, a);
  });

  test('without a body, and with an unknown key in it, is what it always was', limit, async () => {
    const { a, b } = twoIds();
    await activate(larder, a);
    const unknown = await activation(larder, b, { warmly: true });
    assert.ok(unknown.status >= 400 && unknown.status < 500, unknown.text);
    assert.equal(await activeDeployment(larder), a);
    const plainly = await api(larder, `/v1/deployments/${b}/activate`, { method: 'POST' });
    assert.equal(plainly.status, 200, plainly.text);
    assert.equal(await activeDeployment(larder), b);
  });
});

/** Each test of this suite begins with the first version behind the address. */
function beforeEachIsFirst(larder) {
  beforeEach(() => origin.deploy(first, larder()));
}

/** A request on its way, and whether its answer has come. */
function waiting(promise) {
  const one = { isDone: false, answer: promise };
  promise.then(() => { one.isDone = true; }, () => { one.isDone = true; });
  return one;
}
