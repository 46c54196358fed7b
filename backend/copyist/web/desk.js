// The desk: the lines of one page beside its picture, to be gone through, corrected and confirmed.

import * as api from "./api.js";
import { Editor } from "./editor.js";
import { Lines, MARKS } from "./lines.js";
import { Sheet } from "./sheet.js";
import { count, pageNumbers } from "./words.js";

const NO_RIGHT = "This key is good for reading, not for correcting. "
  + "Whoever runs the server can make one with the scope correct.";
const NO_LINES = "No line was read on this page, so there is nothing to correct.";

const ALL_CHECKED = "All lines of the page are checked.";
const EMPTY = "No text is left. If nothing stands here, say so with the button below; else undo it.";
const UNSAVED = "This line is not saved yet. Save it, or undo it, before the page is confirmed.";

const part = (id) => document.getElementById(id);

export const deskAddress = (job, number) => `#desk/${encodeURIComponent(job)}/${number}`;

// What the address of the page asks for: a job and the number of its page, or null.
export function deskAsked() {
  const found = /^#desk\/([^/]+)\/(\d+)$/.exec(location.hash);
  return found && { job: decodeURIComponent(found[1]), number: Number(found[2]) };
}

export class Desk {
  // `announce` says a sentence to people who listen; `onChange` hears the id of a job with a line that was changed.
  constructor({ announce, onChange }) {
    this.announce = announce;
    this.onChange = onChange;
    this.drafts = new Map();
    this.turn = 0;
    this.at = -1;
    this.lines = new Lines(part("desk-lines"), this.drafts, (index) => this.#open(index));
    this.sheet = new Sheet(part("desk-sheet"), (index) => this.#open(index));
    this.editor = new Editor({
      save: () => this.#save(),
      back: () => this.#back(),
      skip: () => this.#goOn(),
      nothing: () => this.#nothing(),
      leave: () => this.#leaveLine(),
      edit: (text) => this.#keep(text),
      keepTheirs: () => this.#keepTheirs(),
      keepMine: () => this.#send(this.editor.text, this.theirs.revision ?? 0),
    });
    part("desk-unsure").addEventListener("click", () => this.#open(this.lines.unsureAfter(this.at)));
    part("desk-confirm").addEventListener("click", () => this.#confirm());
    addEventListener("resize", () => this.#cut());
    addEventListener("beforeunload", (event) => { if (this.drafts.size) event.preventDefault(); });
  }

  // Show a page. Whatever comes for another one afterwards comes too late.
  async show(id, number) {
    const turn = ++this.turn;
    this.#clear(number);
    part("desk-title").focus();
    try {
      const [job, page, may] = await Promise.all([api.job(id), api.page(id, number), api.permissions()]);
      if (turn !== this.turn) return;
      this.#fill(job, page, may("correct"));
      if (page.lines.length) await this.#draw(id, number, turn);
    } catch (problem) {
      if (turn === this.turn) this.#error(problem.message);
    }
  }

  leave() {
    this.turn += 1;
    this.#close();
  }

  async #draw(id, number, turn) {
    try {
      const picture = await api.picture(id, number);
      if (turn !== this.turn) return;
      await this.sheet.draw(picture);
      this.#cut();
    } catch (problem) {
      if (turn === this.turn) this.sheet.tell(`The picture cannot be shown. ${problem.message}`);
    }
  }

  #clear(number) {
    this.#close();
    this.editor.busy = false;
    this.job = null;
    this.lines.fill([]);
    part("desk-title").textContent = `Page ${number}`;
    part("desk-facts").textContent = "";
    for (const id of ["desk-body", "desk-actions", "desk-previous", "desk-next"]) part(id).hidden = true;
    this.#error("");
  }

  #fill(job, page, writes) {
    this.job = job;
    this.number = page.number;
    this.writes = writes;
    const numbers = pageNumbers(job.options.pages, job.progress.pages_total ?? 0);
    const where = numbers.indexOf(page.number);
    part("desk-title").textContent = numbers.length > 1
      ? `${job.filename}, page ${where + 1} of ${numbers.length}`
      : job.filename;
    this.#link("desk-previous", numbers[where - 1]);
    this.#link("desk-next", numbers[where + 1]);
    this.#error(page.error?.detail ?? (page.lines.length ? "" : NO_LINES));
    this.#note(writes ? "" : NO_RIGHT);
    part("desk-body").hidden = !page.lines.length;
    part("desk-actions").hidden = !page.lines.length;
    if (!page.lines.length) return;
    for (const line of page.lines) if (this.drafts.get(line.id) === line.text) this.drafts.delete(line.id);
    this.lines.fill(page.lines);
    this.sheet.fill(page.content, page.lines, part("desk-title").textContent);
    page.lines.forEach((_, index) => this.sheet.mark(index, this.lines.kind(index), false));
    this.#count();
  }

  #link(id, number) {
    part(id).hidden = number === undefined;
    if (number !== undefined) part(id).href = deskAddress(this.job.id, number);
  }

  #error(sentence) {
    part("desk-error").textContent = sentence;
    part("desk-error").hidden = !sentence;
  }

