// What the tests with real applications stand on: processes in their own groups, free ports, waiting for
// facts, and requests that follow no redirect and hide no header. Node built-ins only.
// It knows nothing of what is tested.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const environment = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NUXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' };

/** Polls until `fact()` gives something true, and gives that. What it throws is thrown. */
export async function until(what, fact, { within = 15_000, every = 100 } = {}) {
  const end = performance.now() + within;
  for (;;) {
    const value = await fact();
    if (value) return value;
    if (performance.now() > end) throw new Error(`waited ${within} ms for: ${what}`);
    await delay(every);
  }
}

const taken = new Set();

export async function freePort() {
  for (;;) {
    const server = net.createServer().listen(0, '127.0.0.1');
    await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    if (taken.has(port)) continue;
    taken.add(port);
    return port;
  }
}

/**
 * One request, as written. Gives the status, the headers (lower case, repeated ones joined) and as
 * they came, the text, and when things happened, in milliseconds since the request was sent.
 */
export function request(url, { method = 'GET', headers = {}, body, agent = false, timeout = 20_000 } = {}) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const since = () => performance.now() - start;
    const out = http.request(url, { method, headers, agent }, (answer) => {
      const headAfter = since();
      const chunks = [];
      answer.on('data', (bytes) => chunks.push({ after: since(), bytes }));
      answer.on('error', fail);
      answer.on('end', () => {
        clearTimeout(timer);
        if (!answer.complete) return fail(new Error('the body was cut'));
        const bytes = Buffer.concat(chunks.map((chunk) => chunk.bytes));
        resolve({
          status: answer.statusCode,
          headers: joined(answer.rawHeaders),
          rawHeaders: answer.rawHeaders,
          bytes,
          text: bytes.toString('utf8'),
          chunks,
          headAfter,
          endAfter: since(),
        });
      });
    });
    const fail = (error) => {
      clearTimeout(timer);
      out.destroy();
      reject(new Error(`${method} ${url} after ${Math.round(since())} ms: ${error.message}`));
    };
    const timer = setTimeout(() => fail(new Error('no complete answer in time')), timeout);
    out.on('error', fail);
    out.end(body);
  });
}

function joined(rawHeaders) {
  const headers = {};
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i].toLowerCase();
    headers[name] = name in headers ? `${headers[name]}, ${rawHeaders[i + 1]}` : rawHeaders[i + 1];
  }
  return headers;
}

// Nothing outlives this process, however it ends.
const running = new Set();
process.on('exit', () => running.forEach((child) => child.signal('SIGKILL')));
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(name, () => process.exit(1));

/** A command in a process group of its own, which is what signals go to. `keep`: so much of what it prints, in characters. */
export class Child {
  constructor(command, args, { keep: length = 20_000, ...options } = {}) {
    this.name = `${path.basename(command)} ${args.join(' ')}`;
    this.output = '';
    this.process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options, env: { ...environment, ...options.env }, detached: true });
    running.add(this);
    const keep = (text) => { this.output = (this.output + text).slice(-length); };
    this.process.stdout.setEncoding('utf8').on('data', keep);
    this.process.stderr.setEncoding('utf8').on('data', keep);
    this.ended = new Promise((resolve) => {
      this.process.once('error', (error) => { keep(error.message); running.delete(this); resolve('error'); });
      this.process.once('close', (code, signal) => { running.delete(this); resolve(signal ?? code); });
    });
    this.ended.then((how) => { this.how = how; });
  }

  signal(name) {
    try {
      if (this.process.pid) process.kill(-this.process.pid, name);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }

  async kill() {
    this.signal('SIGKILL');
    await this.ended;
  }

  assertRunning() {
    if (this.how !== undefined) throw new Error(`${this.name} ended (${this.how}):\n${this.output}`);
  }

  /** Waits until the address answers 200. */
  async answering(url, within) {
    await until(`${this.name} to answer at ${url}`, () => {
      this.assertRunning();
      return request(url).then((answer) => answer.status === 200, () => false);
    }, { within });
  }
}

/** Runs a command to its end: its exit code and what it printed. */
export async function run(command, args, options) {
  const child = new Child(command, args, options);
  return { code: await child.ended, output: child.output };
}

