// Goal: a worker can die at any instruction and no client notices: streams go on, byte for byte what
// they would have been.
// Method: undisturbed runs first; then the same 100 requests again and again over two workers while one
// worker at random is killed every 200 ms, for BITNETD_FAULT_SECONDS (10 unless told). Every completed
// stream is compared. Prints its seed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Server, golden, request, streamCompletion } from './server.mjs';

const seconds = Number(process.env.BITNETD_FAULT_SECONDS ?? 10);
const seed = Number(process.env.BITNETD_SEED ?? Date.now() % 1_000_000);

function random(state) {
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const prompts = golden.cases.filter((c) => c.kind === 'completion').map((c) => c.prompt);
const job = (i) => ({
  prompt: prompts[i % prompts.length], temperature: i % 2 ? 0.8 : 0, seed: i, max_tokens: 60 + (i % 100),
  ignore_eos: true, top_k: i % 5 === 0 ? 40 : 0,
});

test('100 streams over two workers, one killed every 200 ms, lose nothing', async () => {
  console.log(`seed ${seed}, ${seconds} s`);
  const server = await Server.start(['--workers', '2']);
  try {
    const expected = await Promise.all(Array.from({ length: 100 }, (_, i) => streamCompletion(server, job(i))));
    const draw = random(seed);
    const end = Date.now() + seconds * 1000;
    let stopped = false;
    let kills = 0;
    const killer = (async () => {
      while (!stopped && Date.now() < end) {
        await delay(200);
        const workers = server.workers();
        if (workers.length === 0) continue;
        process.kill(workers[Math.floor(draw() * workers.length)], 'SIGKILL');
        ++kills;
      }
    })();
    let completed = 0;
    const client = async (i) => {
      while (Date.now() < end) {
        const result = await streamCompletion(server, job(i));
        assert.equal(result.text, expected[i].text, `stream ${i} differs (seed ${seed})`);
        assert.equal(result.finish, expected[i].finish);
        ++completed;
      }
    };
    try {
      await Promise.all(Array.from({ length: 100 }, (_, i) => client(i)));
    } finally {
      stopped = true;
      await killer;
    }
    const metrics = (await request(server, 'GET', '/metrics')).text;
    const resumed = /^bitnet_generations_resumed_total\{[^}]*\} (\d+)/m.exec(metrics)[1];
    console.log(`${completed} streams completed, ${kills} workers killed, ${resumed} resumptions`);
    assert.ok(kills > 0 && completed >= 100);
    assert.ok(Number(resumed) > 0, 'the kills hit no running generation');
  } finally {
    await server.stop();
  }
});

test('a single worker killed in mid-stream is replaced and the stream goes on', async () => {
  const server = await Server.start();
  try {
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
  } finally {
    await server.stop();
  }
});
