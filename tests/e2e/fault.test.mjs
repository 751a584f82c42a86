// Goal: a worker can die or hang at any instruction and no client notices: streams go on, byte for byte
// what they would have been. A request that kills every worker it meets ends alone.
// Method: 100 streams (load.mjs) over two workers while one at random is killed, or stopped, every
// 200 ms for BITNETD_FAULT_SECONDS; a request whose every step on a worker is answered with SIGSEGV.
// Prints its seed.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { random, seconds, seed, underLoad } from './load.mjs';
import { Server, bin, golden, request, streamCompletion } from './server.mjs';

const paceMs = 200;
const execute = promisify(execFile);
const prompts = golden.cases.filter((c) => c.kind === 'completion').map((c) => c.prompt);

async function withServer(args, run) {
  const server = await Server.start(args);
  try {
    await run(server);
  } finally {
    await server.stop();
  }
}

// Kills one worker at random every 200 ms; how many.
async function killWorkers(server, load) {
  const draw = random();
  let kills = 0;
  for (const end = Date.now() + seconds * 1000; load.goes && Date.now() < end;) {
    await delay(paceMs);
    const workers = server.workers();
    if (workers.length === 0) continue;
    process.kill(workers[Math.floor(draw() * workers.length)], 'SIGKILL');
    ++kills;
  }
  return kills;
}

const isReady = (e) => e.event === 'worker_ready' && e.pid;

// Resolves when the worker was found out and another one is ready in its place.
async function stopWorker(server, pid) {
  const from = server.events.length;
  process.kill(pid, 'SIGSTOP');
  const died = await server.event((e) => e.event === 'worker_died' && e.pid === pid, from);
  await server.event((e) => isReady(e) && e.worker === died.worker && e.incarnation > died.incarnation, from);
}

// Stops one worker at random, the next one 200 ms after it was replaced: a hang is the worker's own
// doing, and a generation that were to meet three of them without a token in between would rightly be
// suspected. How many.
async function stopWorkers(server, load) {
  const draw = random();
  let stops = 0;
  for (const end = Date.now() + seconds * 1000; load.goes && Date.now() < end;) {
    await delay(paceMs);
    const ready = new Set(server.events.filter(isReady).map((e) => e.pid));
    const workers = server.workers().filter((pid) => ready.has(pid));
    if (workers.length === 0) continue;
    await Promise.race([stopWorker(server, workers[Math.floor(draw() * workers.length)]), load.failed]);
    ++stops;
  }
  return stops;
}

test('100 streams over two workers, one killed every 200 ms, lose nothing', async () => {
  await withServer(['--workers', '2'], async (server) => {
    const kills = await underLoad(server, (load) => killWorkers(server, load));
    const resumed = await server.metric('bitnet_generations_resumed_total');
    console.log(`seed ${seed}: ${kills} workers killed, ${resumed} resumptions`);
    assert.ok(kills > 0 && resumed > 0, 'the kills hit no running generation');
  });
});

test('100 streams over two workers, one hanging after the other, lose nothing', async () => {
  const soon = ['--server.hang_timeout_ms=500', '--server.heartbeat_interval_ms=50', '--server.kill_grace_ms=10',
    '--server.restart_backoff_ms=1', '--server.restart_breaker_deaths=1000', '--worker.step_tokens_max=64',
    // Newcomers wait for the pace of workers that hang, rather than being told to come back.
    '--dispatch.wait_max_ms=60000'];
  await withServer(['--workers', '2', ...soon], async (server) => {
    const stops = await underLoad(server, (load) => stopWorkers(server, load));
    const hung = server.events.filter((e) => e.event === 'worker_hung').length;
    const resumed = await server.metric('bitnet_generations_resumed_total');
    console.log(`seed ${seed}: ${stops} workers stopped, ${hung} found hung, ${resumed} resumptions`);
    assert.ok(stops > 0 && hung >= stops, 'who was stopped was found hung');
    assert.ok(resumed > 0, 'the stops hit no running generation');
  });
});

