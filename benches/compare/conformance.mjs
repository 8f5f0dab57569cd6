// The table of the public HTTP cache test suite: Larder in both profiles, nginx and Varnish, each on the same machine before
// the suite's own origin. nginx and Varnish are as they come, but for validation, which nginx has to be told to do, and for
// Varnish's two minutes for what has no lifetime: most tests depend on there being none.
// Wants `LARDER_BIN`, nginx and varnishd; `SUITE` may name a checkout of the suite, which is newer than npm's.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Child, Larder, freePort } from '../../tests/node/harness.mjs';
import { KINDS, counted, install, judge, startOrigin } from '../../tests/conformance/suite.mjs';

const scratch = mkdtempSync(path.join(tmpdir(), 'larder-beside-'));
const running = [];

function file(name, text) {
  const at = path.join(scratch, name);
  writeFileSync(at, text);
  return at;
}

async function larder(origin, lines) {
  const started = await Larder.start(({ listen, admin }) => ['serve', '--config',
    file('larder.yaml', `listen: ${listen}\norigin: ${origin}\nadmin: { listen: ${admin} }\nlogging: { access: { output: off } }\n${lines}`)]);
  running.push(started.child);
  return `http://${started.listen}`;
}

async function other(program, args, port) {
  const child = new Child(program, args, { cwd: scratch });
  running.push(child);
  await child.answering(`http://127.0.0.1:${port}/`, 30_000);
  return `http://127.0.0.1:${port}`;
}

async function nginx(origin) {
  const port = await freePort();
  const config = file('nginx.conf', `daemon off;
worker_processes 1;
${process.getuid() === 0 ? "user root;" : ""}
pid ${scratch}/nginx.pid;
error_log ${scratch}/nginx.log error;
events {}
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${scratch}/${kind};`).join(' ')}
  proxy_cache_path ${scratch}/cache keys_zone=pages:10m;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${origin};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_cache pages;
      proxy_cache_revalidate on;
    }
  }
}
`);
  return other('nginx', ['-e', `${scratch}/nginx.log`, '-p', scratch, '-c', config], port);
}

async function varnish(origin) {
  const port = await freePort();
  const { hostname, port: behind } = new URL(origin);
  const vcl = file('default.vcl', `vcl 4.1;\nbackend default { .host = "${hostname}"; .port = "${behind}"; }\n`);
  const jail = process.getuid() === 0 ? ['-j', 'none'] : [];
  return other('varnishd', ['-F', '-f', vcl, '-s', 'malloc,64m', '-p', 'default_ttl=0', '-a', `127.0.0.1:${port}`, '-n', path.join(scratch, 'varnish'), ...jail], port);
}

try {
  await install();
  const origin = await startOrigin();
  running.push(origin.child);
  const caches = {
    'Larder, `profile: rfc9111`': () => larder(origin.url, 'profile: rfc9111\n'),
    Larder: () => larder(origin.url, 'defaults: { forward_headers: [Test-ID, Test-Name, Req-Num] }\n'),
    nginx: () => nginx(origin.url),
    Varnish: () => varnish(origin.url),
  };
  const failed = [];
  console.log(`| cache | ${KINDS.join(' | ')} |\n|---|${KINDS.map(() => '---').join('|')}|`);
  for (const [name, start] of Object.entries(caches)) {
    const results = await judge(await start());
    const of = counted(results);
    console.log(`| ${name} | ${KINDS.map((kind) => of.get(kind).join(' of ')).join(' | ')} |`);
    failed.push(...[...results].filter(([, { kind, passed }]) => !passed && kind !== 'check').map(([id]) => `${name}: ${id}`));
  }
  console.log(['', ...failed].join('\n'));
} finally {
  await Promise.all(running.map((child) => child.kill()));
  rmSync(scratch, { recursive: true, force: true });
}