async function mustRun(command, args, options) {
  const { code, output } = await run(command, args, options);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${output}`);
}

/**
 * An application in a folder of its own. `output` is what its build makes, `whole` the file in there that says that it
 * was made to the end; `build` is the script and its arguments, `env` what it is told besides; `others` are folders that the
 * build neither reads nor makes.
 */
export class App {
  constructor(folder, { output, whole, build, env, others = [] }) {
    Object.assign(this, { folder, output, whole, build, env, others });
  }

  /** Installs and builds it, each only if what it is made from changed. */
  async ready() {
    const lock = this.#digest(['package.json', 'package-lock.json']);
    const modulesStamp = this.path('node_modules/.larder-stamp');
    if (read(modulesStamp) !== lock) {
      await mustRun('npm', ['ci', '--no-audit', '--no-fund'], { cwd: this.folder });
      writeFileSync(modulesStamp, lock);
    }
    const sources = this.#digest(this.#sources()) + (this.env ? JSON.stringify(this.env) : '');
    const buildStamp = this.path(`${this.output}/.larder-stamp`);
    if (!existsSync(this.path(this.whole)) || read(buildStamp) !== sources) {
      await mustRun(process.execPath, this.build, { cwd: this.folder, env: this.env });
      writeFileSync(buildStamp, sources);
    }
  }

  path(file) {
    return path.join(this.folder, file);
  }

  read(file) {
    return read(this.path(file));
  }

  #sources() {
    return readdirSync(this.folder, { withFileTypes: true })
      .filter((entry) => !['node_modules', this.output, ...this.others].includes(entry.name))
      .flatMap((entry) => entry.isFile() ? [entry.name]
        : readdirSync(this.path(entry.name), { recursive: true, withFileTypes: true })
          .filter((inner) => inner.isFile())
          .map((inner) => path.relative(this.folder, path.join(inner.path, inner.name))))
      .sort();
  }

  #digest(files) {
    const hash = createHash('sha256');
    for (const file of files) hash.update(file).update('\0').update(readFileSync(this.path(file))).update('\0');
    return hash.digest('hex');
  }
}

function read(file) {
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}

/** An application's server, on one port for all its lives: a free one, or `port`. `command` gives the arguments for Node.js and its options. */
export class Server {
  static async start(command, alive, port) {
    const server = new Server();
    Object.assign(server, { command, alive, port: port ?? await freePort() });
    server.url = `http://127.0.0.1:${server.port}`;
    await server.restart();
    return server;
  }

  /** Straight to the application, past whatever stands in front. */
  get(target, headers) {
    return request(this.url + target, { headers });
  }

  async restart() {
    await this.child?.kill();
    const { args, options } = this.command(this.port);
    this.child = new Child(process.execPath, args, options);
    await this.child.answering(this.url + this.alive, 60_000);
  }

  freeze() {
    this.child.signal('SIGSTOP');
  }

  thaw() {
    this.child.signal('SIGCONT');
  }

  async kill() {
    await this.child.kill();
  }
}

/** A Larder process that is ready. `args` gets the two addresses and gives the command line. */
export class Larder {
  static async start(args) {
    const larder = new Larder();
    larder.listen = `127.0.0.1:${await freePort()}`;
    larder.admin = `127.0.0.1:${await freePort()}`;
    larder.args = args;
    await larder.restart();
    return larder;
  }

  /** Once it was killed: again at its addresses, with what `args` gives now. */
  async restart() {
    this.agent = new http.Agent({ keepAlive: true });
    this.child = new Child(larderBinary(), await this.args(this));
    await this.child.answering(`http://${this.admin}/readyz`, 30_000);
  }

  get(target, headers, options) {
    return request(`http://${this.listen}${target}`, { headers, agent: this.agent, ...options });
  }

  async kill() {
    this.agent.destroy();
    this.child.assertRunning();
    await this.child.kill();
  }
}

export function larderBinary() {
  const binary = process.env.LARDER_BIN;
  if (!binary) throw new Error('LARDER_BIN is not set: it is the absolute path of the larder binary');
  return binary;
}
