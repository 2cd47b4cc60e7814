// The profiles and their members, brought in line with each picture. Elements are made once and kept, so that
// focus, open details and a screen reader's place survive.

import { countDown, stopCountDown } from "./countdown.js";
import { find, keep, make, say, set, show } from "./dom.js";
import { NOTHING, clock, count, dollars, duration, kinds, plain, share, span } from "./format.js";
import { icon, turnInto } from "./icons.js";
import { BAD, OFF, WARN, stateOf, troublesOf } from "./state.js";
import { makeStrip, updateStrip } from "./strip.js";

const LEVELS = { [BAD]: "bad", [WARN]: "warn", [OFF]: "off" };
const COLUMNS = ["Member", "State", "Last ten minutes", "In flight", "TPM", "Serving rate", "First content", "Failures"];
const classOf = (column) => `col-${column.toLowerCase().replaceAll(" ", "-")}`;
const HINTS = {
  TPM: "Tokens per minute, of the last minutes",
  "Serving rate": "Tokens per minute while it answers",
  "First content": "50th, 95th and 99th percentile since the start",
};

export class Board {
  constructor(act) {
    this.act = act;
    this.may = { admin: false };
  }

  update(picture, received) {
    this.received = received;
    this.#troubles(picture);
    keep(find("profiles"), Object.entries(picture.profiles), ([name]) => name, (item) => this.#makeProfile(item), (section, item) => this.#updateProfile(section, item));
  }

  // What is wrong now

  #troubles(picture) {
    const troubles = troublesOf(picture);
    const members = Object.values(picture.profiles).flatMap((one) => Object.keys(one.stats.backends)).length;
    const list = troubles.length ? troubles : [{ key: "well", well: true }];
    keep(find("troubles"), list, (trouble) => trouble.key, makeTrouble, (row, trouble) => this.#updateTrouble(row, trouble, members));
    const bad = troubles.filter((trouble) => trouble.level === BAD).length;
    document.title = bad ? `(${bad}) Understudy` : "Understudy";
  }

  #updateTrouble(row, trouble, members) {
    const [shape, title, text, when] = row.children;
    set(row, "class", LEVELS[trouble.level] ?? "well");
    turnInto(shape, trouble.well ? "closed" : trouble.state?.name ?? (trouble.level === BAD ? "open" : "waiting"));
    say(title, trouble.well ? "Nothing is wrong" : trouble.title);
    const place = trouble.place ? `in ${trouble.place}: ` : "";
    say(text, trouble.well ? `${count(members)} ${members === 1 ? "member is" : "members are"} well` : place + trouble.text);
    this.#count(when, trouble);
  }

  #count(element, state) {
    if (state.until) countDown(element, state.until_word, this.received + state.until);
    else stopCountDown(element, state.until_word ?? "");
  }

  // Profiles

  #makeProfile([name]) {
    const caption = make("caption", { class: "unseen" }, `Members of ${name}`);
    const heads = COLUMNS.map((column) => make("th", { scope: "col", role: "columnheader", title: HINTS[column], class: classOf(column) }, column));
    const table = make("table", { role: "table" }, caption, make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads)));
    const title = make("h2", { id: `profile-${name}` }, name);
    const head = make("div", { class: "bar" }, title, make("span", { class: "tag" }), make("span", { class: "tag" }, "default"));
    return make("section", { class: "profile", "aria-label": `Profile ${name}` }, head, make("dl", { class: "figures" }), table);
  }

  #updateProfile(section, [name, one]) {
    const [head, figures, table] = section.children;
    say(head.children[1], one.policy);
    show(head.children[2], one.default);
    updatePairs(figures, figuresOf(one));
    const members = Object.entries(one.stats.backends);
    keep(table, members, ([member]) => member, (item) => this.#makeMember(name, item), (body, item) => this.#updateMember(body, item, one));
  }

  // Members

  #makeMember(profile, [name]) {
    const button = make("button", { type: "button", class: "disclose", "aria-expanded": "false" }, make("span", {}, name));
    const state = make("td", {}, make("span", { class: "state" }, icon("closed"), make("span")), make("span", { class: "until" }));
    const cells = [state, make("td", {}, makeStrip()), ...COLUMNS.slice(3).map(() => make("td"))];
    const head = make("th", { scope: "row", role: "rowheader" }, button, make("span", { class: "model" }));
    cells.forEach((cell, number) => {
      set(cell, "role", "cell");
      set(cell, "data-label", COLUMNS[number + 1]);
    });
    const more = this.#makeMore(profile, name);
    button.addEventListener("click", () => {
      show(more, more.hidden);
      more.fresh?.();
      set(button, "aria-expanded", String(!more.hidden));
    });
    return make("tbody", { role: "rowgroup" }, make("tr", { role: "row" }, head, ...cells), more);
  }

  #makeMore(profile, name) {
    const buttons = [
      ["reset", "Reset"], ["open", "Hold open"], ["close", "Hold closed"], ["drain", "Drain"], ["enable", "Take into service"],
    ].map(([action, label]) => {
      const button = make("button", { type: "button", "data-action": action }, label);
      button.addEventListener("click", () => this.act({ profile, backend: name, action }));
      return button;
    });
    const actions = make("div", { class: "actions", role: "group", "aria-label": `Actions on ${name}` }, ...buttons, make("span", { class: "quiet" }));
    const cell = make("td", { role: "cell", colspan: COLUMNS.length }, make("dl", { class: "pairs" }), actions);
    const row = make("tr", { role: "row", class: "more" }, cell);
    row.hidden = true;
    return row;
  }

  #updateMember(body, [name, backend], one) {
    const [row, more] = body.children;
    const [head, stateCell, stripCell, inFlight, tpm, rate, first, failures] = row.children;
    const state = stateOf(backend);
    set(body, "class", LEVELS[state.level] ?? "well");
    say(head.children[1], one.members[name]?.model ?? "");
    const [badge, until] = stateCell.children;
    set(badge, "class", `state ${state.name}`);
    turnInto(badge.firstElementChild, state.name);
    say(badge.lastElementChild, state.word);
    this.#count(until, state);
    updateStrip(stripCell.firstElementChild, one.members[name]?.strip ?? []);
    say(inFlight, count(backend.in_flight));
    say(tpm, count(backend.tpm));
    say(rate, backend.serving_rate === null ? NOTHING : count(backend.serving_rate));
    say(first, percentiles(backend.first_content_ms));
    say(failures, kinds(backend.by_kind).join(", ") || "none");
    set(failures, "class", backend.failures ? "kinds" : "kinds quiet");
    // What nobody looks at is not written.
    more.fresh = () => more.hidden || this.#updateMore(more.firstElementChild, backend);
    more.fresh();
  }

  #updateMore(cell, backend) {
    const [pairs, actions] = cell.children;
    updatePairs(pairs, detailsOf(backend));
    for (const button of actions.querySelectorAll("button")) {
      button.disabled = !this.may.admin;
      if (button.dataset.action === "drain") show(button, !backend.drained);
      if (button.dataset.action === "enable") show(button, backend.drained);
    }
    say(actions.lastElementChild, this.may.admin ? "" : "UNDERSTUDY_ADMIN_KEY switches these on");
  }
}

