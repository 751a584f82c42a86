// Goal: what one supervisor leaves to the next is enough, whatever has happened meanwhile: a
// configuration that got lost, listeners that came and went, a state that cannot be read, a rollout
// or a start that was cut off.
// Method: no load; the supervisor is killed under a service manager (tests/support/service_manager.py)
// or told to go on as the binary on disk, and what is served, and by whom, is looked at.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Server, bin, patienceMs, request, root, streamCompletion } from './server.mjs';

const manager = ['python3', path.join(root, 'tests/support/service_manager.py')];
// A canary that nobody asks anything is looked at for a second.
const canary = ['--rollout.canary_timeout_ms=10000', '--rollout.speed_ratio_min_permille=0'];
const question = { prompt: 'Hello', max_tokens: 4, temperature: 0 };

const pids = (server) => [...server.workers(), ...server.children('bitnetd-frontend')].sort();
const isTakenOver = (e) => e.event === 'taken_over';
const isRolloutEnd = (e) => e.event === 'rollout_ended';

async function ask(server, where = {}) {
  const answer = await request(server, 'POST', '/v1/completions', question, where);
  assert.equal(answer.status, 200, answer.text);
}

async function killSupervisor(server) {
  const from = server.events.length;
  const [supervisor] = server.children('bitnetd');
  process.kill(supervisor, 'SIGKILL');
  return { from, takenOver: () => server.event((e) => isTakenOver(e) && e.process !== supervisor, from) };
}

async function upgrade(server) {
  const from = server.events.length;
  server.process.kill('SIGUSR2');
  const ended = await server.event(isRolloutEnd, from);
  assert.equal(ended.outcome, 'completed', JSON.stringify(ended));
}

// Until there are as many processes as there should be: those that were replaced have left.
async function settled(server, count) {
  for (const deadline = Date.now() + patienceMs; pids(server).length !== count;) {
    assert.ok(Date.now() < deadline, `${pids(server).length} children, ${count} expected`);
    await delay(20);
  }
}

