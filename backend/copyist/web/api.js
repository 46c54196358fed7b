// The server, as this page talks to it. Everything throws a Problem with a sentence for the person who reads.

import { anotherKey, keyHeaders, theKey } from "./key.js";

export class Problem extends Error {
  constructor(detail, status = 0, code = "") {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

const AWAY = "The server does not answer. Is it running, and are you connected?";
const NO_KEY = 401;
const SAVE_TIMEOUT_MS = 20_000;

export function resultUrl(id, format) {
  return `api/jobs/${id}/result.${format}`;
}

async function ask(path, { headers, timeoutMs, ...options } = {}) {
  for (;;) {
    const tried = theKey();
    let answer;
    try {
      const signal = timeoutMs ? AbortSignal.timeout(timeoutMs) : undefined;
      answer = await fetch(path, { cache: "no-store", signal, headers: { ...keyHeaders(), ...headers }, ...options });
    } catch {
      throw new Problem(AWAY);
    }
    if (answer.ok) return answer;
    if (answer.status !== NO_KEY) throw problemOf(await answer.text(), answer.status);
    await anotherKey(tried);
  }
}

function problemOf(body, status) {
  try {
    const { detail, code } = JSON.parse(body);
    if (typeof detail === "string") return new Problem(detail, status, code);
  } catch {
    // Not one of our own problems: a proxy's page, perhaps.
  }
  return new Problem(`The server answered with an error (${status}). Try again in a moment.`, status);
}

// Sends something small; who waits for it hears of a network that swallows it.
const send = (method, path, body = null) => ask(path, {
  method,
  timeoutMs: SAVE_TIMEOUT_MS,
  ...(body && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
});

export const engines = async () => (await ask("api/engines")).json();
export const recentJobs = async (limit) => (await (await ask(`api/jobs?limit=${limit}`)).json()).jobs;
export const job = async (id, waitSeconds = 0) => (await ask(`api/jobs/${id}?wait=${waitSeconds}`)).json();
export const page = async (id, number) => (await ask(`api/jobs/${id}/pages/${number}`)).json();
export const text = async (id) => (await ask(resultUrl(id, "txt"))).text();
export const result = async (id, format) => (await ask(resultUrl(id, format))).blob();

export const picture = async (id, number) => (await ask(`api/jobs/${id}/pages/${number}/image`)).blob();
export const line = async (id) => (await ask(`api/lines/${id}`)).json();
export const training = async () => (await ask("api/training")).json();

// What the key is good for, or everybody where none is needed: gives a question, `may("correct")`.
export async function permissions() {
  const { scopes } = await (await ask("api/keys/me")).json();
  return (scope) => scopes.includes(scope) || scopes.includes("admin");
}

// Writes down what stands on a line. `parent` is the revision that the person saw, 0 for what was read: where there is a
// newer one, that is a problem (409).
export const correct = async (id, text, parent) => (
  await send("PUT", `api/lines/${id}`, { text, parent, source: "desk" })
).json();
export const nothing = async (id, parent) => (
  await send("PUT", `api/lines/${id}`, { nothing: true, parent, source: "desk" })
).json();
export const confirmPage = (id, number) => send("POST", `api/jobs/${id}/pages/${number}/confirm`, { source: "desk" });
export const learn = () => send("POST", "api/training/runs");
export const rollBack = () => send("POST", "api/training/rollback", { reason: "Asked for at the desk." });

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
      return await sendFile(file, fields, hooks);
    } catch (problem) {
      if (problem.status !== NO_KEY) throw problem;
      await anotherKey(tried);
    }
    if (hooks.signal.aborted) throw new Problem("The upload was cancelled.");
  }
}

// fetch() cannot tell how much of an upload has been sent, so this is the one old-fashioned request.
function sendFile(file, fields, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
    form.append("file", file, file.name);
    request.upload.onprogress = (event) => onProgress(event.loaded / Math.max(event.total, 1));
    request.onload = () => {
      if (request.status === 202) resolve(JSON.parse(request.responseText));
      else reject(problemOf(request.responseText, request.status));
    };
    request.onerror = () => reject(new Problem(AWAY));
    request.onabort = () => reject(new Problem("The upload was cancelled."));
    signal.addEventListener("abort", () => request.abort());
    request.open("POST", "api/jobs");
    for (const [name, value] of Object.entries(keyHeaders())) request.setRequestHeader(name, value);
    request.send(form);
  });
}
