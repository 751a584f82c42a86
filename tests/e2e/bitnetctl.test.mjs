// Goal: `bitnetctl model` tells the truth about model files: ids and prompts as the golden data has
// them, every corrupt file refused with its reason, conversions without loss that can be served.
// Method: the real bitnetctl and the confined bitnetd-loader it starts, on the files of tests/golden,
// and on the larger set beside the repository where that is there; outputs are compared byte for
// byte, exit codes always.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server, bin, demoCheckpoint, demoModel, golden, largeGolden, patienceMs, request, root } from './server.mjs';

const goldenFolder = path.join(root, 'tests/golden');
const program = path.join(bin, 'bitnetctl');

let folder;
before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'bitnetctl-e2e-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

// What programs built with a sanitizer say of themselves: that the loader is not confined, and that
// the leak checker met a thread that was just ending.
const sanitizerNotes = /^(.*event":"confine_skipped".*|==\d+==Unable to get registers from thread .*)\n/gm;

// { code, signal, out, err } of one command.
function ctl(args, input = '') {
  const ran = spawnSync(program, args, { input, timeout: patienceMs, maxBuffer: 1 << 28 });
  const err = ran.stderr.toString().replace(sanitizerNotes, '');
  return { code: ran.status, signal: ran.signal, out: ran.stdout, err };
}

// Standard output of a command that must work and have nothing to say on standard error.
function good(args, input) {
  const ran = ctl(args, input);
  assert.deepEqual([ran.code, ran.err], [0, ''], `${args.join(' ')}: ${ran.out}`);
  return ran.out;
}

const goodJson = (args, input) => JSON.parse(good(args, input).toString());
const jsonFiles = (name) => (existsSync(name) ? readdirSync(name).filter((f) => f.endsWith('.json')) : []);
const textOf = (entry) => (entry.text === undefined ? Buffer.from(entry.bytes_hex, 'hex') : entry.text);

// Each golden text is one run of two programs; every so manieth is enough beside the unit tests.
function tokenizesAsGolden(base, name, every) {
  const cases = JSON.parse(readFileSync(path.join(base, name), 'utf8'));
  const vocabulary = path.join(base, 'vocab', path.basename(cases.vocabulary));
  for (const [index, entry] of cases.texts.entries()) {
    if (index % every !== 0 || entry.note !== undefined) continue;
    const text = textOf(entry);
    for (const [flags, ids] of [[[], entry.ids], [['--add-special'], entry.ids_add_special],
      [['--parse-special'], entry.ids_parse_special],
      [['--add-special', '--parse-special'], entry.ids_add_and_parse_special]]) {
      assert.deepEqual(goodJson(['model', 'tokenize', vocabulary, ...flags], text), ids,
        `${name} text ${index} ${flags.join(' ')}`);
    }
  }
}

for (const name of jsonFiles(path.join(goldenFolder, 'tokenizers'))) {
  test(`tokenize: ${name}`, () => tokenizesAsGolden(path.join(goldenFolder, 'tokenizers'), name, 10));
}

const largeTokenizers = path.join(largeGolden, 'tokenizers');
test('tokenize: every vocabulary of the larger golden set', { skip: !existsSync(largeTokenizers) }, () => {
  for (const name of jsonFiles(largeTokenizers)) tokenizesAsGolden(largeTokenizers, name, 20);
});

test('render: the golden conversations, with their templates', () => {
  let cases = 0;
  for (const name of jsonFiles(path.join(goldenFolder, 'templates'))) {
    const data = JSON.parse(readFileSync(path.join(goldenFolder, 'templates', name), 'utf8'));
    const source = path.join(goldenFolder, 'templates/source', path.basename(data.template));
    if (readFileSync(source, 'utf8').includes('strftime_now')) continue;  // asks for today's date
    for (const one of data.cases) {
      const variables = { messages: one.messages, add_generation_prompt: one.add_generation_prompt,
        bos_token: data.bos_token, eos_token: data.eos_token };
      if (one.tools !== undefined && one.tools !== null) variables.tools = one.tools;
      const ran = ctl(['model', 'render', demoModel, '--template', source], JSON.stringify(variables));
      cases += 1;
      if (one.error !== undefined) {
        assert.equal(ran.code, 1, `${name}: an error was expected`);
        assert.match(ran.err, /chat template: /);
      } else {
        assert.deepEqual([ran.code, ran.out.toString()], [0, one.expected], `${name}: ${ran.err}`);
      }
    }
  }
  assert.ok(cases > 50, `only ${cases} cases`);
});

test("render: the model's own template gives the golden prompts", () => {
  const chats = golden.cases.filter((one) => one.kind === 'chat');
  assert.ok(chats.length > 0);
  for (const one of chats) {
    const variables = JSON.stringify({ messages: one.messages, add_generation_prompt: true });
    assert.equal(good(['model', 'render', demoModel], variables).toString(), one.prompt_text);
  }
});

test('render: what cannot be rendered is said', () => {
  for (const [input, reason] of [
    ['{"messages": [', /not valid JSON/],
    ['{"tools": []}', /"messages", an array/],
    [`{"messages": ${'['.repeat(100)}${']'.repeat(100)}}`, /nested deeper than 64/],
    ['[]', /one JSON object/],
  ]) {
    const ran = ctl(['model', 'render', demoModel], input);
    assert.equal(ran.code, 1);
    assert.match(ran.err, reason);
    assert.equal(ran.out.length, 0);
  }
});

test('info: numbers of the demo model', () => {
  const info = goodJson(['model', 'info', demoModel, '--json']);
  assert.equal(info.architecture, 'bitnet-b1.58');
  assert.equal(info.supported, true);
  assert.deepEqual(info.reasons, []);
  assert.equal(info.parameters, 5_252_352);
  assert.deepEqual([info.shape.layers, info.shape.hidden, info.shape.ffn, info.shape.heads,
    info.shape.kv_heads, info.shape.context], [6, 256, 768, 4, 2, 512]);
  assert.deepEqual(info.types.map((t) => [t.type, t.tensors]), [['I2_S', 42], ['F16', 1], ['F32', 25]]);
  assert.equal(info.types.reduce((sum, t) => sum + t.parameters, 0), info.parameters);
  assert.deepEqual(info.vocabulary.bos, { id: 2043, text: '<|begin_of_text|>' });
  assert.equal(info.vocabulary.tokens, 2048);
  assert.equal(info.tensors.length, 68);
  const table = good(['model', 'info', demoModel]).toString();
  assert.match(table, /^architecture +bitnet-b1\.58$/m);
  assert.match(table, /^served +yes$/m);
});

test('info: describes what it does not serve, and says why', () => {
  const file = path.join(goldenFolder, 'hostile/unknown-architecture.gguf');
  const info = goodJson(['model', 'info', file, '--json']);
  assert.equal(info.supported, false);
  assert.match(info.reasons.join(), /architecture 'lama' is not supported/);
  const vocabulary = readdirSync(path.join(goldenFolder, 'tokenizers/vocab'))[0];
  const without = goodJson(['model', 'info', path.join(goldenFolder, 'tokenizers/vocab', vocabulary), '--json']);
  assert.equal(without.tensors.length, 0);
  assert.ok(without.vocabulary.tokens > 0);
});

test('verify: the demo model is good, and its report has the promised shape', () => {
  const report = goodJson(['model', 'verify', demoModel, '--json']);
  assert.deepEqual(Object.keys(report),
    ['file', 'ok', 'format', 'architecture', 'bytes', 'tensors', 'accuracy', 'findings']);
  assert.equal(report.file, demoModel);
  assert.equal(report.ok, true);
  assert.deepEqual(report.findings, []);
  const layer = report.tensors.find((tensor) => tensor.name === 'blk.0.attn_q.weight');
  assert.deepEqual(Object.keys(layer.statistics),
    ['kind', 'scales', 'scale_min', 'scale_max', 'minus', 'zero', 'plus']);
  assert.ok(Math.abs(layer.statistics.minus + layer.statistics.zero + layer.statistics.plus - 1) < 1e-9);
  assert.deepEqual(report.accuracy.types.map((type) => type.type), ['F16', 'I2_S']);
  for (const type of report.accuracy.types) assert.ok(type.ratio > 0.999 && type.ratio <= 1, type);
  assert.equal(report.accuracy.self_test.ok, true);
  const text = good(['model', 'verify', demoModel]).toString();
  assert.match(text, /^accuracy +I2_S +0\.999/m);
  assert.match(text, /^self-test passed: scalar/m);
  assert.match(text, /^ok: 68 tensors, /m);
});

// What a refusal names, for files whose reason is a tensor or a key.
const named = {
  'i2s-code-3.gguf': /'blk\.0\.ffn_up\.weight'.*code 3/,
  'i2s-scale-nan.gguf': /'blk\.0\.ffn_down\.weight'.*nan/,
  'missing-tensor.gguf': /blk\.0\.ffn_up\.weight is missing/,
  'unknown-tensor.gguf': /'blk\.0\.attn_gate\.weight'/,
  'kv-heads-zero.gguf': /key llama\.attention\.head_count_kv is 0/,
  'no-tokens.gguf': /key tokenizer\.ggml\.tokens is missing/,
  'vocab-mismatch.gguf': /'token_embd\.weight' is 48x128/,
  'duplicate-key.gguf': /'llama\.block_count' occurs twice/,
  'duplicate-tensor.gguf': /'blk\.0\.attn_k\.weight' occurs twice/,
  'data-truncated.gguf': /'output_norm\.weight'/,
  'offset-misaligned.gguf': /'blk\.0\.attn_q\.weight'/,
  'offset-wraps.gguf': /'output_norm\.weight'/,
  'tensors-overlap.gguf': /'blk\.0\.attn_k\.weight'.*'blk\.0\.attn_v\.weight'/,
  'row-not-block.gguf': /'blk\.0\.attn_k\.weight'.*128/,
  'dims-wrap.gguf': /'blk\.0\.attn_norm\.weight'/,
  'alignment-24.gguf': /key general\.alignment is 24/,
  'unknown-architecture.gguf': /architecture 'lama'/,
};

const hostile = JSON.parse(readFileSync(path.join(goldenFolder, 'hostile/index.json'), 'utf8'));
for (const one of hostile) {
  test(`verify: ${one.file}: ${one.what}`, () => {
    const ran = ctl(['model', 'verify', path.join(goldenFolder, 'hostile', one.file), '--json']);
    const report = JSON.parse(ran.out.toString());
    assert.equal(ran.err, '');
    assert.equal(ran.code, one.must === 'load' ? 0 : 1);
    assert.equal(report.ok, one.must === 'load', JSON.stringify(report.findings));
    const errors = report.findings.filter((finding) => finding.severity === 'error');
    assert.equal(errors.length > 0, one.must === 'refuse');
    const reasons = errors.map((finding) => `${finding.subject}: ${finding.message}`).join('\n');
    assert.match(reasons, named[one.file] ?? /^/);
  });
}

const largeModels = path.join(largeGolden, 'models');
test('verify, convert, verify: every model of the larger golden set', { skip: !existsSync(largeModels) }, () => {
  for (const name of readdirSync(largeModels)) {
    if (name === 'golden' || name.includes('-00002-of-')) continue;
    const model = path.join(largeModels, name);
    const numbers = path.join(largeModels, 'golden', `${name.replace(/(-00001-of-00002)?\.gguf$/, '')}.json`);
    const { tiles = {} } = JSON.parse(readFileSync(numbers, 'utf8'));
    const flags = Object.entries(tiles).length === 0 ? [] : ['--tl-tiles', Object.entries(tiles)
      .map(([shape, tile]) => `${shape.replaceAll(' ', '')}=${tile.join(',')}`).join(';')];
    const before = goodJson(['model', 'verify', model, '--json', ...flags]);
    const out = path.join(folder, 'large.gguf');
    goodJson(['model', 'convert', model, out, '--force', '--json', ...flags]);
    const converted = goodJson(['model', 'verify', out, '--json']);
    // The same weights: shares of digits and scales of each ternary tensor are the same numbers.
    for (const tensor of before.tensors.filter((t) => t.statistics.kind === 'ternary')) {
      const found = converted.tensors.find((t) => t.name === tensor.name);
      const { scales: was, ...values } = tensor.statistics;
      const { scales: is, ...same } = found.statistics;
      assert.ok(was >= is && is === 1);
      assert.deepEqual(same, values, `${name} ${tensor.name}`);
    }
  }
});

const dataOf = (file) => {
  const { tensors } = goodJson(['model', 'info', file, '--json']);
  const bytes = tensors.reduce((sum, tensor) => sum + Math.ceil(tensor.bytes / 32) * 32, 0);
  return readFileSync(file).subarray(-bytes);
};

test('convert: there and back is the same tensor data, byte for byte', () => {
  for (const type of ['TQ2_0', 'TQ1_0', 'F16', 'BF16', 'F32']) {
    const there = path.join(folder, `there-${type}.gguf`);
    const back = path.join(folder, `back-${type}.gguf`);
    const report = goodJson(['model', 'convert', demoModel, there, '--type', type, '--json']);
    assert.deepEqual([report.ternary, report.rounded], [42, []]);
    goodJson(['model', 'convert', there, back, '--type', 'i2_s', '--json']);
    assert.ok(dataOf(back).equals(dataOf(demoModel)), type);
    good(['model', 'verify', there]);
  }
  const tq2 = path.join(goldenFolder, 'demo-model/bitnet-tiny-stories-5m-tq2_0.gguf');
  assert.ok(dataOf(path.join(folder, 'there-TQ2_0.gguf')).equals(dataOf(tq2)));
});

// Greedy text of a few golden cases from a server of that model.
async function servesGolden(model) {
  const server = await Server.start(['--model', `demo=${model}`], { model: false });
  try {
    for (const one of golden.cases.slice(0, 4)) {
      const answer = await request(server, 'POST', '/v1/completions',
        { prompt: one.prompt_ids, max_tokens: 64, temperature: 0 });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.choices[0].text, one.greedy_text);
    }
  } finally {
    await server.stop();
  }
}

