// The ways in: the file chooser, files dropped anywhere on the page, pictures pasted.

export function takeFiles(send) {
  const zone = document.getElementById("zone");
  const input = document.getElementById("files");

  input.addEventListener("change", () => {
    if (input.files.length) send([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  });

  let depth = 0; // dragenter and dragleave are fired for every element on the way
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    zone.classList.toggle("over", depth > 0);
  };
  addEventListener("dragenter", (event) => { if (hasFiles(event)) mark(1); });
  addEventListener("dragleave", (event) => { if (hasFiles(event)) mark(-1); });
  addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    mark(0);
    const folders = new Set(foldersOf(event.dataTransfer));
    send([...event.dataTransfer.files].filter((file) => !folders.has(file.name)), [...folders]);
  });

  addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length) return;
    event.preventDefault();
    send(files);
  });
}

// A browser hands a folder over as a file that cannot be read.
function foldersOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  return entries.filter((entry) => entry?.isDirectory).map((entry) => entry.name);
}

function hasFiles(event) {
  return event.dataTransfer !== null && [...event.dataTransfer.types].includes("Files");
}
