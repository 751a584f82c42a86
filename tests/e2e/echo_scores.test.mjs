// Goal: `echo` with `logprobs` scores a prompt with exactly the logprobs that generating it would give,
// where evaluation harnesses look for them.
// Method: golden continuations of the demo model, generated greedily and then sent back as prompts; the
// slicing of lm-evaluation-harness done here.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { Server, golden, request } from './server.mjs';

let server;
let client;
before(async () => {
  server = await Server.start();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

async function complete(body) {
  const answer = await request(server, 'POST', '/v1/completions', { temperature: 0, ...body });
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}
const score = (prompt, more = {}) => complete({ prompt, echo: true, logprobs: 5, max_tokens: 0, ...more });

// The case's prompt and its greedy continuation without the end of generation, as ids.
function sequenceOf(testCase) {
  const continued = testCase.finish === 'stop' ? testCase.greedy_ids.slice(0, -1) : testCase.greedy_ids;
  return [...testCase.prompt_ids, ...continued];
}

for (const [index, testCase] of golden.cases.entries()) {
  test(`case ${index}: a scored prompt has the logprobs of its generation`, async () => {
    const start = testCase.prompt_ids.length;
    const ids = sequenceOf(testCase);
    const generated = (await complete({ prompt: testCase.prompt_ids, max_tokens: 64, logprobs: 5 })).choices[0];
    const scored = (await score(ids)).choices[0];
    assert.equal(scored.finish_reason, 'length');
    assert.equal(scored.logprobs.token_logprobs.length, ids.length);
    assert.equal(scored.logprobs.token_logprobs[0], null);
    assert.equal(scored.logprobs.top_logprobs[0], null);
    assert.deepEqual(scored.logprobs.token_logprobs.slice(start), generated.logprobs.token_logprobs);
    assert.deepEqual(scored.logprobs.top_logprobs.slice(start), generated.logprobs.top_logprobs);
    assert.equal(scored.logprobs.tokens.join(''), scored.text);
  });
}

test('what lm-evaluation-harness reads: the sum behind the context, and whether it is greedy', async () => {
  const { cases } = golden;
  // One batch, as the harness sends it: a context, its greedy continuation, one token generated.
  const answer = await complete({
    prompt: cases.map(sequenceOf), echo: true, logprobs: 1, max_tokens: 1, seed: 1234,
  });
  for (const [i, testCase] of cases.entries()) {
    const { token_logprobs: all, top_logprobs: top } = answer.choices[i].logprobs;
    const context = testCase.prompt_ids.length;
    assert.equal(all.length, sequenceOf(testCase).length + 1, 'an end of generation has its entry too');
    const own = all.slice(context, -1);
    assert.ok(own.every((logprob, j) => logprob === Math.max(...Object.values(top.slice(context, -1)[j]))));
    const generated = await complete({ prompt: testCase.prompt_ids, max_tokens: 64, logprobs: 1 });
    const sum = (values) => values.reduce((a, b) => a + b, 0);
    assert.equal(sum(own), sum(generated.choices[0].logprobs.token_logprobs));
  }
});

test('of text the BOS that was added is not shown, and the first token has its logprob', async () => {
  const text = 'Once upon a time there was a';
  const { tokens } = (await request(server, 'POST', '/tokenize', { content: text, add_special: true })).json;
  const own = (await request(server, 'POST', '/tokenize', { content: text })).json.tokens;
  const shown = (await score(text)).choices[0];
  const whole = (await score(tokens)).choices[0];
  assert.equal(shown.text, text);
  assert.equal(shown.logprobs.tokens.length, own.length);
  assert.deepEqual(shown.logprobs.token_logprobs, whole.logprobs.token_logprobs.slice(tokens.length - own.length));
  for (const [i, token] of shown.logprobs.tokens.entries()) {
    const offset = shown.logprobs.text_offset[i];
    assert.equal(text.slice(offset, offset + token.length), token);
  }
});

test('a stream begins with the prompt and adds up to the whole answer', async () => {
  const body = { prompt: golden.cases[0].prompt, echo: true, logprobs: 2, max_tokens: 12, temperature: 0 };
  const whole = (await complete(body)).choices[0];
  const stream = await client.completions.create({ model: 'demo', ...body, stream: true });
  let text = '';
  const joined = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
  for await (const chunk of stream) {
    if (text === '') assert.equal(chunk.choices[0].text, body.prompt);
    text += chunk.choices[0].text;
    for (const name of Object.keys(joined)) joined[name].push(...(chunk.choices[0].logprobs?.[name] ?? []));
  }
  assert.equal(text, whole.text);
  assert.deepEqual(joined, whole.logprobs);
});

test('beside others, in a batch and after a death: the same scores', async () => {
  const long = Array.from({ length: 500 }, (_, i) => 100 + (i * 37) % 700);
  const alone = (await score(long)).choices[0];
  const others = Array.from({ length: 6 }, (_, i) => complete({
    prompt: `Story ${i}`, max_tokens: 100, ignore_eos: true,
  }));
  const batch = await score(Array(12).fill(long));
  for (const choice of batch.choices) assert.deepEqual(choice.logprobs, alone.logprobs);
  await Promise.all(others);
  const running = score(Array(24).fill(long));
  await server.killBusyWorker();
  for (const choice of (await running).choices) assert.deepEqual(choice.logprobs, alone.logprobs);
});

test('max_tokens 0 needs echo', async () => {
  const answer = await request(server, 'POST', '/v1/completions', { prompt: 'a', max_tokens: 0, logprobs: 1 });
  assert.equal(answer.status, 400);
  assert.equal(answer.json.error.param, 'max_tokens');
});