  #note(sentence) {
    part("desk-note").textContent = sentence;
    part("desk-note").hidden = !sentence;
  }

  // How far the page is.
  #count() {
    const all = this.lines.all.length;
    const checked = this.lines.all.filter((line) => line.verified).length;
    const unsure = this.lines.count("unsure");
    const unsaved = this.lines.count("unsaved");
    const facts = [checked === all ? `all ${count(all, "line")} checked` : `${checked} of ${count(all, "line")} checked`];
    if (unsure) facts.push(`${unsure} unsure`);
    if (unsaved) facts.push(`${unsaved} not saved`);
    part("desk-facts").textContent = facts.join(" · ");
    part("desk-unsure").hidden = this.lines.unsureAfter(-1) < 0;
    part("desk-confirm").hidden = !this.writes || checked === all;
  }

  // Show a line as it is now, in the list and in the picture.
  #show(index) {
    this.lines.show(index);
    this.sheet.mark(index, this.lines.kind(index), index === this.at);
    this.#count();
  }

  #open(index) {
    if (index < 0 || this.editor.busy) return;
    this.#close();
    this.at = index;
    const line = this.lines.all[index];
    this.editor.fill(line, {
      name: [`Line ${index + 1} of ${this.lines.all.length}`, MARKS[this.lines.kind(index)]].filter(Boolean).join(", "),
      draft: this.drafts.get(line.id),
      first: index === 0,
      writes: this.writes,
    });
    this.lines.put(index, this.editor.element);
    this.#show(index);
    this.#cut();
    this.editor.focus();
    this.editor.element.scrollIntoView({ block: "nearest" });
  }

  #close() {
    if (this.at < 0) return;
    const index = this.at;
    this.at = -1;
    this.theirs = null;
    this.lines.put(index, null);
    this.editor.element.remove();
    this.#show(index);
  }

  #cut() {
    if (this.at >= 0) this.sheet.cut(this.lines.all[this.at], this.editor.picture);
  }

  #keep(text) {
    const line = this.lines.all[this.at];
    if (text === line.text) this.drafts.delete(line.id);
    else this.drafts.set(line.id, text);
  }

  #back() {
    this.#open(this.at - 1);
  }

  #leaveLine() {
    const index = this.at;
    this.#close();
    this.lines.focus(index);
  }

  #goOn() {
    if (this.at + 1 < this.lines.all.length) this.#open(this.at + 1);
    else this.#end();
  }

  // After the last line: to what is left on this page, or to the next one.
  #end() {
    const index = this.at;
    this.#close();
    const left = this.lines.all.filter((line) => !line.verified).length;
    this.announce(left ? `That was the last line. Lines not checked yet: ${left}.` : ALL_CHECKED);
    if (!left && !part("desk-next").hidden) part("desk-next").focus();
    else this.lines.focus(index);
  }

  // Write down what stands in the open line. A field that was emptied may be a slip: it is no text.
  async #save() {
    const line = this.lines.all[this.at];
    const { text } = this.editor;
    if (!this.writes || (line.verified && text === line.text)) this.#goOn();
    else if (line.text.trim() && !text.trim()) this.editor.error(EMPTY);
    else await this.#send(text);
  }

  async #nothing() {
    this.editor.write("");
    await this.#send("");
  }

  // Send the text of the open line, an empty one where nothing stands; `parent` is the revision that it follows.
  async #send(text, parent = this.lines.all[this.at].revision ?? 0) {
    const index = this.at;
    const line = this.lines.all[index];
    const { job, turn } = this;
    this.drafts.set(line.id, text); // Until the server has it.
    this.editor.busy = true;
    this.editor.error("");
    try {
      const saved = await (text.trim() ? api.correct(line.id, text, parent) : api.nothing(line.id, parent));
      this.drafts.delete(line.id);
      this.onChange(job.id);
      if (turn !== this.turn) return;
      this.announce(`Line ${index + 1} is ${text === line.text ? "checked" : "saved"}.`);
      this.#saved(index, saved);
      this.#goOn();
    } catch (problem) {
      await this.#refused(line, problem, turn);
    } finally {
      if (turn === this.turn) this.editor.busy = false;
    }
  }

  #saved(index, { text, revision, verified, confidence, read }) {
    this.editor.busy = false;
    Object.assign(this.lines.all[index], { text, revision, verified, confidence, read });
    this.#show(index);
  }

  async #refused(line, problem, turn) {
    let theirs = null;
    if (problem.code === "stale_correction" && turn === this.turn) {
      try {
        theirs = await api.line(line.id);
      } catch (other) {
        problem = other;
      }
    }
    if (turn !== this.turn) return;
    if (theirs) {
      this.theirs = theirs;
      this.editor.conflict(theirs.text || "(nothing)");
      return;
    }
    this.editor.error(`Not saved; your text is kept here. ${problem.message}`);
    this.#show(this.at);
  }

  #keepTheirs() {
    this.drafts.delete(this.lines.all[this.at].id);
    this.#saved(this.at, this.theirs);
    this.onChange(this.job.id);
    this.#goOn();
  }

  async #confirm() {
    const unsaved = this.lines.all.findIndex((line) => this.drafts.has(line.id));
    if (unsaved >= 0) {
      this.#open(unsaved);
      this.editor.error(UNSAVED);
      return;
    }
    const { turn, job, number } = this;
    part("desk-confirm").disabled = true;
    this.#error("");
    try {
      await api.confirmPage(job.id, number);
      this.onChange(job.id);
      const page = await api.page(job.id, number);
      if (turn !== this.turn) return;
      this.#close();
      page.lines.forEach((line, index) => this.#saved(index, line));
      this.announce(ALL_CHECKED);
      part(part("desk-next").hidden ? "desk-title" : "desk-next").focus();
    } catch (problem) {
      if (turn === this.turn) this.#error(`The page is not confirmed. ${problem.message}`);
    } finally {
      part("desk-confirm").disabled = false;
    }
  }
}
