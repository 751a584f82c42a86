// Goal: starting, draining and stopping behave as an operator expects. Method: a server each, asked and
// signalled while it streams; what refuses to start is judged by its exit code and its words.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Server, bin, patienceMs, request, root, streamCompletion, demoModel } from './server.mjs';

const long = { prompt: 'Once upon a time', temperature: 1, seed: 3, max_tokens: 400, ignore_eos: true };

test('TERM finishes running streams, then ends with 0', async () => {
  const server = await Server.start();
  const result = await streamCompletion(server, long, {
    onEvent: (_, r) => {
      if (r.events === 2) server.process.kill('SIGTERM');
    },
  });
  assert.equal(result.finish, 'length');
  await server.stop();
});

// The worker is stopped, so that the stream cannot end by itself between the two.
test('a second TERM stops at once', async () => {
  const server = await Server.start(['--server.hang_timeout_ms=600000']);
  const workers = server.workers();
  assert.equal(workers.length, 1);
  const stream = streamCompletion(server, { ...long, max_tokens: 500 }, {
    onEvent: (_, r) => {
      if (r.events !== 1) return;
      process.kill(workers[0], 'SIGSTOP');
      server.process.kill('SIGTERM');
    },
  }).then(({ finish }) => finish, () => 'it was cut');
  await server.event((e) => e.event === 'draining');
  server.process.kill('SIGTERM');
  await server.event((e) => e.event === 'stopping_now');
  assert.notEqual(await stream, 'length');
  await server.stop();
  for (const worker of workers) await gone(worker);
});

async function gone(pid) {
  for (const end = Date.now() + patienceMs; Date.now() < end; await delay(10)) {
    try {
      process.kill(pid, 0);
    } catch (error) {
      assert.equal(error.code, 'ESRCH');
      return;
    }
  }
  assert.fail(`process ${pid} is still there`);
}

test('a killed frontend is replaced and the address keeps answering', async () => {
  const server = await Server.start();
  const from = server.events.length;
  const [frontend] = server.children('bitnetd-frontend');
  process.kill(frontend, 'SIGKILL');
  await server.event((e) => e.event === 'frontend_ready', from);
  const answer = await request(server, 'POST', '/v1/completions', { prompt: 'Hello', max_tokens: 4 });
  assert.equal(answer.status, 200, answer.text);
  await server.stop();
});

// A worker tells its share when it is ready; the supervisor's word of it has the pid.
test('workers share the cores evenly, whoever is replaced', async () => {
  const server = await Server.start(['--model', `demo=${demoModel}`, '--workers', '2', '--rollout.canary_copies=0',
    '--rollout.canary_share_requests=0', `--server.models_dir=${path.dirname(demoModel)}`], { model: false });
  const shares = async (from) => {
    const ready = server.events.slice(from).filter((e) => e.event === 'worker_ready' && e.pid);
    const told = ready.map(({ incarnation }) =>
      server.event((e) => e.event === 'worker_ready' && e.core_shares && e.incarnation === incarnation));
    return (await Promise.all(told)).map((e) => `${e.core_share} of ${e.core_shares}`).sort();
  };
  assert.deepEqual(await shares(0), ['0 of 2', '1 of 2']);
  for (let i = 0; i < 2; ++i) {
    const from = server.events.length;
    const swap = await request(server, 'POST', '/v1/models/swap', { model_id: 'demo', model_path: demoModel });
    assert.equal(swap.status, 200, swap.text);
    assert.deepEqual(await shares(from), ['0 of 2', '1 of 2']);
  }
  const from = server.events.length;
  for (const worker of server.children('bitnetd-worker')) process.kill(worker, 'SIGKILL');
  const next = await server.event((e) => e.event === 'worker_ready' && e.pid, from);
  await server.event((e) => e.event === 'worker_ready' && e.pid && e.incarnation !== next.incarnation, from);
  assert.deepEqual(await shares(from), ['0 of 2', '1 of 2']);
  await server.stop();
});

