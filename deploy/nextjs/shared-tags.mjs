// What each process of an app has invalidated, in a file that all of them read: Next.js notes it in the memory of the
// process that heard of it, and the others go on serving the old page as a fresh one.
//
// A line for each invalidation. Lines are appended; whoever reads goes on where it was. Of a file that has grown too
// large the newest line of each tag stays. It does not know what a line means.
import {
  appendFileSync, closeSync, fstatSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeFileSync,
} from 'node:fs';
import path from 'node:path';

const SIZE_AT_MOST = 4 * 1024 * 1024; // bytes, before it is made smaller
const TAGS_AT_MOST = 10_000; // that are kept then
const LOCK_AT_MOST = 60_000; // ms: whoever has it so long is dead

export class SharedTags {
  #file;
  #apply;
  #limits;
  #warn;
  #warned = false;
  #inode;
  #at = 0;

  /** `apply` gets each line: of this process too, in the order in which they were written. */
  constructor(file, apply, { warn = console.warn, size = SIZE_AT_MOST, tags = TAGS_AT_MOST } = {}) {
    this.#file = file;
    this.#apply = apply;
    this.#warn = warn;
    this.#limits = { size, tags };
    this.#try(() => mkdirSync(path.dirname(file), { recursive: true }));
  }

  add(lines) {
    this.#try(() => {
      // An empty line first: whatever a process that died left half written ends there.
      this.#append(`\n${lines.map((line) => JSON.stringify(line)).join('\n')}\n`);
      if (statSync(this.#file).size > this.#limits.size) this.#shrink();
    });
    this.read();
  }

  /** Whatever is new. That there is nothing costs a few microseconds. */
  read() {
    this.#try(() => {
      const { ino, size } = statSync(this.#file, { throwIfNoEntry: false }) ?? {};
      if (ino === undefined || (ino === this.#inode && size === this.#at)) return;
      const { text, end, inode } = readFrom(this.#file, (found) => {
        return found.ino === this.#inode && found.size >= this.#at ? this.#at : 0;
      });
      this.#inode = inode;
      this.#at = end;
      for (const line of parsed(text)) this.#apply(line);
    });
  }

  /** Nothing is lost in a file that is just being replaced: then it is written once more, into the new one. */
  #append(text) {
    for (;;) {
      const fd = openSync(this.#file, 'a');
      try {
        appendFileSync(fd, text);
        if (fstatSync(fd).ino === statSync(this.#file, { throwIfNoEntry: false })?.ino) return;
      } finally {
        closeSync(fd);
      }
    }
  }

  #shrink() {
    const lock = `${this.#file}.lock`;
    if (Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Infinity) > LOCK_AT_MOST) rmSync(lock, { force: true });
    try {
      closeSync(openSync(lock, 'wx'));
    } catch {
      return; // another process is at it
    }
    const old = openSync(this.#file, 'r');
    try {
      const size = fstatSync(old).size;
      const newest = new Map();
      for (const line of parsed(bytesOf(old, 0, size).toString())) {
        const before = newest.get(line.tag);
        newest.delete(line.tag);
        newest.set(line.tag, { ...before, ...line });
      }
      const kept = [...newest.values()].slice(-this.#limits.tags);
      writeFileSync(`${this.#file}.new`, `${kept.map((line) => JSON.stringify(line)).join('\n')}\n`);
      renameSync(`${this.#file}.new`, this.#file);
      // What came between the reading and the renaming.
      const rest = bytesOf(old, size, fstatSync(old).size);
      if (rest.length > 0) this.#append(`\n${rest}\n`);
    } finally {
      closeSync(old);
      rmSync(lock, { force: true });
    }
  }

  #try(what) {
    try {
      what();
    } catch (error) {
      if (this.#warned) return;
      this.#warned = true;
      this.#warn(`larder: ${this.#file} cannot be used (${error.code ?? error.message}): if this app has several processes, `
        + 'one does not hear what another invalidates');
    }
  }
}

/** From where `begin` says to the last whole line. */
function readFrom(file, begin) {
  const fd = openSync(file, 'r');
  try {
    const found = fstatSync(fd);
    const start = begin(found);
    const bytes = bytesOf(fd, start, found.size);
    const whole = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1);
    return { text: whole.toString(), end: start + whole.length, inode: found.ino };
  } finally {
    closeSync(fd);
  }
}

function bytesOf(fd, start, end) {
  const bytes = Buffer.alloc(Math.max(0, end - start));
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, start));
}

function parsed(text) {
  return text.split('\n').flatMap((line) => {
    try {
      const found = JSON.parse(line);
      return typeof found?.tag === 'string' ? [found] : [];
    } catch {
      return []; // empty, or half a line
    }
  });
}
