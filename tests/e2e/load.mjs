// 100 streams that keep a server busy while something is done to it. What each must say is learned once
// from an undisturbed server of the same build; any difference, error or broken stream ends the load.
import assert from 'node:assert/strict';
import { Server, golden, streamCompletion } from './server.mjs';

export const seconds = Number(process.env.BITNETD_FAULT_SECONDS ?? 10);
export const seed = Number(process.env.BITNETD_SEED ?? Date.now() % 1_000_000);

// Numbers in [0, 1) that BITNETD_SEED repeats.
export function random(state = seed) {
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const streams = 100;
const prompts = golden.cases.filter((c) => c.kind === 'completion').map((c) => c.prompt);

// Half of them greedy, half drawn; 20 to 150 tokens.
const job = (i) => ({
  prompt: prompts[i % prompts.length], temperature: i % 2 ? 0.8 : 0, seed: i, max_tokens: 20 + ((i * 37) % 131),
  ignore_eos: true, top_k: i % 5 === 0 ? 40 : 0,
});

let learned;
function undisturbed() {
  learned ??= (async () => {
    const server = await Server.start();
    const texts = await Promise.all(Array.from({ length: streams }, (_, i) => streamCompletion(server, job(i))));
    await server.stop();
    return texts;
  })();
  return learned;
}

// Runs `disturb(load)` while all streams run again and again; resolves when it is over and every stream
// has come to its end, with what `disturb` returned. Rejects with the first thing that went wrong.
//   load.goes              false as soon as a stream failed: nothing more can be learned
//   load.failed            resolves then
//   load.completed         streams so far
//   load.further(count)    when so many more are completed, or the load failed
export async function underLoad(server, disturb, { agent } = {}) {
  const expected = await undisturbed();
  const load = new Load();
  const client = async (i) => {
    while (load.goes && !load.over) {
      const result = await streamCompletion(server, job(i), { agent });
      assert.equal(result.text, expected[i].text, `stream ${i} differs (seed ${seed})`);
      assert.equal(result.finish, expected[i].finish, `stream ${i} ends otherwise (seed ${seed})`);
      load.count();
    }
  };
  const clients = Array.from({ length: streams }, (_, i) => client(i).catch((error) => load.fail(error)));
  try {
    await load.further(1);
    return await disturb(load);
  } catch (error) {
    load.fail(error);
  } finally {
    load.over = true;
    await Promise.all(clients);
    if (load.failure) throw load.failure;
  }
}

class Load {
  goes = true;
  over = false;
  completed = 0;
  failure = undefined;
  #tellFailed;
  failed = new Promise((resolve) => { this.#tellFailed = resolve; });
  #waiting = [];

  count() {
    ++this.completed;
    this.#wake();
  }

  // The first failure is the one to look at; the rest follow from it.
  fail(error) {
    this.failure ??= error;
    this.goes = false;
    this.#tellFailed();
    this.#wake();
  }

  further(count) {
    const target = this.completed + count;
    return new Promise((resolve) => {
      this.#waiting.push({ target, resolve });
      this.#wake();
    });
  }

  #wake() {
    const done = ({ target }) => !this.goes || this.completed >= target;
    for (const waiter of this.#waiting.filter(done)) waiter.resolve();
    this.#waiting = this.#waiting.filter((waiter) => !done(waiter));
  }
}
