// Goal: many streams at once complete, each as if it were alone; tokens arrive as they are made.
// Method: 100 clients over real sockets, each with its own prompt and seed, compared with the same
// requests sent one after another; curl -N for a person's view; IPv6 and Unix sockets.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { Server, golden, request, streamCompletion } from './server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server.stop());

const prompts = golden.cases.filter((c) => c.kind === 'completion').map((c) => c.prompt);
const job = (i) => ({
  prompt: prompts[i % prompts.length], temperature: i % 3 === 0 ? 0 : 0.9, top_p: i % 2 ? 0.9 : 1,
  seed: 1000 + i, max_tokens: 20 + (i % 40), ignore_eos: true,
});

test('100 streams at once equal their undisturbed runs', async () => {
  const alone = [];
  for (let i = 0; i < 100; ++i) alone.push((await streamCompletion(server, job(i))).text);
  const together = await Promise.all(Array.from({ length: 100 }, (_, i) => streamCompletion(server, job(i))));
  for (let i = 0; i < 100; ++i) {
    assert.equal(together[i].text, alone[i], `stream ${i}`);
    assert.equal(together[i].finish, 'length');
  }
});

test('curl -N shows tokens as they come, not in one lump', async () => {
  const curl = spawn('curl', ['-sN', `${server.url}/v1/completions`, '-H', 'content-type: application/json', '-d',
    JSON.stringify({ prompt: 'Once upon a time', max_tokens: 400, ignore_eos: true, stream: true, seed: 7 })]);
  let reads = 0;
  let text = '';
  for await (const chunk of curl.stdout) {
    ++reads;
    text += chunk;
  }
  const events = text.split('\n\n').filter((e) => e.startsWith('data: ')).length;
  assert.ok(text.endsWith('data: [DONE]\n\n'));
  assert.ok(reads > 5, `400 tokens arrived in ${reads} reads`);
  assert.ok(events > 20, `400 tokens arrived in ${events} events`);
});

test('a Unix socket serves the same', async () => {
  const answer = await request(server, 'GET', '/v1/models', undefined, { socketPath: server.socket });
  assert.equal(answer.status, 200);
  assert.equal(answer.json.data[0].id, 'demo');
});

test('IPv6 serves the same', async (t) => {
  const six = await Server.start(['--listen', '[::1]:0']).catch((error) => error);
  if (six instanceof Error) {
    if (!/Cannot assign requested address|Address family not supported/.test(six.message)) throw six;
    return t.skip('this machine has no IPv6 loopback');
  }
  try {
    const listening = await six.event((e) => e.event === 'listening' && e.address.startsWith('[::1]'));
    const answer = await fetch(`http://${listening.address}/health`);
    assert.equal(answer.status, 200);
  } finally {
    await six.stop();
  }
});
