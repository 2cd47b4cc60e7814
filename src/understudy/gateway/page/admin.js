// What an operator may do, each time after a word of confirmation, and what came of it.

import { find, say, show } from "./dom.js";
import { bearer, wordsOf } from "./stream.js";

const DOES = {
  reset: ["Reset", "forgets its failures, its bench and its circuit: it is asked like any other at once."],
  open: ["Hold open", "gets no request until it is reset."],
  close: ["Hold closed", "is asked whatever happens, until it is reset."],
  drain: ["Drain", "finishes what it has begun and gets nothing more, until it is taken into service."],
  enable: ["Take into service", "is asked again from the next request on."],
};
const DONE = { reset: "was reset", open: "is held open", close: "is held closed", drain: "is drained", enable: "is in service" };

export class Admin {
  // `keyInForce` is the operator's key, or null; `accepted` is told of a key that was.
  constructor(keyInForce, accepted) {
    this.keyInForce = keyInForce;
    this.accepted = accepted;
    find("dialog-form").addEventListener("submit", (event) => this.#confirm(event));
    find("dialog-cancel").addEventListener("click", () => find("dialog").close());
  }

  act({ profile, backend, action }) {
    const [label, does] = DOES[action];
    const path = ["admin", "profiles", profile, "backends", backend, action].map(encodeURIComponent).join("/");
    this.#ask(`${label}: ${backend}`, `${backend} in ${profile} ${does}`, label, path, () => `${backend} in ${profile} ${DONE[action]}.`);
  }

  reload() {
    const text = "All profiles are loaded anew from their files, or none, if one of them is wrong. Requests in flight finish by what they began with.";
    this.#ask("Reload profiles", text, "Reload", "admin/reload", ({ profiles }) => `Loaded anew: ${profiles.join(", ")}.`);
  }

  #ask(title, text, label, path, done) {
    this.pending = { path, done };
    const needsKey = this.keyInForce() === null;
    say(find("dialog-title"), title);
    say(find("dialog-text"), text);
    say(find("dialog-confirm"), label);
    show(find("dialog-key-label"), needsKey);
    show(find("dialog-key"), needsKey);
    find("dialog-key").required = needsKey;
    find("dialog-key").value = "";
    this.#refused("");
    find("dialog").showModal();
    (needsKey ? find("dialog-key") : find("dialog-cancel")).focus();
  }

  async #confirm(event) {
    event.preventDefault();
    const { path, done } = this.pending;
    const key = this.keyInForce() ?? find("dialog-key").value.trim();
    find("dialog-confirm").disabled = true;
    try {
      const answer = await fetch(path, { method: "POST", headers: bearer(key), cache: "no-store" });
      if (!answer.ok) return this.#refused(`Refused: ${await wordsOf(answer)}`);
      const result = done(await answer.json());
      find("dialog").close();
      this.#told(result);
      if (this.keyInForce() === null) this.accepted(key);
    } catch {
      this.#refused("The gateway can't be reached: nothing is known of what it did.");
    } finally {
      find("dialog-confirm").disabled = false;
    }
  }

  #refused(words) {
    say(find("dialog-refusal"), words);
    show(find("dialog-refusal"), words !== "");
  }

  #told(words) {
    say(find("result"), words);
    show(find("result"), true);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => show(find("result"), false), 20000);
  }
}
