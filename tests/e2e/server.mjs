// Starts real bitnetd processes for the tests and knows how to look at them. Nothing here links the
// project's code: the binaries in BITNETD_BIN are the subject.
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const bin = process.env.BITNETD_BIN ?? path.join(root, 'build/release/bin');
export const demoModel = path.join(root, 'tests/golden/demo-model/bitnet-tiny-stories-5m-i2_s.gguf');
export const golden = JSON.parse(
  readFileSync(path.join(root, 'tests/golden/demo-model/golden.json'), 'utf8'));
// The large set and the checkpoint beside it, which need not be there.
export const largeGolden = process.env.BITNETD_GOLDEN_DIR ?? path.join(root, '../shared/golden');
export const demoCheckpoint = path.join(largeGolden, '../demo-model/hf');

// Generous: a sanitizer build on a busy machine. No test asserts that something is fast.
export const patienceMs = 120_000;

export class Server {
  // arguments are added to a server of the demo model on a free port and a Unix socket; bin: a folder
  // with other programs; under: a command that starts bitnetd; listen: false where the configuration
  // says where.
  static async start(args = [], { model = true, waitReady = true, bin: folder = bin, under = [], listen = true } = {}) {
    const server = new Server();
    server.directory = mkdtempSync(path.join(tmpdir(), 'bitnetd-e2e-'));
    server.socket = path.join(server.directory, 'http.sock');
    server.control = path.join(server.directory, 'control.sock');
    const all = [...(listen ? ['--listen', '127.0.0.1:0', '--listen', `unix:${server.socket}`] : []),
      `--server.control=${server.control}`, ...(model ? ['--model', `demo=${demoModel}`] : []), ...args];
    server.events = [];
    server.raw = [];
    server.waiters = [];
    const [program, ...rest] = [...under, path.join(folder, 'bitnetd'), ...all];
    server.process = spawn(program, rest, {
      stdio: ['ignore', 'inherit', 'pipe'],
      env: { ...process.env, BITNETD_LOG__FORMAT: 'json' },
    });
    server.exited = new Promise((resolve) => {
      server.process.on('exit', (code, signal) => {
        server.exit = { code, signal };
        resolve(server.exit);
        for (const waiter of server.waiters) waiter.check();
      });
    });
    createInterface({ input: server.process.stderr }).on('line', (line) => server.#line(line));
    const listening = await server.event((e) => e.event === 'listening' && e.address.startsWith('127.0.0.1:'));
    server.port = Number(listening.address.split(':')[1]);
    server.url = `http://127.0.0.1:${server.port}`;
    if (waitReady) await server.event((e) => e.event === 'ready');
    return server;
  }

  #line(line) {
    this.raw.push(line);
    if (this.raw.length > 2000) this.raw.shift();
    try {
      this.events.push(JSON.parse(line));
    } catch {
      // A sanitizer's report or a crash message: kept in raw and judged by stop().
    }
    for (const waiter of this.waiters) waiter.check();
  }

  // The first logged event that matches, now or later; rejects when the server ends or patience does.
  event(matches, from = 0) {
    return new Promise((resolve, reject) => {
      const waiter = {
        next: from,
        check: () => {
          while (waiter.next < this.events.length) {
            const event = this.events[waiter.next++];
            if (matches(event)) return done(resolve, event);
          }
          if (this.exit) done(reject, new Error(`bitnetd ended (${JSON.stringify(this.exit)}):\n${this.log()}`));
        },
      };
      const timer = setTimeout(
        () => done(reject, new Error(`no such event in time:\n${this.log()}`)), patienceMs);
      const done = (settle, value) => {
        clearTimeout(timer);
        this.waiters = this.waiters.filter((w) => w !== waiter);
        settle(value);
      };
      this.waiters.push(waiter);
      waiter.check();
    });
  }

  log() {
    return this.raw.slice(-60).join('\n');
  }

