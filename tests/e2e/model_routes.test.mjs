// Goal: only operators may change or watch what is served, and what they ask is refused by name when
//   it cannot be done; nothing that is served changes by a refusal.
// Method: requests to one server over loopback, its Unix socket and, where there is one, an address
//   of this machine that is not loopback.
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server, demoModel, request } from './server.mjs';

const orders = ['/v1/models/load', '/v1/models/swap', '/v1/models/rollback'];
const operatorRoutes = [...orders.map((route) => ['POST', route, {}]), ['DELETE', '/v1/models/demo'],
  ['GET', '/v1/rollouts'], ['GET', '/v1/rollouts/rollout-1'],
  ...['/metrics', '/v1/stats', '/v1/devices', '/v1/metrics'].map((route) => ['GET', route])];

let server;
before(async () => {
  server = await Server.start(
    ['--server.alias', 'fast=demo', '--server.models_dir', path.dirname(demoModel)]);
});
after(() => server.stop());

function check(answer, status, type, code, param = null) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.error.type, type);
  assert.equal(answer.json.error.code, code);
  assert.equal(answer.json.error.param, param);
}

test('a web page from elsewhere may not use operator routes', async () => {
  for (const [method, route, body] of operatorRoutes) {
    for (const origin of ['http://evil.example', 'null', `http://127.0.0.1:${server.port + 1}`]) {
      const answer = await request(server, method, route, body, { headers: { origin } });
      check(answer, 403, 'permission_error', 'origin_not_allowed');
    }
  }
});

test('what a proxy brings is not taken for an operator', async () => {
  for (const [method, route, body] of operatorRoutes) {
    const answer = await request(server, method, route, body,
      { headers: { 'x-forwarded-for': '192.0.2.7' } });
    check(answer, 403, 'permission_error', 'role_required');
  }
});

const outside = Object.values(networkInterfaces()).flat()
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
test('who does not come from loopback is no operator',
  { skip: outside ? false : 'this machine has loopback addresses only' }, async () => {
    const open = await Server.start(['--listen', '0.0.0.0:0', '--auth.mode', 'none']);
    const { address } = await open.event((e) => e.event === 'listening' && e.address.startsWith('0.0.0.0:'));
    const there = { host: outside, port: Number(address.split(':')[1]) };
    const ask = async (method, route, body) => {
      const answer = await fetch(`http://${there.host}:${there.port}${route}`, {
        method, body: body && JSON.stringify(body), headers: body && { 'content-type': 'application/json' },
      });
      return { status: answer.status, json: await answer.json() };
    };
    for (const [method, route, body] of operatorRoutes) {
      check(await ask(method, route, body), 403, 'permission_error', 'role_required');
    }
    const models = await ask('GET', '/v1/models');
    assert.equal(models.status, 200);
    assert.ok(!('path' in models.json.data[0]), 'paths are for operators');
    await open.stop();
  });

test('orders say that they are JSON', async () => {
  for (const route of orders) {
    for (const headers of [{ 'content-type': 'text/plain' }, { 'content-type': '' }]) {
      const answer = await request(server, 'POST', route, '{}', { headers });
      check(answer, 415, 'invalid_request_error', 'unsupported_media_type');
    }
  }
});

test('each path takes its methods and says which', async () => {
  for (const [route, allow] of [
    ...orders.map((order) => [order, 'GET, HEAD, POST, DELETE, OPTIONS']),
    ['/v1/models/demo', 'GET, HEAD, DELETE, OPTIONS'],
    ['/v1/rollouts', 'GET, HEAD, OPTIONS']]) {
    const answer = await request(server, 'PUT', route, {});
    check(answer, 405, 'invalid_request_error', 'method_not_allowed');
    assert.equal(answer.headers.allow, allow);
    const options = await request(server, 'OPTIONS', route);
    assert.equal(options.status, 204);
    assert.equal(options.headers.allow, allow);
  }
});

