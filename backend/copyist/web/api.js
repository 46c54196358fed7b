// The server, as this page talks to it. Everything throws a Problem with a sentence for the person who reads.

import { anotherKey, keyHeaders, theKey } from "./key.js";

export class Problem extends Error {
  constructor(detail, status = 0) {
    super(detail);
    this.status = status;
  }
}

const AWAY = "The server does not answer. Is it running, and are you connected?";
const NO_KEY = 401;

export function resultUrl(id, format) {
  return `api/jobs/${id}/result.${format}`;
}

async function ask(path, options = {}) {
  for (;;) {
    const tried = theKey();
    let answer;
    try {
      answer = await fetch(path, { cache: "no-store", headers: keyHeaders(), ...options });
    } catch {
      throw new Problem(AWAY);
    }
    if (answer.ok) return answer;
    if (answer.status !== NO_KEY) throw new Problem(sentenceOf(await answer.text(), answer.status), answer.status);
    await anotherKey(tried);
  }
}

function sentenceOf(body, status) {
  try {
    const detail = JSON.parse(body).detail;
    if (typeof detail === "string") return detail;
  } catch {
    // Not one of our own problems: a proxy's page, perhaps.
  }
  return `The server answered with an error (${status}). Try again in a moment.`;
}

export const engines = async () => (await ask("api/engines")).json();
export const recentJobs = async (limit) => (await (await ask(`api/jobs?limit=${limit}`)).json()).jobs;
export const job = async (id, waitSeconds = 0) => (await ask(`api/jobs/${id}?wait=${waitSeconds}`)).json();
export const page = async (id, number) => (await ask(`api/jobs/${id}/pages/${number}`)).json();
export const text = async (id) => (await ask(resultUrl(id, "txt"))).text();
export const result = async (id, format) => (await ask(resultUrl(id, format))).blob();

// Whether a plain link works: a browser sends no key with one.
export const linksWork = () => theKey() === "";

// Cancels an open job; one that has ended in the meantime stays as it is.
export async function cancel(id) {
  try {
    return await (await ask(`api/jobs/${id}/cancel`, { method: "POST" })).json();
  } catch (problem) {
    if (problem.status === 409) return job(id);
    throw problem;
  }
}

// Has the pages read again that failed or were skipped.
export const retry = async (id) => (await ask(`api/jobs/${id}/retry`, { method: "POST" })).json();

// One that somebody else removed, or that has expired, is forgotten already.
export async function forget(id) {
  try {
    await ask(`api/jobs/${id}`, { method: "DELETE" });
  } catch (problem) {
    if (problem.status !== 404 && problem.status !== 410) throw problem;
  }
}

export const isOpen = (body) => body.status === "pending" || body.status === "processing";

export async function upload(file, fields, hooks) {
  for (;;) {
    const tried = theKey();
    try {
      return await send(file, fields, hooks);
    } catch (problem) {
      if (problem.status !== NO_KEY) throw problem;
      await anotherKey(tried);
    }
    if (hooks.signal.aborted) throw new Problem("The upload was cancelled.");
  }
}

// fetch() cannot tell how much of an upload has been sent, so this is the one old-fashioned request.
function send(file, fields, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
    form.append("file", file, file.name);
    request.upload.onprogress = (event) => onProgress(event.loaded / Math.max(event.total, 1));
    request.onload = () => {
      if (request.status === 202) resolve(JSON.parse(request.responseText));
      else reject(new Problem(sentenceOf(request.responseText, request.status), request.status));
    };
    request.onerror = () => reject(new Problem(AWAY));
    request.onabort = () => reject(new Problem("The upload was cancelled."));
    signal.addEventListener("abort", () => request.abort());
    request.open("POST", "api/jobs");
    for (const [name, value] of Object.entries(keyHeaders())) request.setRequestHeader(name, value);
    request.send(form);
  });
}
