// Goal: /v1/embeddings serves the official OpenAI client; an embedding is the same bytes whatever
// else is computed, has length 1, and is cut as `dimensions` says.
// Method: the npm package, over TCP, against the demo model; bodies the client does not send, by hand.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { Server, golden, request } from './server.mjs';

const hidden = 256;
let server;
let client;
before(async () => {
  server = await Server.start();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

const texts = [...golden.cases.map((c) => c.prompt ?? c.messages[0].content), 'a', 'Once upon a time '.repeat(60)];
const embed = (body) => request(server, 'POST', '/v1/embeddings', body);
const lengthOf = (values) => Math.hypot(...values);

async function vectorsOf(input, more = {}) {
  const answer = await embed({ input, encoding_format: 'base64', ...more });
  assert.equal(answer.status, 200, answer.text);
  return answer.json.data.map((entry) => entry.embedding);
}

function floatsOf(base64) {
  const bytes = Buffer.from(base64, 'base64');
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

test('the official client reads them', async () => {
  const answer = await client.embeddings.create({ model: 'demo', input: texts });
  assert.equal(answer.object, 'list');
  assert.equal(answer.model, 'demo');
  assert.deepEqual(answer.data.map((entry) => entry.index), texts.map((_, i) => i));
  assert.ok(answer.usage.prompt_tokens >= texts.length);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens);
  for (const entry of answer.data) {
    assert.equal(entry.object, 'embedding');
    assert.equal(entry.embedding.length, hidden);
    assert.ok(Math.abs(lengthOf(entry.embedding) - 1) < 1e-6);
  }
  assert.equal(new Set(answer.data.map((entry) => entry.embedding.join())).size, texts.length);
});

test('alone and in a batch, beside generations: the same bytes', async () => {
  const alone = [];
  for (const text of texts) alone.push((await vectorsOf(text))[0]);
  const beside = Array.from({ length: 8 }, (_, i) => request(server, 'POST', '/v1/completions', {
    prompt: `Story ${i}`, max_tokens: 60, ignore_eos: true, seed: i,
  }));
  const many = Array.from({ length: 6 }, () => texts).flat();
  const batch = await vectorsOf(many);
  for (const [i, vector] of batch.entries()) assert.equal(vector, alone[i % texts.length], `input ${i}`);
  for (const answer of await Promise.all(beside)) assert.equal(answer.status, 200);
});

test('text and its ids, floats and base64 are the same', async () => {
  const { json } = await request(server, 'POST', '/tokenize', { content: 'The cat sat.', add_special: true });
  const [text] = await vectorsOf('The cat sat.');
  const [ids, again] = await vectorsOf([json.tokens, json.tokens]);
  assert.equal(ids, text);
  assert.equal(again, text);
  const floats = (await embed({ input: json.tokens })).json.data[0].embedding;
  assert.deepEqual(floats.map(Math.fround), floatsOf(text));
});

test('dimensions are the first ones, scaled', async () => {
  const whole = floatsOf((await vectorsOf('A little dog'))[0]);
  for (const dimensions of [1, 7, hidden]) {
    const cut = floatsOf((await vectorsOf('A little dog', { dimensions }))[0]);
    assert.equal(cut.length, dimensions);
    const length = lengthOf(whole.slice(0, dimensions));
    for (const [i, value] of cut.entries()) assert.ok(Math.abs(value - whole[i] / length) < 1e-6);
  }
});

test('what cannot be is refused and named', async () => {
  const bad = [
    [{}, 'input', 'missing_field'],
    [{ input: '' }, 'input', 'invalid_value'],
    [{ input: [] }, 'input', 'invalid_value'],
    [{ input: Array(513).fill(5) }, 'input', 'context_length_exceeded'],
    [{ input: 'a', dimensions: hidden + 1 }, 'dimensions', 'invalid_value'],
    [{ input: 'a', encoding_format: 'int8' }, 'encoding_format', 'invalid_value'],
  ];
  for (const [body, param, code] of bad) {
    const answer = await embed(body);
    assert.equal(answer.status, 400, answer.text);
    assert.equal(answer.json.error.param, param);
    assert.equal(answer.json.error.code, code);
  }
  const [whole] = await vectorsOf(Array(512).fill(5));
  assert.equal(floatsOf(whole).length, hidden, 'a context full of input needs no room for an answer');
  await assert.rejects(client.embeddings.create({ model: 'nonesuch', input: 'a' }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found');
});

test('embeddings survive the death of their worker', async () => {
  const expected = await vectorsOf(texts);
  const many = Array.from({ length: 40 }, () => texts).flat();
  const running = vectorsOf(many);
  await server.killBusyWorker();
  for (const [i, vector] of (await running).entries()) assert.equal(vector, expected[i % texts.length], `input ${i}`);
});
