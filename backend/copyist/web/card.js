// One file on the page: how far it is, what went wrong, and its text.

import * as api from "./api.js";
import { copy } from "./clipboard.js";
import { Pages } from "./pages.js";
import { save } from "./saving.js";
import { badge, copyWords, facts, percent, retryWords, spoken } from "./words.js";

export class Card {
  // `announce` says a sentence to people who listen; `onGone` hears that the card was taken away, `onOpen` that its job
  // goes on.
  constructor({ name, announce, onGone, onOpen }) {
    this.element = document.getElementById("job-template").content.firstElementChild.cloneNode(true);
    this.announce = announce;
    this.onGone = onGone;
    this.onOpen = onOpen;
    this.job = null;
    this.stop = null;
    this.pages = new Pages(this.#part(".pages"), this.#part(".more"));
    this.#part(".name").textContent = name;
    this.#part(".bar").setAttribute("aria-label", `Pages read of ${name}`);
    this.#part(".pages").setAttribute("aria-label", `Text of ${name}`);
    for (const [button, what] of [[".cancel", "Cancel"], [".remove", "Remove"]]) {
      this.#part(button).setAttribute("aria-label", `${what} ${name}`);
    }
    this.#part(".cancel").addEventListener("click", () => this.#cancel());
    this.#part(".remove").addEventListener("click", () => this.#remove());
    this.#part(".retry").addEventListener("click", () => this.#retry());
    this.#part(".copy").addEventListener("click", () => this.#copy());
    this.#part(".downloads").addEventListener("click", (event) => this.#download(event));
    this.#part(".toggle").addEventListener("click", () => this.open(this.#part(".pages").hidden));
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }

  get isOpen() {
    return this.job !== null && api.isOpen(this.job);
  }

  // While the file is on its way: `share` of it has been sent, `stop()` ends that.
  uploading(share, stop) {
    this.stop = stop;
    this.#state("Sending", "busy", share < 1 ? percent(share) : "the server looks at it");
    this.#bar(share < 1 ? share : null);
    this.#part(".cancel").hidden = false;
  }

  // Nothing comes of it, for a reason.
  refused(sentence, words = "Not accepted") {
    this.job = null;
    this.#state(words, "bad", "");
    this.#part(".bar").hidden = true;
    this.#error(sentence);
    this.#part(".cancel").hidden = true;
    this.#part(".retry").hidden = true;
    this.#part(".result").hidden = true;
    this.#part(".remove").hidden = false;
    this.announce(`${this.#part(".name").textContent}: ${sentence}`);
  }

  // The job as the server has it now.
  update(job) {
    const news = this.job !== null && this.job.status !== job.status;
    this.job = job;
    this.stop = null;
    const ended = !api.isOpen(job);
    this.#state(...badge(job), facts(job));
    const { pages_done: done, pages_failed: failed, pages_total: total } = job.progress;
    this.#part(".bar").hidden = ended;
    this.#bar(total ? (done + failed) / total : null);
    this.#error(job.error?.detail ?? "");
    this.#warnings(job.warnings);
    this.#part(".cancel").hidden = ended;
    this.#part(".remove").hidden = !ended;
    this.#part(".retry").hidden = !job.links.retry;
    this.#part(".retry").textContent = retryWords(job);
    this.#part(".retry").setAttribute("aria-label", `${retryWords(job)}: ${job.filename}`);
    this.#part(".result").hidden = !job.links.result;
    this.#part(".copy").textContent = copyWords(job);
    this.#part(".copy").setAttribute("aria-label", `${copyWords(job)}: ${job.filename}`);
    for (const link of this.element.querySelectorAll("a[data-format]")) {
      link.href = api.resultUrl(job.id, link.dataset.format);
      link.download = `${job.filename.replace(/\.[^.]*$/, "")}.${link.dataset.format}`;
    }
    if (!this.#part(".pages").hidden) this.pages.show(job);
    if (news && ended) this.announce(spoken(job));
  }

  // Show or hide the text.
  open(wanted) {
    this.#part(".pages").hidden = !wanted;
    this.#part(".more").hidden = true;
    const toggle = this.#part(".toggle");
    toggle.setAttribute("aria-expanded", String(wanted));
    toggle.textContent = wanted ? "Hide the text" : "Show the text";
    if (wanted && this.job) this.pages.show(this.job);
  }

  // Its text was corrected.
  again() {
    this.pages.again();
    this.update(this.job);
  }

  #state(words, kind, known) {
    this.#part(".badge").textContent = words;
    this.#part(".badge").dataset.kind = kind;
    this.#part(".facts").textContent = known;
  }

  #bar(share) {
    const bar = this.#part(".bar");
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
  }

  #error(sentence) {
    this.#part(".error").textContent = sentence;
    this.#part(".error").hidden = !sentence;
  }

  #warnings(sentences) {
    const list = this.#part(".warnings");
    list.replaceChildren(...sentences.map((sentence) => {
      const item = document.createElement("li");
      item.textContent = sentence;
      return item;
    }));
    list.hidden = !sentences.length;
  }

  async #cancel() {
    if (this.stop) {
      this.stop();
      return;
    }
    await this.#doing(".cancel", async () => this.update(await api.cancel(this.job.id)));
  }

  async #retry() {
    await this.#doing(".retry", async () => {
      const job = await api.retry(this.job.id);
      this.pages.again();
      this.update(job);
      this.onOpen();
    });
  }

  async #download(event) {
    const link = event.target.closest("a[data-format]");
    if (!link) return;
    link.closest("details")?.removeAttribute("open");
    if (api.linksWork()) return;
    event.preventDefault();
    const { format } = link.dataset;
    if (link.hasAttribute("aria-busy")) return;
    link.setAttribute("aria-busy", "true");
    try {
      await save(this.job.id, format, link.download);
    } catch (problem) {
      this.#error(problem.message);
    } finally {
      link.removeAttribute("aria-busy");
    }
  }

  async #remove() {
    const sure = this.job === null || confirm(`Remove ${this.job.filename} and its text from the server?`);
    if (!sure) return;
    await this.#doing(".remove", async () => {
      if (this.job) await api.forget(this.job.id);
      this.element.remove();
      this.onGone(this);
    });
  }

  async #copy() {
    await this.#doing(".copy", async () => {
      const button = this.#part(".copy");
      const copied = await copy(await api.text(this.job.id));
      button.textContent = copied ? "Copied" : "Copying is not allowed here";
      this.announce(button.textContent);
      setTimeout(() => { button.textContent = copyWords(this.job); }, 2000);
    });
  }

  // Keep a button from being pressed twice, and show what goes wrong.
  async #doing(button, work) {
    this.#part(button).disabled = true;
    try {
      await work();
    } catch (problem) {
      this.#error(problem.message);
    } finally {
      this.#part(button).disabled = false;
    }
  }
}
