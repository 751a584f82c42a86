// Goal: greedy output of the demo model, through the HTTP API, equals what an independent reference
// computed, token for token.
// Method: every case of the golden file as token ids and as text or messages; with logprobs, the
// chosen tokens' values are compared within the tolerance the file states. Then the same model as
// TQ2_0, as F16, with an output screen, with keys and values in eight bits and, where the larger set
// is at hand, as a checkpoint.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server, bin, demoCheckpoint, demoModel, golden, request } from './server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server.stop());

for (const [index, testCase] of golden.cases.entries()) {
  test(`case ${index} (${testCase.kind}): token-id prompt`, async () => {
    const answer = await request(server, 'POST', '/v1/completions', {
      prompt: testCase.prompt_ids, max_tokens: 64, temperature: 0, logprobs: 5,
    });
    assert.equal(answer.status, 200, answer.text);
    const choice = answer.json.choices[0];
    assert.equal(choice.text, testCase.greedy_text);
    assert.equal(choice.finish_reason, testCase.finish);
    assert.equal(answer.json.usage.prompt_tokens, testCase.prompt_ids.length);
    assert.equal(answer.json.usage.completion_tokens, testCase.greedy_ids.length);
    const values = choice.logprobs.token_logprobs;
    // The end-of-generation token has no text and so no entry, as with OpenAI.
    const shown = testCase.finish === 'stop' ? testCase.steps.slice(0, -1) : testCase.steps;
    assert.equal(values.length, shown.length);
    for (const [i, step] of shown.entries()) {
      // A logprob is a logit less the log of a sum: within twice the logits' tolerance of 0.1.
      assert.ok(Math.abs(values[i] - step.logprob) < 0.2, `step ${i}: ${values[i]} against ${step.logprob}`);
    }
  });

  test(`case ${index} (${testCase.kind}): as a client writes it`, async () => {
    const common = { max_tokens: 64, temperature: 0 };
    const answer = testCase.kind === 'chat'
      ? await request(server, 'POST', '/v1/chat/completions', { ...common, messages: testCase.messages })
      : await request(server, 'POST', '/v1/completions', { ...common, prompt: testCase.prompt });
    assert.equal(answer.status, 200, answer.text);
    const [choice] = answer.json.choices;
    assert.equal(testCase.kind === 'chat' ? choice.message.content : choice.text, testCase.greedy_text);
    assert.equal(answer.json.usage.prompt_tokens, testCase.prompt_ids.length);
  });
}

async function continuesAllCases(model, flags = []) {
  const other = await Server.start(['--model', `demo=${model}`, ...flags], { model: false });
  for (const [index, testCase] of golden.cases.entries()) {
    const answer = await request(other, 'POST', '/v1/completions',
      { prompt: testCase.prompt_ids, max_tokens: 64, temperature: 0 });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.choices[0].text, testCase.greedy_text, `case ${index}`);
    assert.equal(answer.json.usage.completion_tokens, testCase.greedy_ids.length, `case ${index}`);
  }
  await other.stop();
}

test('the same tokens from TQ2_0', () =>
  continuesAllCases(path.join(path.dirname(demoModel), 'bitnet-tiny-stories-5m-tq2_0.gguf')));

test('the same tokens from F16', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'bitnetd-golden-'));
  const model = path.join(folder, 'demo-f16.gguf');
  execFileSync(path.join(bin, 'bitnetctl'), ['model', 'convert', demoModel, model, '--type', 'F16'], { stdio: 'pipe' });
  await continuesAllCases(model);
  rmSync(folder, { recursive: true });
});

test('the same tokens with an output screen', () =>
  continuesAllCases(demoModel, ['--model.output_screen', 'on']));

// Rounded keys and values move the logits by some 0.3: an answer may leave the golden path, but only
// where the two best tokens are nearly alike.
test('keys and values in eight bits: the same tokens up to a small margin', async () => {
  const eight = await Server.start(['--kv.type=int8']);
  let same = 0;
  for (const [index, testCase] of golden.cases.entries()) {
    const body = { prompt: testCase.prompt_ids, max_tokens: 64, temperature: 0, logprobs: 0 };
    const [plain, answer] = [await request(server, 'POST', '/v1/completions', body),
      await request(eight, 'POST', '/v1/completions', body)];
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.json.system_fingerprint, /-f32x16-int8-/);
    const expected = plain.json.choices[0].logprobs.tokens;
    const found = answer.json.choices[0].logprobs.tokens;
    const first = testCase.steps.findIndex((_, i) => found[i] !== expected[i]);
    if (first === -1) {
      assert.equal(answer.json.choices[0].text, testCase.greedy_text, `case ${index}`);
      same += 1;
    } else {
      const { margin } = testCase.steps[first];
      assert.ok(margin < 0.2, `case ${index}: leaves at step ${first}, whose margin is ${margin}`);
    }
  }
  assert.ok(same >= golden.cases.length / 2, `${same} of ${golden.cases.length} answers are the same`);
  await eight.stop();
});

test('the same tokens from safetensors', { skip: !existsSync(demoCheckpoint) && `no checkpoint at ${demoCheckpoint}` }, () =>
  continuesAllCases(demoCheckpoint));
