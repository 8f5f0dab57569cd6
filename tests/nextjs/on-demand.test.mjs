// What the running application invalidates reaches Larder: two `next start` with deploy/nextjs, behind one Larder.
// LARDER_BIN=/absolute/path/to/larder node --test tests/nextjs/on-demand.test.mjs
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Larders } from '../../deploy/nextjs/larder.mjs';
import { SharedTags } from '../../deploy/nextjs/shared-tags.mjs';
import { assertHit, assertNoHit, assertQuick, fresh, isStale, plain, render, renewed, said, visit, warm } from '../node/answers.mjs';
import { Larder, buildApp, buildId, freePort, larderBinary, previewModeId, request, serverDistDir, startNext, until } from './harness.mjs';
import { rscHeaders } from './rsc.mjs';

const adminToken = 'may-do-everything';
const appToken = 'may-revalidate';
const limit = { timeout: 120_000 };
let folder;
let alive; // what waits to be told keeps no process alive: not this one either

before(async () => {
  larderBinary();
  alive = setInterval(() => {}, 60_000);
  folder = mkdtempSync(path.join(tmpdir(), 'larder-on-demand-'));
  await buildApp();
}, { timeout: 300_000 });

after(() => {
  clearInterval(alive);
  if (folder) rmSync(folder, { recursive: true });
});

function startLarder(ports, more = '') {
  return Larder.start(({ listen, admin }) => {
    const file = path.join(folder, `${fresh('larder-')}.yaml`);
    writeFileSync(file, `listen: ${listen}
origins:
  app:
    servers: [${ports.map((port) => `{ url: "http://127.0.0.1:${port}" }`).join(', ')}]
admin:
  listen: ${admin}
  token: ${adminToken}
  tokens: [{ token: ${appToken}, scope: revalidate }]
${more}`);
    return ['serve', '--config', file];
  });
}

