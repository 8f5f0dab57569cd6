// Draft Mode with Next.js' own cookie and secret, and `larder init --next` on the real build.
// LARDER_BIN=/absolute/path/to/larder node --test tests/nextjs/draft-init.test.mjs
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { assertHit, assertNoHit, fresh, isHit, plain, render, renewed, said, visit, warm } from '../node/answers.mjs';
import { Larder, appFolder, buildApp, larderBinary, previewModeId, request, run, startNext, until } from './harness.mjs';

const limit = { timeout: 120_000 };
const adminToken = 'may-do-everything';
let folder;
let next;

before(async () => {
  larderBinary();
  folder = mkdtempSync(path.join(tmpdir(), 'larder-draft-init-'));
  await buildApp();
  next = await startNext();
}, { timeout: 300_000 });

after(async () => {
  await next?.kill();
  if (folder) rmSync(folder, { recursive: true });
});

function written(text) {
  const file = path.join(folder, `${fresh('larder-')}.yaml`);
  writeFileSync(file, text);
  return file;
}

describe('larder init --next', () => {
  const init = (...args) => run(larderBinary(), ['init', '--next', ...args]);

  test('what it prints of the real build is a configuration, and has the routes of its pages with a window', limit, async () => {
    const { code, output } = await init(appFolder);
    assert.equal(code, 0, output);
    for (const [match, window] of [['/blog/{slug}', '2s'], ['/old/{id}', '2s'], ['/idle/{slug}', '5s'], ['/tagged/{slug}', '1h']]) {
      assert.ok(output.includes(`  - match: "${match}"\n    revalidate: ${window}\n`), `${match}, ${window}:\n${output}`);
    }
    const checked = await run(larderBinary(), ['check', written(output)]);
    assert.equal(checked.code, 0, checked.output);
    assert.doesNotMatch(checked.output, /warning/i);
  });

  test('a Larder that runs with it serves the pages of the app, and renews them', limit, async () => {
    const larder = await Larder.start(async ({ listen, admin }) => {
      const { code, output } = await init(appFolder, '--origin', next.url, '--listen', listen);
      assert.equal(code, 0, output);
      return ['serve', '--config', written(`${output}\nadmin:\n  listen: ${admin}\n`)];
    });
    try {
      for (const page of ['/', '/login', fresh('/blog/'), fresh('/old/'), fresh('/idle/'), fresh('/tagged/'), fresh('/kept/')].map((one) => plain(one))) {
        const answer = await warm(larder, page);
        assertHit(await visit(larder, page), page.target);
        assert.match(answer.text, /^<!DOCTYPE html>/);
      }
      for (const target of ['/me', '/api/time', '/gated']) {
        for (let round = 0; round < 2; round += 1) {
          const answer = await larder.get(target);
          assert.ok(!isHit(answer), `${target}: ${said(answer)}`);
        }
      }
      const page = plain(fresh('/blog/'));
      await renewed(larder, page, render(await warm(larder, page)).at);
    } finally {
      await larder.kill();
    }
  });

  test('where there is no build it says so, and what to do', limit, async () => {
    for (const [where, what] of [[folder, /no Next\.js build .*`next build`/], [path.join(folder, 'nowhere'), /no such folder/]]) {
      const { code, output } = await init(where);
      assert.equal(code, 1, output);
      assert.match(output, what);
      assert.ok(output.includes(where), output);
    }
  });
});

