// Tells one or more Larders what was invalidated and which tags pages have, through their admin API. It never throws.
//
// It knows the admin API, and what to do while Larder does not answer. It does not know Next.js.
import http from 'node:http';
import https from 'node:https';

const LIMITS = {
  wait: 500, // ms that a caller waits for Larder's word, at most
  timeout: 2000, // ms of one call
  firstRetry: 200, // ms, doubled with each failure,
  lastRetry: 10_000, // up to this
  queue: 20_000, // selectors and paths that wait to be told; the oldest go
  selectors: 1000, // of one call, as Larder takes them
  bytes: 512 * 1024, // of one body: Larder takes twice that
  tagCalls: 64, // before what is invalidated has its turn again
  path: 8 * 1024, // bytes: longer ones are not served
};

/** All Larders of an app. `urls`: their admin addresses, parted by commas. */
export class Larders {
  constructor({ urls, token, limits = {}, warn = console.warn }) {
    const all = { ...LIMITS, ...limits };
    this.all = urls.split(',').map((url) => url.trim()).filter(Boolean).flatMap((url) => {
      if (/^https?:\/\/[^/]/.test(url) && URL.canParse(url)) return [new Larder(new URL(url), token, all, warn)];
      warn(`larder: LARDER_ADMIN has "${url}", which is no address like http://127.0.0.1:9900: it is left out`);
      return [];
    });
  }

  /**
   * Resolves when every Larder has done it, or is not worth waiting for. `validate`: the next visit waits for the new page
   * and has the old one only if the app fails; otherwise it has the old one, and the new one is rendered behind it.
   */
  async revalidate({ paths = [], tags = [], validate = false }) {
    await Promise.all(this.all.map((larder) => larder.revalidate({ paths, tags, validate })));
  }

  /** Adds tags to whatever is stored at a path. Nobody waits for it. */
  tag(path, tags) {
    for (const larder of this.all) larder.tag(path, tags);
  }
}

class Larder {
  #url;
  #token;
  #limits;
  #warn;
  #warned = new Set();
  #agent;
  #queue = new Map(); // what is to be told, each once, oldest first
  #waiting = []; // who waits for what is in the queue
  #telling = false;
  #timer;
  #failures = 0;
  #isSlow = false;

  constructor(url, token, limits, warn) {
    this.#url = url;
    this.#token = token.trim(); // a file's end of line is no part of it
    this.#limits = limits;
    this.#warn = warn;
    this.#agent = new (url.protocol === 'https:' ? https : http).Agent({ keepAlive: true, maxSockets: 8 });
  }