test('convert, then serve: golden text', async () => {
  const file = path.join(folder, 'served.gguf');
  good(['model', 'convert', demoModel, file, '--type', 'TQ1_0']);
  await servesGolden(file);
});

test('convert a checkpoint of masters, then serve', { skip: !existsSync(demoCheckpoint) }, async () => {
  for (const type of ['F16', 'I2_S']) {
    const file = path.join(folder, `hf-${type}.gguf`);
    const report = goodJson(['model', 'convert', demoCheckpoint, file, '--type', type, '--json']);
    assert.equal(report.ternary, 42);
    good(['model', 'verify', file]);
    await servesGolden(file);
  }
});

test('convert: never overwrites, and leaves nothing behind when it fails', () => {
  const out = path.join(folder, 'kept.gguf');
  writeFileSync(out, 'precious');
  const refused = ctl(['model', 'convert', demoModel, out]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /kept\.gguf exists; .*--force/);
  assert.equal(readFileSync(out, 'utf8'), 'precious');

  const broken = path.join(folder, 'broken.gguf');
  const bad = ctl(['model', 'convert', path.join(goldenFolder, 'hostile/i2s-code-3.gguf'), broken]);
  assert.equal(bad.code, 1);
  assert.match(bad.err, /tensor 'blk\.0\.ffn_up\.weight': row 2, column 77: code 3/);
  assert.equal(existsSync(broken) || existsSync(`${broken}.partial`), false);

  writeFileSync(`${broken}.partial`, 'of a run that was killed');
  const stale = ctl(['model', 'convert', demoModel, broken]);
  assert.equal(stale.code, 1);
  assert.match(stale.err, /broken\.gguf\.partial exists: an earlier run/);
  good(['model', 'convert', demoModel, broken, '--force']);
  assert.equal(existsSync(`${broken}.partial`), false);
  good(['model', 'convert', demoModel, out, '--force']);
  assert.ok(dataOf(out).equals(dataOf(demoModel)));
});

