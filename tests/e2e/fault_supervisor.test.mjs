// Goal: bitnetd itself may be replaced by the program on disk, or die, while it serves: its clients do
// not notice, and whoever is connected stays connected.
// Method: 100 streams (load.mjs) while USR2 comes again and again, and while the supervisor is killed again
// and again under a service manager (tests/support/service_manager.py), which keeps its descriptors as
// systemd does; a connection that idles meanwhile is used again.
import assert from 'node:assert/strict';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { random, seconds, seed, underLoad } from './load.mjs';
import { Server, patienceMs, request, root } from './server.mjs';

const manager = ['python3', path.join(root, 'tests/support/service_manager.py')];
const canary = ['--rollout.canary_copies=4', '--rollout.canary_copies_permille=1000',
  '--rollout.canary_share_requests=4', '--rollout.canary_share_permille=500', '--rollout.speed_ratio_min_permille=0'];

const question = { prompt: 'Hello', max_tokens: 4, temperature: 0 };

const pids = (server) => [...server.workers(), ...server.children('bitnetd-frontend')].sort();

class CountingAgent extends http.Agent {
  connections = 0;
  createConnection(...args) {
    ++this.connections;
    return super.createConnection(...args);
  }
}

const isEnd = (e) => e.event === 'worker_stopped' || e.event === 'frontend_stopped';

async function upgrade(server) {
  const from = server.events.length;
  const old = pids(server);
  server.process.kill('SIGUSR2');
  const ended = await server.event((e) => e.event === 'rollout_ended', from);
  assert.equal(ended.outcome, 'completed', JSON.stringify(ended));
  // A frontend ends when its last stream did.
  await Promise.all(old.map((pid) => server.event((e) => isEnd(e) && e.pid === pid, from)));
  assert.equal(pids(server).length, old.length);
}

test('USR2 again and again: same pid, new processes, every connection kept', async () => {
  const busy = new CountingAgent({ keepAlive: true });
  const idle = new CountingAgent({ keepAlive: true, maxSockets: 1 });
  const server = await Server.start(['--workers', '2', '--http.idle_timeout_ms=3600000', ...canary]);
  const ask = async () => {
    const answer = await request(server, 'POST', '/v1/completions', question, { agent: idle });
    assert.equal(answer.status, 200, answer.text);
  };
  try {
    const upgrades = seconds >= 30 ? 5 : 2;
    await ask();
    // A socket error, or a connection that is refused or reset, fails its stream.
    await underLoad(server, async (load) => {
      for (let i = 0; i < upgrades && load.goes; ++i) await upgrade(server);
    }, { agent: busy });
    await ask();
    const started = server.events.filter((e) => e.event === 'taken_over' && e.in_place);
    console.log(`seed ${seed}: ${upgrades} upgrades, 100 streams over ${busy.connections} connections`);
    assert.equal(started.length, upgrades);
    assert.ok(started.every((e) => e.process === server.process.pid));
    assert.equal(idle.connections, 1, 'the idle connection was not kept');
  } finally {
    busy.destroy();
    idle.destroy();
    await server.stop();
  }
});

// --- killed --------------------------------------------------------------------------------------

async function killSupervisor(server) {
  const from = server.events.length;
  const [supervisor] = server.children('bitnetd');
  process.kill(supervisor, 'SIGKILL');
  const answer = await request(server, 'POST', '/v1/completions', question);
  assert.equal(answer.status, 200, answer.text);
  return server.event((e) => e.event === 'taken_over' && e.process !== supervisor, from);
}

// Also in the middle of taking over.
async function killSupervisors(server, load) {
  const draw = random();
  let kills = 0;
  for (const end = Date.now() + seconds * 700; load.goes && Date.now() < end; ++kills) {
    await killSupervisor(server);
    await delay(draw() * 100);
  }
  return kills;
}

// A worker that was just started for a killed one may be unknown to the next supervisor; it never gets
// ready.
async function killWithWorker(server, draw) {
  const from = server.events.length;
  const isReady = (e) => e.event === 'worker_ready' && e.pid;
  const ready = new Set(server.events.filter(isReady).map((e) => e.pid));
  const workers = server.workers().filter((pid) => ready.has(pid));
  process.kill(workers[Math.floor(draw() * workers.length)], 'SIGKILL');
  const next = server.event(isReady, from);
  await killSupervisor(server);
  await next;
}

const trouble = ['adoption_failed', 'state_refused', 'state_not_saved', 'stranger_ended', 'service_store_full',
  'service_left_behind'];

test('a supervisor that is killed again and again is not missed', async () => {
  const server = await Server.start(['--workers', '2'], { under: manager });
  try {
    const children = pids(server);
    const kills = await underLoad(server, async (load) => {
      const count = await killSupervisors(server, load);
      assert.deepEqual(pids(server), children, 'the same processes serve');
      return count;
    });
    console.log(`seed ${seed}: ${kills} supervisors killed`);
    const draw = random();
    await underLoad(server, async (load) => {
      for (const end = Date.now() + seconds * 300; load.goes && Date.now() < end;) await killWithWorker(server, draw);
    });
    // One that was started and not yet noted when its supervisor died ends by itself.
    for (const deadline = Date.now() + patienceMs; pids(server).length !== children.length;) {
      assert.ok(Date.now() < deadline, `${pids(server).length} children, ${children.length} expected`);
      await delay(20);
    }
  } finally {
    await server.stop();
  }
  assert.deepEqual(server.events.filter((e) => trouble.includes(e.event)), []);
});
