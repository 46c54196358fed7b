// The picture of a page with a box around each line; upright, whichever way the page was uploaded.

const MOST_PIXELS = 16_000_000; // More than that some browsers give no canvas for.
const CUT_HEIGHT = { least: 32, most: 120 }; // Pixels of the screen.

export class Sheet {
  // `onPick` hears the index of the line whose box was clicked.
  constructor(element, onPick) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    this.boxes = element.querySelector(".boxes");
    this.note = element.querySelector(".sheet-note");
    this.boxes.addEventListener("click", (event) => {
      const box = event.target.closest("[data-index]");
      if (box) onPick(Number(box.dataset.index));
    });
  }

  // An empty sheet for a page of `content`'s size, with the lines' boxes.
  fill(content, lines, name) {
    this.content = content;
    this.scale = Math.min(1, Math.sqrt(MOST_PIXELS / (content.width * content.height)));
    [this.width, this.height] = content.turned % 180
      ? [content.height, content.width]
      : [content.width, content.height];
    this.drawn = false;
    this.canvas.width = Math.round(this.width * this.scale);
    this.canvas.height = Math.round(this.height * this.scale);
    this.canvas.setAttribute("aria-label", `Picture of ${name}`);
    this.tell("The picture is on its way.");
    this.boxes.replaceChildren(...lines.map((line, index) => this.#box(line, index)));
  }

  tell(sentence) {
    this.note.textContent = sentence;
    this.note.hidden = !sentence;
  }

  // Draw the picture that came, a JPEG in the frame of the boxes.
  async draw(blob) {
    const turns = this.content.turned;
    const bitmap = await createImageBitmap(blob);
    const pen = this.canvas.getContext("2d");
    const [width, height] = turns % 180
      ? [this.canvas.height, this.canvas.width]
      : [this.canvas.width, this.canvas.height];
    pen.imageSmoothingQuality = "high";
    pen.translate(this.canvas.width / 2, this.canvas.height / 2);
    pen.rotate((turns * Math.PI) / 180);
    pen.drawImage(bitmap, -width / 2, -height / 2, width, height);
    bitmap.close();
    this.drawn = true;
    this.tell("");
  }

  // How a line's box looks, and where it is if it is the `open` one.
  mark(index, kind, open) {
    const box = this.boxes.children[index];
    box.dataset.kind = kind;
    box.classList.toggle("open", open);
    if (!open) return;
    const middle = ((box.offsetTop + box.offsetHeight / 2) - this.element.clientHeight / 2);
    this.element.scrollTo({ top: middle, behavior: "auto" });
  }

  // Draw the line's own piece of the picture into `target`, large, with a little of what is around it.
  cut(line, target) {
    target.hidden = !this.drawn;
    if (!this.drawn) return;
    const [left, top, right, bottom] = this.#upright(line.box);
    const edge = (bottom - top) * 0.3;
    const x = Math.max(0, left - edge);
    const y = Math.max(0, top - edge);
    const width = Math.max(1, Math.min(this.width, right + edge) - x);
    const height = Math.max(1, Math.min(this.height, bottom + edge) - y);
    const room = target.parentElement.clientWidth;
    const shown = Math.min(CUT_HEIGHT.most, Math.max(CUT_HEIGHT.least, (height * room) / width));
    target.style.width = `${(shown * width) / height}px`;
    target.style.height = `${shown}px`;
    target.width = Math.round((shown * width * devicePixelRatio) / height);
    target.height = Math.round(shown * devicePixelRatio);
    const pen = target.getContext("2d");
    pen.imageSmoothingQuality = "high";
    const source = [x, y, width, height].map((length) => length * this.scale);
    pen.drawImage(this.canvas, ...source, 0, 0, target.width, target.height);
  }

  #box(line, index) {
    const [left, top, right, bottom] = this.#upright(line.box);
    const box = document.createElement("div");
    box.className = "box";
    box.dataset.index = index;
    box.style.left = `${(100 * left) / this.width}%`;
    box.style.top = `${(100 * top) / this.height}%`;
    box.style.width = `${(100 * (right - left)) / this.width}%`;
    box.style.height = `${(100 * (bottom - top)) / this.height}%`;
    return box;
  }

  // Boxes are in the page as uploaded, which had to be turned clockwise by `turned` degrees to stand upright.
  #upright([left, top, right, bottom]) {
    const { width, height, turned } = this.content;
    switch (turned) {
      case 90: return [height - bottom, left, height - top, right];
      case 180: return [width - right, height - bottom, width - left, height - top];
      case 270: return [top, width - right, bottom, width - left];
      default: return [left, top, right, bottom];
    }
  }
}