test('a bad order is refused by the name of its field', async () => {
  for (const [route, body, code, param] of [
    ['/v1/models/load', { model_id: 'new' }, 'missing_field', 'model_path'],
    ['/v1/models/load', { model_path: demoModel }, 'missing_field', 'model_id'],
    ['/v1/models/load', { model_path: demoModel, model_id: '/etc' }, 'invalid_value', 'model_id'],
    ['/v1/models/swap', { model_path: 7 }, 'invalid_value', 'model_path'],
    ['/v1/models/swap', { model_path: 'a\0b' }, 'invalid_value', 'model_path'],
    ['/v1/models/swap', { model_path: 'a', swap_strategy: 'later' }, 'invalid_value', 'swap_strategy'],
    ['/v1/models/swap', { model_path: 'a', validation_config: { min_accuracy: 2 } },
      'invalid_value', 'validation_config.min_accuracy'],
    ['/v1/models/swap', { model_path: 'a', health_check_config: { inference_test_prompts: Array(6).fill('x') } },
      'invalid_value', 'health_check_config.inference_test_prompts'],
    ['/v1/models/rollback', { model_path: 'a' }, 'unsupported_parameter', 'model_path']]) {
    check(await request(server, 'POST', route, body), 400, 'invalid_request_error', code, param);
  }
  check(await request(server, 'POST', '/v1/models/swap', '{'), 400, 'invalid_request_error', 'invalid_json');
  check(await request(server, 'DELETE', '/v1/models/demo?wait=perhaps'),
    400, 'invalid_request_error', 'invalid_value', 'wait');
});

test('what the supervisor will not do changes nothing', async () => {
  const { socket: socketPath } = server;
  const swap = await request(server, 'POST', '/v1/models/swap',
    { model_path: path.join(path.dirname(demoModel), '../../lint/lint.py') }, { socketPath });
  check(swap, 403, 'permission_error', 'path_not_allowed', 'model_path');
  const load = await request(server, 'POST', '/v1/models/load',
    { model_path: '/etc/passwd', model_id: 'new' }, { headers: { origin: `http://127.0.0.1:${server.port}` } });
  check(load, 403, 'permission_error', 'path_not_allowed', 'model_path');
  const back = await request(server, 'POST', '/v1/models/rollback', { model_id: 'fast' }, { socketPath });
  check(back, 409, 'conflict_error', 'nothing_to_roll_back');
  assert.equal(back.headers['x-should-retry'], 'false');
  check(await request(server, 'DELETE', '/v1/models/nothing'), 404, 'not_found_error', 'model_not_found', 'model');
  check(await request(server, 'GET', '/v1/rollouts/rollout-1'), 404, 'not_found_error', 'rollout_not_found');
  const rollouts = await request(server, 'GET', '/v1/rollouts');
  assert.deepEqual(rollouts.json, { object: 'list', data: [], total_count: 0 });

  const models = await request(server, 'GET', '/v1/models?status=active');
  assert.equal(models.json.active_count, 1);
  assert.equal(models.json.data[0].path, demoModel);
  const answer = await request(server, 'POST', '/v1/completions', { prompt: 'Once', max_tokens: 2 });
  assert.equal(answer.status, 200, answer.text);
});

test('a file that is no model is refused, and one can look up why', async () => {
  const file = path.join(path.dirname(demoModel), 'golden.json');
  const swap = await request(server, 'POST', '/v1/models/swap', { model_id: 'demo', model_path: file });
  check(swap, 422, 'invalid_request_error', 'model_invalid', 'model_path');
  assert.match(swap.json.error.message, /no GGUF file/);
  assert.equal(swap.json.status, 'failed');
  assert.equal(swap.json.validation_results.gguf_validation.status, 'failed');
  assert.equal(swap.json.new_model_metadata, null);

  const load = await request(server, 'POST', '/v1/models/load', { model_id: 'new', model_path: file, wait: false });
  assert.equal(load.status, 202, load.text);
  let rollout;
  do {
    rollout = await request(server, 'GET', load.headers.location);
    assert.equal(rollout.json.rollout_id, load.json.rollout_id);
  } while (rollout.json.status === 'running');
  assert.equal(rollout.json.status, 'failed');
  assert.match(rollout.json.reason, /no GGUF file/);
  const model = await request(server, 'GET', '/v1/models/new');
  assert.equal(model.json.status, 'failed');
  assert.equal(model.json.rollout_id, load.json.rollout_id);
  assert.equal((await request(server, 'GET', '/v1/models?status=failed')).json.total_count, 1);
  const rollouts = await request(server, 'GET', '/v1/rollouts');
  assert.deepEqual(rollouts.json.data.map(({ kind }) => kind), ['load', 'swap']);
  assert.equal(await server.metric('bitnet_rollouts_failed_total'), 2);
  assert.equal(await server.metric('bitnet_rollouts_running'), 0);
  assert.equal((await request(server, 'GET', '/v1/models/demo')).json.status, 'active');
});
