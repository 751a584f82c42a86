// Goal: a GPU worker gives the CPU's answers, byte for byte, and a GPU that dies, hangs, is full or
// computes wrongly takes nothing with it: its generations go on elsewhere, the server says that it is
// degraded and why, and the GPU is used again when it is back.
// Method: the GPU worker over an emulated device (tests/support/devices/main_emulated.cc: the real
// kernels' sources, run on the CPU) beside a CPU worker. A file beside it tells its device how to be.
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { Server, bin, demoModel, golden, patienceMs, request, streamCompletion } from './server.mjs';

const prompt = golden.cases.find((c) => c.kind === 'completion').prompt;
const prefersGpu = { device_preference: 'gpu' };
let folder;

const deviceIs = (state) => writeFileSync(path.join(folder, 'device-state'), state);

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'bitnetd-devices-'));
  for (const name of readdirSync(bin).filter((n) => /^bitnetd(-frontend|-worker|-loader)?$/.test(n))) {
    copyFileSync(path.join(bin, name), path.join(folder, name));
  }
  copyFileSync(path.join(bin, 'emulated-cuda-worker'), path.join(folder, 'bitnetd-worker-cuda'));
});
beforeEach(() => deviceIs('well'));
after(() => rmSync(folder, { recursive: true, force: true }));

const start = (...flags) => Server.start(['--server.gpu=cuda:0', ...flags], { bin: folder });
const gpuReady = (server, from = 0) => server.event(
  (e) => e.event === 'worker_ready' && e.device === 'cuda:0' && e.role === 'bitnetd', from);
const health = async (server) => JSON.parse((await request(server, 'GET', '/health')).text);

async function gpuSteps(server) {
  const { text } = await request(server, 'GET', '/metrics');
  return Number(/^bitnet_steps_total\{[^}]*device="cuda:0"[^}]*\} (\d+)/m.exec(text)[1]);
}

test('golden tokens through a GPU worker', async () => {
  const server = await start();
  try {
    await gpuReady(server);
    const before = await gpuSteps(server);
    // A few: the emulation computes a token in some tens of milliseconds.
    const cases = [golden.cases.find((c) => c.kind === 'chat'), ...golden.cases.slice(0, 2)];
    await Promise.all(cases.map(async (testCase, index) => {
      const answer = await request(server, 'POST', '/v1/completions',
        { prompt: testCase.prompt_ids, max_tokens: 64, temperature: 0, ...prefersGpu });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.choices[0].text, testCase.greedy_text, `case ${index}`);
      assert.equal(answer.json.choices[0].finish_reason, testCase.finish);
    }));
    assert.ok(await gpuSteps(server) > before, 'the GPU computed them');
    // Every place where a token may be drawn: the same as on the CPU.
    for (const params of [{ temperature: 0.9 }, { temperature: 0.9, top_k: 20, top_p: 0.9 },
      { temperature: 0.8, top_p: 0.8 }, { temperature: 0.7, logprobs: 3, frequency_penalty: 0.5 }]) {
      const body = { prompt, max_tokens: 12, seed: 11, ...params };
      const [gpu, cpu] = await Promise.all(['gpu', 'cpu'].map((device) => request(
        server, 'POST', '/v1/completions', { ...body, device_preference: device })));
      assert.deepEqual(gpu.json.choices, cpu.json.choices);
      assert.equal(gpu.json.system_fingerprint, cpu.json.system_fingerprint);
    }
    const devices = (await request(server, 'GET', '/v1/devices')).json;
    const gpu = devices.data.find((device) => device.id === 'cuda:0');
    assert.equal(gpu.kind, 'gpu');
    assert.equal(gpu.instruction_set, 'cuda-emulated');
    assert.equal(gpu.temperature_celsius, null, 'no driver tells it here');
    const machine = (await request(server, 'GET', '/v1/metrics')).json;
    assert.equal(machine.gpu.devices[0].id, 'cuda:0');
  } finally {
    await server.stop();
  }
});

