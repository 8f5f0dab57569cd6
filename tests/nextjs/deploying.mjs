// What tests of deployments stand on: the one address at which versions of the app come and go, and a Larder that is told so.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fresh, isHit, said } from '../node/answers.mjs';
import { Larder, buildId, freePort, larderBinary, request, run, startNext, until, versions } from './harness.mjs';

const adminToken = 'may-do-everything';

/**
 * The app's address. Behind it is a version of the app, or nothing at all. It notes what is asked for, and holds answers
 * back where a test says so: their renders are slow. A held answer is the one of the version that gave it.
 */
export class Origin {
  requests = [];
  #holds = new Set();

  static async start(version) {
    const origin = new Origin();
    origin.port = await freePort();
    origin.appPort = await freePort();
    await origin.deploy(version);
    return origin;
  }

  /** The version that was there is gone, the other one has started; `larder` asks it again, though it may have been down. */
  async deploy(version, larder) {
    await this.next?.kill();
    this.next = await startNext({ version, port: this.appPort });
    if (!this.server) {
      this.server = http.createServer((request, response) => this.#pass(request, response)).listen(this.port, '127.0.0.1');
      await new Promise((resolve, reject) => this.server.once('listening', resolve).once('error', reject));
    }
    if (larder) await until('Larder to reach the app', async () => (await larder.get('/api/time')).status === 200);
  }

  /** From now on connections are refused. */
  async stop() {
    for (const hold of [...this.#holds]) hold.release();
    await this.next?.kill();
    this.next = undefined;
    if (!this.server) return;
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    this.server = undefined;
  }

  /** Straight to the app, unnoted. */
  get(target, headers) {
    return this.next.get(target, headers);
  }

  asked(target) {
    return this.requests.filter((one) => one === target).length;
  }

  /** Holds the answers to these targets until it is released: all, or the first `times`. */
  hold(targets, { times = Infinity } = {}) {
    const hold = { answers: 0, targets: [].concat(targets), times };
    hold.released = new Promise((resolve) => { hold.release = resolve; });
    hold.released.then(() => this.#holds.delete(hold));
    hold.came = (count = 1) => until(`the app to have rendered ${hold.targets}`, () => hold.answers >= count, { every: 10 });
    this.#holds.add(hold);
    return hold;
  }

  #pass(request, response) {
    const { method, headers, url } = request;
    this.requests.push(url);
    const out = http.request({ host: '127.0.0.1', port: this.appPort, method, headers, path: url }, async (answer) => {
      const chunks = [];
      try {
        for await (const chunk of answer) chunks.push(chunk);
      } catch {
        return response.destroy();
      }
      const hold = [...this.#holds].find((one) => one.targets.includes(url) && one.answers < one.times);
      if (hold) {
        hold.answers += 1;
        await hold.released;
      }
      if (response.destroyed) return;
      response.writeHead(answer.statusCode, answer.rawHeaders);
      response.end(Buffer.concat(chunks));
    });
    out.on('error', () => response.destroy());
    request.pipe(out);
  }
}

/** A place for configurations and stores. */
export function scratch() {
  const folder = mkdtempSync(path.join(tmpdir(), 'larder-deployments-'));
  return { folder, remove: () => rmSync(folder, { recursive: true }) };
}

/** `more` gives the rest of the configuration, anew at every start. */
export function startLarder(folder, origin, more = () => '') {
  const file = path.join(folder, `${fresh('larder-')}.yaml`);
  return Larder.start(({ listen, admin }) => {
    writeFileSync(file, `listen: ${listen}
origin: http://127.0.0.1:${origin.port}
admin:
  listen: ${admin}
  token: ${adminToken}
${more()}`);
    return ['serve', '--config', file];
  });
}

/** Whether the binary knows what is configured so. */
export async function accepts(configuration) {
  const { folder, remove } = scratch();
  const file = path.join(folder, 'larder.yaml');
  writeFileSync(file, `listen: 127.0.0.1:8080\norigin: http://127.0.0.1:3000\n${configuration}`);
  const { code, output } = await run(larderBinary(), ['check', file]);
  remove();
  assert.ok(code === 0 || /is not available in this version/.test(output), output);
  return code === 0;
}

// --- What an operator does ---

export function api(larder, target, { method = 'GET', body, timeout = 60_000 } = {}) {
  const headers = { authorization: `Bearer ${adminToken}`, ...(body && { 'content-type': 'application/json' }) };
  return request(`http://${larder.admin}${target}`, { method, headers, body: body && JSON.stringify(body), timeout });
}

/** The answer to an activation, whatever it is. */
export function activation(larder, id, options) {
  return api(larder, `/v1/deployments/${encodeURIComponent(id)}/activate`, { method: 'POST', body: options });
}

export async function activate(larder, id, options) {
  const answer = await activation(larder, id, options);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(JSON.parse(answer.text).active, id);
}

export async function deployments(larder) {
  const answer = await api(larder, '/v1/deployments');
  assert.equal(answer.status, 200, answer.text);
  return JSON.parse(answer.text).deployments;
}

export async function activeDeployment(larder) {
  const active = (await deployments(larder)).filter((one) => one.active);
  assert.equal(active.length, 1, JSON.stringify(active));
  return active[0].id;
}

export async function invalidate(larder, what) {
  const answer = await api(larder, '/v1/revalidate', { method: 'POST', body: what });
  assert.equal(answer.status, 200, answer.text);
}

// --- What an answer says ---

/** Which version made it: pages and payloads have the build's id in them, or the deployment's in them or in their header. */
export function madeBy(answer) {
  const found = Object.entries(versions).filter(([, version]) => {
    if (!version.named) return answer.text.includes(buildId(version));
    return answer.headers['x-nextjs-deployment-id'] === version.named || answer.text.includes(`data-dpl-id="${version.named}"`);
  });
  assert.ok(found.length <= 1, `of two versions: ${found.map(([name]) => name)}`);
  return found[0]?.[0];
}

export function assertMadeBy(answer, name, what) {
  assert.equal(answer.status, 200, `${what}: ${said(answer)}`);
  assert.equal(madeBy(answer), name, `${what}: ${said(answer)}`);
}

/** In seconds, as Cache-Status says it. */
export function ttl(answer) {
  const found = answer.headers['cache-status']?.match(/\blarder; hit; ttl=(-?\d+)/);
  assert.ok(found, `no ttl: ${said(answer)}`);
  return Number(found[1]);
}

/** A hit past its window, by its own word. */
export function assertStaleHit(answer, what) {
  assert.ok(isHit(answer), `${what} should be a hit: ${said(answer)}`);
  assert.ok(ttl(answer) <= 0, `${what} should not be called fresh: ${said(answer)}`);
}

/** Age counts from when the version was made: `at`, in milliseconds. */
export function assertTrueAge(answer, at, what) {
  const age = Number(answer.headers.age);
  const real = (Date.now() - at) / 1000;
  assert.ok(Math.abs(age - real) <= 2, `${what}: Age is ${answer.headers.age}, made ${real.toFixed(1)} s ago: ${said(answer)}`);
}
