// Keeps the app's cache as it is, and tells Larder what the app invalidates and which tags its pages have.
//
// It knows what Next.js calls (read in 16.4.5) and how its cache names things. It does not know how Larder is reached
// (larder.mjs), or how the processes of one app hear of each other (shared-tags.mjs).
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Larders } from './larder.mjs';
import { SharedTags } from './shared-tags.mjs';

const TAGS_HEADER = 'x-next-cache-tags';
const IMPLICIT = '_N_T_'; // begins the tags that Next.js makes of paths and layouts
const ON_DEMAND = '_LARDER_'; // begins those that this file makes of pages renewed by `res.revalidate`
const PAGES = new Set(['APP_PAGE', 'APP_ROUTE', 'PAGES']);
const LARDER = /\blarder-[0-9a-f]{16}\b/; // Larder in `Via`
const TAGS_AT_MOST = 128; // of a page, and
const TAG_AT_MOST = 256; // characters of a tag: Larder leaves out what is beyond
const HEADER_AT_MOST = 8 * 1024; // more than this is a head that some servers refuse
const TOLD_AT_MOST = 10_000; // paths of which it is remembered that their tags were told
const TELL_AGAIN = 60_000; // ms: a Larder that was restarted has forgotten them

/** Next.js' own cache, plus Larder. */
export default class LarderCacheHandler {
  constructor(context) {
    // Only the context says where the app is, and so which Next.js is its own.
    const own = inNext(context.serverDistDir, 'file-system-cache.js').default;
    return new (withLarder(own))(context);
  }
}

const wrapped = new WeakMap();

/** Your own cache handler, plus Larder. */
export function withLarder(Handler) {
  if (!wrapped.has(Handler)) wrapped.set(Handler, wrap(Handler));
  return wrapped.get(Handler);
}

