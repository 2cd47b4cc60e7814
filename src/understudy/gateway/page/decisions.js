// The stream of decisions, the newest first. A request opens to its trail.

import { draw, find, make, say, set, show } from "./dom.js";
import { clock, dollars, duration } from "./format.js";
import { icon, turnInto } from "./icons.js";
import { bearer, wordsOf } from "./stream.js";

const MOST = 120;

export class Decisions {
  constructor(keyInForce) {
    this.keyInForce = keyInForce;
    this.list = find("stream");
    this.items = new Map();
    this.held = [];
    this.paused = false;
    find("filter").addEventListener("input", () => this.#filterAll());
    find("trouble-only").addEventListener("change", () => this.#filterAll());
    find("pause").addEventListener("click", () => this.#pause());
  }

  forget() {
    this.list.replaceChildren();
    this.items.clear();
    this.held = [];
    this.#count();
  }

  // What was decided before this page looked.
  async catchUp() {
    const answer = await fetch("requests?limit=100", { headers: bearer(this.keyInForce()), cache: "no-store" });
    if (!answer.ok) return;
    const { requests } = await answer.json();
    for (const one of requests.reverse()) {
      if (!this.items.has(one.id)) this.#put({ ...one, at: new Date((one.began + (one.duration_ms ?? 0) / 1000) * 1000).toISOString() });
    }
  }

  decision(one) {
    this.#come(one);
  }

  change(one) {
    this.#come({ ...one, status: "change", words: `${one.backend}: ${one.words}` });
  }

  missed({ count }) {
    const words = `${count} more, too many to be shown`;
    this.#come({ at: new Date().toISOString(), status: "change", profile: "", words });
  }

  #come(one) {
    if (this.paused) {
      this.held = [...this.held, one].slice(-MOST);
      this.#count();
    } else {
      this.#put(one);
    }
  }

  #put(one) {
    let item = one.id === undefined ? undefined : this.items.get(one.id);
    const isNew = item === undefined;
    item ??= one.status === "change" ? makeChange(one) : this.#makeRequest(one);
    update(item, one);
    if (one.id !== undefined) this.items.set(one.id, item);
    // Nothing moves away from under a reader.
    if (isNew || !(item.querySelector("details")?.open || item.contains(document.activeElement))) this.list.prepend(item);
    this.#filter(item);
    if (this.list.children.length > MOST) this.#makeWay();
    this.#count();
  }

  // The oldest goes, smooth ones before others, and none that is being read.
  #makeWay() {
    const oldest = [...this.list.children].reverse().filter((item) => !item.querySelector("details")?.open);
    const gone = oldest.find((item) => item.dataset.smooth === "yes") ?? oldest[0];
    this.items.delete(gone?.dataset.id);
    gone?.remove();
  }

  #makeRequest(one) {
    const summary = make("summary", {}, ...parts());
    const details = make("details", {}, summary, make("div", { class: "trail" }));
    const item = make("li", { "data-id": one.id }, details);
    details.addEventListener("toggle", () => details.open && this.#open(details.lastElementChild, one.id));
    return item;
  }

  async #open(place, id) {
    if (!place.hasChildNodes()) place.append(make("p", { class: "quiet" }, "Asking for the trail …"));
    try {
      const answer = await fetch(`requests/${encodeURIComponent(id)}`, { headers: bearer(this.keyInForce()), cache: "no-store" });
      if (!answer.ok) throw new Error(await wordsOf(answer));
      place.replaceChildren(...trail(await answer.json()));
    } catch (error) {
      place.replaceChildren(make("p", { class: "refusal" }, error.message));
    }
  }

  // What is shown of it

  #pause() {
    this.paused = !this.paused;
    const held = this.held;
    this.held = [];
    if (!this.paused) held.forEach((one) => this.#put(one));
    set(find("pause"), "aria-pressed", String(this.paused));
    say(find("pause"), this.paused ? "Go on" : "Pause");
    this.#count();
  }

  #count() {
    say(find("held"), this.held.length ? `${this.held.length} new` : "");
    const shown = [...this.list.children].filter((item) => !item.hidden).length;
    show(find("stream-empty"), !shown);
    say(find("stream-empty"), this.list.children.length ? "Nothing here matches the filter." : "No request yet. The first one will stand here.");
  }

  #filterAll() {
    for (const item of this.list.children) this.#filter(item);
    this.#count();
  }

  #filter(item) {
    const words = find("filter").value.toLowerCase().split(/\s+/);
    const fits = words.every((word) => item.dataset.text.includes(word));
    show(item, fits && !(find("trouble-only").checked && item.dataset.smooth === "yes"));
  }
}

