// The text of a job, page by page, each shown as soon as it is read.

import * as api from "./api.js";
import { deskAddress } from "./desk.js";
import { engineName, outcomeName, pageNumbers, percent } from "./words.js";

const AT_ONCE = 10;
const DOUBTFUL_UNDER = 0.6;

export class Pages {
  constructor(list, more) {
    this.list = list;
    this.more = more;
    this.wanted = AT_ONCE;
    this.shown = new Set();
    this.busy = false;
    more.addEventListener("click", () => {
      this.wanted += AT_ONCE;
      this.show(this.job);
    });
  }

  // Show what is new of the first pages; while the job is open, a page that is not read yet is asked for again later.
  async show(job) {
    this.job = job;
    if (this.busy || job.progress.pages_total === null) return;
    this.busy = true;
    try {
      const numbers = pageNumbers(job.options.pages, job.progress.pages_total);
      for (const number of numbers.slice(0, this.wanted)) {
        if (!this.shown.has(number) && !(await this.#show(number))) break;
      }
      this.more.hidden = numbers.length <= this.wanted || !this.shown.size;
    } catch (problem) {
      if (!api.isOpen(job)) this.#tell(problem.message);
    } finally {
      this.busy = false;
    }
    if (this.job !== job) await this.show(this.job);
  }

  // Forget what is shown: some of it is being read again.
  again() {
    this.list.replaceChildren();
    this.shown.clear();
  }

  async #show(number) {
    const page = await api.page(this.job.id, number);
    if (page.status === "pending" || page.status === "processing") return false;
    const place = document.getElementById("page-template").content.cloneNode(true);
    place.querySelector(".page-name").textContent = `Page ${number}`;
    place.querySelector(".page-facts").textContent = factsOf(page);
    const [mark, kind] = markOf(page);
    const badge = place.querySelector(".mark");
    badge.textContent = mark;
    badge.dataset.kind = kind;
    badge.hidden = !mark;
    const text = place.querySelector(".page-text");
    const formula = this.job.options.mode === "formula";
    text.textContent = page.text || emptyOf(page, formula);
    text.classList.toggle("none", !page.text);
    text.classList.toggle("latex", formula && Boolean(page.text));
    const desk = place.querySelector(".to-desk");
    desk.href = deskAddress(this.job.id, number);
    desk.hidden = page.degraded || !page.lines?.length; // A placeholder has lines where nothing stands.
    const steps = stepsOf(page);
    place.querySelector(".trail").hidden = !steps.length;
    place.querySelector(".steps").append(...steps);
    this.list.append(place);
    this.shown.add(number);
    return true;
  }

  #tell(sentence) {
    const line = document.createElement("p");
    line.className = "error";
    line.textContent = sentence;
    this.list.append(line);
  }
}

function factsOf(page) {
  const parts = page.content && !page.degraded ? [engineName(page.content.engine)] : [];
  if (page.confidence !== null) parts.push(`${percent(page.confidence)} sure`);
  return parts.join(" · ");
}

function markOf(page) {
  if (page.status === "failed") return ["not read", "bad"];
  if (page.degraded) return ["placeholder, not read", "doubt"];
  if (page.confidence !== null && page.confidence < DOUBTFUL_UNDER) return ["hard to read, check it", "doubt"];
  return ["", ""];
}

// What each engine made of the page, where there is more to say than which one read it.
function stepsOf(page) {
  const tells = page.trail.length > 1 || page.trail.some((step) => step.reason || step.notes?.length);
  return (tells ? page.trail : []).map((step) => {
    const item = document.createElement("li");
    const [what, ...notes] = [`${engineName(step.engine)}: ${outcomeName(step.outcome)}.`, step.reason, ...(step.notes ?? [])];
    item.textContent = [what, ...notes.filter(Boolean)].join(" ");
    return item;
  });
}

function emptyOf(page, formula) {
  if (page.error) return page.error.detail;
  if (page.status === "skipped") return "Not read: the job was cancelled first.";
  if (!formula) return "No text on this page.";
  return ["No formula was found here.", ...page.trail.flatMap((step) => step.notes ?? [])].join(" ");
}
