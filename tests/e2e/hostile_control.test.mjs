// Goal: nothing that comes over the control socket makes the supervisor exit, leak or forget its work,
//   whoever speaks there and however.
// Method: tests/support/hostile_operator.py on the socket of a real server; its seed is printed and
//   BITNETD_SEED repeats it. Before and after, the supervisor's descriptors, memory and answers.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { seed } from './load.mjs';
import { Server, bin, patienceMs, request, root } from './server.mjs';

const rounds = 300;
// Eight sessions may have 8 MiB of unread answers each. A sanitizer keeps what was freed.
const memoryMiB = 160;
const memorySanitizedMiB = 1024;

const program = path.join(root, 'tests/support/hostile_operator.py');
const header = path.join(root, 'shm/abi/control_abi.h');

const descriptorsOf = (pid) => readdirSync(`/proc/${pid}/fd`).length;
const memoryOf = (pid) =>
  Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
const completion = (server) => request(server, 'POST', '/v1/completions',
  { prompt: 'Once upon a time', temperature: 0.7, seed: 5, max_tokens: 16, ignore_eos: true });

function operatorOf(server) {
  const child = spawn('python3', [program, header, server.control, String(seed), String(rounds)],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.on('data', (chunk) => { out += chunk; });
  const timer = setTimeout(() => child.kill('SIGKILL'), 2 * patienceMs);
  return new Promise((resolve) => child.on('close', (code, signal) => {
    clearTimeout(timer);
    resolve({ code, signal, out });
  }));
}

test('whatever comes over the control socket', async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const { pid } = server.process;
  const before = { text: (await completion(server)).text, descriptors: descriptorsOf(pid), memory: memoryOf(pid) };
  const processes = server.children('bitnetd-frontend').concat(server.workers());

  console.log(`seed ${seed}`);
  const { code, signal, out } = await operatorOf(server);
  assert.deepEqual([code, signal], [0, null]);
  console.log(`attacks: ${out.trim()}`);

  const status = spawnSync(path.join(bin, 'bitnetctl'), ['status', '--json', '--control', server.control]);
  assert.equal(status.status, 0, status.stderr.toString());
  assert.equal(JSON.parse(status.stdout).pid, pid);
  // What it closed is closed here in one of the next turns of the loop.
  for (const end = Date.now() + patienceMs; descriptorsOf(pid) > before.descriptors; await delay(10)) {
    assert.ok(Date.now() < end, `${descriptorsOf(pid)} descriptors, ${before.descriptors} before`);
  }
  const sanitized = server.events.some((e) => e.event === 'confine_skipped');
  const grown = memoryOf(pid) - before.memory;
  assert.ok(grown < (sanitized ? memorySanitizedMiB : memoryMiB), `it had ${grown} MiB more`);

  assert.deepEqual(server.children('bitnetd-frontend').concat(server.workers()), processes);
  const after = await completion(server);
  assert.equal(JSON.parse(after.text).choices[0].text, JSON.parse(before.text).choices[0].text);
});