describe('two processes of an app, behind one Larder, and one of them behind another', () => {
  let larder;
  let second; // asks the second process alone
  let apps = [];

  before(async () => {
    const ports = [await freePort(), await freePort()];
    larder = await startLarder(ports);
    second = await startLarder(ports.slice(1));
    const env = { LARDER_ADMIN: `http://${larder.admin}, http://${second.admin}/`, LARDER_ADMIN_TOKEN: appToken };
    apps = await Promise.all(ports.map((port) => startNext({ env, port })));
  }, { timeout: 120_000 });

  after(async () => {
    for (const app of apps) await app.kill();
    await larder?.kill();
    await second?.kill();
  });

  async function renders(name) {
    const answers = await Promise.all(apps.map((app) => app.get(`/api/renders?name=${name}`)));
    return answers.reduce((sum, answer) => sum + JSON.parse(answer.text).renders, 0);
  }

  /** Both Larders and both processes have the page, and it stays. */
  async function storedEverywhere(page) {
    for (const app of apps) await app.get(page.target, page.headers);
    await warm(second, page);
    await warm(larder, page);
    const old = render(await visit(larder, page));
    for (let round = 0; round < 4; round += 1) {
      const again = await visit(larder, page);
      assertHit(again, page.target);
      assert.equal(render(again).text, old.text);
    }
  }

  /**
   * The page is rendered once after the change, and from then on nobody sees an older one. The answer of a Server Action
   * waits for Larder; that of a route handler Next.js does not hold, so the old page may be seen for a moment more.
   */
  async function renewedBy(change, page, name, { isHeld = false } = {}) {
    await storedEverywhere(page);
    const before = await renders(name);
    const since = Date.now();
    const done = await change();
    assert.equal(done.status, 200, said(done));
    assertQuick(done, 'the change');
    const first = await until('a new render', async () => {
      const answer = await visit(larder, page);
      assert.equal(answer.status, 200, said(answer));
      const isNew = render(answer).at >= since;
      assert.ok(isNew || !isHeld, `${page.target} after the change: ${said(answer)}, ${render(answer).text}`);
      return isNew && answer;
    }, { every: 1 });
    await warm(larder, page);
    for (let round = 0; round < 4; round += 1) {
      const again = await visit(larder, page);
      assertHit(again, page.target);
      assert.equal(render(again).text, render(first).text);
    }
    assert.equal(await renders(name), before + 1, `renders of ${name}`);
    const other = await visit(second, page);
    assert.ok(render(other).at >= since, `${page.target} from the process that did not hear of it: ${render(other).text}`);
  }

  const tagged = () => {
    const name = fresh('');
    return { name, page: plain(`/tagged/${name}`) };
  };

  for (const process of [0, 1]) {
    for (const [what, query] of [
      ['revalidateTag', (name) => `tag=item:${name}`],
      ['revalidatePath', (name) => `path=/tagged/${name}`],
      ['revalidatePath of all pages of a route', () => `path=${encodeURIComponent('/tagged/[slug]')}&type=page`],
      ['revalidatePath of everything below a layout', () => 'path=/&type=layout'],
    ]) {
      test(`${what} in process ${process} renews the page, which is rendered once`, limit, async () => {
        const { name, page } = tagged();
        await renewedBy(() => apps[process].get(`/api/on-demand?${query(name)}`), page, name);
      });
    }

    test(`updateTag in a Server Action, through Larder to any process (${process}), renews the page`, limit, async () => {
      const { name, page } = tagged();
      await renewedBy(() => submit(larder, '/act', { tag: `item:${name}` }), page, name, { isHeld: true });
    });

    test(`res.revalidate of the Pages Router in process ${process} renews the page and its data`, limit, async () => {
      const page = plain(fresh('/kept/'));
      const data = plain(`/_next/data/${buildId()}${page.target}.json`, { 'x-nextjs-data': '1' });
      await storedEverywhere(page);
      await storedEverywhere(data);
      const since = Date.now();
      const done = await apps[process].get(`/api/renew?path=${page.target}`);
      assert.equal(done.status, 200, done.text);
      for (const from of [larder, second]) {
        for (const one of [page, data]) {
          const answer = await visit(from, one);
          assert.ok(render(answer).at >= since, `${one.target}: ${said(answer)}`);
        }
      }
    });
  }

  test('a page that was made at build time is renewed too', limit, async () => {
    await renewedBy(() => apps[0].get('/api/on-demand?tag=item:built'), plain('/tagged/built'), 'built');
  });

  test('revalidateTag in the edge runtime renews the page', limit, async () => {
    const { name, page } = tagged();
    await renewedBy(() => apps[1].get(`/api/on-demand/edge?tag=item:${name}`), page, name);
  });

  test('what is not invalidated stays', limit, async () => {
    const [{ name, page }, other] = [tagged(), tagged()];
    await storedEverywhere(page);
    await storedEverywhere(other.page);
    const before = render(await visit(larder, other.page)).text;
    await submit(larder, '/act', { tag: `item:${name}` });
    assertNoHit(await visit(larder, page), page.target);
    const after = await visit(larder, other.page);
    assertHit(after, other.page.target);
    assert.equal(render(after).text, before);
  });

  test('a failing render costs nobody the page that was invalidated, and the new one comes when renders work again', limit, async () => {
    const changes = [
      (name) => apps[0].get(`/api/on-demand?tag=item:${name}`),
      (name) => apps[1].get(`/api/on-demand?path=/tagged/${name}`),
      (name) => submit(larder, '/act', { tag: `item:${name}` }),
    ].map((change) => ({ change, ...tagged() }));
    for (const { page } of changes) await storedEverywhere(page);
    const setBroken = (on) => Promise.all(apps.map((app) => app.get(`/api/break?on=${on}`)));
    const since = Date.now();
    try {
      await setBroken(1);
      for (const { change, name, page } of changes) {
        assert.equal((await change(name)).status, 200);
        await until('a visit for which the app was asked, and failed', async () => {
          const answer = await visit(larder, page);
          assert.equal(answer.status, 200, said(answer));
          assert.ok(render(answer).at < since, render(answer).text);
          return /; fwd=stale; fwd-status=500\b/.test(answer.headers['cache-status']);
        }, { every: 5 });
      }
      for (const from of [larder, second, larder, second]) {
        for (const { page } of changes) {
          const answer = await visit(from, page);
          assert.equal(answer.status, 200, said(answer));
          assertQuick(answer, page.target);
          assert.ok(render(answer).at < since, render(answer).text);
        }
      }
      for (const app of apps) assert.equal((await app.get(changes[0].page.target)).status, 500, 'the app itself has no page');
    } finally {
      await setBroken(0);
    }
    // Pages with so long a window are tried again after half a minute.
    for (const from of [larder, second]) {
      for (const { page } of changes) {
        await until('a new render', async () => {
          const answer = await visit(from, page);
          assert.equal(answer.status, 200, said(answer));
          return render(answer).at >= since;
        }, { within: 45_000 });
        assert.ok(render(await warm(from, page)).at >= since);
      }
    }
  });

  for (const process of [0, 1]) {
    test(`with a profile nobody waits: the old page once more, then the new one, whichever process (${process}) heard of it`, limit, async () => {
      const { name, page } = tagged();
      await storedEverywhere(page);
      const since = Date.now();
      await apps[process].get(`/api/on-demand?tag=item:${name}&profile=max`);
      // Each process marks its next answer as stale and renders behind it: so Larder asks the same one again.
      for (const from of [larder, second]) {
        const first = await visit(from, page);
        assertHit(first, 'the first visit');
        assert.ok(render(first).at < since);
        await renewed(from, page, since, { within: 5000 });
      }
    });
  }

  test('navigations and prefetches of the page are renewed with it', limit, async () => {
    const { name, page } = tagged();
    const kinds = [{}, { prefetch: '1', segment: '/tagged/$d$slug/__PAGE__' }].map((options) => {
      const { query, headers } = rscHeaders(options);
      return plain(`${page.target}?${query}`, headers);
    });
    await storedEverywhere(page);
    for (const kind of kinds) await warm(larder, kind);
    // A prefetch has no header fields of the page's: it is known by the tags of its path, which are told on the side.
    await until('the tags to be told', async () => {
      const url = encodeURIComponent(`http://${larder.listen}${page.target}`);
      const answer = await request(`http://${larder.admin}/v1/explain?url=${url}`, { headers: { authorization: `Bearer ${adminToken}` } });
      return answer.text.includes(`item:${name}`);
    });
    const since = Date.now();
    await submit(larder, '/act', { tag: `item:${name}` });
    for (const kind of kinds) {
      const answer = await visit(larder, kind);
      assert.ok(render(answer).at >= since, `${JSON.stringify(kind)}: ${said(answer)}`);
    }
  });

  test('visitors do not see the tags', limit, async () => {
    const { page } = tagged();
    const own = await apps[0].get(page.target);
    assert.match(own.headers['cache-tag'], /(^|,)items(,|$)/);
    const answers = [await visit(larder, page), await warm(larder, page)];
    for (const answer of answers) assert.equal(answer.headers['cache-tag'], undefined);
  });

  test('a process that was restarted does not serve what was invalidated before', limit, async () => {
    const { name, page } = tagged();
    await storedEverywhere(page);
    const since = Date.now();
    await submit(larder, '/act', { tag: `item:${name}` });
    await apps[1].restart();
    const answer = await visit(second, page);
    assert.ok(render(answer).at >= since, said(answer));
  });
});

