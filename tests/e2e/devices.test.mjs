// Goal: a GPU that dies takes nothing with it: its generations go on elsewhere, the server says that
// it is degraded and why, and the GPU is used again when it is back.
// Method: a worker that everybody takes for a GPU's (the CPU worker behind a shim that fails on
// command) beside a CPU worker; it is crashed in mid-stream with its device "lost", and given back.
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server, bin, golden, patienceMs, request, streamCompletion } from './server.mjs';

const prompt = golden.cases.find((c) => c.kind === 'completion').prompt;
let folder;

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'bitnetd-devices-'));
  for (const name of readdirSync(bin).filter((n) => /^bitnetd(-frontend|-worker|-loader)?$/.test(n))) {
    copyFileSync(path.join(bin, name), path.join(folder, name));
  }
  copyFileSync(path.join(bin, 'fake-cuda-worker'), path.join(folder, 'bitnetd-worker-cuda'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const gpuPids = (server) => server.children('bitnetd-worker-cuda');

test('a lost GPU costs no stream and comes back', async () => {
  const server = await Server.start(['--server.gpu=cuda:0', '--server.restart_backoff_ms=20',
    '--server.restart_breaker_deaths=3', '--server.restart_breaker_pause_ms=500'], { bin: folder });
  try {
    const body = { prompt, temperature: 0.7, seed: 5, max_tokens: 400, ignore_eos: true, device_preference: 'gpu' };
    const undisturbed = await streamCompletion(server, body);
    let lost = false;
    const disturbed = await streamCompletion(server, body, {
      onEvent: (_, result) => {
        if (lost || result.events < 3) return;
        lost = true;
        writeFileSync(path.join(folder, 'device-lost'), '');
        for (const pid of gpuPids(server)) process.kill(pid, 'SIGABRT');
      },
    });
    assert.ok(lost);
    assert.equal(disturbed.text, undisturbed.text);
    await server.event((e) => e.event === 'worker_died' && e.breaker_open === true);
    const health = JSON.parse((await request(server, 'GET', '/health')).text);
    assert.equal(health.status, 'degraded');
    assert.match(JSON.stringify(health), /worker\/1/);
    // Who prefers the GPU is served by the CPU meanwhile.
    assert.equal((await streamCompletion(server, body)).text, undisturbed.text);
    const from = server.events.length;
    unlinkSync(path.join(folder, 'device-lost'));
    await server.event((e) => e.event === 'worker_ready' && e.device === 'cuda:0' && e.role === 'bitnetd', from);
    // The frontend hears of it after the log does.
    const deadline = Date.now() + patienceMs;
    while (JSON.parse((await request(server, 'GET', '/health')).text).status !== 'healthy') {
      assert.ok(Date.now() < deadline, 'it stays degraded');
    }
  } finally {
    await server.stop();
  }
});

test('a GPU without its program is refused at the start, by name', async () => {
  unlinkSync(path.join(folder, 'bitnetd-worker-cuda'));
  const server = await Server.start(['--server.gpu=cuda:0'], { bin: folder, waitReady: false }).catch((e) => e);
  assert.match(String(server), /bitnetd-worker-cuda/);
});
