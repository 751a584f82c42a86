// Goal: speculation changes no answer, and guesses right where a text repeats itself.
// Method: the golden cases with it always on; a prompt that the demo model goes on repeating,
// greedy and drawn, with it off, on and left to the cost curve; the counters of /metrics.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, golden, request, streamCompletion } from './server.mjs';

const drafted = (server) => server.metric('bitnet_speculation_drafted_tokens_total');
const accepted = (server) => server.metric('bitnet_speculation_accepted_tokens_total');

test('the golden texts, each token drafted or not', async () => {
  const server = await Server.start(['--speculation.mode', 'on']);
  for (const [index, testCase] of golden.cases.entries()) {
    const answer = await request(server, 'POST', '/v1/completions',
      { prompt: testCase.prompt_ids, max_tokens: 64, temperature: 0 });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.choices[0].text, testCase.greedy_text, `case ${index}`);
    assert.equal(answer.json.usage.completion_tokens, testCase.greedy_ids.length, `case ${index}`);
  }
  await server.stop();
});

const repeated = 'Lily had a red ball. Tom had a blue ball. '.repeat(4);
const requests = [
  { temperature: 0, logprobs: 3 },
  { temperature: 0.4, seed: 7, logprobs: 0 },
  { temperature: 0, repetition_penalty: 1.05, frequency_penalty: 0.1 },
  { temperature: 0.2, seed: 3, stop: 'blue' },
].map((sampling) => ({ prompt: repeated, max_tokens: 80, ...sampling }));

test('the same answers in every mode, and guesses that come true', async () => {
  const answers = {};
  for (const mode of ['off', 'on', 'auto']) {
    const server = await Server.start(['--speculation.mode', mode]);
    answers[mode] = [];
    let steps = 0;
    let tokens = 0;
    for (const body of requests) {
      const answer = await request(server, 'POST', '/v1/completions', body);
      assert.equal(answer.status, 200, answer.text);
      const { choices, usage } = answer.json;
      steps += usage.performance.decode_iterations;
      tokens += usage.completion_tokens;
      answers[mode].push({ choices, completion_tokens: usage.completion_tokens });
    }
    const streamed = await streamCompletion(server, requests[0]);
    assert.equal(streamed.text, answers[mode][0].choices[0].text);
    if (mode === 'off') {
      assert.equal(await drafted(server), 0);
      assert.equal(steps, tokens);
    }
    if (mode === 'on') {
      assert.ok((await accepted(server)) > 0);
      assert.ok((await drafted(server)) >= (await accepted(server)));
      assert.ok(steps < tokens, `${steps} steps for ${tokens} tokens`);
    }
    await server.stop();
  }
  assert.deepEqual(answers.on, answers.off);
  assert.deepEqual(answers.auto, answers.off);
});
