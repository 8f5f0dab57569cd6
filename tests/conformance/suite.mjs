// The public HTTP cache test suite, run through one cache: its origin behind, its client in front. It is the one of npm, or
// where `SUITE` names one, a checkout of github.com/http-tests/cache-tests (with `npm ci` run there), which is newer.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { App, Child, freePort, run } from '../node/harness.mjs';

const folder = fileURLToPath(new URL('./suite', import.meta.url));
const suite = new App(folder, { output: 'node_modules', whole: 'package.json', build: ['-e', '0'] });
const checkout = process.env.SUITE && path.resolve(process.env.SUITE);
const inPackage = (file) => checkout ? path.join(checkout, file) : suite.path(`node_modules/http-cache-tests/${file}`);
const engine = (file) => inPackage(checkout ? `test-engine/${file}` : file);

/** The package has these kinds; what has none is required. */
export const KINDS = ['required', 'optimal', 'check'];

export async function install() {
  if (!checkout) await suite.ready();
}

/** The suite's origin, at an address of its own. */
export async function startOrigin() {
  const port = await freePort();
  const env = { npm_config_protocol: 'http', npm_config_port: String(port), npm_config_pidfile: '/dev/null' };
  const child = new Child(process.execPath, [engine('server/server.mjs')], { cwd: inPackage('.'), env });
  const url = `http://127.0.0.1:${port}`;
  await child.answering(`${url}/`, 30_000);
  return { url, child };
}

/** All tests there are, with what each depends on. */
async function allTests() {
  // The package has one group that its index leaves out.
  const files = ['tests/index.mjs', ...(checkout ? [] : ['tests/surrogate-control.mjs'])];
  const groups = await Promise.all(files.map((file) => import(inPackage(file))));
  const tests = groups.flatMap((group) => group.default).flatMap((group) => group.tests.map((test) => ({ ...test, group: group.id })));
  return tests.filter((test) => !test.browser_only);
}

/** Runs every test through the cache at that address: id -> { kind, group, passed, why }. */
export async function judge(cache) {
  const env = { npm_config_base: cache, npm_config_id: '', npm_package_config_id: '' };
  // Interim answers are seen by this library alone.
  const fetching = existsSync(inPackage('node_modules/undici')) ? ['--import', 'undici'] : [];
  const { code, output } = await run(process.execPath, ['--no-warnings', ...fetching, engine('cli.mjs')], {
    cwd: inPackage('.'), env, keep: Infinity,
  });
  if (code !== 0) throw new Error(`the suite ended with ${code}:\n${output.slice(-5000)}`);
  const results = JSON.parse(output.slice(output.indexOf('{')));
  const tests = await allTests();
  const byId = new Map(tests.map((test) => [test.id, test]));
  // What depends on something that failed says nothing.
  const passed = (test) => results[test.id] === true
    && (test.depends_on ?? []).every((id) => byId.has(id) && passed(byId.get(id)));
  return new Map(tests.map((test) => [test.id, {
    kind: test.kind ?? 'required',
    group: test.group,
    passed: passed(test),
    why: results[test.id] === true ? 'depends on a test that fails' : String(results[test.id]),
  }]));
}

/** How many of each kind pass: kind -> [passed, all]. */
export function counted(results) {
  const of = (kind) => [...results.values()].filter((one) => one.kind === kind);
  return new Map(KINDS.map((kind) => [kind, [of(kind).filter((one) => one.passed).length, of(kind).length]]));
}