describe('Draft Mode', () => {
  let cookie; // as the app gave it
  let open; // Larder without the secret
  let strict; // Larder with it

  before(async () => {
    const enabled = await next.get('/api/draft');
    cookie = enabled.headers['set-cookie'].match(/__prerender_bypass=[^;]+/)[0];
    open = await startLarder('');
    strict = await startLarder(`draft: { secret: ${previewModeId()} }\n`);
  });

  after(async () => {
    await open?.kill();
    await strict?.kill();
  });

  function startLarder(draft) {
    return Larder.start(({ listen, admin }) => ['serve', '--config', written(`listen: ${listen}
origin: ${next.url}
${draft}admin:
  listen: ${admin}
  token: ${adminToken}
`)]);
  }

  const drafts = (target, value = cookie) => plain(target, { cookie: `theme=dark; ${value}` });

  test('the cookie that the app sets is its secret, and comes through Larder', limit, async () => {
    for (const larder of [open, strict]) {
      const answer = await larder.get('/api/draft');
      assert.equal(answer.headers['set-cookie'].match(/__prerender_bypass=[^;]+/)[0], cookie);
    }
    assert.equal(cookie, `__prerender_bypass=${previewModeId()}`);
  });

  test('an editor sees a new draft with each visit, and nobody else ever does', limit, async () => {
    for (const larder of [open, strict]) {
      for (const target of ['/blog/hello', fresh('/blog/'), fresh('/old/')]) {
        let last = 0;
        for (let round = 0; round < 4; round += 1) {
          const draft = await visit(larder, drafts(target));
          assert.equal(draft.status, 200, said(draft));
          assert.match(draft.headers['cache-status'], /^larder\b.*; fwd=bypass\b/);
          assert.ok(render(draft).count > last, `${target}: ${render(draft).text}`);
          last = render(draft).count;
          const page = await warm(larder, plain(target));
          assert.doesNotMatch(page.text, /version:draft/);
          if (!target.startsWith('/blog/')) continue;
          assert.match(draft.text, /version:draft/);
          assert.match(page.text, /version:published/);
        }
      }
    }
  });

  test('a cookie that somebody made up passes by where there is no secret, and counts for nothing where there is', limit, async () => {
    const target = fresh('/blog/');
    for (const value of ['__prerender_bypass=x', `${cookie}x`, '__prerender_bypass=']) {
      await warm(strict, plain(target));
      const answer = await visit(strict, drafts(target, value));
      assertHit(answer, `${value} with the secret`);
      assert.match(answer.text, /version:published/);
    }
    await warm(open, plain(target));
    const answer = await visit(open, drafts(target, '__prerender_bypass=x'));
    assertNoHit(answer, 'without the secret');
    assert.match(answer.headers['cache-status'], /; fwd=bypass\b/);
    assert.match(answer.text, /version:published/);
  });

  test('with the secret Next.js renders at once for an invalidation, though its own page is good', limit, async () => {
    for (const target of [fresh('/tagged/'), fresh('/kept/')]) { // good for an hour
      const page = plain(target);
      for (const [larder, renders] of [[open, false], [strict, true]]) {
        await warm(larder, page);
        const old = render(await visit(larder, page));
        const since = Date.now();
        await revalidate(larder, { paths: [target] });
        const stale = await visit(larder, page);
        assertHit(stale, 'the next visit');
        assert.equal(render(stale).text, old.text);
        if (renders) {
          await renewed(larder, page, since);
        } else {
          // Next.js is asked and gives the page it has.
          await until('the page to be fresh again', async () => !/ttl=-/.test((await visit(larder, page)).headers['cache-status']));
          assert.equal(render(await visit(larder, page)).text, old.text);
        }
      }
    }
  });

  test('with the secret a visitor of a page to be validated waits for the new one', limit, async () => {
    const page = plain(fresh('/tagged/'));
    await warm(strict, page);
    const since = Date.now();
    await revalidate(strict, { paths: [page.target], validate: true });
    const answer = await visit(strict, page);
    assert.equal(answer.status, 200, said(answer));
    assert.ok(render(answer).at >= since, `${said(answer)}, ${render(answer).text}`);
  });

  async function revalidate(larder, body) {
    const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
    const answer = await request(`http://${larder.admin}/v1/revalidate`, { method: 'POST', headers, body: JSON.stringify(body) });
    assert.equal(answer.status, 200, answer.text);
  }
});
