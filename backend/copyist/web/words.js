// States and figures in words.

export const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

export const percent = (share) => `${Math.round(100 * share)} %`;

// What a job is doing, short enough for a badge, and the colour it has.
export function badge(job) {
  const { pages_failed: failed } = job.progress;
  switch (job.status) {
    case "pending": return ["Waiting", "busy"];
    case "processing": return ["Reading", "busy"];
    case "completed": return failed || job.degraded ? ["Done, with gaps", "doubt"] : ["Done", "good"];
    case "cancelled": return ["Cancelled", "idle"];
    default: return ["Not read", "bad"];
  }
}

// What is known of it: how far it is, who reads, how sure they were.
export function facts(job) {
  const { pages_done: done, pages_failed: failed, pages_total: total } = job.progress;
  const parts = [];
  if (job.status === "pending") {
    parts.push(job.queue_position ? `${count(job.queue_position, "file")} ahead` : "next in line");
  } else if (job.status === "processing") {
    parts.push(total === null ? "looking into the file" : `${done + failed} of ${count(total, "page")}`);
  } else if (total !== null) {
    parts.push(done === total ? count(total, "page") : `${done} of ${count(total, "page")}`);
  }
  if (job.eta) parts.push(timeLeft((Date.parse(job.eta) - Date.now()) / 1000));
  if (job.engines.length) parts.push(job.engines.map(engineName).join(", "));
  if (job.confidence !== null) parts.push(`${percent(job.confidence)} sure`);
  return parts.join(" · ");
}

// What copying the whole result gives.
export const copyWords = (job) => (job.options.mode === "formula" ? "Copy LaTeX" : "Copy all");

// How long it will take, no more exactly than anybody can know.
export function timeLeft(seconds) {
  if (seconds < 10) return "a few seconds left";
  if (seconds < 55) return `about ${10 * Math.round(seconds / 10)} seconds left`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `about ${count(minutes, "minute")} left`;
  const hours = Math.round(seconds / 3600);
  return hours < 48 ? `about ${count(hours, "hour")} left` : `about ${count(Math.round(hours / 24), "day")} left`;
}

// What a retry of the job would do.
export function retryWords(job) {
  const { pages_done: done, pages_failed: failed } = job.progress;
  if (!done) return "Try again";
  return failed ? `Retry ${count(failed, "failed page")}` : "Read the rest";
}

export function engineName(name) {
  if (name === "text-layer") return "the PDF's own text";
  return name === "mock" ? "placeholder" : name;
}

const OUTCOMES = {
  read: "read it",
  kept_other: "read it, less well",
  cached: "had read it before",
  not_ready: "was not ready",
  failed: "failed",
  garbage: "gave no text",
  timed_out: "took too long",
  crashed: "crashed",
  lost: "was interrupted",
};

export function outcomeName(outcome) {
  return OUTCOMES[outcome] ?? outcome;
}

// One sentence for people who listen instead of looking.
export function spoken(job) {
  return `${job.filename}: ${badge(job)[0]}. ${job.error?.detail ?? facts(job)}`;
}

export function languageName(code) {
  try {
    const name = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" }).of(code.replace("_", "-"));
    return name ? `${name} (${code})` : code;
  } catch {
    return code; // Tesseract's own names, such as chi_sim, are no language tags.
  }
}

// The page numbers of a job, from the range that was asked for ("1-3,7-") and how many pages that came to.
export function pageNumbers(ranges, total) {
  if (!ranges) return Array.from({ length: total }, (_, index) => index + 1);
  const numbers = new Set();
  const parts = ranges.split(",").map((part) => part.split("-").map((end) => parseInt(end, 10)));
  for (const [first, last] of parts.sort((one, other) => one[0] - other[0])) {
    const end = last === undefined ? first : Number.isNaN(last) ? Infinity : last;
    for (let number = first; number <= end && numbers.size < total; number += 1) numbers.add(number);
  }
  return [...numbers];
}

// What the server learned from corrections, and what comes next; nothing where there is nothing to learn from yet.
export function learningWords(status) {
  const { enabled, counts, champion, challengers, active_run: run } = status;
  if (!enabled || !(counts.lines || champion || run)) return "";
  const parts = [];
  if (champion) parts.push(`Reads handwriting with version ${champion.version} since ${dayOf(champion.since)}`);
  if (run) return [...parts, runWords(run)].join(" · ");
  if (challengers.length) parts.push(`Version ${challengers[0].version} waits for somebody to decide`);
  const known = champion ? `${count(counts.new, "new line")}` : `${count(counts.lines, "checked line")}`;
  return [...parts, `${known}, ${nextWords(status)}`].join(" · ");
}

function nextWords({ missing, paused, trainer, next }) {
  if (paused) return `learning is paused by ${paused.by}`;
  if (missing) return `${missing} more until it learns`;
  if (!trainer.alive) return "no trainer is running";
  return next ? next[0].toLowerCase() + next.slice(1).replace(/\.$/, "") : "it is about to learn";
}

function runWords({ status, progress: { phase, step, steps, paused } }) {
  if (paused) return "Learning: it stands still for now";
  if (status === "queued") return "Learning: about to begin";
  if (phase === "training" && steps) return `Learning: step ${step} of ${steps}`;
  return EXAMINED.has(phase) ? "Learning: the new version is examined" : "Learning: getting ready";
}

const EXAMINED = new Set(["merging", "golden", "holdout", "general", "saving"]);
const dayOf = (moment) => new Date(moment).toLocaleDateString("en", { day: "numeric", month: "long", year: "numeric" });
