// Goal: of what design and README say that a process may not, nothing is within reach of the processes
//   that run: each child is confined, holds no descriptor and maps no memory beyond its work.
// Method: /proc of a real server's processes, and of a loader stopped in the middle of its work. What
//   confinement itself denies is tried, call by call, in tests/unit/common/confine. Builds with a
//   sanitizer are not confined; the rest is the same.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server, demoModel, request } from './server.mjs';

let server;
let sanitized;
before(async () => {
  server = await Server.start(['--server.models_dir', path.dirname(demoModel)]);
  sanitized = server.events.some((e) => e.event === 'confine_skipped');
  const answer = await request(server, 'POST', '/v1/completions', { prompt: 'Once', max_tokens: 4 });
  assert.equal(answer.status, 200, answer.text);
});
after(() => server.stop());

// What each descriptor is: "memfd:bitnetd-board", "socket", "anon:[eventpoll]", or a path.
function descriptorsOf(pid) {
  return readdirSync(`/proc/${pid}/fd`).map(Number).sort((a, b) => a - b).map((fd) => {
    const link = readlinkSync(`/proc/${pid}/fd/${fd}`);
    const what = link.replace(/^\/memfd:(\S+).*$/, 'memfd:$1').replace(/^(socket|pipe):.*$/, '$1').replace(/^anon_inode:/, 'anon:');
    const flags = parseInt(/^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))[1], 8);
    return { fd, what, writable: (flags & 3) !== 0 };
  });
}
// Beyond standard input, output and error.
const heldBy = (pid) => descriptorsOf(pid).filter(({ fd }) => fd > 2);
const namesOf = (held) => [...new Set(held.map(({ what }) => what))].sort();

const mappedBy = (pid) => [...new Set([...readFileSync(`/proc/${pid}/maps`, 'utf8').matchAll(/ \/memfd:(\S+)/g)]
  .map(([, name]) => name))].sort();

function assertConfined(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const value = (key) => Number(new RegExp(`^${key}:\\s+(\\d+)$`, 'm').exec(status)[1]);
  if (!sanitized) assert.deepEqual([value('NoNewPrivs'), value('Seccomp')], [1, 2]);
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const thread = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
    if (!sanitized) assert.match(thread, /^Seccomp:\s+2$/m, `thread ${task}`);
  }
}

// Whatever has a path, and whether it may be written to.
const filesOf = (held) => held.filter(({ what }) => what.startsWith('/')).map(({ what, writable }) => [what, writable])
  .sort(([a], [b]) => (a < b ? -1 : 1));
const sockets = (held) => held.filter(({ what }) => what === 'socket').map(({ fd }) => fd);

test('the worker: its memory and one socket, to the supervisor', () => {
  const [pid] = server.workers();
  assertConfined(pid);
  const held = heldBy(pid);
  assert.deepEqual(sockets(held), [3], 'the control socket');
  assert.deepEqual(filesOf(held), [[`/proc/${pid}/statm`, false]], 'what it uses itself, no other file');
  assert.ok(!mappedBy(pid).includes('bitnetd-vocabulary'), 'it knows no text');
  const writable = held.filter(({ what, writable: is }) => is && /weights/.test(what));
  assert.deepEqual(writable, [], 'weights are for reading');
  const weights = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').filter((line) => /memfd:bitnetd-weights/.test(line));
  assert.ok(weights.length > 0);
  for (const line of weights) assert.match(line, /^\S+ r--/);
});

test('the frontend: no weights, no KV arena, no device, no file but its few', () => {
  const [pid] = server.children('bitnetd-frontend');
  assertConfined(pid);
  const held = heldBy(pid);
  const names = [...namesOf(held), ...mappedBy(pid)];
  assert.ok(mappedBy(pid).includes('bitnetd-vocabulary'));
  assert.deepEqual(names.filter((name) => /weights|kv|state/.test(name)), []);
  assert.deepEqual(filesOf(held), [`/proc/${pid}/statm`, '/proc/meminfo', '/proc/stat'].map((file) => [file, false]),
    'what it uses itself and what the machine does, no other file');
});

test('the supervisor: it maps no model, and no library of a GPU', () => {
  const { pid } = server.process;
  assert.deepEqual(mappedBy(pid).filter((name) => /weights|vocabulary|kv|ring/.test(name)), []);
  const libraries = readFileSync(`/proc/${pid}/maps`, 'utf8');
  assert.doesNotMatch(libraries, /libcuda|libnvidia|libllhttp|libnghttp2/);
});

test('the loader: one model file, for reading, and the memory it fills', async () => {
  const from = server.events.length;
  const load = request(server, 'POST', '/v1/models/load', { model_id: 'second', model_path: demoModel });
  const { pid } = await server.event((e) => e.event === 'model_loading' && e.pid, from);
  // It works for a while; looked at until it is confined and has what it works on.
  const hasBegun = () => {
    try {
      process.kill(pid, 'SIGSTOP');
      const has = heldBy(pid).some(({ what }) => what === demoModel) &&
        (sanitized || /^Seccomp:\s+2$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
      if (!has) process.kill(pid, 'SIGCONT');
      return has;
    } catch (error) {
      assert.fail(`the loader ended before it was looked at: ${error.code}`);
    }
  };
  while (!hasBegun()) await new Promise((resolve) => setImmediate(resolve));
  try {
    assertConfined(pid);
    const held = heldBy(pid);
    assert.deepEqual(held.filter(({ what }) => what === demoModel).map(({ writable }) => writable), [false]);
    assert.deepEqual(sockets(held), [3], 'the control socket');
    const others = namesOf(held).filter((what) => !['socket', demoModel].includes(what));
    assert.deepEqual(others.filter((what) => !/^memfd:bitnetd-(weights|vocabulary)$/.test(what)), []);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  const { status, text } = await load;
  assert.equal(status, 200, text);
});
