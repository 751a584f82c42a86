// Goal: ./dev bench serve measures a real server without an error, and its report adds up: every
// request is counted once, tokens are as many as were asked for, the same request got the same text.
// Method: the load generator of this build for a second or less a stage, on a server of its own and on
// one that runs: closed and open loops, streams and whole answers, an overload with retries. Figures
// are compared with each other, never with a time.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Server, bin } from './server.mjs';

const outputTokens = 8;

// Runs the generator; returns its exit status, what it printed and its JSON report.
async function bench(...args) {
  const directory = mkdtempSync(path.join(tmpdir(), 'bitnetd-e2e-'));
  const file = path.join(directory, 'report.json');
  try {
    const child = spawn(path.join(bin, 'bench_serve'),
      ['--output-tokens', String(outputTokens), '--warmup', '0', '--json', file, ...args],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, BITNETD_BIN: bin } });
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { printed += chunk; });
    const status = await new Promise((resolve) => child.on('close', resolve));
    let report;
    try {
      report = JSON.parse(readFileSync(file, 'utf8'));
    } catch {
      report = undefined;
    }
    return { status, printed, report };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function checkStage(stage, printed) {
  assert.equal(stage.errors, 0, printed);
  assert.equal(stage.failed, 0, printed);
  assert.ok(stage.answered > 0, printed);
  assert.equal(stage.output_tokens, stage.answered * outputTokens, printed);
  assert.equal(stage.whole_ms.count, stage.answered);
  assert.equal(stage.refuse_ms.count, stage.refused);
  assert.equal(stage.late_ms.count, stage.answered + stage.refused);
  assert.equal(Object.values(stage.refusals).reduce((sum, count) => sum + count, 0), stage.refused);
  for (const latency of Object.values(stage).filter((value) => value?.p50 !== undefined)) {
    for (const [low, high] of [['min', 'p50'], ['p50', 'p90'], ['p90', 'p99'], ['p99', 'p999'], ['p999', 'max']]) {
      assert.ok(latency[low] <= latency[high], `${low} <= ${high}: ${JSON.stringify(latency)}`);
    }
  }
  assert.ok(stage.first_text_ms.max <= stage.whole_ms.max);
}

test('closed and open loops on a server of its own', async () => {
  const { status, printed, report } = await bench('--clients', '1,8', '--rates', '20,0.5x', '--duration', '1',
    '--prompt-tokens', 'uniform:4..40', '--mix', 'both', '--shared-prefix', '4', '--priority', 'high,low',
    '--temperature', '0.8', '--check-same=5', '--transport', 'unix');
  assert.equal(status, 0, printed);
  assert.equal(report.stages.length, 4);
  for (const stage of report.stages) {
    checkStage(stage, printed);
    assert.deepEqual(Object.keys(stage.classes).sort(), ['high', 'long', 'low', 'short']);
    const { short, long, high, low } = stage.classes;
    assert.equal(short.first_text_ms.count + long.first_text_ms.count, stage.first_text_ms.count);
    assert.equal(high.first_text_ms.count + low.first_text_ms.count, stage.first_text_ms.count);
    assert.ok(stage.machine.memory_pss_bytes.length >= 2);
    assert.ok('bitnetd-worker' in stage.machine.server_cores, JSON.stringify(stage.machine));
  }
  const [one, eight, , half] = report.stages;
  assert.equal(one.in_flight_max, 1);
  assert.equal(one.client_fairness, 1);
  assert.ok(eight.in_flight_max > 1 && eight.in_flight_max <= 8);
  assert.equal(half.rate_s, 0.5 * Math.max(one.requests_s, eight.requests_s));
  assert.ok(report.same_texts.compared > 0);
  assert.equal(report.same_texts.differences, 0, report.same_texts.first_difference);
});

test('so many requests of a running server, streamed or whole', async () => {
  const server = await Server.start();
  try {
    for (const form of ['--stream', '--no-stream']) {
      const { status, printed, report } = await bench('--url', server.url, '--clients', '3',
        '--duration', '0', '--requests', '20', '--model-id', 'demo', form);
      assert.equal(status, 0, printed);
      const [stage] = report.stages;
      checkStage(stage, printed);
      assert.equal(stage.answered, 20);
      assert.equal(stage.first_text_ms.count > 0, form === '--stream');
    }
  } finally {
    await server.stop();
  }
});

test('who is refused is counted, and comes back when told to', async () => {
  const { status, printed, report } = await bench('--clients', '4', '--rates', '8x', '--duration', '1', '--retry', '2',
    '--server-flags', '--dispatch.queue_depth_max=1 --worker.slots_max=1');
  assert.equal(status, 0, printed);
  const [, overload] = report.stages;
  checkStage(overload, printed);
  assert.ok(overload.refused > 0, printed);
  const { retry } = overload;
  assert.ok(retry.refused_first > 0 && retry.retried_first <= retry.refused_first, printed);
  assert.ok(retry.accepted_first <= retry.retried_first, printed);
});

test('an answer that is none makes the run fail', async () => {
  const { status, printed, report } = await bench('--clients', '1', '--duration', '0', '--requests', '3',
    '--vocabulary', '1000000');
  assert.equal(status, 1, printed);
  assert.equal(report.stages[0].errors, 3);
  assert.deepEqual(report.stages[0].error_reasons, { '400 invalid_value': 3 });
});