  // Pids of the running descendants whose executable has that name.
  children(name) {
    const parents = new Map();
    const named = [];
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        const [, rest] = readFileSync(`/proc/${entry}/stat`, 'utf8').split(') ');
        const [state, parent] = rest.split(' ');
        const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0')[0];
        parents.set(Number(entry), Number(parent));
        if (state !== 'Z' && path.basename(command) === name) named.push(Number(entry));
      } catch {
        // It ended while we looked.
      }
    }
    const isOurs = (pid) => pid !== undefined && (pid === this.process.pid || isOurs(parents.get(pid)));
    return named.filter((pid) => isOurs(parents.get(pid)));
  }

  workers() {
    return this.children('bitnetd-worker');
  }

  // The sum of a counter or gauge over all processes.
  async metric(name) {
    const { text } = await request(this, 'GET', '/metrics');
    return [...text.matchAll(new RegExp(`^${name}\\{[^}]*\\} (\\d+)`, 'gm'))]
      .reduce((sum, [, value]) => sum + Number(value), 0);
  }

  // Kills the one worker as soon as it has begun with what is asked of it, and waits until that was
  // given to another.
  async killBusyWorker() {
    const steps = await this.metric('bitnet_steps_total');
    const resumed = await this.metric('bitnet_generations_resumed_total');
    while (await this.metric('bitnet_steps_total') === steps);
    process.kill(this.workers()[0], 'SIGKILL');
    while (await this.metric('bitnet_generations_resumed_total') === resumed) {
      if (await this.metric('bitnet_active_requests') === 0) throw new Error('it had nothing left to do');
    }
  }

  // Ends the server with TERM and checks that it ended well and that no sanitizer spoke.
  async stop() {
    if (!this.exit) this.process.kill('SIGTERM');
    const timer = setTimeout(() => this.process.kill('SIGKILL'), patienceMs);
    const { code, signal } = await this.exited;
    clearTimeout(timer);
    rmSync(this.directory, { recursive: true, force: true });
    const spoke = this.raw.filter((line) => /ERROR: \w+Sanitizer|runtime error:|check failed/.test(line));
    if (code !== 0 || signal !== null || spoke.length > 0) {
      throw new Error(`bitnetd ended with code ${code} signal ${signal}:\n${this.log()}`);
    }
  }
}

// One HTTP request; `body` is sent as it is when it is a string or Buffer, else as JSON.
export function request(server, method, target, body, { headers = {}, socketPath, agent } = {}) {
  const payload = body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
    ? body : JSON.stringify(body);
  const where = socketPath ? { socketPath } : { host: '127.0.0.1', port: server.port };
  return new Promise((resolve, reject) => {
    const outgoing = http.request({
      ...where, method, path: target, agent: agent ?? false,
      headers: payload === undefined ? headers
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload), ...headers },
    }, (incoming) => {
      const chunks = [];
      incoming.on('data', (chunk) => chunks.push(chunk));
      incoming.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        let json;
        try {
          json = JSON.parse(text);
        } catch {
          json = undefined;
        }
        resolve({ status: incoming.statusCode, headers: incoming.headers, text, json });
      });
      incoming.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}

// Streams a completion and returns the text, the finish reason and the number of events.
export async function streamCompletion(server, body, { onEvent, agent } = {}) {
  const payload = JSON.stringify({ ...body, stream: true });
  return new Promise((resolve, reject) => {
    const outgoing = http.request({
      host: '127.0.0.1', port: server.port, method: 'POST', path: '/v1/completions', agent: agent ?? false,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) },
    }, (incoming) => {
      const result = { text: '', finish: null, events: 0, done: false, status: incoming.statusCode };
      let pending = '';
      incoming.setEncoding('utf8');
      incoming.on('data', (chunk) => {
        pending += chunk;
        let end;
        while ((end = pending.indexOf('\n\n')) >= 0) {
          const event = pending.slice(0, end);
          pending = pending.slice(end + 2);
          if (event.startsWith(':')) continue;
          const data = event.slice('data: '.length);
          if (data === '[DONE]') {
            result.done = true;
            continue;
          }
          const json = JSON.parse(data);
          if (json.error) return reject(new Error(`stream error: ${data}`));
          result.events += 1;
          for (const choice of json.choices) {
            result.text += choice.text;
            if (choice.finish_reason) result.finish = choice.finish_reason;
          }
          onEvent?.(json, result);
        }
      });
      incoming.on('end', () => {
        if (incoming.statusCode !== 200) return reject(new Error(`${incoming.statusCode}: ${pending}`));
        if (!result.done) return reject(new Error('the stream ended without [DONE]'));
        resolve(result);
      });
      incoming.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}
