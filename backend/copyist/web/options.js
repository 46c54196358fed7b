// How files are to be read: the choices there are, and the ones that were made.

import * as api from "./api.js";
import { languageName } from "./words.js";

const NO_FORMULAS = "No engine that reads formulas is ready.";

const value = (id) => document.getElementById(id).value;

// The fields of an upload. People at this page are waiting, so their files go before those of a batch.
export function options() {
  return {
    priority: "interactive",
    mode: value("mode"),
    languages: value("language"),
    engine: value("engine"),
    text: value("text"),
    password: value("password"),
  };
}

// Offer what the living workers have; gives a sentence where that is not enough to read anything.
export async function fillOptions() {
  const engines = (await api.engines()).filter((engine) => engine.name !== "mock");
  const ready = engines.filter((engine) => engine.ready);
  const languages = [...new Set(ready.flatMap((engine) => engine.languages))];
  fill("language", languages.map((code) => [code, languageName(code)]).sort((one, other) => one[1] < other[1] ? -1 : 1));
  fill("engine", engines.map((engine) => [engine.name, engine.ready ? engine.name : `${engine.name} (not ready)`]));
  for (const engine of engines) allow("engine", engine.name, engine.ready, engine.reason);
  allow("mode", "formula", ready.some((engine) => engine.modes.includes("formula")), NO_FORMULAS);
  return ready.length ? "" : "No worker with an OCR engine is running. Files can be sent, and are read when there is one.";
}

function allow(id, key, allowed, reason) {
  const choice = document.querySelector(`#${id} option[value="${CSS.escape(key)}"]`);
  choice.disabled = !allowed;
  choice.title = allowed ? "" : reason;
}

function fill(id, choices) {
  const select = document.getElementById(id);
  for (const [key, words] of choices) select.append(new Option(words, key));
}