test('health tells what is there', async () => {
  const server = await Server.start(['--workers', '2']);
  const health = await request(server, 'GET', '/health');
  assert.equal(health.status, 200);
  assert.equal(health.json.status, 'healthy');
  for (const target of ['/health/live', '/livez', '/health/ready', '/readyz', '/ready']) {
    assert.equal((await request(server, 'GET', target)).status, 200, target);
  }
  const dump = execFileSync(path.join(bin, 'bitnet-shmdump'), ['--control', server.control, '--json'], { encoding: 'utf8' });
  const names = JSON.stringify(JSON.parse(dump));
  assert.match(names, /worker\/1/);
  await server.stop();
});

test('a file that is not a model is refused with the reason', () => {
  const bad = path.join(root, 'tests/golden/hostile/bad-magic.gguf');
  const run = spawnSync(path.join(bin, 'bitnetd'), ['--listen', '127.0.0.1:0', '--model', bad], { encoding: 'utf8' });
  assert.equal(run.status, 4, run.stderr);
  assert.match(run.stderr, /magic/);
});

test('a model below the configured accuracy is refused with the figures', () => {
  const run = spawnSync(path.join(bin, 'bitnetd'), ['--listen', '127.0.0.1:0', '--model', demoModel,
    '--model.accuracy_min=I2_S=0.99999999'], { encoding: 'utf8' });
  assert.equal(run.status, 4, run.stderr);
  assert.match(run.stderr, /model_refused.*'blk\.\d\.\w+\.weight': accuracy ratio 0\.999\d+ at row \d+, expected 0\.99999999 or more for I2_S/);
});

test('the accuracy of a model is measured when it is loaded and shown', async () => {
  const server = await Server.start();
  const logged = await server.event((e) => e.event === 'accuracy');
  assert.match(logged.ratios, /^F16=1\.0+ I2_S=0\.999\d+$/);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const ratio = /^bitnet_quantization_accuracy_ratio\{model="demo",type="I2_S"\} (\S+)$/m.exec(metrics);
  assert.ok(ratio !== null && Number(ratio[1]) > 0.999 && Number(ratio[1]) < 1, metrics);
  await server.stop();
});

test('a wrong setting is refused with its line', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'bitnetd-e2e-'));
  try {
    const file = path.join(folder, 'wrong.toml');
    writeFileSync(file, '[server]\nworkers = 1\n[http]\nbody_bytes_max = "many"\n');
    const run = spawnSync(path.join(bin, 'bitnetd'), ['--config', file, '--check-config'], { encoding: 'utf8' });
    assert.equal(run.status, 2);
    assert.match(run.stderr + run.stdout, /wrong\.toml:4.*http\.body_bytes_max/s);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the inspection tool finds the server, or says that there is none', async () => {
  const dump = (args, env = {}) =>
    spawnSync(path.join(bin, 'bitnet-shmdump'), args, { encoding: 'utf8', env: { ...process.env, ...env } });
  const server = await Server.start();
  const found = dump(['--json'], { BITNETD_SERVER__CONTROL: server.control });
  assert.equal(found.status, 0, found.stderr);
  assert.match(found.stdout, /worker\/0/);
  const nobody = dump(['--control', `${server.control}.gone`]);
  assert.equal(nobody.status, 6, nobody.stderr);
  assert.match(nobody.stderr, /is bitnetd running/);
  const wrong = dump(['--nonsense']);
  assert.equal(wrong.status, 2, wrong.stderr);
  assert.match(wrong.stderr, /--nonsense/);
  const version = dump(['--version']);
  assert.equal(version.status, 0);
  assert.match(version.stdout, /^bitnet-shmdump \d/);
  await server.stop();
});

test('a server without its programs says which one is missing', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'bitnetd-e2e-'));
  try {
    const lonely = path.join(folder, 'bitnetd');
    copyFileSync(path.join(bin, 'bitnetd'), lonely);
    const run = spawnSync(lonely, ['--listen', '127.0.0.1:0', '--model', demoModel], { encoding: 'utf8' });
    assert.equal(run.status, 10, run.stderr);
    assert.match(run.stderr, /start_failed.*bitnetd-frontend/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('help names every flag', () => {
  const run = spawnSync(path.join(bin, 'bitnetd'), ['--help'], { encoding: 'utf8' });
  assert.equal(run.status, 0);
  for (const flag of ['--listen', '--model', '--workers', '--config', '--http.body_bytes_max', '--kv.type']) {
    assert.ok(run.stdout.includes(flag), flag);
  }
});
