// The page: takes files in, keeps a card for each, and looks after the ones that are being read.

import * as api from "./api.js";
import { Card } from "./card.js";
import { Desk, deskAsked } from "./desk.js";
import { takeFiles } from "./dropzone.js";
import { Learning } from "./learning.js";
import { fillOptions, options } from "./options.js";

const RECENT = 20;
const UPLOADS_AT_ONCE = 2;
const WAIT_S = 1;
const PAUSE_MS = 2000;

const list = document.getElementById("jobs");
const cards = new Set();
const changed = new Set();
const queue = [];
let uploads = 0;
let watching = false;

const announce = (sentence) => { document.getElementById("announcer").textContent = sentence; };
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

function notice(sentence) {
  const place = document.getElementById("notice");
  place.textContent = sentence;
  place.hidden = !sentence;
}

function add(name, where) {
  const card = new Card({ name, announce, onGone: gone, onOpen: watch });
  cards.add(card);
  list[where](card.element);
  document.getElementById("no-jobs").hidden = true;
  return card;
}

function gone(card) {
  cards.delete(card);
  document.getElementById("no-jobs").hidden = cards.size > 0;
}

function send(files, folders = []) {
  for (const name of folders) add(name, "prepend").refused("This is a folder. Open it, and send the files in it.");
  for (const file of [...files].reverse()) {
    const card = add(file.name, "prepend");
    card.open(true);
    const stopping = new AbortController();
    const one = { file, card, fields: options(), signal: stopping.signal };
    card.uploading(0, () => {
      stopping.abort();
      if (queue.includes(one)) {
        queue.splice(queue.indexOf(one), 1);
        card.refused("The upload was cancelled.");
      }
    });
    queue.unshift(one);
  }
  next();
}

function next() {
  while (uploads < UPLOADS_AT_ONCE && queue.length) {
    uploads += 1;
    upload(queue.shift()).finally(() => {
      uploads -= 1;
      next();
    });
  }
}

async function upload({ file, card, fields, signal }) {
  const { stop } = card;
  try {
    const onProgress = (share) => card.uploading(share, stop);
    card.update(await api.upload(file, fields, { onProgress, signal }));
    watch();
  } catch (problem) {
    card.refused(problem.message);
  }
}

// Two requests a round, however many files are open: a long poll for the first of them, and the list for the others.
async function watch() {
  if (watching) return;
  watching = true;
  for (let open = openCards(); open.length; open = openCards()) {
    try {
      const [first, ...others] = open;
      const [job, recent] = await Promise.all([
        api.job(first.job.id, WAIT_S),
        others.length ? api.recentJobs(200) : [],
      ]);
      first.update(job);
      await refresh(others, recent);
      notice("");
    } catch (problem) {
      await excuse(open[0], problem);
    }
  }
  watching = false;
}

function openCards() {
  const open = [...cards].filter((card) => card.isOpen);
  const rank = (card) => (card.job.status === "processing" ? "0" : "1") + card.job.created_at;
  return open.sort((one, other) => (rank(one) < rank(other) ? -1 : 1));
}

async function refresh(open, recent) {
  const known = new Map(recent.map((job) => [job.id, job]));
  for (const card of open) {
    // A card may have been cancelled while the list was on its way.
    if (!card.isOpen) continue;
    try {
      card.update(known.get(card.job.id) ?? await api.job(card.job.id));
    } catch (problem) {
      await excuse(card, problem);
    }
  }
}

async function excuse(card, problem) {
  if (problem.status === 404 || problem.status === 410) {
    card.refused(problem.message, "Not there any more");
    return;
  }
  notice(problem.message ?? "Something went wrong on this page. Reload it.");
  await pause(PAUSE_MS);
}

const learning = new Learning(announce);
const desk = new Desk({
  announce,
  onChange: (id) => {
    changed.add(id);
    learning.soon();
  },
});

// The desk, or the files: as the address says.
function goThere() {
  const asked = deskAsked();
  document.getElementById("desk").hidden = !asked;
  document.getElementById("files-view").hidden = Boolean(asked);
  document.body.classList.toggle("at-desk", Boolean(asked));
  if (asked) desk.show(asked.job, asked.number);
  else desk.leave();
  if (!asked) showCorrected();
}

function showCorrected() {
  for (const card of cards) if (changed.delete(card.job?.id)) card.again();
}

async function start() {
  takeFiles(send);
  addEventListener("hashchange", goThere);
  goThere();
  learning.refresh();
  try {
    for (const job of await api.recentJobs(RECENT)) add(job.filename, "append").update(job);
    watch();
    notice(await fillOptions());
  } catch (problem) {
    notice(problem.message);
  }
}

start();
