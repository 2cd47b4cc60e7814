// The live stream: server-sent events read with `fetch`, because a key belongs into a header and in no address.
//
// 1. A stream that ends or fails is opened anew after 1, 2, 4 … at most 30 seconds, a little by chance.
// 2. So is one that has said nothing for `SILENCE`: a picture is due every second.
// 3. A refusal for want of a key is told, and nothing is tried again until there is another key.

const LONGEST = 30000;
const SILENCE = 10000;

export class Stream {
  constructor(handlers) {
    this.handlers = handlers;
    this.tries = 0;
    this.abort = null;
    this.timer = null;
  }

  open(key) {
    this.close();
    this.key = key;
    this.#read(this.abort = new AbortController());
  }

  now() {
    this.tries = 0;
    this.open(this.key);
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.watch);
    this.abort?.abort();
    this.abort = null;
  }

  async #read(abort) {
    let why = "the stream ended";
    try {
      const answer = await fetch("live", { headers: bearer(this.key), signal: abort.signal, cache: "no-store" });
      if (answer.status === 401) return this.handlers.locked(await wordsOf(answer));
      if (!answer.ok) throw new Error(await wordsOf(answer));
      await this.#events(answer.body.pipeThrough(new TextDecoderStream()).getReader(), abort);
    } catch (error) {
      why = error instanceof TypeError ? "the gateway can't be reached" : error.message;
    }
    if (this.abort !== abort) return;
    this.close();
    const wait = Math.min(LONGEST, 1000 * 2 ** this.tries++) * (0.8 + 0.4 * Math.random());
    this.handlers.lost(this.reason ?? why, Date.now() + wait);
    this.reason = null;
    this.timer = setTimeout(() => this.open(this.key), wait);
  }

  async #events(reader, abort) {
    let held = "";
    for (;;) {
      this.#watch(reader);
      const { value, done } = await reader.read();
      if (done || this.abort !== abort) return;
      const parts = (held + value).split("\n\n");
      held = parts.pop();
      for (const part of parts) this.#take(part);
    }
  }

  #take(part) {
    const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(part) ?? [];
    if (!name) return;
    if (name === "picture") this.tries = 0;
    const value = JSON.parse(data);
    if (name === "end") this.reason = value.reason;
    this.handlers[name]?.(value);
  }

  #watch(reader) {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => {
      this.reason = "the gateway has fallen silent";
      reader.cancel();
    }, SILENCE);
  }
}

export function bearer(key) {
  return key ? { authorization: `Bearer ${key}` } : {};
}

// An error's own words, whatever came.
export async function wordsOf(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error.message;
  } catch {
    return `the gateway answers with status ${answer.status}`;
  }
}
