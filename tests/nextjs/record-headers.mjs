// Prints the table of HEADERS.md: what `next start` itself sends. Run it again when Next.js is
// upgraded: node tests/nextjs/record-headers.mjs
import { buildApp, buildId, request, startNext, until } from './harness.mjs';
import { rscHeaders } from './rsc.mjs';

await buildApp();
const next = await startNext();
const short = [ // explained in HEADERS.md
  ['rsc, next-router-state-tree, next-router-prefetch, next-router-segment-prefetch', 'RSC4'],
  ['s-maxage=2, stale-while-revalidate=31535998', 'ISR2'],
  ['private, no-cache, no-store, max-age=0, must-revalidate', 'DYNAMIC'],
  ['x-nextjs-cache: ', ''],
];
const slug = `headers-${Date.now().toString(36)}`;

function row(name, { status, headers }) {
  const code = (text) => {
    if (!text) return '-';
    for (const [long, word] of [...short, [slug, 'X'], [buildId(), 'ID']]) text = text.replaceAll(long, word);
    return `\`${text}\``;
  };
  const others = Object.entries(headers)
    .filter(([header]) => /^(x-nextjs-(?!prerender|stale-time|postponed)|location|refresh|content-encoding|set-cookie)/.test(header))
    .map(([header, value]) => code(`${header}: ${value}`));
  const cells = [
    name,
    status,
    code(headers['cache-control']),
    code(headers.vary),
    others.join(' ') || '-',
    etagKind(headers.etag),
    code(headers['content-type']),
    'content-length' in headers ? 'length' : 'chunked',
  ];
  console.log(`| ${cells.join(' | ')} |`);
}