test('a Larder with the app\'s secret has pages rendered, and is not told of them as if the app had invalidated them', limit, async () => {
  const port = await freePort();
  let larder;
  let app;
  try {
    larder = await startLarder([port], `draft: { secret: ${previewModeId()} }\n`);
    app = await startNext({ env: { LARDER_ADMIN: `http://${larder.admin}`, LARDER_ADMIN_TOKEN: appToken }, port });
    for (const page of [plain(fresh('/tagged/')), plain(fresh('/kept/'))]) {
      await warm(larder, page);
      for (const validate of [true, false]) {
        const since = Date.now();
        const headers = { authorization: `Bearer ${appToken}`, 'content-type': 'application/json' };
        const body = JSON.stringify({ paths: [page.target], validate });
        const done = await request(`http://${larder.admin}/v1/revalidate`, { method: 'POST', headers, body });
        assert.equal(done.status, 200, done.text);
        const first = await until('a new render', async () => {
          const answer = await visit(larder, page);
          return render(answer).at >= since && answer;
        });
        await warm(larder, page);
        for (let round = 0; round < 5; round += 1) {
          const again = await visit(larder, page);
          assertHit(again, page.target);
          assert.ok(!isStale(again), said(again));
          assert.equal(render(again).text, render(first).text);
        }
      }
    }
    // What the app renews by itself Larder does hear of, though the call came through Larder.
    const page = plain(fresh('/kept/'));
    await warm(larder, page);
    const since = Date.now();
    const done = await larder.get(`/api/renew?path=${page.target}`);
    assert.equal(done.status, 200, done.text);
    assert.ok(render(await visit(larder, page)).at >= since);
  } finally {
    await app?.kill();
    await larder?.kill();
  }
});

