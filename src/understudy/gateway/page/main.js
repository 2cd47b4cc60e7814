// The page: one stream, three places that show it, and what is said of the stream itself.

import { Admin } from "./admin.js";
import { Board } from "./board.js";
import { tickAll } from "./countdown.js";
import { Decisions } from "./decisions.js";
import { find, say, set, show } from "./dom.js";
import { span } from "./format.js";
import { Stream } from "./stream.js";

const STORED = "understudy.key";
const OLD = 3000;
const ANNOUNCE = 3000;

let hello = { admin: false, operator: false };
let received = null; // when the picture came that is shown
let lost = null; // why there is no stream, and when the next try is due
let isLocked = false;
let toAnnounce = [];

const key = () => sessionStorage.getItem(STORED);
const decisions = new Decisions(key);
const admin = new Admin(() => (hello.operator ? key() : null), use);
const board = new Board((what) => admin.act(what));
const stream = new Stream({
  hello: greeted,
  picture: drawn,
  decision: (one) => decisions.decision(one),
  change: changed,
  missed: (one) => decisions.missed(one),
  lost: (why, next) => {
    if (lost === null && received !== null) announce("The connection is lost.");
    lost = { why, next };
    tick();
  },
  locked,
});

function greeted(told) {
  if (lost !== null && received !== null) announce("Live again.");
  hello = told;
  lost = null;
  isLocked = false;
  board.may = { admin: told.admin };
  show(find("locked"), false);
  show(find("reload"), told.admin);
  show(find("key"), true);
  say(find("key"), key() ? "Forget the key" : "Key");
  say(find("scope"), scope(told));
  say(find("version"), `Understudy ${told.version}`);
  decisions.catchUp();
}

function scope({ operator, client }) {
  if (operator) return "All requests, seen with the admin key.";
  return client === "anonymous" ? "All requests: this gateway asks for no key." : `The requests of ${client}.`;
}

function drawn(picture) {
  received = Date.now();
  show(find("view"), true);
  board.update(picture, received);
  say(find("worker"), picture.worker === null ? "" : `worker ${picture.worker}`);
  tick();
}

function changed(one) {
  decisions.change(one);
  if (/^circuit (open|closed)/.test(one.words)) announce(`${one.backend}: ${one.words.split(",")[0]}.`);
}

// Keys

function use(given) {
  if (given) sessionStorage.setItem(STORED, given);
  else sessionStorage.removeItem(STORED);
  decisions.forget();
  stream.open(given);
}

function locked(why) {
  isLocked = true;
  received = null;
  sessionStorage.removeItem(STORED);
  decisions.forget();
  const tried = stream.key !== null && stream.key !== undefined;
  show(find("view"), false);
  show(find("locked"), true);
  show(find("reload"), false);
  show(find("key"), false);
  say(find("unlock-refusal"), tried ? `Refused: ${why}` : "");
  show(find("unlock-refusal"), tried);
  find("unlock-key").value = "";
  find("unlock-key").focus();
  tick();
}

function askForKey() {
  isLocked = true;
  stream.close();
  stream.key = null;
  locked("");
}

// What is said of the stream itself

function tick() {
  const age = received === null ? null : Date.now() - received;
  const old = age === null ? "" : `, the picture is ${span(age)} old`;
  const isFresh = lost === null && age !== null && age < OLD;
  let words = "Asking the gateway …";
  if (isLocked) words = "locked";
  else if (lost !== null) words = `${lost.why}${old}; next try in ${span(lost.next - Date.now())}`;
  else if (age !== null) words = isFresh ? "live" : `waiting${old}`;
  say(find("connection"), words);
  set(find("connection"), "class", isFresh ? "live" : isLocked ? "" : lost === null && age === null ? "" : "stale");
  set(find("view"), "class", isFresh ? null : "stale");
  say(find("now-title"), isFresh ? "Now" : "When last seen");
  show(find("reconnect"), lost !== null && !isLocked);
}

function announce(words) {
  if (!toAnnounce.length) {
    setTimeout(() => {
      say(find("announcer"), toAnnounce.slice(-3).join(" "));
      toAnnounce = [];
    }, ANNOUNCE);
  }
  toAnnounce.push(words);
}

setInterval(() => {
  tick();
  tickAll();
}, 500);

find("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  use(find("unlock-key").value.trim());
});
find("key").addEventListener("click", () => (key() ? use(null) : askForKey()));
find("reload").addEventListener("click", () => admin.reload());
find("reconnect").addEventListener("click", () => stream.now());
// A tab that sleeps hears nothing; whoever looks at it again does not wait for the next try.
document.addEventListener("visibilitychange", () => document.hidden || lost === null || isLocked || stream.now());

stream.open(key());
