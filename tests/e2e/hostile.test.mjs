// Goal: no model file, however broken or strange, makes the supervisor exit or disturbs what is served.
// Method: one server, whose own model is asked for the same text all the time. Meanwhile every hostile
//   file of tests/golden, seeded mutations of the demo model and things that are no files come by
//   `bitnetctl model load` and `model swap` and by POST /v1/models/load and swap. Each is refused with
//   a reason or, where it is a model, served and removed again. Then one order after another still
//   works, in the same supervisor. BITNETD_SEED repeats a run.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { random, seed } from './load.mjs';
import { Server, bin, demoModel, patienceMs, request, root } from './server.mjs';

const hostileFolder = path.join(root, 'tests/golden/hostile');
const hostile = JSON.parse(readFileSync(path.join(hostileFolder, 'index.json'), 'utf8'));
const mutations = 16;

// As root the server runs as another user, whom permissions bind.
const isRoot = process.getuid() === 0;
const asUser = isRoot ? ['--server.user=nobody'] : [];

let folder;
let models;  // server.models_dir
let server;
let incarnations;
const question = { model: 'demo', prompt: 'Once upon a time', temperature: 0.7, seed: 11, max_tokens: 12, ignore_eos: true };
let answers = 0;
let asking = true;
let asked;

async function ask() {
  const { status, json, text } = await request(server, 'POST', '/v1/completions', question);
  assert.equal(status, 200, text);
  return json.choices[0].text;
}

// Until the end; rejects with the first answer that is not the first one's.
async function askAllTheTime() {
  const expected = await ask();
  while (asking) {
    assert.equal(await ask(), expected);
    ++answers;
  }
}

const servedBy = () => server.events.filter((e) => e.event === 'worker_ready' && e.model === 'demo').length;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'bitnetd-hostile-'));
  chmodSync(folder, 0o755);
  models = path.join(folder, 'models');
  mkdirSync(models);
  const served = path.join(models, 'served.gguf');
  copyFileSync(demoModel, served);
  for (const { file } of hostile) copyFileSync(path.join(hostileFolder, file), path.join(models, file));
  server = await Server.start([...asUser, '--model', `demo=${served}`, '--model', `spare=${served}`,
    `--server.models_dir=${models}`, '--rollout.canary_copies=0', '--worker.slots_max=2', '--kv.bytes=16777216'],
  { model: false });
  incarnations = servedBy();
  asked = askAllTheTime();
  asked.catch(() => {});  // told by the last test
  console.log(`seed ${seed}`);
});

