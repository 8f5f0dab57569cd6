// Prints the table of HEADERS.md: what `next start` itself sends. Run it again when Next.js is
// upgraded: node tests/nextjs/record-headers.mjs
import { NextServer, buildApp, buildId, until } from './harness.mjs';
import { rscHeaders } from './rsc.mjs';

await buildApp();
const next = await NextServer.start();
const short = 'rsc, next-router-state-tree, next-router-prefetch, next-router-segment-prefetch';
const slug = `headers-${Date.now().toString(36)}`;

function row(name, answer) {
  const { status, headers } = answer;
  const cell = (text) => (text === undefined ? '-' : `\`${text.replace(short, 'RSC4')}\``);
  const framework = Object.entries(headers)
    .filter(([header]) => /^(x-nextjs-|x-action|location|content-disposition|refresh|set-cookie)/.test(header))
    .map(([header, value]) => `${header}: ${value}`);
  const length = 'content-length' in headers ? 'length' : 'chunked';
  console.log(`| ${name} | ${status} | ${cell(headers['cache-control'])} | ${cell(headers.vary)} | ${framework.map((f) => `\`${f}\``).join(' ') || '-'} | ${
    'etag' in headers ? (/^(W\/)?"/.test(headers.etag) ? (headers.etag.startsWith('W/') ? 'weak' : 'strong') : 'yes, **unquoted**') : 'no'
  } | ${cell(headers['content-type'])} | ${length} |`);
}

async function record(name, target, headers) {
  const answer = await next.get(target, headers);
  row(name, answer);
  return answer;
}

function rsc(target, options) {
  const { query, headers } = rscHeaders(options);
  return [`${target}?${query}`, headers];
}

const tree = { tree: '%5B%22%22%2C%7B%22children%22%3A%5B%22__PAGE__%22%2C%7B%7D%5D%7D%2Cnull%2Cnull%2C16%5D' };
const member = { cookie: 'session=member; user=ada' };
const page = `/blog/${slug}`;
const pageSegment = '/blog/$d$slug/__PAGE__';

try {
  console.log('| request | status | Cache-Control | Vary | x-nextjs-*, Location | ETag | Content-Type | body |');
  console.log('|---|---|---|---|---|---|---|---|');
  const home = await record('`/` (static)', '/');
  await record('ISR page, never rendered', page);
  const fresh = await record('ISR page, fresh', page);
  await record('ISR page, fresh, If-None-Match', page, { 'if-none-match': fresh.headers.etag });
  await record('ISR page, `RSC: 1`, `?_rsc`', ...rsc(page));
  await record('ISR page, `RSC: 1`, no `_rsc`', page, { rsc: '1' });
  await record('ISR page, `RSC: 1`, wrong `_rsc=abc`', `${page}?_rsc=abc`, { rsc: '1' });
  await record('ISR page, `RSC: 1`, wrong `_rsc`, other query', `${page}?a=1&_rsc=abc`, { rsc: '1' });
  await record('ISR page, `?_rsc=abc`, no `RSC` (HTML)', `${page}?_rsc=abc`);
  await record('ISR page, navigation (`RSC`, state tree)', ...rsc(page, tree));
  await record('ISR page, navigation, `Next-Url: /`', ...rsc(page, { ...tree, url: '/' }));
  await record('ISR page, `Next-Router-Prefetch: 1`', ...rsc(page, { prefetch: '1' }));
  await record('ISR page, segment prefetch `/_tree`', ...rsc(page, { prefetch: '1', segment: '/_tree' }));
  await record('ISR page, segment prefetch `__PAGE__`', ...rsc(page, { prefetch: '1', segment: pageSegment }));
  await record('ISR page, segment prefetch `/_full`', ...rsc(page, { prefetch: '1', segment: '/_full' }));
  await record('ISR page, segment prefetch, unknown one', ...rsc(page, { prefetch: '1', segment: '/nope' }));
  await record('ISR page, segment prefetch, never rendered', ...rsc(`${page}-2`, { prefetch: '1', segment: '/_tree' }));
  await record('ISR page as `P.rsc`', `${page}.rsc`);
  await record('ISR page, HEAD-like query `?utm_source=x`', `${page}?utm_source=x`);
  await until('the page to be stale', async () => {
    const answer = await next.get(page);
    if (answer.headers['x-nextjs-cache'] !== 'STALE') return false;
    row('ISR page, stale', answer);
    return true;
  });
  await record('ISR page, notFound(), first', `/blog/missing`);
  await record('ISR page, notFound(), again', `/blog/missing`);
  await record('ISR page, notFound(), `RSC: 1`', ...rsc('/blog/missing'));
  await next.get('/api/break?on=1');
  await record('ISR page, broken, never rendered', `${page}-3`);
  await record('ISR page, broken, `RSC: 1`, never rendered', ...rsc(`${page}-4`));
  for (let i = 0; i < 2; i += 1) {
    await until('a stale answer', async () => (await next.get(page)).headers['x-nextjs-cache'] === 'STALE');
  }
  await record('ISR page, broken, stale, after a failed render', page);
  await next.get('/api/break?on=0');
  await record('static page behind proxy.js, anonymous', '/gated');
  await record('the same, member', '/gated', member);
  await record('the same, anonymous, `RSC: 1`', ...rsc('/gated'));
  await record('the same, member, `RSC: 1`', ...rsc('/gated'.valueOf()).map((v, i) => (i ? { ...v, ...member } : v)));
  await record('the same, anonymous, segment prefetch `/_tree`', ...rsc('/gated', { prefetch: '1', segment: '/_tree' }));
  await record('the same as `P.rsc`, anonymous', '/gated.rsc');
  await record('dynamic page with cookies()', '/me', member);
  await record('the same, `RSC: 1`', ...rsc('/me'));
  await record('the same, segment prefetch `/_tree`', ...rsc('/me', { prefetch: '1', segment: '/_tree' }));
  await record('the same, segment prefetch `__PAGE__`', ...rsc('/me', { prefetch: '1', segment: '/me/__PAGE__' }));
  await record('streaming page', '/stream');
  await record('route handler, no-store', '/api/time');
  await record('route handler, event stream', '/api/events');
  await record('pages router, getStaticProps, never rendered', `/old/${slug}`);
  await record('the same, fresh', `/old/${slug}`);
  await record('the same, `RSC: 1`', ...rsc(`/old/${slug}`));
  await record('the same, `/_next/data/<id>/old/X.json`', `/_next/data/${buildId()}/old/${slug}.json`, { 'x-nextjs-data': '1' });
  await record('the same, data, no `x-nextjs-data`', `/_next/data/${buildId()}/old/${slug}.json`);
  await record('data of another build', `/_next/data/another/old/${slug}.json`, { 'x-nextjs-data': '1' });
  await record('getServerSideProps, private', '/old-ssr', member);
  await record('getServerSideProps, private, data', `/_next/data/${buildId()}/old-ssr.json`, { 'x-nextjs-data': '1' });
  await record('getServerSideProps, s-maxage=2', '/old-cached');
  await record('getServerSideProps, s-maxage=2, data', `/_next/data/${buildId()}/old-cached.json`, { 'x-nextjs-data': '1' });
  const asset = (ending) => home.text.match(new RegExp(`/_next/static/[^"']+\\.${ending}`))[0];
  await record('hashed asset, CSS', asset('css'));
  await record('hashed asset, JS', asset('js'));
  await record('hashed asset that is gone', '/_next/static/chunks/gone.js');
  await record('`public/` file', '/picture.png');
  await record('`public/` file, Range', '/picture.png', { range: 'bytes=0-99' });
  await record('image optimiser, `Accept: */*`', '/_next/image?url=%2Fpicture.png&w=640&q=75', { accept: '*/*' });
  await record('image optimiser, `Accept: image/webp`', '/_next/image?url=%2Fpicture.png&w=640&q=75', { accept: 'image/webp,*/*' });
  await record('the same, again', '/_next/image?url=%2Fpicture.png&w=640&q=75', { accept: 'image/webp,*/*' });
  await record('image optimiser, width not allowed', '/_next/image?url=%2Fpicture.png&w=641&q=75');
  await record('unknown path', '/nope');
  await record('unknown path, `RSC: 1`', ...rsc('/nope'));
  await record('trailing slash', `${page}/`);
  await record('`Accept-Encoding: gzip`, ISR page', page, { 'accept-encoding': 'gzip' });
} finally {
  await next.kill();
}
