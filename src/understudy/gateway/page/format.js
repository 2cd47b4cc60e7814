// Numbers as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const NOTHING = "–";

export function count(value) {
  return value === null || value === undefined ? NOTHING : whole.format(value);
}

export function duration(ms) {
  if (ms === null || ms === undefined) return NOTHING;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10000) return `${(ms / 1000).toFixed(1)} s`;
  return span(ms);
}

// Whole seconds, for what is counted down.
export function span(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function clock(instant) {
  return new Date(instant).toLocaleTimeString([], { hour12: false });
}

export function share(value) {
  return value === null || value === undefined ? NOTHING : `${(value * 100).toFixed(value > 0.995 && value < 1 ? 2 : 1)} %`;
}

export function dollars(value) {
  if (typeof value !== "number") return null;
  return `$${value.toFixed(value !== 0 && value < 0.01 ? 6 : value < 1 ? 4 : 2)}`;
}

export function kinds(counts) {
  const listed = Object.entries(counts ?? {}).filter(([, number]) => number > 0);
  return listed.sort((one, other) => other[1] - one[1]).map(([kind, number]) => `${plain(kind)} ${count(number)}`);
}

export const plain = (word) => word.replaceAll("_", " ");
