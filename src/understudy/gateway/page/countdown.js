// What is counted down stands in an element with its instant; one timer moves them all.

import { say } from "./dom.js";
import { span } from "./format.js";

const running = new Set();

// From now on the element says `word` and how long it is until `instant` (epoch milliseconds).
export function countDown(element, word, instant) {
  element.dataset.until = instant;
  element.dataset.word = word;
  running.add(element);
  tick(element);
}

export function stopCountDown(element, text = "") {
  running.delete(element);
  delete element.dataset.until;
  say(element, text);
}

export function tickAll() {
  for (const element of running) {
    if (element.isConnected) tick(element);
    else running.delete(element);
  }
}

function tick(element) {
  const left = Number(element.dataset.until) - Date.now();
  say(element, left > 0 ? `${element.dataset.word} ${span(left)}` : `${element.dataset.word} a moment`);
}