/** Sends a form as a browser without JavaScript does. */
async function submit(larder, target, fields) {
  const form = await larder.get(target);
  const action = form.text.match(/name="(\$ACTION_ID_[0-9a-f]+)"/)[1];
  const boundary = 'fixed-boundary';
  const parts = Object.entries({ [action]: '', ...fields })
    .map(([name, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`);
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}`, origin: `http://${larder.listen}` };
  return larder.get(target, headers, { method: 'POST', body: `${parts.join('')}--${boundary}--\r\n` });
}

test('an app whose Larders are dead, hang or refuse its token answers at once, and says so once each', limit, async () => {
  const port = await freePort();
  const dead = `http://127.0.0.1:${await freePort()}`;
  const hanging = await Admin.start(() => {}); // never answers
  let strict;
  let app;
  try {
    strict = await startLarder([port]);
    const env = { LARDER_ADMIN: [dead, hanging.url, `http://${strict.admin}`].join(), LARDER_ADMIN_TOKEN: 'nobody-knows-it' };
    app = await startNext({ env, port });
    const name = fresh('');
    const page = plain(`/tagged/${name}`);
    let last = render(await app.get(page.target));
    for (let round = 0; round < 10; round += 1) {
      const done = await app.get(`/api/on-demand?tag=item:${name}`);
      assert.equal(done.status, 200);
      assertQuick(done, 'revalidateTag');
      const next = render(await app.get(page.target));
      assert.ok(next.count > last.count, 'the app itself has a new page');
      last = next;
    }
    const warnings = (from) => app.child.output.split('\n').filter((line) => line.includes(`larder: ${from}`));
    const all = [
      [dead, /cannot be reached \(ECONNREFUSED\).*LARDER_ADMIN/],
      [hanging.url, /cannot be reached \(no answer in \d+ ms\).*LARDER_ADMIN/],
      [`http://${strict.admin}`, /refuses the token \(401\).*LARDER_ADMIN_TOKEN/],
    ];
    await until('each to be tried again', () => hanging.calls.length >= 3, { within: 30_000 });
    for (const [from, what] of all) {
      assert.equal(warnings(from).length, 1, app.child.output);
      assert.match(warnings(from)[0], what);
    }
  } finally {
    await app?.kill();
    await strict?.kill();
    await hanging.stop();
  }
});

test('an app with no token says so once, and is as it was', limit, async () => {
  const app = await startNext({ env: { LARDER_ADMIN_TOKEN: '' } });
  try {
    const page = fresh('/tagged/');
    for (let round = 0; round < 3; round += 1) {
      const answer = await app.get(page);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['cache-tag'], undefined);
    }
    assert.equal(app.child.output.match(/LARDER_ADMIN_TOKEN is not set/g).length, 1, app.child.output);
  } finally {
    await app.kill();
  }
});

// --- The parts, with somebody who plays Larder's admin API ---

class Admin {
  calls = [];

  static async start(answer, port = 0) {
    const admin = new Admin();
    admin.server = http.createServer(async (request, response) => {
      let text = '';
      for await (const piece of request) text += piece;
      const call = { target: request.url, headers: request.headers, body: JSON.parse(text) };
      admin.calls.push(call);
      answer(response, call);
    }).listen(port, '127.0.0.1');
    await new Promise((resolve) => admin.server.once('listening', resolve));
    admin.url = `http://127.0.0.1:${admin.server.address().port}`;
    return admin;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  all(target, field, validate) {
    return this.calls.filter((call) => call.target === target && (validate === undefined || call.body.validate === validate)).flatMap((call) => call.body[field]);
  }
}

const yes = (response) => response.end('{}');

describe('telling', () => {
  test('what comes together goes together, each once, tags before what is invalidated', limit, async () => {
    const admin = await Admin.start(yes);
    try {
      const larders = new Larders({ urls: admin.url, token: 'secret\n' });
      const calls = [
        larders.revalidate({ paths: ['/a'], tags: ['x'], validate: true }),
        larders.revalidate({ paths: ['/a', '/b'], tags: ['x'], validate: true }),
        larders.revalidate({ tags: ['x'] }),
      ];
      larders.tag('/a', ['x', 'y']);
      await Promise.all(calls);
      assert.deepEqual(admin.calls.map(({ target, body }) => [target, body]), [
        ['/v1/tags', { path: '/a', tags: ['x', 'y'] }],
        ['/v1/revalidate', { paths: ['/a', '/b'], tags: ['x'], validate: true }],
        ['/v1/revalidate', { paths: [], tags: ['x'] }],
      ]);
      assert.equal(admin.calls[0].headers.authorization, 'Bearer secret');
    } finally {
      await admin.stop();
    }
  });

  test('no call has more than Larder takes', limit, async () => {
    const admin = await Admin.start(yes);
    try {
      const larders = new Larders({ urls: admin.url, token: 'secret' });
      const tags = Array.from({ length: 2500 }, (_, i) => `tag-${i}`);
      const paths = Array.from({ length: 300 }, (_, i) => `/${i}${'p'.repeat(8000)}`);
      larders.revalidate({ tags, paths: [...paths, `/${'p'.repeat(9000)}`] });
      await until('all to be told', () => admin.all('/v1/revalidate', 'tags').length + admin.all('/v1/revalidate', 'paths').length >= 2800);
      assert.deepEqual(admin.all('/v1/revalidate', 'tags'), tags);
      assert.deepEqual(admin.all('/v1/revalidate', 'paths').sort(), paths.sort());
      for (const { body } of admin.calls) {
        assert.ok(body.tags.length + body.paths.length <= 1000);
        assert.ok(Buffer.byteLength(JSON.stringify(body)) < 1024 * 1024);
      }
    } finally {
      await admin.stop();
    }
  });

  test('what was said while Larder was away it hears when it is back', limit, async () => {
    const port = await freePort();
    const warnings = [];
    const limits = { firstRetry: 20, lastRetry: 100 };
    const larders = new Larders({ urls: `http://127.0.0.1:${port}`, token: 'secret', limits, warn: (text) => warnings.push(text) });
    for (const tag of ['a', 'b', 'a']) await larders.revalidate({ tags: [tag], validate: true });
    larders.tag('/p', ['t']);
    const admin = await Admin.start(yes, port);
    try {
      await until('all to be told', () => admin.all('/v1/revalidate', 'tags').length >= 2 && admin.all('/v1/tags', 'path').length === 1);
      assert.deepEqual(admin.all('/v1/revalidate', 'tags', true).sort(), ['a', 'b']);
      assert.equal(warnings.length, 1, warnings.join('\n'));
      const start = performance.now();
      await larders.revalidate({ tags: ['c'] });
      assert.deepEqual(admin.calls.at(-1).body.tags, ['c'], `told before it goes on, ${performance.now() - start} ms`);
    } finally {
      await admin.stop();
    }
  });

  test('of too much that waits the oldest is forgotten, with one warning', limit, async () => {
    const port = await freePort();
    const warnings = [];
    const limits = { firstRetry: 20, lastRetry: 100, queue: 10 };
    const larders = new Larders({ urls: `http://127.0.0.1:${port}`, token: 'secret', limits, warn: (text) => warnings.push(text) });
    for (let i = 0; i < 30; i += 1) await larders.revalidate({ tags: [`t${i}`] });
    const admin = await Admin.start(yes, port);
    try {
      await until('the last to be told', () => admin.all('/v1/revalidate', 'tags').includes('t29'));
      assert.deepEqual(admin.all('/v1/revalidate', 'tags').sort(), Array.from({ length: 10 }, (_, i) => `t${i + 20}`).sort());
      assert.equal(warnings.filter((text) => /forgotten/.test(text)).length, 1, warnings.join('\n'));
    } finally {
      await admin.stop();
    }
  });

  test('whoever answers that is no Larder is named once', limit, async () => {
    const admin = await Admin.start((response) => response.writeHead(404).end('not here'));
    const warnings = [];
    try {
      const larders = new Larders({ urls: admin.url, token: 'secret', warn: (text) => warnings.push(text) });
      for (const tag of ['a', 'b', 'c']) await larders.revalidate({ tags: [tag] });
      assert.equal(admin.calls.length, 3);
      assert.equal(warnings.length, 1, warnings.join('\n'));
      assert.match(warnings[0], /404 to \/v1\/revalidate: not here/);
    } finally {
      await admin.stop();
    }
  });

  test('a Larder that does not know `validate` is named once, and nothing is told again', limit, async () => {
    const admin = await Admin.start((response, { body }) => {
      if (!('validate' in body)) return yes(response);
      return response.writeHead(422).end('{"detail":"unknown field `validate`: expected one of `paths`, `tags`, `hard`"}');
    });
    const warnings = [];
    try {
      const limits = { firstRetry: 20, lastRetry: 100 };
      const larders = new Larders({ urls: admin.url, token: 'secret', limits, warn: (text) => warnings.push(text) });
      for (const tag of ['a', 'b', 'c']) await larders.revalidate({ tags: [tag], validate: true });
      await larders.revalidate({ tags: ['d'] });
      assert.deepEqual(admin.calls.map(({ body }) => body.tags), [['a'], ['b'], ['c'], ['d']]);
      assert.equal(warnings.length, 1, warnings.join('\n'));
      assert.match(warnings[0], /too old to know `validate`/);
    } finally {
      await admin.stop();
    }
  });

  test('what cannot be sent harms nobody', limit, async () => {
    const warnings = [];
    const warn = (text) => warnings.push(text);
    await new Larders({ urls: 'not an address, ftp://x', token: 'secret', warn }).revalidate({ tags: ['a'] });
    assert.equal(warnings.length, 2, warnings.join('\n'));
    await new Larders({ urls: 'http://127.0.0.1:1', token: 'with\nlines', warn }).revalidate({ tags: ['a'] });
    assert.equal(warnings.length, 3, warnings.join('\n'));
  });
});

describe('the file that processes share', () => {
  const reader = (file, limits) => {
    const seen = [];
    const shared = new SharedTags(file, (line) => seen.push(line), limits);
    return { shared, seen };
  };

  test('each hears all, in order, whatever a process that died left in the middle', limit, () => {
    const file = path.join(folder, `${fresh('shared-')}.jsonl`);
    const [one, two] = [reader(file), reader(file)];
    one.shared.add([{ tag: 'a', expired: 1 }, { tag: 'b', expired: 1 }]);
    writeFileSync(file, '{"tag":"half', { flag: 'a' });
    two.shared.read();
    two.shared.add([{ tag: 'c', expired: 2 }]);
    one.shared.read();
    for (const { seen } of [one, two]) assert.deepEqual(seen.map(({ tag }) => tag), ['a', 'b', 'c']);
  });

  test('it stays small, and nobody misses a line', limit, () => {
    const file = path.join(folder, `${fresh('shared-')}.jsonl`);
    const limits = { size: 2000, tags: 20 };
    const [one, two] = [reader(file, limits), reader(file, limits)];
    const newest = new Map();
    for (let i = 1; i <= 500; i += 1) {
      const line = { tag: `tag-${i % 15}`, expired: i };
      newest.set(line.tag, line);
      (i % 2 ? one : two).shared.add([line]);
      assert.ok(readFileSync(file).length < 4000);
    }
    for (const { shared, seen } of [one, two, reader(file, limits)]) {
      shared.read();
      assert.deepEqual(Object.fromEntries(seen.map((line) => [line.tag, line])), Object.fromEntries(newest));
    }
  });

  test('where it cannot be written there is one warning', limit, () => {
    const warnings = [];
    const shared = new SharedTags('/dev/null/no/file', () => {}, { warn: (text) => warnings.push(text) });
    shared.add([{ tag: 'a', expired: 1 }]);
    shared.read();
    assert.equal(warnings.length, 1, warnings.join('\n'));
  });
});

test('an app\'s own cache handler goes on, and Larder hears of it', limit, async () => {
  const admin = await Admin.start(yes);
  Object.assign(process.env, { LARDER_ADMIN: admin.url, LARDER_ADMIN_TOKEN: 'secret' });
  try {
    const { withLarder } = await import('../../deploy/nextjs/cache-handler.mjs');
    const calls = [];
    class Own {
      constructor(context) { this.context = context; }
      async get(...args) { calls.push(['get', ...args]); return this.stored; }
      async set(key, value, ...args) { calls.push(['set', key, ...args]); this.stored = { value, lastModified: Date.now() }; }
      async revalidateTag(...args) { calls.push(['revalidateTag', ...args]); }
      resetRequestCache() { calls.push(['resetRequestCache']); }
    }
    const context = { serverDistDir, _requestHeaders: {} };
    const handler = new (withLarder(Own))(context);
    assert.ok(handler instanceof Own);
    assert.equal(handler.context, context);
    const key = '/route-cache/APP_PAGE/0123/$/blog/hello';
    const headers = { 'x-next-cache-tags': `_N_T_/blog/hello,blog,${'x'.repeat(300)}` };
    await handler.set(key, { kind: 'APP_PAGE', headers }, { isFallback: false });
    const got = await handler.get(key, { kind: 'APP_PAGE' });
    assert.equal(got.value.headers['cache-tag'], '_N_T_/blog/hello,blog');
    await handler.revalidateTag(['blog', '_N_T_/blog/hello', '_N_T_/blog/[slug]/page', '_N_T_/blog/layout'], { expire: 0 });
    await handler.revalidateTag('slow', { expire: 3600 });
    handler.resetRequestCache();
    assert.deepEqual(calls.map(([name]) => name), ['set', 'get', 'revalidateTag', 'revalidateTag', 'resetRequestCache']);
    assert.deepEqual(calls[3], ['revalidateTag', 'slow', { expire: 3600 }]);
    assert.deepEqual(admin.calls.map(({ target, body }) => [target, body]), [
      ['/v1/tags', { path: '/blog/hello', tags: ['_N_T_/blog/hello', 'blog'] }],
      ['/v1/revalidate', { paths: ['/blog/hello'], tags: ['blog', '_N_T_/blog/hello', '_N_T_/blog/[slug]/page', '_N_T_/blog/layout'], validate: true }],
      ['/v1/revalidate', { paths: [], tags: ['slow'] }],
    ]);
  } finally {
    delete process.env.LARDER_ADMIN_TOKEN;
    await admin.stop();
  }
});
