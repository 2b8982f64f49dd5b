// One run's tree on a canvas: pans with a drag, zooms rows with the wheel and tokens with shift and the wheel, and moves its
// selection with the arrow keys. Drawing costs the same for 5,000 nodes as for what is in sight.
class Panel {
  // Pixels between a node and its children at most, of a row at most, beside the tree, and for what stands after the last
  // token.
  static GAP = 14;
  static ROW = 30;
  static EDGE = 24;
  static AFTER = 132;
  // Height of a row from which there is room for an answer beside it, and of a bar for text on it.
  static BESIDE = 14;
  static TEXT = 13;

  constructor(run, view) {
    this.run = run;
    this.view = view;
    this.x = { scale: 1, offset: 0 };
    this.y = { scale: 1, offset: 0 };
    this.gap = Panel.GAP;
    this.fitted = true;
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", `Tree of ${run.name}, ${run.nodes.length} nodes. Arrow keys select a node, plus and minus zoom, 0 shows all.`);
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.canvas);
  }

  get tree() { return this.run.tree; }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.ratio = ratio;
    if (this.fitted) this.fit();
    // A new size empties the canvas: it is drawn again before the browser shows it.
    this.draw(this.view.now);
  }

  // The whole tree in sight.
  fit() {
    const { tokens, depth, rows } = this.tree;
    const after = Math.min(Panel.AFTER, this.width * 0.35);
    const width = this.width - 2 * Panel.EDGE - after;
    // A deep tree keeps most of its width for tokens.
    this.gap = Math.min(Panel.GAP, 0.3 * width / (depth + 1));
    const room = width - (depth + 1) * this.gap;
    this.x = { scale: Math.max(room, 40) / Math.max(tokens, 1), offset: Panel.EDGE };
    const scale = Math.min(Panel.ROW, (this.height - 2 * Panel.EDGE) / Math.max(rows, 1));
    this.y = { scale, offset: Panel.EDGE + 8 };
    this.fitted = true;
    this.view.redraw();
  }

  zoom(axis, factor, at) {
    const most = axis === this.y ? 60 : 4000, least = axis === this.y ? 0.02 : 0.001;
    const scale = Math.max(least, Math.min(most, axis.scale * factor));
    axis.offset = at - (at - axis.offset) * (scale / axis.scale);
    axis.scale = scale;
    this.fitted = false;
    this.view.redraw();
  }

  // Where an item's bar begins and ends, and its middle line.
  left(item) { return this.x.offset + item.from * this.x.scale + (item.depth + 1) * this.gap; }
  right(item) { return this.x.offset + item.to * this.x.scale + (item.depth + 1) * this.gap; }
  line(row) { return this.y.offset + (row + 0.5) * this.y.scale; }
  get thick() { return Math.max(1, Math.min(20, this.y.scale * (this.y.scale < 4 ? 1 : 0.7))); }

  draw(now) {
    const c = this.canvas.getContext("2d"), { view, tree } = this;
    const ink = view.colours;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    c.textBaseline = "middle";
    const shown = new Map();
    for (const item of tree.order) {
      const at = Layout.at(item.node, now);
      if (at.state !== "absent") shown.set(item, at);
    }
    const selected = view.selected?.run === this.run ? Layout.path(view.selected.item) : [];
    this.drawLines(c, shown, ink);
    for (const [item, at] of shown) this.drawBar(c, item, at);
    for (const item of selected) this.drawSelected(c, item, item === selected[0], ink);
    if (this.y.scale >= Panel.BESIDE) {
      for (const [item, at] of shown) this.drawText(c, item, at, ink);
    } else if (shown.has(selected[0])) {
      this.drawAfter(c, selected[0], shown.get(selected[0]), ink, true);
    }
    this.drawRoot(c, ink);
  }

  drawLines(c, shown, ink) {
    c.strokeStyle = ink.line;
    c.globalAlpha = this.y.scale < 3 ? 0.7 : 1;
    c.lineWidth = 1;
    c.beginPath();
    const fan = (x, row, children) => {
      const seen = children.filter((child) => shown.has(child));
      if (seen.length === 0) return;
      const turn = Math.round(x + this.gap / 2) + 0.5;
      const low = Math.min(row, ...ends(seen)), high = Math.max(row, ...ends(seen));
      c.moveTo(x, this.line(row));
      c.lineTo(turn, this.line(row));
      c.moveTo(turn, this.line(low));
      c.lineTo(turn, this.line(high));
      for (const child of seen) {
        const y = this.line(child.row);
        if (y < -2 || y > this.height + 2) continue;
        c.moveTo(turn, y);
        c.lineTo(x + this.gap, y);
      }
    };
    const ends = (items) => [items[0].row, items[items.length - 1].row];
    fan(this.x.offset, this.tree.middle, this.tree.roots);
    for (const item of shown.keys()) if (item.children.length > 0) fan(this.right(item), item.row, item.children);
    c.stroke();
    c.globalAlpha = 1;
  }

  drawBar(c, item, at) {
    const y = this.line(item.row), half = this.thick / 2;
    if (y < -half || y > this.height + half) return;
    const x = this.left(item), full = Math.max(2, this.right(item) - x);
    if (x > this.width || x + full < 0) return;
    const colour = Layout.css(this.view.colour(item.node));
    const dimmed = this.view.answer !== null && item.node.answer !== this.view.answer;
    const weight = (at.state === "growing" || at.state === "given up" ? 0.45 : 1) * (dimmed ? 0.2 : 1);
    c.globalAlpha = weight;
    c.fillStyle = colour;
    if (at.state === "closed" && this.thick > 3) {
      c.globalAlpha = weight * 0.16;
      c.fillRect(x, y - half, full, this.thick);
      c.globalAlpha = weight;
      c.strokeStyle = colour;
      c.lineWidth = 1;
      c.strokeRect(x + 0.5, y - half + 0.5, full - 1, this.thick - 1);
    } else {
      c.fillRect(x, y - half, full * at.share, this.thick);
    }
    c.globalAlpha = 1;
  }

  drawSelected(c, item, first, ink) {
    const y = this.line(item.row), half = Math.max(this.thick, 3) / 2 + (first ? 2 : 1);
    const x = this.left(item), full = Math.max(2, this.right(item) - x);
    c.strokeStyle = ink.accent;
    c.lineWidth = first ? 2 : 1;
    c.strokeRect(x - 1, y - half, full + 2, half * 2);
  }

  drawText(c, item, at, ink) {
    const y = this.line(item.row);
    if (y < -10 || y > this.height + 10) return;
    const x = this.left(item), full = (this.right(item) - x) * at.share;
    const from = Math.max(x, 0), room = Math.min(x + full, this.width) - from - 10;
    if (room > 34 && this.thick >= Panel.TEXT) {
      c.font = `${this.thick < 16 ? 11 : 12}px system-ui, sans-serif`;
      const hollow = at.state !== "done";
      c.fillStyle = hollow ? ink.ink : Layout.inkOn(this.view.colour(item.node));
      c.globalAlpha = this.view.answer !== null && item.node.answer !== this.view.answer ? 0.35 : 1;
      c.fillText(clip(c, item.node.text, room), from + 6, y + 0.5);
      c.globalAlpha = 1;
    }
    if (item.children.length === 0) this.drawAfter(c, item, at, ink);
  }

  // What stands after a leaf: its answer or why it has none, and its score.
  drawAfter(c, item, at, ink, crowded = false) {
    const x = this.left(item) + (this.right(item) - this.left(item)) * at.share + 8, y = this.line(item.row) + 0.5;
    if (x > this.width) return;
    if (at.state === "growing") return;
    const { answer, end, score } = item.node, chosen = item === this.run.chosen;
    const words = answer ?? { step: "", interrupted: "given up", length: "cut short" }[end] ?? end;
    const remarks = [score === null ? "" : score.toFixed(2), chosen ? "chosen" : ""].filter(Boolean).join("  ");
    const font = "12px system-ui, sans-serif";
    c.font = font;
    const width = c.measureText(remarks).width;
    c.font = `${chosen ? "bold " : ""}${font}`;
    const shown = clip(c, words, Panel.AFTER - 20 - width);
    const after = x + (shown ? c.measureText(shown).width + 8 : 0);
    if (crowded) {
      c.globalAlpha = 0.88;
      c.fillStyle = ink.ground;
      c.fillRect(x - 4, y - 9, after + width - x + 8, 18);
      c.globalAlpha = 1;
    }
    c.fillStyle = answer === null ? ink.soft : ink.ink;
    c.fillText(shown, x, y);
    c.font = font;
    c.fillStyle = ink.soft;
    c.fillText(remarks, after, y);
  }

  drawRoot(c, ink) {
    const x = this.x.offset, y = this.line(this.tree.middle);
    c.fillStyle = ink.soft;
    c.beginPath();
    c.arc(x, y, 4, 0, 2 * Math.PI);
    c.fill();
  }

  // The node under a point; in a crowd, the nearest row.
  hit(px, py) {
    let best = null, least = Math.max(9, this.thick / 2 + 2);
    for (const item of this.tree.items) {
      const at = Layout.at(item.node, this.view.now);
      if (at.state === "absent") continue;
      const x = this.left(item), end = Math.max(x + 4, this.right(item)) + (item.children.length === 0 ? 60 : 3);
      const off = Math.abs(this.line(item.row) - py);
      if (px >= x - 3 && px <= end && off < least) { best = item; least = off; }
    }
    return best;
  }

  listen() {
    const { canvas } = this;
    let drag = null;
    const pinch = new Map();
    canvas.addEventListener("pointerdown", (e) => {
      canvas.setPointerCapture(e.pointerId);
      pinch.set(e.pointerId, e);
      drag = { x: e.offsetX, y: e.offsetY, moved: false };
    });
    canvas.addEventListener("pointermove", (e) => {
      if (!drag || !pinch.has(e.pointerId)) return;
      if (pinch.size === 2) {
        const [a, b] = pinch.values(), other = a.pointerId === e.pointerId ? b : a;
        const before = Math.hypot(a.offsetX - b.offsetX, a.offsetY - b.offsetY);
        const after = Math.hypot(e.offsetX - other.offsetX, e.offsetY - other.offsetY);
        if (before > 0) this.zoom(this.y, after / before, (e.offsetY + other.offsetY) / 2);
        drag.moved = true;
      } else if (drag.moved || Math.hypot(e.offsetX - drag.x, e.offsetY - drag.y) > 4) {
        const last = pinch.get(e.pointerId);
        this.x.offset += e.offsetX - last.offsetX;
        this.y.offset += e.offsetY - last.offsetY;
        drag.moved = true;
        this.fitted = false;
        this.view.redraw();
      }
      pinch.set(e.pointerId, e);
    });
    const up = (e) => {
      pinch.delete(e.pointerId);
      if (drag && !drag.moved && e.type === "pointerup") {
        const item = this.hit(e.offsetX, e.offsetY);
        if (item) this.view.select(this.run, item);
      }
      if (pinch.size === 0) drag = null;
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("wheel", (e) => {
      e.preventDefault();
      const step = Math.exp(-(e.deltaY || e.deltaX) * (e.deltaMode === 1 ? 0.06 : 0.002));
      if (e.shiftKey) this.zoom(this.x, step, e.offsetX); else this.zoom(this.y, step, e.offsetY);
    }, { passive: false });
    canvas.addEventListener("keydown", (e) => this.key(e));
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const item = this.view.selected?.run === this.run ? this.view.selected.item : null;
    const go = {
      ArrowLeft: () => item?.parent,
      ArrowRight: () => (item ? item.children[0] : this.tree.roots[0]),
      ArrowDown: () => this.beside(item, 1),
      ArrowUp: () => this.beside(item, -1),
      Home: () => this.tree.roots[0],
      End: () => this.tree.roots[this.tree.roots.length - 1],
    }[e.key];
    if (go) {
      const to = go() ?? (item ? null : this.tree.roots[0]);
      if (to) { this.view.select(this.run, to); this.reveal(to); }
    } else if (e.key === "+" || e.key === "=") this.zoom(this.y, 1.4, this.height / 2);
    else if (e.key === "-") this.zoom(this.y, 1 / 1.4, this.height / 2);
    else if (e.key === "0") this.fit();
    else return;
    e.preventDefault();
  }

  // The next node down or up at the same depth.
  beside(item, step) {
    if (!item) return null;
    const level = this.tree.levels[item.depth];
    return level[level.indexOf(item) + step];
  }

  // Brings an item into sight.
  reveal(item) {
    const y = this.line(item.row), x = this.left(item);
    if (y < 20 || y > this.height - 20) this.y.offset += this.height / 2 - y;
    if (x < 0 || x > this.width - 40) this.x.offset += this.width / 3 - x;
    this.view.redraw();
  }
}

// A text on one line, cut where its room ends.
function clip(c, text, room) {
  let line = text.slice(0, Math.ceil(room / 2)).replace(/\s+/g, " ").trim();
  const whole = line.length >= text.trim().length;
  if (whole && c.measureText(line).width <= room) return line;
  let low = 0, high = line.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (c.measureText(line.slice(0, middle) + "…").width <= room) low = middle; else high = middle - 1;
  }
  return low > 0 ? line.slice(0, low) + "…" : "";
}
