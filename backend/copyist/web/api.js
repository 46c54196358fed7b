// The server, as this page talks to it. Everything throws a Problem with a sentence for the person who reads.

export class Problem extends Error {
  constructor(detail, status = 0) {
    super(detail);
    this.status = status;
  }
}

const AWAY = "The server does not answer. Is it running, and are you connected?";

export function resultUrl(id, format) {
  return `api/jobs/${id}/result.${format}`;
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", ...options });
  } catch {
    throw new Problem(AWAY);
  }
  if (!answer.ok) throw new Problem(sentenceOf(await answer.text(), answer.status), answer.status);
  return answer;
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

// Cancels an open job; one that has ended in the meantime stays as it is.
export async function cancel(id) {
  try {
    return await (await ask(`api/jobs/${id}/cancel`, { method: "POST" })).json();
  } catch (problem) {
    if (problem.status === 409) return job(id);
    throw problem;
  }
}

export const forget = (id) => ask(`api/jobs/${id}`, { method: "DELETE" });

export const isOpen = (body) => body.status === "pending" || body.status === "processing";

// fetch() cannot tell how much of an upload has been sent, so this is the one old-fashioned request.
export function upload(file, fields, { onProgress, signal }) {
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
    request.send(form);
  });
}
