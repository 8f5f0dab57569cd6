// A real WebSocket client and server (npm ws), with Larder between them. `LARDER_BIN` is the binary.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { App, Larder, freePort } from '../node/harness.mjs';

const folder = fileURLToPath(new URL('./app', import.meta.url));
const app = new App(folder, { output: 'node_modules', whole: 'package.json', build: ['-e', '0'] });
let WebSocket;
let server;
let larder;
const closed = [];

before(async () => {
  await app.ready();
  const ws = createRequire(`${folder}/`)('ws');
  WebSocket = ws.WebSocket;
  const port = await freePort();
  server = new ws.WebSocketServer({
    host: '127.0.0.1', port, perMessageDeflate: { threshold: 0 },
    handleProtocols: (protocols) => (protocols.has('chat') ? 'chat' : false),
    verifyClient: ({ req }, done) => (req.url === '/forbidden' ? done(false, 403, 'no ticket') : done(true)),
  });
  await once(server, 'listening');
  server.on('connection', (socket, request) => {
    socket.on('message', (data, isBinary) => {
      if (String(data) === 'end it') socket.close(4001, 'as you wish');
      else socket.send(data, { binary: isBinary });
    });
    socket.on('close', (code, reason) => closed.push([request.url, code, String(reason)]));
    socket.send(`welcome to ${request.url}, ${request.headers['x-forwarded-for']}`);
  });
  larder = await Larder.start(({ listen, admin }) => ['serve', '--origin', `http://127.0.0.1:${port}`, '--listen', listen, '--admin', admin]);
});

after(async () => {
  for (const socket of server?.clients ?? []) socket.terminate();
  server?.close();
  await larder?.kill();
});

/** A client that has heard the welcome, and what it hears after that, message by message. */
async function connected(path, options, protocols = []) {
  const socket = new WebSocket(`ws://${larder.listen}${path}`, protocols, options);
  const heard = [];
  const waiting = [];
  socket.on('message', (data, isBinary) => {
    const message = isBinary ? data : String(data);
    if (waiting.length > 0) waiting.shift()(message);
    else heard.push(message);
  });
  const next = () => (heard.length > 0 ? Promise.resolve(heard.shift()) : new Promise((resolve) => { waiting.push(resolve); }));
  await once(socket, 'open');
  assert.equal(await next(), `welcome to ${path}, 127.0.0.1`);
  return { socket, next };
}

test('messages of all kinds and sizes come back as they went', async () => {
  for (const perMessageDeflate of [true, false]) {
    const { socket, next } = await connected('/echo', { perMessageDeflate });
    assert.equal(socket.extensions.includes('permessage-deflate'), perMessageDeflate);
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 3_000_000]) {
      const text = 'x'.repeat(size);
      socket.send(text);
      assert.equal(await next(), text);
      const binary = randomBytes(size);
      socket.send(binary);
      assert.ok(binary.equals(await next()), `${size} bytes`);
    }
    socket.terminate();
  }
});

test('a message in fragments, pings and pongs pass', async () => {
  const { socket, next } = await connected('/fragments', {});
  socket.send('one, ', { fin: false });
  socket.send('two, ', { fin: false });
  socket.ping('are you there?');
  const [pong] = await once(socket, 'pong');
  assert.equal(String(pong), 'are you there?');
  socket.send('three', { fin: true });
  assert.equal(await next(), 'one, two, three');
  socket.terminate();
});

test('the subprotocol is the one that was agreed on', async () => {
  const { socket } = await connected('/protocol', {}, ['other', 'chat']);
  assert.equal(socket.protocol, 'chat');
  socket.terminate();
});

test('both sides are told why the other one ends', async () => {
  const mine = await connected('/mine', {});
  mine.socket.close(4002, 'that is all');
  const [code] = await once(mine.socket, 'close');
  assert.equal(code, 4002);
  const theirs = await connected('/theirs', {});
  theirs.socket.send('end it');
  const [given, reason] = await once(theirs.socket, 'close');
  assert.deepEqual([given, String(reason)], [4001, 'as you wish']);
  assert.ok(closed.some(([url, seen, why]) => url === '/mine' && seen === 4002 && why === 'that is all'), JSON.stringify(closed));
});

test('a handshake that the server refuses is refused in its words', async () => {
  const socket = new WebSocket(`ws://${larder.listen}/forbidden`);
  const [, response] = await once(socket, 'unexpected-response');
  assert.equal(response.statusCode, 403);
  let body = '';
  for await (const chunk of response) body += chunk;
  assert.equal(body, 'no ticket');
});

test('two hundred at once, each with its own messages', async () => {
  const all = await Promise.all(Array.from({ length: 200 }, (_, n) => connected(`/many/${n}`, {})));
  for (let round = 0; round < 5; round += 1) {
    const answers = await Promise.all(all.map(({ socket, next }, n) => {
      socket.send(`${round} of ${n}`);
      return next();
    }));
    assert.deepEqual(answers, all.map((_, n) => `${round} of ${n}`));
  }
  for (const { socket } of all) socket.terminate();
});
