// What state a member is in, and what of a picture is worth a word now. Nothing here touches the document.

import { kinds, span } from "./format.js";

// The order is that of the list of troubles: the gravest first.
export const BAD = 0, WARN = 1, OFF = 2, WELL = 3;

// `until` is in milliseconds from the picture's instant; `until_word` says what happens then.
export function stateOf(backend) {
  const circuit = backend.circuit_breaker;
  const bench = backend.bench_remaining_ms > 0 ? backend.bench_remaining_ms : null;
  if (backend.problem === "no_key") return { name: "no-key", level: OFF, word: "no key", why: "its key is missing" };
  if (backend.problem) return { name: "missing", level: OFF, word: "unusable", why: "its profile can't be used" };
  if (backend.drained) {
    return { name: "drained", level: OFF, word: "drained", why: "an operator took it out of service" };
  }
  if (circuit.forced) {
    const open = circuit.state === "open";
    return {
      name: open ? "open" : "closed", level: open ? WARN : OFF, word: `held ${open ? "open" : "closed"}`,
      why: `an operator holds its circuit ${open ? "open" : "closed"}`,
    };
  }
  if (circuit.state === "open") {
    return {
      name: "open", level: BAD, word: "open", why: "its circuit is open",
      until: circuit.next_probe_in_ms, until_word: "probe in",
    };
  }
  if (circuit.state !== "closed") {
    const due = circuit.next_probe_in_ms === 0;
    return {
      name: "half-open", level: WARN, word: "half-open", why: "a probe decides whether it is well again",
      until_word: due ? "with the next request" : "probe on its way",
    };
  }
  if (bench) return { name: "benched", level: WARN, word: "benched", why: "it asked for a rest", until: bench, until_word: "back in" };
  if (backend.exhausted_ms > 0) {
    return {
      name: "exhausted", level: WARN, word: "used up", why: "its provider says its limit is used up",
      until: backend.exhausted_ms, until_word: "back in",
    };
  }
  if (backend.slow_start) {
    return {
      name: "easing", level: WARN, word: "easing in", why: "it is trusted step by step after an outage",
      until: backend.slow_start.remaining_ms, until_word: "full share in",
    };
  }
  return { name: "closed", level: WELL, word: "closed" };
}

// Can the member be asked now?
const serves = (state) => state.name === "closed" || state.name === "easing" || state.name === "exhausted";

// What is wrong now, the gravest first.
export function troublesOf(picture) {
  const found = [];
  if (picture.draining) found.push({ key: "draining", level: BAD, title: "The gateway is shutting down", text: "new requests are refused" });
  for (const [profile, one] of Object.entries(picture.profiles)) {
    const members = Object.entries(one.stats.backends).map(([name, backend]) => ({ name, backend, state: stateOf(backend) }));
    if (!members.some(({ state }) => serves(state))) {
      found.push({ key: `${profile}/`, level: BAD, first: true, title: profile, text: "no member can be asked: requests wait or fail" });
    }
    if (one.waiting) {
      found.push({ key: `${profile}/waiting`, level: WARN, title: profile, text: `${one.waiting} ${one.waiting === 1 ? "request waits" : "requests wait"} for capacity` });
    }
    for (const { name, backend, state } of members) {
      if (state.level === WELL) continue;
      const kind = state.level === BAD ? lately(one.members[name]?.strip ?? [], backend, picture.at) : "";
      found.push({
        key: `${profile}/${name}`, level: state.level, state, title: name, place: profile,
        text: `${state.why}${kind}`, until: state.until, until_word: state.until_word, in_flight: backend.in_flight,
      });
    }
  }
  return found.sort((one, other) => one.level - other.level || Number(other.first ?? 0) - Number(one.first ?? 0));
}

// How it has failed in these ten minutes, the most frequent kinds first, and when it did last.
function lately(strip, backend, at) {
  const sum = {};
  for (const bucket of strip) {
    for (const [kind, number] of Object.entries(bucket?.by_kind ?? {})) sum[kind] = (sum[kind] ?? 0) + number;
  }
  const failure = backend.circuit_breaker.last_failure;
  const when = failure ? `, last ${span(new Date(at) - new Date(failure))} ago` : "";
  const listed = kinds(sum).slice(0, 2).join(", ");
  return listed ? `; ${listed}${when}` : when;
}
