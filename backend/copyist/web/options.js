// How files are to be read: the choices there are, and the ones that were made.

import * as api from "./api.js";
import { languageName } from "./words.js";

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
  for (const engine of engines) {
    const choice = document.querySelector(`#engine option[value="${CSS.escape(engine.name)}"]`);
    choice.disabled = !engine.ready;
    choice.title = engine.reason;
  }
  return ready.length ? "" : "No worker with an OCR engine is running. Files can be sent, and are read when there is one.";
}

function fill(id, choices) {
  const select = document.getElementById(id);
  for (const [key, words] of choices) select.append(new Option(words, key));
}
