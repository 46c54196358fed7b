// One line opened for writing: its piece of the picture, its text, and what to do with it.

export class Editor {
  // `on` has what is to happen: `save()`, `back()`, `skip()`, `leave()`, `nothing()`, `edit(text)` at each change; where
  // there are two texts for the line, `keepTheirs()` or `keepMine()`.
  constructor(on) {
    this.element = document.getElementById("editor-template").content.firstElementChild.cloneNode(true);
    this.on = on;
    this.picture = this.#part("canvas");
    this.input = this.#part("input");
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && event.target !== this.input) on.leave();
    });
    this.input.addEventListener("input", () => this.#edited());
    for (const move of ["input", "keyup", "click"]) this.input.addEventListener(move, () => this.#follow());
    for (const [button, what] of [
      [".save", "save"],
      [".back", "back"],
      [".nothing", "nothing"],
      [".leave", "leave"],
      [".keep-theirs", "keepTheirs"],
      [".keep-mine", "keepMine"],
    ]) {
      this.#part(button).addEventListener("click", () => { if (!this.busy) on[what](); });
    }
    this.#part(".undo").addEventListener("click", () => this.#undo());
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }

  get text() {
    return this.input.value;
  }

  get busy() {
    return this.element.hasAttribute("aria-busy");
  }

  set busy(busy) {
    this.element.toggleAttribute("aria-busy", busy);
    this.input.readOnly = busy || !this.writes;
  }

  // `name` is "Line 3 of 12"; `draft` is a text of before that is not saved; without `writes` it can only be looked at.
  fill(line, { name, draft, first, writes }) {
    this.line = line;
    this.writes = writes;
    this.busy = false;
    this.#part("label").textContent = name;
    this.#part(".cut").scrollLeft = 0;
    this.input.value = draft ?? line.text;
    this.#part(".back").disabled = first;
    this.#part(".as-read").textContent = line.read !== null && line.read !== line.text ? `Read as: ${line.read}` : "";
    this.error("");
    this.conflict(null);
  }

  focus() {
    this.input.focus();
    this.input.setSelectionRange(this.text.length, this.text.length);
  }

  // Write `text` in the place of what stands there.
  write(text) {
    this.input.value = text;
    this.#edited();
  }

  error(sentence) {
    this.#part(".error").textContent = sentence;
    this.#part(".error").hidden = !sentence;
    this.input.setAttribute("aria-invalid", String(Boolean(sentence)));
  }

  // Somebody else wrote `text` meanwhile; null: nobody did.
  conflict(text) {
    this.#part(".conflict").hidden = text === null;
    this.#part(".theirs").textContent = text ?? "";
    this.#part(".save").hidden = text !== null;
    this.#name();
    if (text !== null) this.#part(".keep-theirs").focus();
  }

  #edited() {
    this.#name();
    this.on.edit(this.text);
  }

  // Of a line too long for the window, show the piece that the cursor is at.
  #follow() {
    const cut = this.#part(".cut");
    const share = this.input.selectionStart / Math.max(1, this.text.length);
    cut.scrollLeft = share * cut.scrollWidth - cut.clientWidth / 2;
  }

  #undo() {
    this.write(this.line.text);
    this.error("");
    this.input.focus();
  }

  #name() {
    const same = this.text === this.line.text;
    const words = same ? "It is right, go on" : "Save, go on";
    this.#part(".save").textContent = this.writes && !(same && this.line.verified) ? words : "Go on";
    this.#part(".undo").hidden = same;
    this.#part(".nothing").hidden = !this.writes || this.#part(".save").hidden || !this.line.text;
  }

  #key(event) {
    if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    const step = {
      Enter: event.shiftKey ? "back" : "save",
      ArrowUp: "back",
      ArrowDown: "skip",
      Escape: "leave",
    }[event.key];
    if (!step) return;
    event.preventDefault();
    if (!this.busy && !(step === "save" && this.#part(".save").hidden)) this.on[step]();
  }
}