test('convert: a file that may not grow is said, and its beginning taken away', () => {
  const out = path.join(folder, 'limited.gguf');
  // 512-byte units; the model needs 2.3 MB.
  const ran = spawnSync('/bin/sh', ['-c', 'ulimit -f 1000; exec "$0" model convert "$1" "$2"',
    program, demoModel, out], { timeout: patienceMs });
  assert.equal(ran.status, 1);
  assert.match(ran.stderr.toString(), /SIGXFSZ.*larger than this user may write/);
  assert.equal(existsSync(out) || existsSync(`${out}.partial`), false);
});

// A pipe that nobody fills keeps tokenize reading; a signal must end it as signals end programs.
test('a signal ends it, and is seen by the shell', async () => {
  const child = spawn(program, ['model', 'tokenize', demoModel], { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve([code, signal])));
  await new Promise((resolve) => child.on('spawn', resolve));
  child.kill('SIGINT');
  assert.deepEqual(await ended, [null, 'SIGINT']);
});

test('usage errors are exit code 2, unreadable files 1', () => {
  for (const args of [[], ['model'], ['model', 'info'], ['model', 'convert', 'a', 'b', '--type', 'Q9_9'],
    ['model', 'verify', 'a', '--tl-tiles', 'nonsense']]) {
    const ran = ctl(args);
    assert.equal(ran.code, 2, args.join(' '));
    assert.match(ran.err, /^bitnetctl: .*--help/);
  }
  const missing = ctl(['model', 'info', path.join(folder, 'absent.gguf')]);
  assert.equal(missing.code, 1);
  assert.match(missing.err, /absent\.gguf.*No such file/s);
  for (const args of [['--help'], ['model', '--help'], ['model', 'convert', '--help']]) {
    assert.match(good(args).toString(), /Exit code: 0 done, 1 refused or failed/);
  }
});
