// ./dev bench http: what the HTTP layer costs. Every figure stands beside its limit, taken in the same
// run on the same cores: /health beside nginx's `return 200` under the same client, streamed tokens
// beside a bare epoll + write loop that sends the same bytes. Nothing is asserted.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Server, bin, demoModel } from '../e2e/server.mjs';

const seconds = Number(process.argv[2] ?? 5);
const rounds = 3;
const directory = mkdtempSync(path.join(tmpdir(), 'bitnetd-bench-'));
const cores = execFileSync('nproc', { encoding: 'utf8' }).trim() > 1;
const onCore = (core, command) => (cores ? ['taskset', '-c', String(core), ...command] : command);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const pin = (pid, core) => cores && execFileSync('taskset', ['-acp', String(core), String(pid)]);

function wrk(url) {
  const [command, ...args] = onCore(1, ['wrk', '-t1', '-c100', `-d${seconds}s`, url]);
  const output = execFileSync(command, args, { encoding: 'utf8' });
  const errors = /Non-2xx|Socket errors/.exec(output);
  if (errors) throw new Error(output);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(output)[1]);
}

function startNginx() {
  const config = path.join(directory, 'nginx.conf');
  const socket = 18000 + (process.pid % 2000);
  writeFileSync(config, `daemon off; worker_processes 1; error_log stderr crit; pid ${directory}/nginx.pid;
    events { worker_connections 1024; }
    http { access_log off; keepalive_requests 100000000;
      server { listen 127.0.0.1:${socket}; location / { default_type application/json; return 200 "{}"; } } }`);
  const [command, ...args] = onCore(0, ['nginx', '-c', config, '-p', directory]);
  return { process: spawn(command, args, { stdio: 'inherit' }), url: `http://127.0.0.1:${socket}/` };
}

async function until(check) {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline;) {
    try {
      return await check();
    } catch {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  throw new Error('it did not come up');
}

const bench = path.join(bin, 'bench_http');
function clientCommand(port, { seconds: length = seconds, record } = {}) {
  const extra = record ? ['--record', record] : [];
  return onCore(1, [bench, 'client', '--port', port, '--seconds', length, '--tokens', 400, ...extra].map(String));
}

function client(port, options) {
  const [command, ...args] = clientCommand(port, options);
  return JSON.parse(execFileSync(command, args, { encoding: 'utf8' }));
}

// Processor time of a process, all its threads, in seconds.
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function bare(replay, eventsPerWrite) {
  const [command, ...args] = onCore(0, [bench, 'bare', '--replay', replay, '--events-per-write', String(eventsPerWrite)]);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise((resolve) => createInterface({ input: child.stdout }).once('line', resolve));
  const before = cpuSeconds(child.pid);
  const result = client(port);
  result.cpu_us_per_event = 1e6 * (cpuSeconds(child.pid) - before) / (result.events_s * result.seconds);
  child.kill();
  return result;
}

// What one event costs the frontend's processor at a pace it keeps up with: one token an event.
async function paced() {
  const server = await Server.start([...nullModel, '--worker.null_step_us=2000']);
  const [frontend] = server.children('bitnetd-frontend');
  pin(frontend, 0);
  for (const pid of server.workers()) pin(pid, 1);
  const replay = path.join(directory, 'paced');
  client(server.port, { seconds: 1, record: replay });
  const before = cpuSeconds(frontend);
  const result = client(server.port);
  result.cpu_us_per_event = 1e6 * (cpuSeconds(frontend) - before) / (result.events_s * result.seconds);
  await server.stop();
  return { ...result, bare: await bare(replay, 1) };
}

const nullModel = ['--worker.null_model=1', '--worker.threads=1', '--worker.pin=0', '--dispatch.queue_depth_max=100000'];
const resident = (pid) => 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

async function idleStreams(count) {
  const server = await Server.start([...nullModel, '--server.hang_timeout_ms=600000'], { model: true });
  const [frontend] = server.children('bitnetd-frontend');
  client(server.port, { seconds: 1 });  // warm: the heap has grown to its working size
  for (const pid of server.workers()) process.kill(pid, 'SIGSTOP');
  const before = resident(frontend);
  const hold = spawn(bench, ['hold', '--port', String(server.port), '--streams', String(count)], { stdio: ['pipe', 'pipe', 'inherit'] });
  await new Promise((resolve) => createInterface({ input: hold.stdout }).once('line', resolve));
  await until(async () => {
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    const active = Number(/^bitnet_active_requests\{[^}]*\} (\d+)/m.exec(metrics)[1]);
    if (active < count) throw new Error('not yet');
  });
  const after = resident(frontend);
  hold.stdin.end();
  for (const pid of server.workers()) process.kill(pid, 'SIGCONT');
  await server.stop();
  return (after - before) / count;
}

