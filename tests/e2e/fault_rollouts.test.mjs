// Goal: what an operator changes under full load is felt by nobody: not when it works, twenty times in a
// row, and not when the new version's loader crashes or its answers are wrong.
// Method: 100 streams (load.mjs) while models are swapped, loaders are killed, and a configuration comes
// that makes tokens up; every stream is compared. As many changes as fit into BITNETD_FAULT_SECONDS.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { random, seconds, seed, underLoad } from './load.mjs';
import { Server, demoModel, request } from './server.mjs';

// Little is asked for, so that many changes fit in; each is seen by at least so many requests.
const canary = ['--rollout.canary_copies=4', '--rollout.canary_copies_permille=1000',
  '--rollout.canary_share_requests=4', '--rollout.canary_share_permille=500', '--rollout.speed_ratio_min_permille=0'];

// Two workers on one of two copies of the demo model, which may be swapped, and a configuration file.
async function withModels(settings, run) {
  const folder = mkdtempSync(path.join(tmpdir(), 'bitnetd-fault-'));
  const file = path.join(folder, 'bitnetd.toml');
  const models = ['a', 'b'].map((name) => path.join(folder, 'models', `${name}.gguf`));
  mkdirSync(path.join(folder, 'models'));
  for (const model of models) copyFileSync(demoModel, model);
  writeFileSync(file, settings);
  let server;
  try {
    server = await Server.start(['--config', file, '--model', `demo=${models[0]}`, '--workers', '2',
      `--server.models_dir=${path.join(folder, 'models')}`, `--server.state_dir=${folder}`, ...canary],
    { model: false });
    await run(server, { file, models });
  } finally {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const swap = (server, model) =>
  request(server, 'POST', '/v1/models/swap', { model_id: 'demo', model_path: model });

async function assertHealthy(server) {
  const { json, text } = await request(server, 'GET', '/health');
  assert.equal(json.status, 'healthy', text);
}

test('rolls in a row, forth, back and restarted, lose nothing', async () => {
  await withModels('', async (server, { models }) => {
    const rolls = Math.max(4, Math.min(20, Math.floor(seconds / 2)));
    const incarnations = await underLoad(server, async (load) => {
      for (let i = 0; i < rolls && load.goes; ++i) {
        // Every third one is the way back.
        const answer = i % 3 === 2 ? await request(server, 'POST', '/v1/models/rollback', { model_id: 'demo' })
          : await swap(server, models[(i + 1) % 2]);
        assert.equal(answer.status, 200, answer.text);
        await load.further(1);
      }
      return server.events.filter((e) => e.event === 'worker_ready' && e.pid).length;
    });
    console.log(`seed ${seed}: ${rolls} rolls, ${incarnations} workers were ready`);
    assert.equal(incarnations, 2 * (rolls + 1));
    await assertHealthy(server);
  });
});

// It ends within the time that a load takes, so some of these swaps are done before they are hit.
async function killLoader(server, from, draw) {
  const { pid } = await server.event((e) => e.event === 'model_loading' && e.pid, from);
  await delay(draw() * 150);
  try {
    process.kill(pid, 'SIGSEGV');
  } catch (error) {
    assert.equal(error.code, 'ESRCH');
  }
}

test('a loader that crashes during a swap costs the swap and nothing else', async () => {
  await withModels('', async (server, { models }) => {
    const draw = random();
    let failed = 0;
    await underLoad(server, async (load) => {
      for (const end = Date.now() + seconds * 1000; load.goes && (Date.now() < end || failed === 0);) {
        const from = server.events.length;
        const [answer] = await Promise.all([swap(server, models[1]), killLoader(server, from, draw)]);
        const crashed = server.events.slice(from).find((e) => e.event === 'model_refused');
        if (answer.status === 200 && !crashed) continue;  // it was too late
        assert.equal(answer.status, 422, answer.text);
        assert.match(answer.text, /signal 11/);
        ++failed;
      }
    });
    console.log(`seed ${seed}: ${failed} swaps failed with their loader`);
    await assertHealthy(server);
    const answer = await swap(server, models[0]);
    assert.equal(answer.status, 200, answer.text);
  });
});

// Writes the configuration, sends HUP and waits for the rollout to end.
async function reload(server, file, settings) {
  const from = server.events.length;
  writeFileSync(file, settings);
  server.process.kill('SIGHUP');
  return server.event((e) => e.event === 'rollout_ended', from);
}

test('a canary that answers wrongly is rolled back before any client hears it', async () => {
  const good = '[speculation]\nmode = "off"\n';
  await withModels('', async (server, { file }) => {
    await underLoad(server, async (load) => {
      for (const end = Date.now() + seconds * 500; load.goes && Date.now() < end;) {
        const ended = await reload(server, file, '[worker]\nnull_model = 1\n');
        assert.equal(ended.outcome, 'rolled_back', JSON.stringify(ended));
        assert.match(ended.reason, /answered otherwise/);
        await load.further(100);
      }
      const ended = await reload(server, file, good);
      assert.equal(ended.outcome, 'completed', JSON.stringify(ended));
    });
    await assertHealthy(server);
  });
});
