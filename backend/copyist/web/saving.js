// Saving a result where a link cannot do it: fetched with the key, then given to the browser as a file.

import * as api from "./api.js";

const KEPT_MS = 60_000;

export async function save(id, format, name) {
  const url = URL.createObjectURL(await api.result(id, format));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser may still be reading it.
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}