// A configuration file, and a server that reads it.
async function withFile(settings, options, run, args = []) {
  const folder = mkdtempSync(path.join(tmpdir(), 'bitnetd-handover-'));
  const file = path.join(folder, 'bitnetd.toml');
  const write = (text) => writeFileSync(file, text.replaceAll('FOLDER', folder));
  write(settings);
  let server;
  try {
    server = await Server.start(['--config', file, ...canary, ...args], options);
    await run(server, { folder, write });
  } finally {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

test('a configuration file that got lost ends nothing that runs', async () => {
  await withFile('', { under: manager }, async (server, { write }) => {
    const before = pids(server);
    write('[server]\nworkers = "many"\n');
    const killed = await killSupervisor(server);
    const refused = await server.event((e) => e.event === 'configuration_refused', killed.from);
    assert.match(refused.error, /bitnetd\.toml:2/);
    await killed.takenOver();
    await ask(server);
    assert.deepEqual(pids(server), before);

    const from = server.events.length;
    await upgrade(server);
    await server.event((e) => e.event === 'configuration_refused', from);
    await ask(server);
    await settled(server, before.length);

    // Mended, it is read as always.
    write('');
    const mended = server.events.length;
    server.process.kill('SIGHUP');
    await server.event((e) => e.event === 'reload', mended);
  });
});

test('listeners keep their descriptors when another one is removed', async () => {
  const listen = (...names) => `[server]\nlisten = ["127.0.0.1:0", ${names.map((n) => `"unix:FOLDER/${n}"`)}]\n`;
  await withFile(listen('a', 'b', 'c'), { under: manager, listen: false }, async (server, { folder, write }) => {
    write(listen('b', 'c'));
    const from = server.events.length;
    server.process.kill('SIGHUP');
    await server.event(isRolloutEnd, from);
    // The second one reads what the first one has written.
    for (let kills = 0; kills < 2; ++kills) await (await killSupervisor(server)).takenOver();
    await settled(server, 2);
    // A new frontend has its sockets from the supervisor.
    const killed = server.events.length;
    process.kill(server.children('bitnetd-frontend')[0], 'SIGKILL');
    await server.event((e) => e.event === 'frontend_ready', killed);
    await ask(server);
    for (const name of ['b', 'c']) await ask(server, { socketPath: path.join(folder, name) });
    assert.deepEqual(server.events.filter((e) => e.event === 'listener_lost'), []);
  });
});

test('a state that cannot be read is begun anew, on the same sockets', async () => {
  const server = await Server.start([], { under: manager });
  try {
    const before = pids(server);
    server.process.kill('SIGWINCH');
    await server.event((e) => e.event === 'service_state_damaged');
    const { from } = await killSupervisor(server);
    await server.event((e) => e.event === 'state_refused', from);
    await server.event((e) => e.event === 'ready', from);
    await ask(server, { socketPath: server.socket });
    assert.equal(pids(server).length, before.length);
    assert.ok(pids(server).every((pid) => !before.includes(pid)), 'nobody is left of before');
    const status = spawnSync(path.join(bin, 'bitnetctl'), ['status', '--control', server.control]);
    assert.equal(status.status, 0, String(status.stderr));
  } finally {
    await server.stop();
  }
});

test('a rollout that its supervisor did not survive is undone', async () => {
  const settings = (threads) => `[worker]\nthreads = ${threads}\n`;
  await withFile(settings(1), { under: manager }, async (server, { write }) => {
    const count = pids(server).length;
    const reload = async () => {
      const from = server.events.length;
      server.process.kill('SIGHUP');
      const fresh = await server.event((e) => e.event === 'worker_ready' && e.canary && e.pid, from);
      return { from, fresh: fresh.pid };
    };
    for (const [threads, cutOffAt] of [[2, 'canary'], [1, 'roll']]) {
      write(settings(threads));
      const cutOff = await reload();
      if (cutOffAt === 'roll') await server.event((e) => e.event === 'retiring', cutOff.from);
      const killed = await killSupervisor(server);
      await killed.takenOver();
      const undone = await server.event(isRolloutEnd, killed.from);
      assert.equal(undone.outcome, 'completed', JSON.stringify(undone));
      await settled(server, count);
      assert.ok(!server.workers().includes(cutOff.fresh), `the worker of a roll cut off at ${cutOffAt} is left`);
      await ask(server);
      const { json, text } = await request(server, 'GET', '/health');
      assert.equal(json.status, 'healthy', text);
      // Asked once more, it is done.
      const again = await reload();
      const ended = await server.event(isRolloutEnd, again.from);
      assert.equal(ended.outcome, 'completed', JSON.stringify(ended));
      await settled(server, count);
    }
  }, ['--workers', '2']);
});

test('nobody is told that it is ready before it is', async () => {
  const server = await Server.start([], { under: manager, waitReady: false });
  try {
    await server.event((e) => e.event === 'frontend_ready');
    const killed = await killSupervisor(server);
    await killed.takenOver();
    await server.event((e) => e.event === 'service_ready');
    // Both lines are on their way at the same time.
    await server.event((e) => e.event === 'ready');
    const loaded = server.events.findIndex((e) => e.event === 'worker_ready');
    const told = server.events.findIndex((e) => e.event === 'service_ready');
    assert.ok(loaded >= 0 && loaded < told, 'ready without a worker');
    await ask(server);
  } finally {
    await server.stop();
  }
});

// While it drains, the answer of the new binary comes, which may not be executed then.
test('TERM right after USR2 ends the server', async () => {
  const server = await Server.start();
  let began;
  const speaks = new Promise((resolve) => { began = resolve; });
  const stream = streamCompletion(server, { prompt: 'Hello', max_tokens: 400, ignore_eos: true },
    { onEvent: () => began() });
  await speaks;
  server.process.kill('SIGUSR2');
  server.process.kill('SIGTERM');
  await stream;
  await server.exited;
  await server.stop();
});

test('bitnetctl upgrade is answered without --wait', async () => {
  const server = await Server.start(canary);
  try {
    const asked = spawnSync(path.join(bin, 'bitnetctl'), ['upgrade', '--control', server.control],
      { encoding: 'utf8' });
    assert.equal(asked.status, 0, asked.stderr);
    const ended = await server.event(isRolloutEnd);
    assert.equal(ended.outcome, 'completed');
  } finally {
    await server.stop();
  }
});

// Of /metrics: each sample by its name and labels.
async function samples(server) {
  const { text } = await request(server, 'GET', '/metrics');
  const found = new Map();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, value] = line.match(/^(.*) (\S+)$/);
    assert.ok(!found.has(name), `twice: ${name}`);
    found.set(name, Number(value));
  }
  return found;
}

const total = (all, metric) =>
  [...all].filter(([name]) => name.startsWith(`${metric}{`)).reduce((sum, [, value]) => sum + value, 0);

test('counters never fall, however often processes and supervisors follow each other', async () => {
  const server = await Server.start(canary, { under: manager });
  const counters = ['bitnet_generations_finished_total', 'bitnet_steps_total', 'bitnet_decode_tokens_total'];
  try {
    let before = await samples(server);
    const check = async () => {
      await ask(server);
      const now = await samples(server);
      for (const name of counters) {
        assert.ok(total(now, name) > total(before, name), `${name}: ${total(before, name)}, ${total(now, name)}`);
      }
      before = now;
    };
    const count = pids(server).length;
    for (let i = 0; i < 3; ++i) {
      await upgrade(server);
      await settled(server, count);
      await check();
      await (await killSupervisor(server)).takenOver();
      await check();
    }
  } finally {
    await server.stop();
  }
});
