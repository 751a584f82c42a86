// Goal: many at once change no answer: prompts that begin alike are computed once, too little KV
// memory makes sequences wait and start over, and a full server says so with a time that holds.
// Method: answers of crowds compared with those of one client alone; the counters of /metrics.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, request } from './server.mjs';

const prefilled = (server) => server.metric('bitnet_prefill_tokens_total');
const ids = (count, seed) => Array.from({ length: count }, (_, i) => 100 + ((i * 7919 + seed * 31) % 700));
const complete = (server, body) => request(server, 'POST', '/v1/completions',
  { temperature: 0.7, seed: 5, ignore_eos: true, ...body });

async function textOf(server, body) {
  const answer = await complete(server, body);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.choices.map((choice) => choice.text);
}

test('a prompt that begins like an earlier one is found in the cache, with the same answer', async () => {
  const server = await Server.start();
  const shared = ids(200, 1);
  const prompt = [...shared, 60, 61, 62];
  const first = await complete(server, { prompt, max_tokens: 20, logprobs: 2 });
  assert.equal(first.json.usage.prompt_tokens_details.cached_tokens, 0);
  const before = await prefilled(server);
  const again = await complete(server, { prompt, max_tokens: 20, logprobs: 2 });
  assert.equal(again.json.usage.prompt_tokens_details.cached_tokens, 202); // the last id is computed
  assert.equal(await prefilled(server) - before, 1);
  assert.deepEqual(again.json.choices, first.json.choices);
  const other = await complete(server, { prompt: [...shared, 70, 71], max_tokens: 20 });
  assert.equal(other.json.usage.prompt_tokens_details.cached_tokens, 200);
  await server.stop();
  const fresh = await Server.start();
  assert.deepEqual(other.json.choices[0].text, (await textOf(fresh, { prompt: [...shared, 70, 71], max_tokens: 20 }))[0]);
  await fresh.stop();
});

test('n, best_of and arrays of prompts share one prefill', async () => {
  const server = await Server.start();
  const prompt = ids(192, 2);
  const texts = await textOf(server, { prompt, max_tokens: 8, n: 4 });
  assert.equal(texts.length, 4);
  assert.ok(await prefilled(server) < 192 + 4 * 32, `${await prefilled(server)} prompt tokens were computed`);
  const before = await prefilled(server);
  await textOf(server, { prompt: [1, 2, 3].map((last) => [...ids(192, 3), last]), max_tokens: 4 });
  assert.ok(await prefilled(server) - before < 192 + 3 * 32);
  await server.stop();
});

test('with too little KV memory sequences start over and end with the same texts', async () => {
  const alone = await Server.start();
  const bodies = Array.from({ length: 24 }, (_, i) => ({ prompt: ids(20 + i, i), max_tokens: 120 }));
  const expected = [];
  for (const body of bodies) expected.push(await textOf(alone, body));
  await alone.stop();
  // 26 pages of 32 positions, where 24 sequences want 5 each.
  const server = await Server.start(['--kv.bytes', String(26 * 32 * 1024 * 12), '--kv.context_max', '256',
    '--dispatch.wait_max_ms', '60000']);
  const texts = await Promise.all(bodies.map((body) => textOf(server, body)));
  assert.deepEqual(texts, expected);
  assert.ok(await server.metric('bitnet_preemptions_total') > 0, 'no sequence had to give way');
  await server.stop();
});

test('who is refused and comes back when told finds room', async () => {
  // Two at a time, ten milliseconds a token.
  const server = await Server.start(['--worker.slots_max', '2', '--worker.null_model', '1',
    '--worker.null_step_us', '10000']);
  let refused = 0;
  let refusedAgain = 0;
  const client = async (name) => {
    for (let attempt = 0; ; ++attempt) {
      const answer = await complete(server, { prompt: ids(5, name), max_tokens: 10 });
      if (answer.status === 200) return;
      assert.equal(answer.status, 503, answer.text);
      assert.equal(answer.json.error.code, 'queue_full');
      const ms = Number(answer.headers['retry-after-ms']);
      assert.ok(ms > 0);
      assert.ok(Number(answer.headers['retry-after']) * 1000 >= ms - 999);
      attempt === 0 ? ++refused : ++refusedAgain;
      await new Promise((resolve) => setTimeout(resolve, ms));
    }
  };
  await Promise.all([1, 2, 3, 4].map(client)); // the pace is known
  refused = 0;
  refusedAgain = 0;
  await Promise.all(Array.from({ length: 40 }, (_, i) => client(10 + i)));
  assert.ok(refused > 0, 'all found room at once');
  assert.ok(refusedAgain < refused, `${refusedAgain} came back in vain, ${refused} were told to come`);
  await server.stop();
});