function etagKind(etag) {
  if (etag === undefined) return 'no';
  if (/^W\/"/.test(etag)) return 'weak';
  return etag.startsWith('"') ? 'strong' : '**no quotes**';
}

async function record(name, target, { headers, method } = {}) {
  const answer = await request(next.url + target, { headers, method });
  row(name, answer);
  return answer;
}

function rsc(target, options, more) {
  const { query, headers } = rscHeaders(options);
  return [`${target}?${query}`, { headers: { ...headers, ...more } }];
}

/** The first answer to a page that is what `wanted` says. */
function first(target, wanted) {
  return until(`${target} to be as wanted`, async () => {
    const answer = await next.get(target);
    return wanted(answer.headers) && answer;
  }, { every: 20 });
}
const isStale = (headers) => headers['x-nextjs-cache'] === 'STALE';

const tree = '%5B%22%22%2C%7B%22children%22%3A%5B%22__PAGE__%22%2C%7B%7D%5D%7D%2Cnull%2Cnull%2C16%5D';
const member = { cookie: 'session=member; user=ada' };
const page = `/blog/${slug}`;
const old = `/old/${slug}`;
const image = '/_next/image?url=%2Fpicture.png&q=75&w=';
const data = (target) => `/_next/data/${buildId()}${target}.json`;
const asData = { 'x-nextjs-data': '1' };

try {
  console.log('| request | status | Cache-Control | Vary | x-nextjs-cache, Location, others | ETag | Content-Type | body |');
  console.log('|---|---|---|---|---|---|---|---|');
  const home = await record('**Static and ISR pages, App Router:** static page `/`', '/');
  await record('ISR page, never rendered', page);
  const kept = await record('ISR page, fresh', page);
  row('ISR page, stale', await first(page, isStale));
  await record('ISR page, HEAD', page, { method: 'HEAD' });
  await record('ISR page, POST', page, { method: 'POST' });
  await record('ISR page, unknown query `?utm_source=x`', `${page}?utm_source=x`);
  await record('ISR page, `Accept-Encoding: gzip, br`', page, { headers: { 'accept-encoding': 'gzip, br' } });
  const etag = (await next.get(page)).headers.etag ?? kept.headers.etag;
  await record('ISR page, `If-None-Match` with its ETag', page, { headers: { 'if-none-match': etag } });
  await record('ISR page, trailing slash', `${page}/`);
  await record('ISR page as `P.rsc`, no `RSC` (renders the slug "X.rsc")', `${page}.rsc`);
  await record('**RSC:** ISR page, `RSC: 1`, `?_rsc`', ...rsc(page));
  await record('`RSC: 1` without `_rsc`', page, { headers: { rsc: '1' } });
  await record('`RSC: 1`, wrong `?a=1&_rsc=abc`', `${page}?a=1&_rsc=abc`, { headers: { rsc: '1' } });
  await record('no `RSC`, left-over `?_rsc=abc`', `${page}?_rsc=abc`);
  await record('navigation: `RSC`, state tree, `Next-Url: /`', ...rsc(page, { tree, url: '/' }));
  await record('`Next-Router-Prefetch: 1`', ...rsc(page, { prefetch: '1' }));
  await record('segment prefetch `/_tree`, `Next-Url: /`', ...rsc(page, { prefetch: '1', segment: '/_tree', url: '/' }));
  await record('segment prefetch `/blog/$d$slug/__PAGE__`', ...rsc(page, { prefetch: '1', segment: '/blog/$d$slug/__PAGE__' }));
  await record('segment prefetch of a segment that is not there', ...rsc(page, { prefetch: '1', segment: '/nope' }));
  await record('segment prefetch of a page never rendered', ...rsc(`${page}-2`, { prefetch: '1', segment: '/_tree' }));
  await record('**Not found:** ISR page, `notFound()`', `/blog/missing`);
  await record('the same, `RSC: 1`', ...rsc('/blog/missing'));
  await record('unknown path', '/nope');
  await record('unknown path, `RSC: 1`', ...rsc('/nope'));
  await first(page, (headers) => headers['x-nextjs-cache'] === 'HIT');
  await next.get('/api/break?on=1');
  await record('**Renders throw:** ISR page never rendered', `${page}-3`);
  await record('the same, `RSC: 1`', ...rsc(`${page}-4`));
  row('ISR page, stale, its render is about to fail', await first(page, isStale));
  row('ISR page, after that render failed: the old page', await first(page, (headers) => !isStale(headers)));
  await next.get('/api/break?on=0');
  await record('**Guarded by proxy.js (static page `/gated`):** anonymous', '/gated');
  await record('anonymous, `RSC: 1`', ...rsc('/gated'));
  await record('anonymous, segment prefetch `/_tree`', ...rsc('/gated', { prefetch: '1', segment: '/_tree' }));
  await record('anonymous, `/_next/data/ID/gated.json`', data('/gated'), { headers: asData });
  await record('member', '/gated', { headers: member });
  await record('member, `RSC: 1`', ...rsc('/gated', {}, member));
  await record('member, segment prefetch `__PAGE__`', ...rsc('/gated', { prefetch: '1', segment: '/gated/__PAGE__' }, member));
  await record('member, `/_next/data/ID/gated.json` (an HTML page!)', data('/gated'), { headers: { ...asData, ...member } });
  await record('**Dynamic:** page with `cookies()`', '/me', { headers: member });
  await record('the same, navigation', ...rsc('/me', { tree, url: '/' }, member));
  await record('the same, segment prefetch `/_tree`', ...rsc('/me', { prefetch: '1', segment: '/_tree' }));
  await record('streamed page', '/stream');
  await record('route handler, `no-store`', '/api/time');
  await record('route handler that says nothing, POST', '/api/echo', { method: 'POST' });
  await record('route handler, event stream', '/api/events');
  await record('**Pages Router:** getStaticProps, never rendered', old);
  await record('the same, fresh', old);
  await record('the same, `RSC: 1` (prefetched by an App Router page)', ...rsc(old, { prefetch: '1', segment: '/_tree', url: '/' }));
  await record('its data `/_next/data/ID/old/X.json`', data(old), { headers: asData });
  await record('its data, without `x-nextjs-data`', data(old));
  await record('its data, another build id', `/_next/data/another${old}.json`, { headers: asData });
  await record('getServerSideProps, `private, no-store`', '/old-ssr', { headers: member });
  await record('its data', data('/old-ssr'), { headers: { ...asData, ...member } });
  await record('getServerSideProps, `public, s-maxage=2, ...`', '/old-cached');
  await record('its data', data('/old-cached'), { headers: asData });
  const asset = (ending) => home.text.match(new RegExp(`/_next/static/[^"'\\\\]+\\.${ending}`))[0];
  await record('**Assets:** hashed CSS', asset('css'));
  await record('hashed JS', asset('js'));
  await record('hashed asset that is gone', '/_next/static/chunks/gone.js');
  await record('`public/` file', '/picture.png');
  await record('`public/` file, Range', '/picture.png', { headers: { range: 'bytes=0-99' } });
  await record('image optimiser, `Accept: */*`', `${image}384`, { headers: { accept: '*/*' } });
  await record('image optimiser, `Accept: image/webp,*/*`', `${image}384`, { headers: { accept: 'image/webp,*/*' } });
  await record('image optimiser, width not allowed', `${image}385`);
  const listed = ['/blog/hello', '/old/1'];
  for (const target of [...listed, page, old]) await first(target, (headers) => !isStale(headers));
  const started = Date.now();
  await until('all of them to be past their window', () => Date.now() > started + 2500, { every: 100 });
  await next.restart();
  await record('**First answers after a restart, stale on disk:** ISR page, from generateStaticParams', listed[0]);
  await record('ISR page, rendered on demand before', page);
  await record('getStaticProps, from getStaticPaths', listed[1]);
  await record('getStaticProps, rendered on demand before (**no Cache-Control**)', old);
} finally {
  await next.kill();
}