test('a GPU lost under concurrent streams costs none of them and comes back', async () => {
  const server = await start('--server.restart_backoff_ms=20', '--server.restart_breaker_deaths=3',
    '--server.restart_breaker_pause_ms=500');
  try {
    await gpuReady(server);
    const bodies = Array.from({ length: 8 }, (_, i) => (
      { prompt, temperature: 0.7, seed: i, max_tokens: 40, ignore_eos: true }));
    const all = (extra, options) => Promise.all(
      bodies.map((body) => streamCompletion(server, { ...body, ...extra }, options)));
    const undisturbed = await all({ device_preference: 'cpu' });
    let lost = false;
    const steps = await gpuSteps(server);
    const disturbed = await all(prefersGpu, {
      onEvent: (_, result) => {
        if (lost || result.events < 3) return;
        lost = true;
        deviceIs('lost');
      },
    });
    assert.ok(lost && await gpuSteps(server) > steps);
    assert.deepEqual(disturbed.map((r) => r.text), undisturbed.map((r) => r.text));
    const said = await server.event((e) => e.event === 'device_lost');
    assert.match(said.reason, /the device is lost/);
    await server.event((e) => e.event === 'worker_died' && e.breaker_open === true);
    const degraded = await health(server);
    assert.equal(degraded.status, 'degraded');
    assert.match(JSON.stringify(degraded), /worker\/1/);
    // Who prefers the GPU is served by the CPU meanwhile.
    assert.equal((await streamCompletion(server, { ...bodies[0], ...prefersGpu })).text, undisturbed[0].text);
    const from = server.events.length;
    deviceIs('well');
    await gpuReady(server, from);
    // The frontend hears of it after the log does.
    const deadline = Date.now() + patienceMs;
    while ((await health(server)).status !== 'healthy') assert.ok(Date.now() < deadline, 'it stays degraded');
  } finally {
    await server.stop();
  }
});

// Binaries and models change all the same: what fails there failed before.
test('a lost GPU stops no change', async () => {
  deviceIs('lost');
  const model = path.join(folder, 'second.gguf');
  copyFileSync(demoModel, model);
  const server = await start('--rollout.canary_copies=0', `--server.models_dir=${folder}`);
  const ended = async (from) => {
    const { outcome, reason } = await server.event((e) => e.event === 'rollout_ended', from);
    assert.equal(outcome, 'completed', reason);
  };
  try {
    await server.event((e) => e.event === 'worker_died');
    server.process.kill('SIGUSR2');
    await ended(0);
    for (const [route, id] of [['load', 'second'], ['swap', 'demo']]) {
      const from = server.events.length;
      const answer = await request(server, 'POST', `/v1/models/${route}`, { model_id: id, model_path: model });
      assert.equal(answer.status, 200, answer.text);
      await ended(from);
    }
    assert.equal((await streamCompletion(server, { prompt, max_tokens: 5, ...prefersGpu })).status, 200);
  } finally {
    await server.stop();
  }
});

test('a GPU that hangs ends its worker with its own words', async () => {
  const server = await start();
  try {
    await gpuReady(server);
    const body = { prompt, temperature: 0, max_tokens: 20, ignore_eos: true };
    const undisturbed = await streamCompletion(server, { ...body, device_preference: 'cpu' });
    deviceIs('hangs');
    assert.equal((await streamCompletion(server, { ...body, ...prefersGpu })).text, undisturbed.text);
    const said = await server.event((e) => e.event === 'device_lost');
    assert.match(said.reason, /hangs: what it was given has not ended within 9000 ms/);
    const died = await server.event((e) => e.event === 'worker_died');
    assert.match(JSON.stringify(died), /lost the GPU/);
  } finally {
    deviceIs('well');
    await server.stop();
  }
});

for (const [state, exit, reason] of [
  ['bytes 1000000', 5, /out of GPU memory: the weights take \d+ bytes, and 1000000 of 1000000 are free/],
  ['wrong', 13, /self-check of Emulated GPU .* is .* instead of/],
  ['lost', 14, /emulated open: the device is lost/],
]) {
  test(`a GPU that is refused at the start says why: ${state}`, async () => {
    deviceIs(state);
    const server = await start();
    try {
      const failed = await server.event((e) => e.event === 'worker_start_failed');
      assert.match(failed.reason, reason);
      const died = await server.event((e) => e.event === 'worker_died');
      assert.equal(died.exit, exit);
      assert.match(died.last_words, reason);
      const answer = await streamCompletion(server, { prompt, temperature: 0, max_tokens: 5, ...prefersGpu });
      assert.equal(answer.status, 200);
    } finally {
      await server.stop();
    }
  });
}

test('a GPU without its program is refused at the start, by name', async () => {
  unlinkSync(path.join(folder, 'bitnetd-worker-cuda'));
  const server = await Server.start(['--server.gpu=cuda:0'], { bin: folder, waitReady: false }).catch((e) => e);
  assert.match(String(server), /bitnetd-worker-cuda/);
});
