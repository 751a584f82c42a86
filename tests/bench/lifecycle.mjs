// ./dev bench lifecycle: what deaths and changes cost. Prints p50, p99 and the largest of each beside the
// aim; nothing is asserted about time.
//   --rounds N     kills, per figure (50); a tenth of it changes of each kind, at least 5
//   --model FILE   restarts of a worker of this model too (bench model --shape 2b4t --write FILE makes one)
//   --json         one JSON object instead of the table
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { underLoad } from '../e2e/load.mjs';
import { Server, bin, demoModel, request, streamCompletion } from '../e2e/server.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '50' },
    model: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  const head = readFileSync(new URL(import.meta.url), 'utf8').split('\nimport ')[0];
  console.log(head.replace(/^\/\/ ?/gm, ''));
  process.exit(0);
}
const rounds = Number(options.rounds);
const changes = Math.max(5, Math.floor(rounds / 10));

const results = [];
function note(name, samples, aim = '') {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  const row = { name, count: sorted.length, p50_ms: at(0.5), p99_ms: at(0.99), max_ms: sorted.at(-1), aim };
  results.push(row);
  if (!options.json) {
    const ms = (value) => value.toFixed(1).padStart(9);
    console.log(`${name.padEnd(44)}${String(row.count).padStart(5)}${ms(row.p50_ms)}${ms(row.p99_ms)}${ms(row.max_ms)}  ${aim}`);
  }
}

async function withServer(args, run, start) {
  const server = await Server.start(args, start);
  try {
    await run(server);
  } finally {
    await server.stop();
  }
}

const timeOf = (event) => Date.parse(event.time);
const isReady = (e) => e.event === 'worker_ready' && e.pid;

// --- deaths --------------------------------------------------------------------------------------

// The worker that has a sequence, while one stream is all there is.
function busyWorker(server) {
  const shown = execFileSync(path.join(bin, 'bitnet-shmdump'), ['--control', server.control, '--json'],
    { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(shown).find((item) => item.alive && item.contents?.worker?.slots_used > 0)?.contents.pid;
}

// Milliseconds between the last token before a worker's death and the first one after. Tokens that were
// published before it may still arrive, so it is the longest pause since.
async function resume(server, seed) {
  const body = { prompt: 'Once upon a time', temperature: 0.8, seed, max_tokens: 450, ignore_eos: true };
  const times = [];
  let killedAt = -1;
  await streamCompletion(server, body, {
    onEvent: () => {
      times.push(performance.now());
      if (killedAt >= 0 || times.length < 20) return;
      const pid = busyWorker(server);
      if (pid === undefined) return;
      killedAt = times.length - 1;
      process.kill(pid, 'SIGKILL');
      times[killedAt] = performance.now();  // the look before took some time
    },
  });
  if (killedAt < 0) return undefined;  // it was over before
  return Math.max(...times.slice(killedAt + 1).map((time, i) => time - times[killedAt + i]));
}

// From a death to the next worker in its place, by the log.
function restarts(server) {
  const found = [];
  server.events.forEach((death, i) => {
    if (death.event !== 'worker_died') return;
    const ready = server.events.slice(i).find((e) => isReady(e) && e.worker === death.worker);
    if (ready) found.push(timeOf(ready) - timeOf(death));
  });
  return found;
}

async function measureDeaths(workers) {
  await withServer(['--workers', String(workers)], async (server) => {
    const pauses = [];
    for (let i = 0; pauses.length < rounds; ++i) {
      const from = server.events.length;
      const pause = await resume(server, i);
      if (pause === undefined) continue;
      pauses.push(pause);
      await server.event(isReady, from);
    }
    const words = `${workers} worker${workers > 1 ? 's' : ''}`;
    note(`resume after kill -9, ${words}`, pauses, 'p99 <= 100 ms');
    note(`restart of a worker to ready, ${words}`, restarts(server), '< 100 ms');
  });
}

async function measureRestarts(model) {
  await withServer(['--model', `big=${model}`], async (server) => {
    for (let i = 0; i < changes; ++i) {
      const from = server.events.length;
      process.kill(server.workers()[0], 'SIGKILL');
      await server.event(isReady, from);
    }
    note(`restart of a worker to ready, ${path.basename(model)}`, restarts(server), '< 1000 ms');
  }, { model: false });
}

// --- changes -------------------------------------------------------------------------------------

const rolloutEnds = async (server, from) => {
  const ended = await server.event((e) => e.event === 'rollout_ended', from);
  if (ended.outcome !== 'completed') throw new Error(JSON.stringify(ended));
  return ended;
};

async function swaps(server, models) {
  const took = [];
  for (let i = 0; i < changes; ++i) {
    const from = server.events.length;
    await request(server, 'POST', '/v1/models/swap', { model_id: 'demo', model_path: models[(i + 1) % 2] });
    took.push((await rolloutEnds(server, from)).total_ms);
  }
  return took;
}

// The pid stays; the pause is from the last line of the old program to the first of the new one.
async function upgrades(server) {
  const paused = [];
  const took = [];
  for (let i = 0; i < changes; ++i) {
    const from = server.events.length;
    const sent = Date.now();
    server.process.kill('SIGUSR2');
    const taken = await server.event((e) => e.event === 'taken_over', from);
    paused.push(timeOf(taken) - timeOf(server.events.slice(from).find((e) => e.event === 'starting')));
    took.push(timeOf(await rolloutEnds(server, from)) - sent);
  }
  return { paused, took };
}

async function reloads(server, file) {
  const live = [];
  const rolled = [];
  for (let i = 0; i < changes; ++i) {
    const tokens = 300 + i;
    const hup = async (text, done) => {
      const from = server.events.length;
      writeFileSync(file, text);
      const sent = Date.now();
      server.process.kill('SIGHUP');
      return timeOf(await done(from)) - sent;
    };
    const reloaded = (from) => server.event((e) => e.event === 'reload', from);
    rolled.push(await hup(`[worker]\nstep_tokens_max = ${tokens}\n`, (from) => rolloutEnds(server, from)));
    live.push(await hup(`[worker]\nstep_tokens_max = ${tokens}\n[server]\nkill_grace_ms = ${1900 + i}\n`, reloaded));
  }
  return { live, rolled };
}

async function measureChanges(name, under) {
  const folder = mkdtempSync(path.join(tmpdir(), 'bitnetd-bench-'));
  const file = path.join(folder, 'bitnetd.toml');
  const models = ['a.gguf', 'b.gguf'].map((model) => path.join(folder, model));
  for (const model of models) copyFileSync(demoModel, model);
  writeFileSync(file, '');
  try {
    await withServer(['--config', file, '--workers', '2', '--model', `demo=${models[0]}`, `--server.models_dir=${folder}`],
      async (server) => {
        note(`roll of a model, ${name}`, await under(server, () => swaps(server, models)));
        const upgraded = await under(server, () => upgrades(server));
        note(`USR2: the supervisor's own pause, ${name}`, upgraded.paused);
        note(`USR2 to the last new process, ${name}`, upgraded.took);
        const reloaded = await under(server, () => reloads(server, file));
        note(`HUP, nothing to replace, ${name}`, reloaded.live);
        note(`HUP, workers replaced, ${name}`, reloaded.rolled);
      }, { model: false });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (!options.json) console.log(`${'milliseconds'.padEnd(44)}count      p50      p99      max  aim`);
await measureDeaths(2);
await measureDeaths(1);
if (options.model) await measureRestarts(options.model);
await measureChanges('idle', (server, change) => change());
await measureChanges('100 streams', underLoad);
if (options.json) console.log(JSON.stringify(results, null, 2));