after(async () => {
  asking = false;
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

// { code, err } of one bitnetctl; the others run on.
function ctl(...args) {
  const child = spawn(path.join(bin, 'bitnetctl'), [...args, '--control', server.control], { stdio: ['ignore', 'ignore', 'pipe'] });
  let err = '';
  child.stderr.on('data', (chunk) => { err += chunk; });
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  return new Promise((resolve) => child.on('close', (code) => {
    clearTimeout(timer);
    resolve({ code, err });
  }));
}

async function remove(id) {
  const { status, text } = await request(server, 'DELETE', `/v1/models/${id}`);
  assert.equal(status, 200, text);
}

// A file that is no model: refused to all who bring it, each time with a reason that matches.
async function refusedToAll(file, reason = /./) {
  const load = await ctl('model', 'load', `new=${file}`);
  assert.equal(load.code, 1, `${file}: ${load.err}`);
  assert.match(load.err, /^bitnetctl: .{10,}\n$/, 'one line that says why');
  assert.match(load.err, reason);
  const swap = await ctl('model', 'swap', 'spare', file);
  assert.deepEqual(swap, load, 'the same words');
  const { status, json, text } = await request(server, 'POST', '/v1/models/load', { model_id: 'new', model_path: file });
  assert.equal(status, 422, text);
  assert.equal(json.error.code, 'model_invalid');
  assert.match(json.error.message, reason);
}

// Whether it was a model; if so, it served and was removed.
async function loads(file) {
  const { status, json, text } = await request(server, 'POST', '/v1/models/load', { model_id: 'new', model_path: file });
  if (status === 200) {
    await remove('new');
    return true;
  }
  assert.equal(status, 422, text);
  assert.ok(json.error.message.length > 10, text);
  return false;
}

for (const { file, must, what } of hostile) {
  test(`${file}: ${what}`, async () => {
    const model = path.join(models, file);
    if (must === 'refuse') return refusedToAll(model);
    assert.ok(await loads(model));
    const { code, err } = await ctl('model', 'swap', 'spare', model);
    assert.equal(code, 0, err);
  });
}

// Where the tensors' data begins: all before it is counted, named and pointed at.
const demo = readFileSync(demoModel);
const headerBytes = demo.length - JSON.parse(spawnSync(path.join(bin, 'bitnetctl'), ['model', 'info', demoModel, '--json'])
  .stdout).tensors.reduce((sum, tensor) => sum + Math.ceil(tensor.bytes / 32) * 32, 0);

const draw = random();
const below = (n) => Math.floor(draw() * n);

function mutated() {
  const bytes = Buffer.from(demo);
  // Half of them where counts, lengths and types are dense: in the first bytes, and among the tensors.
  const dense = [[0, 512], [headerBytes - 4096, headerBytes]][below(2)];
  for (let flips = 1 + below(4); flips > 0; --flips) {
    const [from, to] = draw() < 0.5 ? dense : [0, headerBytes];
    bytes[from + below(to - from)] ^= 1 << below(8);
  }
  return bytes;
}

test('bytes flipped in the header, the keys and the tensors of a model', async () => {
  const file = path.join(models, 'mutated.gguf');
  let loaded = 0;
  for (let i = 0; i < mutations; ++i) {
    writeFileSync(file, mutated());
    if (await loads(file)) ++loaded;
  }
  console.log(`${loaded} of ${mutations} mutations were models`);
});

test('a model that ends anywhere', async () => {
  const file = path.join(models, 'short.gguf');
  const ends = [1, 3, 8, 24, headerBytes - 1, headerBytes, demo.length - 1, below(headerBytes), below(demo.length)];
  for (const end of ends) {
    writeFileSync(file, demo.subarray(0, end));
    assert.equal(await loads(file), false, `${end} bytes of it`);
  }
});

// What is behind the tensors belongs to the file as well: reading it takes an hour, which nobody has.
test('a file with a hole of a terabyte', async () => {
  const file = path.join(models, 'hole.gguf');
  writeFileSync(file, demo.subarray(0, headerBytes + 100));
  truncateSync(file, 2 ** 40);
  for (const order of [['load', `new=${file}`], ['swap', 'spare', file]]) {
    const { code, err } = await ctl('model', ...order, '--timeout', '1');
    assert.equal(code, 1, err);
    assert.match(err, /in time|timeout/);
  }
});

test('things that are no files', async () => {
  const name = (each) => path.join(models, each);
  writeFileSync(name('nothing.gguf'), '');
  await refusedToAll(name('nothing.gguf'), /is empty/);
  mkdirSync(name('folder.gguf'));
  await refusedToAll(name('folder.gguf'), /the directory holds no model/);
  assert.equal(spawnSync('mkfifo', [name('pipe.gguf')]).status, 0);
  await refusedToAll(name('pipe.gguf'), /not a regular file/);
  mkdirSync(name('checkpoint'));
  for (const each of ['config.json', 'model.safetensors', 'tokenizer.json']) {
    writeFileSync(path.join(models, 'checkpoint', each), '[[[[[[[[');
  }
  await refusedToAll(name('checkpoint'));
  mkdirSync(name('split'));
  copyFileSync(demoModel, name('split/a-00001-of-00003.gguf'));
  await refusedToAll(name('split/a-00001-of-00003.gguf'), /a-00002-of-00003\.gguf' is missing/);
  copyFileSync(demoModel, name('closed.gguf'));
  chmodSync(name('closed.gguf'), 0);
  await refusedToAll(name('closed.gguf'), /Permission denied/);
});

// A path that resolves to nothing is not in the models directory, which is all that HTTP says of it.
test('names that lead nowhere', async () => {
  const loop = path.join(models, 'loop.gguf');
  symlinkSync(loop, loop);
  const names = [[loop, /Too many levels of symbolic links/], [path.join(models, 'absent.gguf'), /No such file/],
    [path.join(models, 'served.gguf/x'), /Not a directory/], [`${models}/${'x'.repeat(400)}`, /File name too long/],
    ['\u001b[31m\n\r', /No such file/], ['/dev/tty', /./], ['/proc/self/mem', /./], ['/', /no model/]];
  for (const [name, reason] of names) {
    const load = await ctl('model', 'load', `new=${name}`);
    assert.equal(load.code, 1, name);
    assert.match(load.err, reason);
    assert.doesNotMatch(load.err, /\u001b/, 'no orders to the terminal');
    const { status, json, text } = await request(server, 'POST', '/v1/models/load', { model_id: 'new', model_path: name });
    assert.equal(status, 403, text);
    assert.equal(json.error.code, 'path_not_allowed');
  }
});

// The loader is stopped when it has just begun; what it finds then is a file that ends before its time.
test('a file that shrinks while it is loaded', async () => {
  const file = path.join(models, 'shrinking.gguf');
  for (const part of [0, 0.3, 0.9]) {
    copyFileSync(demoModel, file);
    const from = server.events.length;
    const load = request(server, 'POST', '/v1/models/load', { model_id: 'new', model_path: file });
    const { pid } = await server.event((e) => e.event === 'model_loading' && e.pid, from);
    try {
      process.kill(pid, 'SIGSTOP');
      truncateSync(file, Math.floor(part * demo.length));
      process.kill(pid, 'SIGCONT');
    } catch (error) {
      assert.equal(error.code, 'ESRCH');
    }
    const { status, json, text } = await load;
    if (status === 200) {  // it had read all of it
      await remove('new');
      continue;
    }
    assert.equal(status, 422, text);
    assert.match(json.error.message, /shorter|beyond|truncated|ends|bytes/);
  }
});

test('the same supervisor and workers served all the time, and orders work', async () => {
  const good = path.join(models, 'good.gguf');
  copyFileSync(demoModel, good);
  const load = await ctl('model', 'load', `new=${good}`);
  assert.equal(load.code, 0, load.err);
  const swap = await ctl('model', 'swap', 'demo', good);
  assert.equal(swap.code, 0, swap.err);
  await remove('new');
  asking = false;
  await asked;
  assert.ok(answers > 0);
  assert.equal(servedBy(), incarnations + 1, 'the swap made a new worker, nothing else did');
  assert.equal(server.exit, undefined);
  const status = spawnSync(path.join(bin, 'bitnetctl'), ['status', '--json', '--control', server.control]);
  const { pid, health, processes } = JSON.parse(status.stdout);
  assert.equal(pid, server.process.pid);
  assert.equal(health.reason, '');
  assert.deepEqual(processes.filter(({ deaths }) => deaths > 0), []);
});