test('a single worker killed in mid-stream is replaced and the stream goes on', async () => {
  await withServer([], async (server) => {
    const body = { prompt: prompts[0], temperature: 0.7, seed: 5, max_tokens: 400, ignore_eos: true };
    const undisturbed = await streamCompletion(server, body);
    let killed = false;
    const disturbed = await streamCompletion(server, body, {
      onEvent: (_, result) => {
        if (killed || result.events < 3) return;
        killed = true;
        for (const pid of server.workers()) process.kill(pid, 'SIGKILL');
      },
    });
    assert.ok(killed);
    assert.equal(disturbed.text, undisturbed.text);
    assert.equal((await request(server, 'GET', '/health/ready')).status, 200);
  });
});

// --- a request that kills ------------------------------------------------------------------------

// Longer than what the streams ask, so that it is known in a ring by its length, and long in its prompt
// and its answer at 16 rows a step: somebody looks at what workers compute before it is over.
const poison = {
  prompt: 'Once upon a time there was a big red ball. '.repeat(25), temperature: 0, max_tokens: 200, ignore_eos: true,
};
const poisonTokensMin = 200;

async function dump(server) {
  const shown = await execute(path.join(bin, 'bitnet-shmdump'), ['--control', server.control, '--json'],
    { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(shown.stdout).filter((item) => item.alive).map((item) => item.contents);
}

// One that ended meanwhile needs none.
const signalAll = (pids, signal) => {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
};

// Asks with all workers stopped, so that the request waits in a ring and shows which flight it is.
async function sendPoison(server) {
  signalAll(server.workers(), 'SIGSTOP');
  const answer = { ended: false };
  answer.error = streamCompletion(server, poison).then(
    () => undefined, (error) => error).finally(() => { answer.ended = true; });
  while (!answer.flight && !answer.ended) {
    const records = (await dump(server)).flatMap((contents) => contents.pending ?? []);
    answer.flight = records.find((it) => it.record === 'submit' && it.prompt >= poisonTokensMin)?.flight;
  }
  return answer;
}

// Looks at what the workers compute, with all of them stopped, again and again; whoever computes the
// poison crashes. How many did.
async function crashWhoComputes(server, answer) {
  const crashed = new Set();
  while (!answer.ended) {
    const workers = server.workers();
    signalAll(workers, 'SIGSTOP');
    for (const board of await dump(server)) {
      const plan = board.worker?.step_plan ?? [];
      if (!workers.includes(board.pid) || !plan.some((it) => it.flight === answer.flight)) continue;
      signalAll([board.pid], 'SIGSEGV');
      crashed.add(board.pid);
    }
    signalAll(workers, 'SIGCONT');
    await new Promise((resolve) => setImmediate(resolve));
  }
  return crashed.size;
}

test('a request that crashes every worker it meets ends alone, and is not taken again', async () => {
  // The workers are stopped most of the time; nobody shall be told to come back later for that.
  const slow = ['--worker.step_tokens_max=16', '--server.hang_timeout_ms=60000', '--dispatch.wait_max_ms=600000'];
  await withServer(['--workers', '2', ...slow], async (server) => {
    await underLoad(server, async () => {
      const answer = await sendPoison(server);
      assert.ok(answer.flight, 'the request was not seen in a ring');
      const crashes = await crashWhoComputes(server, answer);
      assert.match(String(await answer.error), /request_quarantined/);
      const deaths = server.events.filter((e) => e.event === 'worker_died' && e.own_fault).length;
      console.log(`${crashes} workers crashed`);
      assert.ok(crashes >= 3 && deaths === crashes, `${deaths} deaths, ${crashes} crashes`);
      const again = await request(server, 'POST', '/v1/completions', poison);
      assert.equal(again.status, 500, again.text);
      assert.equal(again.json.error.code, 'request_quarantined');
    });
    const other = await request(server, 'POST', '/v1/completions', { ...poison, prompt: `${poison.prompt} Tom` });
    assert.equal(other.status, 200, other.text);
  });
});