try {
  console.log(`model ${path.basename(demoModel)}; ${cores ? 'server on core 0, client on core 1' : 'one core for all'}; medians of ${rounds} x ${seconds} s`);
  const nginx = startNginx();
  await until(() => fetch(nginx.url));
  const server = await Server.start(nullModel);
  const [frontend] = server.children('bitnetd-frontend');
  pin(frontend, 0);
  for (const pid of server.workers()) pin(pid, 1);
  const [health, limit] = [[], []];
  for (let i = 0; i < rounds; ++i) {
    limit.push(wrk(nginx.url));
    health.push(wrk(`${server.url}/health`));
  }
  console.log(`nginx return 200      ${median(limit).toFixed(0)} requests/s`);
  console.log(`/health               ${median(health).toFixed(0)} requests/s = ${(100 * median(health) / median(limit)).toFixed(0)} % of nginx`);
  nginx.process.kill();

  const replay = path.join(directory, 'response');
  client(server.port, { record: replay });
  const runs = { bitnetd: [], one: [], coalesced: [] };
  const busy = [];
  let tokensPerEvent = 1;
  let perRead = 1;
  for (let i = 0; i < rounds; ++i) {
    const before = cpuSeconds(frontend);
    const run = client(server.port);
    busy.push((cpuSeconds(frontend) - before) / run.seconds);
    perRead = Math.max(1, Math.round(run.events_per_read));
    tokensPerEvent = run.tokens_s / run.events_s;
    runs.bitnetd.push(run.tokens_s);
    runs.coalesced.push((await bare(replay, perRead)).tokens_s);
    runs.one.push((await bare(replay, 1)).tokens_s);
  }
  const percent = (part, whole) => `${(100 * median(part) / median(whole)).toFixed(0)} %`;
  console.log(`streamed, 100 clients ${median(runs.bitnetd).toFixed(0)} tokens/s, ${tokensPerEvent.toFixed(1)} tokens an event, ${perRead} events a read; the frontend is busy ${(100 * median(busy)).toFixed(0)} % (worker and client share the other core)`);
  console.log(`bare loop, coalesced  ${median(runs.coalesced).toFixed(0)} tokens/s; bitnetd reaches ${percent(runs.bitnetd, runs.coalesced)}`);
  console.log(`bare loop, 1 a write  ${median(runs.one).toFixed(0)} tokens/s; bitnetd reaches ${percent(runs.bitnetd, runs.one)}`);
  await server.stop();
  const pace = await paced();
  console.log(`at one token an event ${pace.cpu_us_per_event.toFixed(2)} us of processor each at ${pace.events_s.toFixed(0)} events/s; bare loop, 1 a write, ${pace.bare.cpu_us_per_event.toFixed(2)} us = ${(100 * pace.bare.cpu_us_per_event / pace.cpu_us_per_event).toFixed(0)} % of it`);
  console.log(`idle stream           ${(await idleStreams(2000)).toFixed(0)} bytes resident each (2000 streams)`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
