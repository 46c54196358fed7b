// One line about what the server learned from corrections, with the two things to do about it.

import * as api from "./api.js";
import { learningWords } from "./words.js";

const SOON_MS = 1500;
const WHILE_IT_LEARNS_MS = 5000;
const OTHERWISE_MS = 60_000;

const SURE = "Read handwriting with the version before again? The present one is kept, and can be taken up again.";

const part = (id) => document.getElementById(id);

export class Learning {
  // `announce` says a sentence to people who listen.
  constructor(announce) {
    this.announce = announce;
    this.timer = null;
    part("learn-now").addEventListener("click", () => this.#do("learn-now", api.learn));
    part("learn-back").addEventListener("click", () => {
      if (confirm(SURE)) this.#do("learn-back", api.rollBack);
    });
  }

  // Something was corrected: look again when there is a moment.
  soon(milliseconds = SOON_MS) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), milliseconds);
  }

  // Where there is nothing to tell, or nobody to tell it, there is no such line.
  async refresh() {
    try {
      const [status, may] = await Promise.all([api.training(), api.permissions()]);
      this.#show(status, may("train"));
      if (status.enabled) this.soon(status.active_run ? WHILE_IT_LEARNS_MS : OTHERWISE_MS);
    } catch {
      part("learning").hidden = true;
    }
  }

  #show(status, may) {
    const words = learningWords(status);
    part("learning").hidden = !words;
    if (part("learning-words").textContent !== words) part("learning-words").textContent = words;
    part("learn-now").hidden = !may || !status.may_start || !status.counts.new;
    part("learn-back").hidden = !may || !status.champion;
  }

  async #do(button, work) {
    part(button).disabled = true;
    try {
      await work();
      await this.refresh();
    } catch (problem) {
      part("learning-words").textContent = problem.message;
      this.announce(problem.message);
    } finally {
      part(button).disabled = false;
    }
  }
}
