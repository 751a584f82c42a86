// Goal: /tokenize, /detokenize and /apply-template of a real server tell what generation does with a
// text: ids come back as the text they were made of, counts are those of usage, the prompt is what
// the model's template says; and what is wrong gets the documented error. Method: one server; texts of every
// kind there and back, and compared with the references of golden.json.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, golden, request } from './server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server.stop());

const post = (path, body) => request(server, 'POST', path, body);
async function ok(path, body) {
  const answer = await post(path, body);
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

const texts = ['', 'Hello', ' Hello', 'Once upon a time, there was a cat.\n', 'a\u0000b\t"\\', 'caf\u00e9 cafe\u0301',
  '\u6771\u4eac \u{1f642}', '  \n\n   x', '<|eot_id|>', 'It\u2019s 1234.5 o\'clock',
  'word '.repeat(20_000), '\n'.repeat(50_000), 'x'.repeat(100_000)];

test('text survives the round trip', async () => {
  for (const content of texts) {
    for (const parse_special of [undefined, true, false]) {
      const { tokens, count } = await ok('/tokenize', { content, parse_special });
      assert.equal(count, tokens.length);
      const back = await ok('/detokenize', { tokens });
      assert.ok(back.content === content, `${JSON.stringify(content.slice(0, 40))}: ${JSON.stringify(back.content.slice(0, 40))}`);
    }
  }
});

test('ids are those of the reference', async () => {
  for (const { text, ids } of golden.tokenizer) {
    assert.deepEqual((await ok('/tokenize', { content: text })).tokens, ids, text);
  }
  for (const { prompt, prompt_ids: ids } of golden.cases.filter((c) => c.kind === 'completion')) {
    assert.deepEqual((await ok('/tokenize', { content: prompt, add_special: true })).tokens, ids, prompt);
  }
});

test('prompts are those of the reference', async () => {
  for (const { messages, prompt_text: text, prompt_ids: ids } of golden.cases.filter((c) => c.kind === 'chat')) {
    const { prompt } = await ok('/apply-template', { messages });
    assert.equal(prompt, text);
    assert.deepEqual((await ok('/tokenize', { content: prompt })).tokens, ids);
  }
});

test('special tokens are parsed and added as asked', async () => {
  const plain = await ok('/tokenize', { content: '<|eot_id|>', parse_special: false });
  const parsed = await ok('/tokenize', { content: '<|eot_id|>' });
  assert.equal(parsed.count, 1);
  assert.ok(plain.count > 1);
  const added = await ok('/tokenize', { content: 'Hello', add_special: true });
  const bare = await ok('/tokenize', { prompt: 'Hello', model: 'demo' });
  assert.deepEqual(added.tokens.slice(-bare.count), bare.tokens);
});

test('counts are those of generation', async () => {
  for (const prompt of ['Hello', 'Once upon a time, there was a cat.']) {
    const { tokens, count } = await ok('/tokenize', { content: prompt, add_special: true });
    const byText = await ok('/v1/completions', { prompt, max_tokens: 1, temperature: 0 });
    const byIds = await ok('/v1/completions', { prompt: tokens, max_tokens: 1, temperature: 0 });
    assert.equal(byText.usage.prompt_tokens, count);
    assert.deepEqual(byIds.choices[0].text, byText.choices[0].text);
  }
  const messages = [{ role: 'system', content: 'Be kind.' }, { role: 'user', content: 'Hello' }];
  const { prompt } = await ok('/apply-template', { messages });
  const { count } = await ok('/tokenize', { content: prompt });
  const chat = await ok('/v1/chat/completions', { messages, max_tokens: 1 });
  assert.equal(chat.usage.prompt_tokens, count);
});

test('the prompt is the template\'s', async () => {
  const messages = [{ role: 'user', content: ' Hello ' }, { role: 'assistant', content: 'Hi' }];
  const open = await ok('/apply-template', { messages });
  const closed = await ok('/apply-template', { messages, add_generation_prompt: false });
  assert.ok(open.prompt.startsWith(closed.prompt));
  assert.ok(open.prompt.length > closed.prompt.length);
  assert.match(closed.prompt, /Hello.*Hi/s);
  assert.deepEqual(await ok('/apply-template', { messages, tools: [{ type: 'function', function: { name: 'f' } }] }), open,
    'this template prints no tools');
});

const bad = {
  'no content': ['/tokenize', {}, 400, 'missing_field', 'content'],
  'content of the wrong type': ['/tokenize', { content: 7 }, 400, 'invalid_value', 'content'],
  'content and prompt': ['/tokenize', { content: 'a', prompt: 'b' }, 400, 'invalid_value', 'prompt'],
  'add_special as text': ['/tokenize', { content: 'a', add_special: 'yes' }, 400, 'invalid_value', 'add_special'],
  'a lone surrogate': ['/tokenize', '{"content":"\\ud800"}', 400, 'invalid_json', null],
  'too much text': ['/tokenize', { content: 'a'.repeat(17 << 20) }, 400, 'invalid_value', 'content'],
  'tokenize with an unknown model': ['/tokenize', { content: 'a', model: 'b' }, 404, 'model_not_found', 'model'],
  'no tokens': ['/detokenize', {}, 400, 'missing_field', 'tokens'],
  'tokens as text': ['/detokenize', { tokens: '1' }, 400, 'invalid_value', 'tokens'],
  'an id beyond the vocabulary': ['/detokenize', { tokens: [1, 2048] }, 400, 'invalid_value', 'tokens'],
  'a negative id': ['/detokenize', { tokens: [-1] }, 400, 'invalid_value', 'tokens'],
  'detokenize with an unknown model': ['/detokenize', { tokens: [1], model: 'b' }, 404, 'model_not_found', 'model'],
  'no messages': ['/apply-template', {}, 400, 'missing_field', 'messages'],
  'an unknown role': ['/apply-template', { messages: [{ role: 'boss', content: 'a' }] }, 400, 'invalid_value', 'messages[0].role'],
  'tools that are no list': ['/apply-template', { messages: [{ role: 'user', content: 'a' }], tools: {} }, 400, 'invalid_value', 'tools'],
  'a template for an unknown model': ['/apply-template', { messages: [{ role: 'user', content: 'a' }], model: 'b' }, 404, 'model_not_found', 'model'],
};
for (const [name, [path, body, status, code, param]] of Object.entries(bad)) {
  test(`refused: ${name}`, async () => {
    const answer = await post(path, body);
    assert.equal(answer.status, status, answer.text);
    assert.equal(answer.json.error.code, code);
    assert.equal(answer.json.error.param, param);
    assert.ok(answer.json.error.request_id);
  });
}

test('methods and content types', async () => {
  for (const path of ['/tokenize', '/detokenize', '/apply-template']) {
    assert.equal((await request(server, 'GET', path)).status, 405);
    assert.equal((await request(server, 'OPTIONS', path)).status, 204);
    const answer = await request(server, 'POST', path, '{}', { headers: { 'content-type': 'text/plain' } });
    assert.equal(answer.status, 415);
  }
});

test('a client that leaves while its text waits harms nobody', async () => {
  const body = JSON.stringify({ content: 'x'.repeat(2 << 20) });
  const gone = Array.from({ length: 8 }, () => {
    const controller = new AbortController();
    const sent = fetch(`${server.url}/tokenize`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body, signal: controller.signal,
    }).catch((error) => assert.equal(error.name, 'AbortError'));
    setImmediate(() => controller.abort());
    return sent;
  });
  await Promise.all(gone);
  assert.equal((await ok('/tokenize', { content: 'Hello' })).count > 0, true);
});
