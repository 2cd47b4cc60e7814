// The last ten minutes of a member as bars: what was answered rises, what failed hangs below the line.

import { draw, say, set } from "./dom.js";
import { count, kinds } from "./format.js";

const STEP = 4, BAR = 3, UP = 18, DOWN = 12;

export function makeStrip() {
  const title = draw("title");
  const bars = ["ok", "refused", "failed"].map((name) => draw("path", { class: name }));
  const line = draw("path", { class: "axis", d: `M0 ${UP}.5H${60 * STEP}` });
  return draw("svg", { class: "strip", role: "img", viewBox: `0 0 ${60 * STEP} ${UP + DOWN + 1}`, preserveAspectRatio: "none" }, title, line, ...bars);
}

export function updateStrip(svg, strip) {
  const [title, , ok, refused, failed] = svg.children;
  const most = Math.max(1, ...strip.map((bucket) => (bucket ? Math.max(bucket.ok + bucket.refused, bucket.failed) : 0)));
  const paths = { ok: "", refused: "", failed: "" };
  strip.forEach((bucket, number) => {
    if (!bucket) return;
    const height = (value, room) => (value ? Math.max(2, Math.sqrt(value / most) * room) : 0);
    const up = height(bucket.ok, UP - (bucket.refused ? 3 : 0));
    paths.ok += bar(number, UP - up, up);
    paths.refused += bar(number, UP - up - 3, bucket.refused ? 2 : 0);
    paths.failed += bar(number, UP + 1, height(bucket.failed, DOWN));
  });
  set(ok, "d", paths.ok);
  set(refused, "d", paths.refused);
  set(failed, "d", paths.failed);
  say(title, inWords(strip));
}

const bar = (number, top, height) => (height ? `M${number * STEP} ${top.toFixed(1)}h${BAR}v${height.toFixed(1)}h-${BAR}z` : "");

function inWords(strip) {
  const sum = { ok: 0, failed: 0, refused: 0 };
  const byKind = {};
  for (const bucket of strip) {
    if (!bucket) continue;
    for (const name of Object.keys(sum)) sum[name] += bucket[name];
    for (const [kind, number] of Object.entries(bucket.by_kind)) byKind[kind] = (byKind[kind] ?? 0) + number;
  }
  const failed = sum.failed ? ` (${kinds(byKind).join(", ")})` : "";
  return `Last ten minutes: ${count(sum.ok)} answered, ${count(sum.failed)} failed${failed}, ${count(sum.refused)} refused`;
}
