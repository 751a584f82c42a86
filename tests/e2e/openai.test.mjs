// Goal: the official OpenAI client works against bitnetd without knowing that it is not OpenAI.
// Method: the npm package, over TCP, against the demo model.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { Server, golden } from './server.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

const france = golden.cases.find((c) => c.greedy_text.includes('Paris'));

test('lists and retrieves models', async () => {
  const models = await client.models.list();
  assert.deepEqual(models.data.map((m) => m.id), ['demo']);
  const model = await client.models.retrieve('demo');
  assert.equal(model.object, 'model');
  assert.equal(model.context_length, 512);
  await assert.rejects(client.models.retrieve('nonesuch'), (error) => {
    assert.equal(error.status, 404);
    assert.equal(error.code, 'model_not_found');
    return true;
  });
});

test('chats', async () => {
  const answer = await client.chat.completions.create({
    model: 'demo', messages: france.messages, temperature: 0,
  });
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.choices[0].message.role, 'assistant');
  assert.equal(answer.choices[0].message.content, france.greedy_text);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.match(answer.system_fingerprint, /\S/);
});

test('streams with usage; the deltas add up to the whole answer', async () => {
  const stream = await client.chat.completions.create({
    model: 'demo', messages: france.messages, temperature: 0, stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let usage = null;
  const finishes = [];
  let first = true;
  for await (const chunk of stream) {
    if (first) assert.equal(chunk.choices[0].delta.role, 'assistant');
    first = false;
    for (const choice of chunk.choices) {
      text += choice.delta.content ?? '';
      if (choice.finish_reason) finishes.push(choice.finish_reason);
    }
    if (chunk.choices.length === 0) usage = chunk.usage;
    else assert.equal(chunk.usage, null);
  }
  assert.equal(text, france.greedy_text);
  assert.deepEqual(finishes, ['stop']);
  assert.equal(usage.completion_tokens, france.greedy_ids.length);
});

test('streams legacy completions', async () => {
  const story = golden.cases[0];
  const stream = await client.completions.create({
    model: 'demo', prompt: story.prompt, temperature: 0, max_tokens: 64, stream: true,
  });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0].text;
  assert.equal(text, story.greedy_text);
});

test('an aborted stream ends its generation', async () => {
  const stream = await client.chat.completions.create({
    model: 'demo', messages: [{ role: 'user', content: 'Tell me a story.' }], stream: true,
    temperature: 1, seed: 1, max_tokens: 400, ignore_eos: true,
  });
  let chunks = 0;
  for await (const chunk of stream) {
    if (++chunks === 3) stream.controller.abort();
    assert.ok(chunk.choices.length > 0);
  }
  const deadline = Date.now() + 60_000;
  for (;;) {
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    const active = /^bitnet_active_requests\{[^}]*\} (\d+)/m.exec(metrics);
    const cancelled = /^bitnet_generations_cancelled_total\{[^}]*\} (\d+)/m.exec(metrics);
    if (active?.[1] === '0' && Number(cancelled?.[1]) >= 1) break;
    assert.ok(Date.now() < deadline, metrics);
    await new Promise((resolve) => setImmediate(resolve));
  }
});

test('a seed makes sampling repeatable; n gives different choices', async () => {
  const create = () => client.completions.create({
    model: 'demo', prompt: 'Once upon a time', temperature: 1, seed: 42, n: 3, max_tokens: 24,
  });
  const [a, b] = [await create(), await create()];
  const texts = a.choices.sort((x, y) => x.index - y.index).map((c) => c.text);
  assert.deepEqual(b.choices.sort((x, y) => x.index - y.index).map((c) => c.text), texts);
  assert.equal(new Set(texts).size, 3);
  const second = await client.completions.create({
    model: 'demo', prompt: 'Once upon a time', temperature: 1, seed: 43, max_tokens: 24,
  });
  assert.equal(second.choices[0].text, texts[1], 'choice j draws with seed + j');
});

test('errors are the errors the client knows', async () => {
  await assert.rejects(client.chat.completions.create({ model: 'nonesuch', messages: france.messages }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found');
  await assert.rejects(client.chat.completions.create({ model: 'demo', messages: france.messages, temperature: 3 }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === 'temperature');
});