function wrap(Handler) {
  return class extends Handler {
    #app;
    #onDemand;
    #isLarders; // with `draft.secret` Larder asks so for what was invalidated, and gets the page: it need not hear of it

    constructor(context) {
      super(context);
      this.#app = App.of(context);
      this.#onDemand = this.#app?.isOnDemand(context._requestHeaders) ?? false;
      this.#isLarders = LARDER.test(context._requestHeaders?.via);
    }

    async get(key, ...rest) {
      this.#app?.shared.read();
      const data = await super.get(key, ...rest);
      if (!this.#app || !PAGES.has(data?.value?.kind)) return data;
      if (this.#app.isReplaced(key, data)) return null;
      this.#app.tag(key, data.value, rest[0]);
      return data;
    }

    async set(key, value, ...rest) {
      if (!this.#app || !PAGES.has(value?.kind)) return super.set(key, value, ...rest);
      this.#app.tag(key, value, rest[0]);
      if (!this.#onDemand) return super.set(key, value, ...rest);
      // The other processes first, then this one, whose page is newer than the mark, then Larder.
      this.#app.share([`${ON_DEMAND}${pathOf(key)}`]);
      await super.set(key, value, ...rest);
      if (!this.#isLarders) await this.#app.invalidate([`${IMPLICIT}${pathOf(key)}`]);
    }

    async revalidateTag(tags, durations, ...rest) {
      if (!this.#app) return super.revalidateTag(tags, durations, ...rest);
      const all = [tags].flat();
      // When Larder asks again, no process may have the old page: so Larder is last.
      this.#app.share(all, durations);
      try {
        await super.revalidateTag(tags, durations, ...rest);
      } finally {
        await this.#app.invalidate(all, durations);
      }
    }
  };
}

// --- One app, which has a handler for every request ---

class App {
  /** `undefined`: there is nobody to tell, or nothing to tell yet. */
  static of({ dev, serverDistDir }) {
    if (dev || !serverDistDir || process.env.NEXT_PHASE === 'phase-production-build') return undefined;
    // On the global object: this file may be loaded twice.
    const apps = (globalThis[Symbol.for('larder.nextjs')] ??= new Map());
    if (!apps.has(serverDistDir)) apps.set(serverDistDir, App.#start(serverDistDir));
    return apps.get(serverDistDir);
  }

  static #start(serverDistDir) {
    const { LARDER_ADMIN: admin, LARDER_ADMIN_TOKEN: token } = process.env;
    if (!token) {
      console.warn('larder: LARDER_ADMIN_TOKEN is not set, so Larder is not told what this app invalidates');
      return undefined;
    }
    return new App(serverDistDir, new Larders({ urls: admin || 'http://127.0.0.1:9900', token }));
  }

  #told = new Map(); // of a path: the tags that were told last, and when
  #manifest;
  #preview;
  #basePath;
  #slash;

  constructor(serverDistDir, larders) {
    this.larders = larders;
    this.#manifest = inNext(serverDistDir, 'tags-manifest.external.js').tagsManifest;
    const { config } = readJson(path.join(serverDistDir, '..', 'required-server-files.json'));
    this.#basePath = config?.basePath ?? '';
    this.#slash = config?.trailingSlash ?? false;
    this.#preview = readJson(path.join(serverDistDir, 'preview-props.json')).previewModeId;
    const file = path.join(serverDistDir, '..', 'cache', 'larder-tags.jsonl');
    this.shared = new SharedTags(file, ({ tag, ...times }) => {
      this.#manifest.set(tag, { ...this.#manifest.get(tag), ...times });
    });
  }

  /** Whether a request is one of `res.revalidate`, and not of somebody who only says so. */
  isOnDemand(headers) {
    return this.#preview !== undefined && headers?.['x-prerender-revalidate'] === this.#preview;
  }

  /** Lets the app's other processes know: what Next.js notes here, it notes there. */
  share(tags, durations) {
    const now = Date.now();
    const times = !durations ? { expired: now }
      : durations.expire === undefined ? { stale: now }
        : { stale: now, expired: now + durations.expire * 1000 };
    this.shared.add(tags.map((tag) => ({ tag, ...times })));
  }

  /** Whether `res.revalidate` renewed this page in another process. Pages Router: so there are no tags to tell by. */
  isReplaced(key, { lastModified }) {
    return this.#manifest.get(`${ON_DEMAND}${pathOf(key)}`)?.expired > lastModified;
  }

  /** Tells the page's tags: with the page, and by its path, for prefetches have none of the page's header fields. */
  tag(key, value, context) {
    const found = value.headers?.[TAGS_HEADER];
    if (typeof found !== 'string') return;
    const tags = found.split(',').filter(isTag).slice(0, TAGS_AT_MOST);
    value.headers['cache-tag'] = added(value.headers['cache-tag'], tags);
    const page = pathOf(key);
    if (context?.isFallback || page.includes('[')) return;
    const said = this.#told.get(page);
    const now = performance.now(); // `Date.now()` is an error while Next.js prerenders
    if (said?.found === found && now - said.at < TELL_AGAIN) return;
    this.#told.delete(page);
    this.#told.set(page, { found, at: now });
    if (this.#told.size > TOLD_AT_MOST) this.#told.delete(this.#told.keys().next().value);
    if (tags.length > 0) this.larders.tag(this.#url(page), tags);
  }

  /**
   * What must be rendered before it is seen again (`updateTag`, `revalidatePath`) Larder has for failures alone; what may
   * be seen once more (`revalidateTag` with a profile) is stale.
   */
  invalidate(tags, durations) {
    const validate = !durations || durations.expire === 0;
    const paths = tags.filter(isPath).map((tag) => this.#url(tag.slice(IMPLICIT.length)));
    return this.larders.revalidate({ paths, tags: tags.filter(isTag), validate });
  }

  /** As visitors have it. In a path that Next.js has decoded, `?` and `#` are no delimiters. */
  #url(page) {
    const url = this.#basePath + (page === '/' && this.#basePath ? '' : page).replaceAll('?', '%3F').replaceAll('#', '%23');
    return this.#slash && !url.endsWith('/') ? `${url}/` : url;
  }
}

/** The path of a page in the cache: since 16.3 its route stands before it. Of Next.js' `denormalizePagePath`. */
function pathOf(key) {
  const page = key.replace(/^\/route-cache\/.*?\/\$(?=\/)/, '');
  if (page === '/index') return '/';
  return page.startsWith('/index/') ? page.slice('/index'.length) : page;
}

/** `_N_T_/blog/hello` is a page; `_N_T_/blog/[slug]/page` and `_N_T_/blog/layout` are many. */
function isPath(tag) {
  return tag.startsWith(`${IMPLICIT}/`) && !/[[\]]|\/layout$/.test(tag);
}

/** Others Larder neither keeps nor takes. */
function isTag(tag) {
  return tag.length > 0 && tag.length <= TAG_AT_MOST && !/[\u0000-\u001f\u007f-\u009f]/.test(tag);
}

/** A `Cache-Tag` with these tags too, as far as there is room. */
function added(field, tags) {
  const all = new Set([field ?? []].flat().join(',').split(',').map((tag) => tag.trim()).filter(Boolean));
  let length = [...all].join(',').length;
  for (const tag of tags) {
    if (all.has(tag) || length + tag.length + 1 > HEADER_AT_MOST) continue;
    all.add(tag);
    length += tag.length + 1;
  }
  return [...all].join(',');
}

/** A module of the app's own Next.js. */
function inNext(serverDistDir, file) {
  const name = `next/dist/server/lib/incremental-cache/${file}`;
  const places = [path.join(serverDistDir ?? process.cwd(), 'x.js'), path.join(process.cwd(), 'x.js'), import.meta.url];
  for (const place of places) {
    try {
      return createRequire(place)(name);
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND' || place === places.at(-1)) throw error;
    }
  }
  return undefined;
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return {}; // only of use where it is
  }
}