// From a trouble to what it is about.
function makeTrouble(trouble) {
  const title = trouble.place ? make("button", { type: "button", class: "link" }) : make("strong");
  title.addEventListener("click", () => lookAt(trouble.place, trouble.title));
  return make("li", {}, icon("open"), title, make("span"), make("span", { class: "until" }));
}

function lookAt(profile, member) {
  const section = [...find("profiles").children].find((one) => one.dataset.key === profile);
  const body = [...section.querySelectorAll("tbody")].find((one) => one.dataset.key === member);
  const button = body.querySelector(".disclose");
  if (button.getAttribute("aria-expanded") === "false") button.click();
  body.scrollIntoView({ block: "center" });
  button.focus({ preventScroll: true });
}

// All three in one unit.
function percentiles({ p50, p95, p99 }) {
  if (p50 === null) return NOTHING;
  const inSeconds = p99 >= 1000;
  const shown = [p50, p95, p99].map((ms) => (!inSeconds ? Math.round(ms) : (ms / 1000).toFixed(ms < 10000 ? 1 : 0)));
  return `${shown.join(" · ")} ${inSeconds ? "s" : "ms"}`;
}

function figuresOf({ stats, in_flight, waiting }) {
  return [
    ["Answered", count(stats.answered)],
    ["Failed over", count(stats.failed_over)],
    ["Failed", count(stats.failed), stats.failed > 0],
    ["In flight", count(in_flight)],
    ["Waiting", count(waiting), waiting > 0],
    ["Cost", dollars(stats.cost_usd)],
  ].filter(([, value]) => value !== null);
}

function detailsOf(backend) {
  const circuit = backend.circuit_breaker;
  const start = backend.slow_start;
  const pairs = [
    ["Attempts", count(backend.requests)],
    ["Success rate", share(backend.successes + backend.failures ? backend.successes / (backend.successes + backend.failures) : null)],
    ["Refused", backend.refused || null],
    ["Cancelled", backend.cancelled || null],
    ["Recovered", backend.recovered || null],
    ["Hedged", backend.hedged || null],
    ["Lost", backend.lost || null],
    ["Tokens", `${count(backend.input_tokens)} in, ${count(backend.output_tokens)} out`],
    ["Cost", dollars(backend.cost_usd)],
    ["Whole answers", backend.latency_ms.p50 === null ? null : `${duration(backend.latency_ms.p50)} · ${duration(backend.latency_ms.p95)} · ${duration(backend.latency_ms.p99)}`],
    ["Expected first content", backend.load_ms === null ? null : duration(backend.load_ms)],
    ["First content limit", Object.entries(backend.patience_ms).map(([size, limit]) => `${duration(limit)} up to ${size} tokens`).join(", ") || null],
    ["Ceilings", Object.entries(backend.ceilings).map(([key, { used, limit }]) => `${key} ${count(used)} of ${count(limit)}`).join(", ") || null],
    ["Slow start", start ? `${share(start.share)} of its share, ${start.at_once} at once` : null],
    ["Passed over", kinds(backend.skips).join(", ") || null],
    ["Circuit", plain(circuit.state) + (circuit.forced ? ", held by an operator" : "") + (circuit.failures ? `, ${circuit.failures} counted` : "")],
    ["Opened at", circuit.opened_at ? clock(circuit.opened_at) : null],
    ["Last failure", circuit.last_failure ? clock(circuit.last_failure) : null],
    ["Benched for", backend.bench_remaining_ms > 0 ? span(backend.bench_remaining_ms) : null],
  ];
  return pairs.filter(([, value]) => value !== null);
}

function updatePairs(list, pairs) {
  keep(list, pairs, ([label]) => label, ([label]) => make("div", {}, make("dt", {}, label), make("dd")), (pair, [, value, alarming]) => {
    say(pair.lastElementChild, String(value));
    set(pair, "class", alarming ? "alarming" : null);
  });
}