  async revalidate({ paths, tags, validate }) {
    const items = [
      ...paths.filter((path) => this.#fits(path)).map((path) => ({ validate, paths: path })),
      ...tags.map((tag) => ({ validate, tags: tag })),
    ];
    for (const item of items) this.#put(item);
    if (items.length === 0 || this.#failures > 0 || this.#isSlow) return; // it is told when it is back
    await new Promise((resolve) => {
      const timer = setTimeout(() => { this.#isSlow = true; resolve(); }, this.#limits.wait);
      timer.unref();
      this.#waiting.push(() => { clearTimeout(timer); resolve(); });
    });
  }

  tag(path, tags) {
    if (this.#fits(path)) this.#put({ path, tags });
  }

  #fits(path) {
    return Buffer.byteLength(path) <= this.#limits.path;
  }

  #put(item) {
    const key = JSON.stringify(item.path ?? item);
    this.#queue.delete(key);
    this.#queue.set(key, item);
    while (this.#queue.size > this.#limits.queue) {
      this.#queue.delete(this.#queue.keys().next().value);
      this.#warnOnce('full', `more than ${this.#limits.queue} invalidations wait for it, and the oldest are forgotten: `
        + 'when it is back, revalidate the prefix "/" by hand');
    }
    this.#soon();
  }

  /** At once: Next.js does not hold a route handler's answer. What comes meanwhile goes together after it. */
  #soon() {
    if (this.#timer || this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => this.#tell());
  }

  #later(milliseconds) {
    this.#timer = setTimeout(() => { this.#timer = undefined; this.#soon(); }, milliseconds);
    this.#timer.unref(); // an app that ends need not tell
  }

  async #tell() {
    while (this.#queue.size > 0) {
      const items = this.#take();
      const waiting = this.#waiting.splice(0);
      const failed = await this.#tellThese(items.map(([, item]) => item));
      if (failed) {
        // Back to the front, where it was; what was said anew meanwhile stays where it is.
        const newer = [...this.#queue];
        this.#queue = new Map([...items, ...newer]);
        this.#failures += 1;
        waiting.push(...this.#waiting.splice(0));
      } else {
        this.#failures = 0;
        this.#isSlow = false;
        for (const over of ['away', 'refused', 'full']) this.#warned.delete(over); // `odd` and `old` stay: they are no outage
      }
      for (const done of waiting) done();
      if (failed) break;
    }
    this.#telling = false;
    if (this.#queue.size > 0) this.#later(Math.min(this.#limits.firstRetry * 2 ** (this.#failures - 1), this.#limits.lastRetry));
  }

  /** What one round tells: the oldest. A call's worth of each kind. */
  #take() {
    const left = { true: this.#limits.selectors, false: this.#limits.selectors, tags: this.#limits.tagCalls };
    const bytes = { true: this.#limits.bytes, false: this.#limits.bytes };
    const taken = [];
    for (const [key, item] of this.#queue) {
      const kind = item.path === undefined ? item.validate : 'tags';
      if (left[kind] === 0 || bytes[kind] < 0) continue;
      left[kind] -= 1;
      if (kind in bytes) bytes[kind] -= Buffer.byteLength(key);
      taken.push([key, item]);
    }
    for (const [key] of taken) this.#queue.delete(key);
    return taken;
  }

  /** Whether it failed, and is worth another attempt. */
  async #tellThese(items) {
    // Tags first: those that come after an invalidation do not fall under it.
    const pages = items.filter((item) => item.path !== undefined);
    const told = await Promise.all(pages.map(({ path, tags }) => this.#call('/v1/tags', { path, tags })));
    if (told.includes('again')) return true;
    for (const validate of [true, false]) {
      const chosen = items.filter((item) => item.path === undefined && item.validate === validate);
      const paths = chosen.flatMap((item) => item.paths ?? []);
      const tags = chosen.flatMap((item) => item.tags ?? []);
      const body = { paths, tags, ...(validate && { validate }) }; // an older Larder takes the others
      if (chosen.length > 0 && await this.#call('/v1/revalidate', body) === 'again') return true;
    }
    return false;
  }

  /** `done`, `again`, or `never` where Larder will not have it. */
  async #call(target, body) {
    const { status, text, error } = await this.#post(target, JSON.stringify(body));
    if (status === 200) return 'done';
    if (status === 401 || status === 403) {
      this.#warnOnce('refused', `it refuses the token (${status}), so it does not hear what this app invalidates: set LARDER_ADMIN_TOKEN `
        + 'to its admin.token, or to one of its admin.tokens that has `scope: revalidate`');
      return 'again';
    }
    if (status === undefined || status >= 500 || status === 429) {
      // Tags for which there is no room: they come with the pages as well.
      if (status === 507) return 'never';
      this.#warnOnce('away', `it cannot be reached (${error ?? status}), so it does not hear what this app invalidates; it will, when it is `
        + 'back: set LARDER_ADMIN to its admin address (`admin.listen`) if that is another one');
      return 'again';
    }
    if (target === '/v1/tags' && status === 422) return 'never'; // more than 128 over time: no room either
    if (status === 422 && /unknown field `validate`/.test(text)) {
      this.#warnOnce('old', 'it is too old to know `validate`, so it does not hear what this app invalidates, but for `revalidateTag` with a '
        + 'profile: use a Larder of the same version as this file');
      return 'never';
    }
    this.#warnOnce('odd', `it answers ${status} to ${target}: ${text.slice(0, 300)}`);
    return 'never';
  }

  #warnOnce(kind, what) {
    if (this.#warned.has(kind)) return;
    this.#warned.add(kind);
    this.#warn(`larder: ${this.#url.origin}: ${what}`);
  }

  /** A connection that was idle may be closed just when it is used again: that is no failure yet. */
  async #post(target, body) {
    const outcome = await this.#postOnce(target, body);
    return outcome.wasIdle ? this.#postOnce(target, body) : outcome;
  }

  // Not `fetch`: Next.js has its own, which caches.
  #postOnce(target, body) {
    const url = new URL(target, this.#url);
    const failed = (error) => ({ error: error.code || error.message });
    return new Promise((resolve) => {
      const done = (outcome) => { clearTimeout(timer); resolve(outcome); };
      const fail = (error) => {
        out.destroy();
        done({ ...failed(error), wasIdle: out.reusedSocket && error.code === 'ECONNRESET' });
      };
      const out = (url.protocol === 'https:' ? https : http).request(url, {
        method: 'POST',
        agent: this.#agent,
        headers: {
          authorization: `Bearer ${this.#token}`,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
        },
      });
      const timer = setTimeout(() => fail(new Error(`no answer in ${this.#limits.timeout} ms`)), this.#limits.timeout);
      timer.unref();
      out.on('socket', (socket) => socket.unref());
      out.on('error', fail);
      out.on('response', (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (piece) => { if (text.length < 10_000) text += piece; });
        answer.on('error', fail);
        answer.on('end', () => done({ status: answer.statusCode, text }));
      });
      out.end(body);
    }).catch(failed); // what no request can be made of
  }
}
