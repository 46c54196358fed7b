// The lines of a page as people go through them: what stands there, and how sure anybody is of it.

const UNSURE_UNDER = 0.6;

const isUnsure = (line) => !line.verified && line.confidence !== null && line.confidence < UNSURE_UNDER;

export const MARKS = { unsaved: "not saved", verified: "checked", unsure: "unsure", plain: "" };

export class Lines {
  // `drafts` are texts that are not saved yet, by the ids of lines; `onPick` hears the index of the line that is clicked.
  constructor(list, drafts, onPick) {
    this.list = list;
    this.drafts = drafts;
    this.all = [];
    list.addEventListener("click", (event) => {
      const button = event.target.closest(".line-open");
      if (button) onPick([...list.children].indexOf(button.parentElement));
    });
  }

  fill(lines) {
    this.all = lines;
    this.list.replaceChildren(...lines.map((line, index) => {
      const item = document.getElementById("line-template").content.firstElementChild.cloneNode(true);
      item.classList.toggle("new-block", index > 0 && lines[index - 1].block !== line.block);
      return item;
    }));
    lines.forEach((_, index) => this.show(index));
  }

  kind(index) {
    const line = this.all[index];
    if (this.drafts.has(line.id)) return "unsaved";
    if (line.verified) return "verified";
    return isUnsure(line) ? "unsure" : "plain";
  }

  // Show a line as it is now.
  show(index) {
    const line = this.all[index];
    const item = this.list.children[index];
    const kind = this.kind(index);
    const text = this.drafts.get(line.id) ?? line.text;
    item.dataset.kind = kind;
    item.querySelector(".line-text").textContent = text || "(nothing)";
    item.querySelector(".line-mark").textContent = MARKS[kind];
  }

  // Put the editor in the place of a line's text, or the text back in its own.
  put(index, editor) {
    const item = this.list.children[index];
    item.querySelector(".line-open").hidden = editor !== null;
    if (editor) item.append(editor);
  }

  focus(index) {
    this.list.children[index].querySelector(".line-open").focus();
  }

  // The next line after `index` of which nobody is sure, from the top again after the last; -1: there is none.
  unsureAfter(index) {
    const order = this.all.map((_, step) => (index + 1 + step) % this.all.length);
    return order.find((place) => isUnsure(this.all[place])) ?? -1;
  }

  count(kind) {
    return this.all.filter((_, index) => this.kind(index) === kind).length;
  }
}
