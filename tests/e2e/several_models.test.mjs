// Goal: several models are served at once, each by workers of its own; a request gets the model it
// names by id or alias, or else the first, and the answer tells which that was.
// Method: the demo model as I2_S and as TQ2_0 under two ids, both asked at the same time; the
// worker of one is killed while both stream; a wrong alias is refused at start.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { Server, bin, demoModel, request, root, streamCompletion } from './server.mjs';

const otherModel = path.join(root, 'tests/golden/demo-model/bitnet-tiny-stories-5m-tq2_0.gguf');
const twoModels = ['--model', `org/other=${otherModel}`, '--server.alias', 'gpt-4o=org/other',
  '--server.alias', 'fast=demo', '--server.alias', 'team/fast=demo'];
const prompt = 'Once upon a time';

test('each model answers under its id and its aliases, the first one where none is named', async () => {
  const server = await Server.start(twoModels);
  const ask = (model) => request(server, 'POST', '/v1/completions',
    { ...(model ? { model } : {}), prompt, max_tokens: 8, temperature: 0 });
  const named = [[undefined, 'demo'], ['demo', 'demo'], ['fast', 'demo'], ['team/fast', 'demo'],
    ['org/other', 'org/other'], ['gpt-4o', 'org/other']];
  for (const [model, id] of named) {
    const answer = await ask(model);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.model, id, `asked for ${model}`);
    assert.equal(answer.json.usage.performance.quantization_used, id === 'demo' ? 'I2_S' : 'TQ2_0');
  }
  const unknown = await ask('nobody');
  assert.equal(unknown.status, 404);
  assert.equal(unknown.json.error.code, 'model_not_found');

  const list = (await request(server, 'GET', '/v1/models')).json;
  assert.deepEqual(list.data.map((model) => [model.id, model.aliases]),
    [['demo', ['fast', 'team/fast']], ['org/other', ['gpt-4o']]]);
  assert.equal(list.active_count, 2);
  assert.notEqual(list.data[0].digest, list.data[1].digest);
  const byAlias = (await request(server, 'GET', '/v1/models/team%2Ffast')).json;
  assert.equal(byAlias.id, 'demo');
  await server.stop();
});

test('models run side by side, and the death of one\'s worker is not the other\'s', async () => {
  const server = await Server.start(twoModels);
  const ready = server.events.filter((event) => event.event === 'worker_ready' && event.model);
  assert.deepEqual(ready.map((event) => event.model).sort(), ['demo', 'org/other']);
  assert.equal(new Set(ready.map((event) => event.pid)).size, 2);
  const body = { prompt, max_tokens: 200, temperature: 0, ignore_eos: true };
  const alone = {};
  for (const model of ['demo', 'org/other']) {
    alone[model] = (await request(server, 'POST', '/v1/completions', { ...body, model })).json;
  }

  const victim = ready.find((event) => event.model === 'org/other').pid;
  let killed = false;
  const streams = ['demo', 'org/other', 'demo', 'gpt-4o'].map((model) => streamCompletion(
    server, { ...body, model }, {
      onEvent: (json, soFar) => {
        if (killed || json.model !== 'org/other' || soFar.events < 3) return;
        killed = true;
        process.kill(victim, 'SIGKILL');
      },
    }));
  const texts = (await Promise.all(streams)).map((stream) => stream.text);
  assert.ok(killed);
  for (const [i, id] of ['demo', 'org/other', 'demo', 'org/other'].entries()) {
    assert.equal(texts[i], alone[id].choices[0].text, `stream ${i}`);
  }
  const dead = await server.event((event) => event.event === 'worker_died');
  assert.equal(dead.pid, victim);
  assert.equal(server.events.filter((event) => event.event === 'worker_died').length, 1);
  await server.stop();
});

test('an alias of a model that is not there is refused at start, with what is there', () => {
  const refused = spawnSync(path.join(bin, 'bitnetd'), ['--model', `demo=${demoModel}`, ...twoModels.slice(0, 2),
    '--server.alias', 'fast=dmeo'], { encoding: 'utf8' });
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /server\.alias: "fast=dmeo": there is no model "dmeo"; there are "demo", "org\/other"/);
});