const parts = () => [
  icon("answered"), make("time"), make("span", { class: "status" }), make("span", { class: "words" }), make("span", { class: "profile-name" }), make("span", { class: "took" }),
];

const makeChange = () => make("li", {}, make("div", { class: "line" }, ...parts()));

const WORDS = { answered: "answered", "failed-over": "failed over", failed: "failed", cancelled: "cancelled", running: "goes on", change: "member" };

function update(item, one) {
  // Whoever was passed over cost no time: that is told, but nothing went wrong.
  const before = one.words.split(" → ").slice(0, -1);
  const isSmooth = one.status === "answered" && before.every((step) => step.includes(" skipped: "));
  const kind = one.status === "answered" && !isSmooth ? "failed-over" : one.status;
  const [shape, time, status, words, profile, took] = item.firstElementChild.tagName === "DETAILS" ? item.querySelector("summary").children : item.firstElementChild.children;
  item.finished = one.status !== "running";
  set(item, "class", kind);
  turnInto(shape, kind);
  set(time, "datetime", one.at);
  say(time, clock(one.at));
  say(status, WORDS[kind] ?? kind);
  say(words, one.words);
  say(profile, one.profile);
  say(took, item.finished && one.duration_ms !== undefined && one.duration_ms !== null ? duration(one.duration_ms) : "");
  item.dataset.smooth = isSmooth ? "yes" : "no";
  item.dataset.text = [one.words, one.profile, one.id, one.model, WORDS[kind], one.status].join(" ").toLowerCase();
}

// A request's trail: what was asked of whom, when, and what came of it.
function trail(request) {
  const total = Math.max(request.duration_ms ?? 0, 1, ...request.trail.map((entry) => (entry.started_ms ?? 0) + (entry.duration_ms ?? 0)));
  const steps = request.trail.map((entry, number) => make("li", {}, make("span", {}, request.trail_words[number]), entry.started_ms === undefined ? null : timeline(entry, total)));
  const cost = request.trail.map((entry) => entry.cost_usd).filter((value) => typeof value === "number");
  const facts = [
    ["Request", request.id], ["Asked for", request.model], ["Profile", request.profile], ["Status", request.status],
    ["Began", clock(request.began * 1000)], ["Took", duration(request.duration_ms)],
    ["Cost", cost.length ? dollars(cost.reduce((sum, value) => sum + value, 0)) : null],
  ].filter(([, value]) => value !== null);
  const pairs = make("dl", { class: "pairs" }, ...facts.map(([label, value]) => make("div", {}, make("dt", {}, label), make("dd", {}, value))));
  return [request.trail.length ? make("ol", {}, ...steps) : make("p", { class: "quiet" }, "Nobody was asked."), pairs];
}

// When in the request the attempt ran, its first content as a notch.
function timeline(entry, total) {
  const at = (ms) => ((ms / total) * 200).toFixed(1);
  const length = Math.max(2, ((entry.duration_ms ?? total - entry.started_ms) / total) * 200).toFixed(1);
  const bar = draw("rect", { class: entry.outcome === "success" ? "good" : "lost", x: at(entry.started_ms), y: 3, width: length, height: 4 });
  const first = entry.first_content_ms === null ? null : draw("rect", { class: "first", x: at(entry.started_ms + entry.first_content_ms), y: 0, width: 1.5, height: 10 });
  return draw("svg", { class: "timeline", viewBox: "0 0 202 10", preserveAspectRatio: "none", "aria-hidden": "true" }, bar, first);
}
