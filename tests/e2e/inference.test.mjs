// Goal: POST /v1/inference and its stream, GET /v1/stats, /v1/devices and /v1/metrics tell of the
// real server what BitNet.rs's clients read: shapes, defaults, and figures that change with what
// was done.
// Method: the real server with the demo model; the same greedy prompt as a whole, streamed and over
// the OpenAI route must give one text; figures are compared with each other and with /proc.
import assert from 'node:assert/strict';
import http from 'node:http';
import os from 'node:os';
import { test } from 'node:test';
import { Server, request } from './server.mjs';

const greedy = { prompt: 'Once upon a time', max_tokens: 40, temperature: 0, repetition_penalty: 1 };
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

// The named events of a stream, in order.
function inferenceStream(server, body) {
  const payload = JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const outgoing = http.request({
      host: '127.0.0.1', port: server.port, method: 'POST', path: '/v1/inference/stream', agent: false,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) },
    }, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8');
      incoming.on('data', (chunk) => { text += chunk; });
      incoming.on('end', () => {
        assert.equal(incoming.statusCode, 200, text);
        assert.match(incoming.headers['content-type'], /^text\/event-stream/);
        resolve(text.split('\n\n').filter((event) => event && !event.startsWith(':')).map((event) => {
          const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(event);
          return { name, data: JSON.parse(data) };
        }));
      });
      incoming.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}

test('an inference answers with its text and what was measured', async () => {
  const server = await Server.start();
  const openai = await request(server, 'POST', '/v1/completions', greedy);
  const answer = await request(server, 'POST', '/v1/inference', greedy);
  assert.equal(answer.status, 200, answer.text);
  const json = answer.json;
  assert.equal(json.text, openai.json.choices[0].text);
  assert.equal(json.tokens_generated, openai.json.usage.completion_tokens);
  assert.equal(json.model_id, 'demo');
  assert.match(json.request_id, uuid);
  assert.equal(json.quantization_used, 'I2_S');
  assert.equal(json.device_used, 'cpu');
  assert.ok(json.tokens_per_second > 0);
  const performance = json.performance_metrics;
  assert.ok(performance.batch_size >= 1, `batch_size ${performance.batch_size}`);
  assert.ok(performance.processing_time_ms > 0 && performance.processing_time_ms <= json.inference_time_ms);
  assert.ok(performance.queue_time_ms >= 0);
  const { quantization_accuracy: accuracy, cross_validation_score: second } = json.accuracy_metrics;
  assert.ok(accuracy > 0.99 && accuracy < 1, `accuracy ${accuracy}`);
  assert.ok(second > 0.99 && second < 1 && second !== accuracy, `second ${second}`);
  const told = server.events.find((event) => event.event === 'cross_validation');
  assert.ok(Math.abs(told.ratio - second) < 1e-6);

  const events = await inferenceStream(server, greedy);
  assert.equal(events.filter((e) => e.name === 'token').map((e) => e.data.text).join(''), json.text);
  assert.deepEqual(events.slice(-2).map((e) => e.name), ['metrics', 'complete']);
  const complete = events.at(-1).data;
  assert.equal(complete.total_tokens, json.tokens_generated);
  assert.equal(complete.finish_reason, json.finish_reason);
  assert.equal(events.at(-2).data.quantization_accuracy, accuracy);
  const positions = events.filter((e) => e.name === 'token').map((e) => e.data.position);
  assert.deepEqual(positions, [...positions].sort((a, b) => a - b));

  const refused = await request(server, 'POST', '/v1/inference', { prompt: 'x', n: 2 });
  assert.equal(refused.status, 400);
  await server.stop();
});

test('an inference whose time is over ends with what there is', async () => {
  // A step takes 20 ms, so a thousand tokens take longer than the time there is.
  const server = await Server.start(['--worker.null_model=1', '--worker.null_step_us=20000', '--speculation.mode=off']);
  const body = { prompt: 'x', max_tokens: 400, ignore_eos: true, timeout_ms: 1500 };
  const [whole, events] = await Promise.all([
    request(server, 'POST', '/v1/inference', body), inferenceStream(server, body)]);
  assert.equal(whole.status, 200, whole.text);
  assert.equal(whole.json.finish_reason, 'timeout');
  assert.ok(whole.json.tokens_generated >= 1);
  assert.equal(events.at(-1).data.finish_reason, 'timeout');
  const progress = events.filter((e) => e.name === 'progress');
  assert.ok(progress.length >= 1, 'progress each second');
  assert.ok(progress[0].data.tokens_generated >= 1 && progress[0].data.tokens_per_second > 0);
  assert.ok(progress[0].data.estimated_remaining_ms > 0);
  await server.stop();
});

test('operators see processes, devices and the machine as they are', async () => {
  const server = await Server.start();
  await request(server, 'POST', '/v1/inference', greedy);
  const stats = (await request(server, 'GET', '/v1/stats')).json;
  assert.equal(stats.requests.finished, 1);
  assert.equal(stats.workers.length, 1);
  const worker = stats.workers[0];
  assert.equal(worker.pid, server.workers()[0]);
  assert.equal(worker.model, 'demo');
  assert.equal(worker.state, 'ready');
  assert.ok(worker.steps > 0 && worker.step_rows >= worker.steps);
  assert.ok(stats.tokens.generated >= 1);

  const devices = (await request(server, 'GET', '/v1/devices')).json;
  assert.equal(devices.data.length, 1);
  assert.equal(devices.data[0].id, 'cpu:0');
  assert.equal(devices.data[0].kind, 'cpu');
  assert.deepEqual(devices.data[0].models, ['demo']);

  const metrics = (await request(server, 'GET', '/v1/metrics')).json;
  assert.equal(metrics.gpu, null);
  assert.equal(metrics.cpu.cores, os.cpus().length);
  assert.ok(metrics.cpu.utilisation === null || (metrics.cpu.utilisation >= 0 && metrics.cpu.utilisation <= 1));
  assert.equal(metrics.memory.total_bytes, os.totalmem());
  assert.ok(metrics.memory.available_bytes > 0 && metrics.memory.available_bytes < metrics.memory.total_bytes);
  const names = metrics.memory.processes.map((process) => process.process).sort();
  assert.deepEqual(names, ['frontend', 'supervisor', 'worker']);
  for (const process of metrics.memory.processes) assert.ok(process.resident_bytes > 1e6, JSON.stringify(process));
  assert.ok(Math.abs(Date.parse(metrics.timestamp) - Date.now()) < 3600_000);

  const model = (await request(server, 'GET', '/v1/models/demo')).json;
  assert.ok(model.performance_metrics.generated_tokens >= 1);
  assert.ok(model.performance_metrics.quantization_accuracy > 0.99);
  assert.ok(model.resource_usage.worker_resident_bytes > 1e6);
  const prometheus = (await request(server, 'GET', '/metrics')).text;
  assert.match(prometheus, /^bitnet_batch_efficiency_ratio\{process="worker".*\} 0?\.?\d/m);
  assert.match(prometheus, /^bitnet_quantization_accuracy_ratio\{model="demo",type="I2_S"\} 0\.99/m);
  assert.match(prometheus, /^bitnet_process_resident_bytes\{process="supervisor".*\} [1-9]/m);
  await server.stop();
});
