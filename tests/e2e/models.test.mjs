// Goal: models of every family and storage type, split files and Hugging Face directories among them,
// are loaded by the real loader, served by real workers, and continue prompts as the golden set says;
// embedding models say what they are for.
// Method: a few models to a server; the golden prompts as ids, greedy, as many tokens as the golden
// margins vouch for; the expected text is the server's own text of the golden ids. Skipped with a
// word where the golden set is absent.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Server, largeGolden, request } from './server.mjs';

const folder = path.join(largeGolden, 'models');
const modelsPerServer = 9;

function readGolden(name) {
  return JSON.parse(readFileSync(path.join(folder, 'golden', `${name}.json`), 'utf8'));
}

function pathOf(name, golden) {
  const directory = path.join(folder, name);
  return existsSync(directory) && statSync(directory).isDirectory()
    ? directory : path.join(folder, golden.files[0]);
}

// How many tokens any correct engine must agree on, and how far it may be at each.
function stepsVouchedFor(golden, result) {
  const tolerance = golden.tolerance[arithmeticOf(golden)];
  const allowed = (step) => {
    if (tolerance.float32_kv !== undefined) return tolerance.float32_kv;
    return result.clearance[step] >= 1e-4 ? tolerance.where_clear_max_abs : tolerance.max_abs;
  };
  const { margin } = result.greedy;
  const first = margin.findIndex((value, step) => value < 2 * allowed(step));
  return first < 0 ? margin.length : first;
}

// The server recognises ternary matrices in files that store them as floats.
function arithmeticOf(golden) {
  return golden.results.a8 ? 'a8' : 'float';
}

async function checkModel(server, name) {
  const golden = readGolden(name);
  let compared = 0;
  for (const [i, prompt] of golden.prompts.entries()) {
    const result = golden.results[arithmeticOf(golden)][i];
    const steps = stepsVouchedFor(golden, result);
    if (steps === 0) continue;
    const tokens = result.greedy.ids.slice(0, steps);
    const answer = await request(server, 'POST', '/v1/completions', {
      model: name, prompt: prompt.ids, max_tokens: steps, temperature: 0, ignore_eos: true,
    });
    assert.equal(answer.status, 200, `${name}: ${answer.text}`);
    const expected = await request(server, 'POST', '/detokenize', { model: name, tokens });
    assert.equal(answer.json.choices[0].text, expected.json.content, `${name}, prompt ${prompt.name}`);
    compared += steps;
  }
  assert.ok(compared > 0, `${name}: no step was compared`);
}

if (!existsSync(folder)) {
  test('models of the golden set', { skip: `no golden models at ${folder}` }, () => {});
} else {
  const names = readdirSync(path.join(folder, 'golden')).map((file) => file.replace(/\.json$/, ''))
    .filter((name) => !name.startsWith('embed-'));
  // Tiles are not in the file and not the published ones: the operator gives them, for all models.
  const withTiles = names.filter((name) => readGolden(name).tiles);
  const others = names.filter((name) => !readGolden(name).tiles);
  const groups = withTiles.map((name) => [name]);
  for (let i = 0; i < others.length; i += modelsPerServer) groups.push(others.slice(i, i + modelsPerServer));

  for (const group of groups) {
    test(`served: ${group.join(', ')}`, async () => {
      const models = group.flatMap((name) => ['--model', `${name}=${pathOf(name, readGolden(name))}`]);
      const tiles = Object.entries(readGolden(group[0]).tiles ?? {})
        .map(([shape, tile]) => `${shape}=${tile.join(',')}`).join(';');
      const server = await Server.start(
        [...models, '--tl-tiles', tiles, '--worker.block_inputs=float', '--kv.bytes=67108864',
          '--worker.slots_max=4'], { model: false });
      for (const name of group) await checkModel(server, name);
      await server.stop();
    });
  }
}

test('a model that makes embeddings does not generate text', async () => {
  const server = await Server.start(['--model.pooling', 'mean']);
  for (const [route, body] of [
    ['/v1/completions', { prompt: 'Once' }],
    ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }], stream: true }]]) {
    const answer = await request(server, 'POST', route, body);
    assert.equal(answer.status, 400, answer.text);
    assert.equal(answer.json.error.param, 'model');
    assert.match(answer.json.error.message, /'demo' makes embeddings/);
  }
  assert.equal((await request(server, 'POST', '/tokenize', { content: 'Once' })).status, 200);
  await server.stop();
});
