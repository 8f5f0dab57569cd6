// What answers say of themselves, and ways to visit until they say something else.
import assert from 'node:assert/strict';
import { until } from './harness.mjs';

const quick = 1000; // an answer from the store, on a machine that is busy with something else

/** A path or slug that no test, mode or earlier run has asked for. */
let freshCount = 0;
const runId = `${Date.now().toString(36)}${process.pid.toString(36)}`;
export function fresh(prefix) {
  freshCount += 1;
  return `${prefix}${runId}${freshCount}`;
}

// --- What an answer says ---

function cacheStatus(answer) {
  const members = (answer.headers['cache-status'] ?? '').split(',').map((member) => member.trim());
  return members.find((member) => /^larder\b/.test(member)) ?? '';
}

export function isHit(answer) {
  return /^larder; hit\b/.test(cacheStatus(answer));
}

/** By its own word in Cache-Status: a version past its window. */
export function isStale(answer) {
  return isHit(answer) && /; ttl=-\d/.test(cacheStatus(answer));
}

export function said(answer) {
  return `${answer.status} ${cacheStatus(answer) || 'no Cache-Status'}`;
}

export function assertHit(answer, what) {
  assert.equal(answer.status, 200, `${what}: ${said(answer)}`);
  assert.ok(isHit(answer), `${what} should be a hit: ${said(answer)}`);
}

export function assertNoHit(answer, what) {
  assert.ok(cacheStatus(answer), `${what} should have a Cache-Status of larder's`);
  assert.ok(!isHit(answer), `${what} must not be a hit: ${said(answer)}`);
}

export function assertQuick(answer, what) {
  assert.ok(answer.endAfter < quick, `${what} took ${Math.round(answer.endAfter)} ms: ${said(answer)}`);
}

export function assertType(answer, type, what) {
  assert.match(answer.headers['content-type'] ?? 'no content-type', type, `${what}: ${said(answer)}`);
}

/** Which render this is: when it was made, and its number in its process. */
export function render(answer) {
  const found = answer.text.match(/render:([\w-]+):(\d+):(\d+)/);
  assert.ok(found, `no render marker in: ${said(answer)} ${answer.text.slice(0, 200)}`);
  return { text: found[0], at: Number(found[2]), count: Number(found[3]) };
}

// --- Ways to visit ---

export function plain(target, headers = {}) {
  return { target, headers };
}

export function visit(larder, { target, headers }) {
  return larder.get(target, headers);
}

/** Visits until the answer is a hit: a first answer that the origin called stale may need a moment. */
export async function warm(larder, page) {
  return until(`${page.target} to be a hit`, async () => {
    const answer = await visit(larder, page);
    assert.equal(answer.status, 200, `${page.target}: ${said(answer)}`);
    return isHit(answer) && answer;
  }, { every: 20 });
}

/** Visits until a render made after `since` is served. Every visit on the way must be good and quick. */
export async function renewed(larder, page, since, { within = 15_000, every = 100 } = {}) {
  let newest = 0;
  return until(`${page.target} to be renewed`, async () => {
    const answer = await visit(larder, page);
    assertHit(answer, page.target);
    assertQuick(answer, page.target);
    const { at } = render(answer);
    assert.ok(at >= newest, `${page.target}: a visitor saw a render of ${newest}, then one of ${at}`);
    newest = at;
    return at > since && answer;
  }, { within, every });
}

/** Every page, again and again, until each was served stale `times` times; each answer is given to `look`. */
export async function visitWhileStale(larder, pages, times, look) {
  const stale = new Map(pages.filter((page) => page.renews).map((page) => [page, 0]));
  await until('every page to be past its window', async () => {
    for (const page of pages) {
      const answer = await visit(larder, page);
      look(page, answer);
      if (stale.has(page) && isStale(answer)) stale.set(page, stale.get(page) + 1);
    }
    return [...stale.values()].every((count) => count >= times);
  }, { within: 20_000 });
}
