// Larder before the public HTTP cache test suite, in both profiles. What passed once has to pass: the lists beside this
// file name it, and only grow. `LARDER_BIN` is the binary; `UPDATE=1` adds to the lists what passes now and is not on them.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Larder } from '../node/harness.mjs';
import { counted, install, judge, startOrigin } from './suite.mjs';

const scratch = mkdtempSync(path.join(tmpdir(), 'larder-conformance-'));
const running = [];
let origin;

before(async () => {
  await install();
  origin = await startOrigin();
  running.push(origin.child);
});

after(async () => {
  // What runs on keeps this process from its end.
  await Promise.all(running.map((child) => child.kill()));
  rmSync(scratch, { recursive: true, force: true });
});

/** Some pass now and then, with luck: only what passes in each of so many runs goes on a list. */
const RUNS = process.env.UPDATE ? 3 : 1;

const PROFILES = {
  rfc9111: 'profile: rfc9111\n',
  // What the suite's origin cannot do without.
  isr: 'defaults: { forward_headers: [Test-ID, Test-Name, Req-Num] }\n',
};

for (const [profile, lines] of Object.entries(PROFILES)) {
  test(`what passed before passes: profile ${profile}`, async () => {
    const larder = await Larder.start(({ listen, admin }) => {
      const file = path.join(scratch, `${profile}.yaml`);
      writeFileSync(file, `listen: ${listen}\norigin: ${origin.url}\nadmin: { listen: ${admin} }\nlogging: { access: { output: off } }\n${lines}`);
      return ['serve', '--config', file];
    });
    running.push(larder.child);
    let results = await judge(`http://${larder.listen}`);
    let passing = ids(results);
    for (let more = 1; more < RUNS; more += 1) {
      results = await judge(`http://${larder.listen}`);
      const again = new Set(ids(results));
      passing = passing.filter((id) => again.has(id));
    }
    print(profile, results);
    const list = new URL(`./passing.${profile}.txt`, import.meta.url);
    const known = readFileSync(list, 'utf8').split('\n').filter(Boolean);
    if (process.env.UPDATE) writeFileSync(list, [...new Set([...known, ...passing])].sort().join('\n') + '\n');
    const lost = known.filter((id) => !passing.includes(id)).map((id) => `${id}: ${results.get(id)?.why ?? 'is gone'}`);
    assert.deepEqual(lost, []);
  });
}

function ids(results) {
  return [...results].filter(([, one]) => one.passed).map(([id]) => id);
}

function print(profile, results) {
  for (const [kind, [passed, all]] of counted(results)) console.log(`${profile}: ${passed} of ${all} ${kind}`);
  const failed = [...results].filter(([, one]) => !one.passed && one.kind !== 'check');
  for (const [id, { kind, why }] of failed) console.log(`  ${kind} ${id}: ${why}`);
}
