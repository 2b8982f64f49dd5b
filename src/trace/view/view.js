// The page around the trees: facts, votes, the selected node, the clock.
class View {
  constructor(runs) {
    this.runs = runs;
    for (const run of runs) {
      run.tree = Layout.tree(run.nodes);
      run.tree.levels = [];
      for (const item of run.tree.order) (run.tree.levels[item.depth] ??= []).push(item);
      run.end = Layout.end(run);
      run.burn = Layout.burn(run);
      run.chosen = Layout.chosen(run, run.tree);
    }
    this.end = Math.max(...runs.map((run) => run.end), 1e-3);
    this.now = this.end;
    this.answer = null;
    this.selected = null;
    this.playing = null;
    const done = runs.flatMap((run) => run.nodes);
    const confidences = done.map(Layout.confidence).filter((value) => value !== null);
    this.confidences = confidences.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [1, 0]);
    this.answers = this.ranking();
    const modes = [["score", done.some((node) => node.score !== null)], ["confidence", confidences.length > 0], ["answer", this.answers.length > 0], ["end", true]];
    this.modes = modes.filter(([, there]) => there).map(([mode]) => mode);
    this.mode = this.modes[0];
    this.build();
    this.paint();
    const first = runs.find((run) => run.chosen) ?? runs.find((run) => run.tree.order.length > 0);
    if (first) this.select(first, first.chosen ?? first.tree.order[0]); else this.showNode();
  }

  // Answers of all runs, the most frequent first: the order of their colours.
  ranking() {
    const votes = new Map();
    for (const run of this.runs) for (const row of Layout.votes(run, Infinity).rows) votes.set(row.answer, (votes.get(row.answer) ?? 0) + row.votes);
    return [...votes].sort((a, b) => b[1] - a[1]).map(([answer]) => answer);
  }

  build() {
    const first = this.runs[0].header;
    document.title = `${first.question.slice(0, 60) || "ruminate trace"} · ruminate`;
    const questions = [...new Set(this.runs.map((run) => run.header.question))];
    byId("question").textContent = questions.join("\n");
    byId("runs").append(...this.runs.map((run) => facts(run, this.runs.length > 1)));
    byId("about").append(...this.runs.map((run) => about(run, this.runs.length > 1)));
    for (const mode of this.modes) byId("mode").append(new Option(mode, mode));
    this.panels = this.runs.map((run) => {
      const panel = new Panel(run, this), host = make("div", "panel");
      host.append(panel.canvas);
      if (this.runs.length > 1) host.append(make("p", "", run.name));
      if (run.nodes.length === 0) host.append(make("p", "", "No node was started."));
      byId("panels").append(host);
      return panel;
    });
    byId("mode").addEventListener("change", (e) => { this.mode = e.target.value; this.legend(); this.redraw(); this.showNode(); });
    byId("in").addEventListener("click", () => this.panels.forEach((p) => p.zoom(p.y, 1.6, p.height / 2)));
    byId("out").addEventListener("click", () => this.panels.forEach((p) => p.zoom(p.y, 1 / 1.6, p.height / 2)));
    byId("fit").addEventListener("click", () => this.panels.forEach((p) => p.fit()));
    byId("theme").addEventListener("click", () => this.paint(this.theme === "dark" ? "light" : "dark"));
    byId("play").addEventListener("click", () => this.play(this.playing === null));
    byId("time").addEventListener("input", (e) => { this.play(false); this.seek(this.end * e.target.value / 1000); });
    document.addEventListener("keydown", (e) => {
      if (e.key !== " " || e.target.closest("button, select, summary, input")) return;
      e.preventDefault();
      this.play(this.playing === null);
    });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    new ResizeObserver(() => this.redraw()).observe(byId("burn"));
  }

  // Takes on a theme: the reader's, or the system's.
  paint(theme) {
    this.theme = theme ?? (window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    document.documentElement.dataset.theme = this.theme;
    const style = getComputedStyle(document.documentElement);
    this.colours = Object.fromEntries(["ground", "panel", "ink", "soft", "line", "accent", "low", "middle", "high", "none", "limit"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.ramp = [this.colours.low, this.colours.middle, this.colours.high].map(Layout.parse);
    this.none = Layout.parse(this.colours.none);
    // Colours that stay apart without red against green (after Okabe and Ito, 2008).
    const palette = this.theme === "dark"
      ? ["#5ab0f2", "#f08c3c", "#35b58c", "#dd8fbe", "#e8c547", "#9f8df0", "#8fd3d1"]
      : ["#1f6fb5", "#c2540a", "#0b7f5f", "#b0518c", "#8f7400", "#5b48b8", "#2f7f86"];
    this.palette = palette.map(Layout.parse);
    this.legend();
    this.redraw();
    this.showVotes();
    this.showNode();
  }

  // The colour of a node, kept until the theme or what it stands for changes.
  colour(node) {
    let colour = this.coloured.get(node);
    if (!colour) this.coloured.set(node, colour = this.mix(node));
    return colour;
  }

  mix(node) {
    if (this.mode === "answer") return this.palette[this.answers.indexOf(node.answer)] ?? this.none;
    if (this.mode === "end") return this.palette[ENDS.findIndex(([ends]) => ends.includes(node.end))] ?? this.none;
    const [value, low, high] = this.mode === "score" ? [node.score, 0, 1] : [Layout.confidence(node), ...this.confidences];
    return value === null ? this.none : Layout.blend(this.ramp, high > low ? (value - low) / (high - low) : 1);
  }

  legend() {
    this.coloured = new Map();
    const legend = byId("legend");
    legend.replaceChildren();
    const entry = (colour, words) => legend.append(swatch(colour), make("span", "", words));
    if (this.mode === "answer") {
      this.answers.slice(0, this.palette.length).forEach((answer, i) => entry(this.palette[i], answer.slice(0, 24)));
      entry(this.none, this.answers.length > this.palette.length ? "others or none" : "none");
    } else if (this.mode === "end") {
      ENDS.forEach(([, words], i) => entry(this.palette[i], words));
    } else {
      const [low, high] = this.mode === "score" ? [0, 1] : this.confidences;
      if (high <= low) return entry(this.ramp[2], high.toFixed(2));
      const ramp = make("canvas");
      [ramp.width, ramp.height] = [60, 1];
      const c = ramp.getContext("2d");
      for (let i = 0; i < 60; i++) { c.fillStyle = Layout.css(Layout.blend(this.ramp, i / 59)); c.fillRect(i, 0, 1, 1); }
      legend.append(make("span", "", low.toFixed(2)), ramp, make("span", "", high.toFixed(2)));
    }
    const states = [];
    if (this.runs.some((run) => run.nodes.some((node) => node.closed_ms !== null))) states.push("hollow: pruned");
    if (this.runs.some((run) => run.nodes.some((node) => node.end === "interrupted"))) states.push("faded: given up");
    if (states.length > 0) legend.append(make("span", "quiet", `· ${states.join(" · ")}`));
  }

  select(run, item) {
    this.selected = { run, item };
    const { node } = item;
    const words = [`Node ${node.number}`, node.answer === null ? ENDED[node.end] ?? "growing" : `answer ${node.answer}`];
    if (node.score !== null) words.push(`score ${node.score.toFixed(2)}`);
    byId("live").textContent = words.join(", ");
    this.showNode();
    this.redraw();
  }

  seek(ms) {
    this.now = ms;
    byId("time").value = Math.round(1000 * ms / this.end);
    this.showVotes();
    this.redraw();
  }

  // Plays at the run's own speed, or faster so that it takes 15 seconds.
  play(on) {
    cancelAnimationFrame(this.playing);
    this.playing = null;
    byId("play").textContent = on ? "Pause" : "Play";
    if (!on) return;
    if (this.now >= this.end) this.now = 0;
    const speed = Math.max(1, this.end / 15000), start = performance.now(), from = this.now;
    const step = (time) => {
      const now = Math.min(this.end, from + Math.max(0, time - start) * speed);
      this.playing = requestAnimationFrame(step);
      this.seek(now);
      if (now >= this.end) this.play(false);
    };
    this.playing = requestAnimationFrame(step);
  }

  // Draws once before the next frame, however often it is asked for.
  redraw() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      for (const panel of this.panels) if (panel.width > 0) panel.draw(this.now);
      this.drawBurn();
    });
  }

  drawBurn() {
    const canvas = byId("burn"), c = canvas.getContext("2d"), ink = this.colours;
    const width = canvas.clientWidth, height = canvas.clientHeight, ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio)) [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    const limits = this.runs.map((run) => run.header.params.budget.tokens).filter((n) => n !== null);
    const spent = Math.max(1, ...this.runs.map((run) => run.burn[run.burn.length - 1][1]));
    // A limit far above everything would flatten the line: it is told in words alone.
    const near = limits.filter((limit) => limit <= spent * 4);
    const most = Math.max(spent, ...near) * 1.08;
    // The time axis lies above the slider: both begin and end at the same places.
    const slider = byId("time").getBoundingClientRect(), own = canvas.getBoundingClientRect();
    const left = slider.left - own.left + 8, right = slider.right - own.left - 8, top = 12, bottom = height - 16;
    const x = (ms) => left + (right - left) * ms / this.end, y = (tokens) => bottom - (bottom - top) * tokens / most;
    c.font = "11px system-ui, sans-serif";
    c.lineWidth = 1;
    c.textBaseline = "middle";
    c.textAlign = "right";
    for (const tick of Layout.ticks(most, 2)) {
      c.strokeStyle = ink.line;
      stroke(c, [[left, y(tick)], [right, y(tick)]]);
      c.fillStyle = ink.soft;
      // Where there is no room beside the axis, its numbers stand on it.
      if (left > 60) c.fillText(Layout.count(tick), left - 6, y(tick));
      else if (tick > 0 && y(tick) > 30) c.fillText(Layout.count(tick), left + 40, y(tick) - 7);
    }
    c.textBaseline = "alphabetic";
    for (const tick of Layout.ticks(this.end, Math.max(1, Math.min(8, Math.floor((right - left) / 90))))) {
      c.textAlign = tick === 0 ? "left" : x(tick) > right - 30 ? "right" : "center";
      c.fillText(tick === 0 ? "0" : Layout.duration(tick), x(tick), height - 3);
    }
    c.textAlign = "left";
    c.fillText("tokens spent", left > 60 ? left : left + 48, 9);
    c.strokeStyle = c.fillStyle = ink.limit;
    c.setLineDash([5, 4]);
    for (const limit of new Set(near)) {
      stroke(c, [[left, y(limit)], [right, y(limit)]]);
      c.textAlign = "right";
      c.fillText(`limit ${Layout.count(limit)}`, right, y(limit) - 4);
    }
    for (const wall of new Set(this.runs.map((run) => wallMs(run.header.params.budget)))) {
      if (wall !== null && wall <= this.end) stroke(c, [[x(wall), top], [x(wall), bottom]]);
    }
    this.runs.forEach((run, i) => {
      c.strokeStyle = Layout.css(this.palette[i % this.palette.length]);
      c.setLineDash(i > 0 ? [7, 3] : []);
      c.lineWidth = 2;
      stroke(c, run.burn.map(([ms, tokens]) => [x(ms), y(tokens)]));
    });
    c.setLineDash([]);
    c.lineWidth = 1;
    c.strokeStyle = ink.ink;
    stroke(c, [[x(this.now), top - 4], [x(this.now), bottom]]);
    const tokens = this.runs.map((run) => Layout.spent(run.burn, this.now));
    canvas.setAttribute("aria-label", `Tokens spent by ${Layout.duration(this.now)}: ${tokens.map(Layout.count).join(" and ")}`);
    byId("clock").textContent = `${Layout.duration(this.now)} · ${tokens.map(Layout.count).join(" | ")} tokens`;
  }

  showVotes() {
    const host = byId("votes"), many = this.runs.length > 1;
    host.replaceChildren();
    for (const run of this.runs) {
      const { final, rows } = Layout.votes(run, this.now);
      host.append(make("h2", "", `${final ? "Votes" : "Answers so far"}${many ? ` · ${run.name}` : ""}`));
      if (rows.length === 0) { host.append(make("p", "quiet", "No complete text with an answer.")); continue; }
      const most = Math.max(1, ...rows.slice(0, 100).map((row) => row.votes)), table = make("table"), body = make("tbody");
      const head = make("tr");
      head.append(make("th", "", "answer"), make("th", "", ""), make("th", "number", "votes"), make("th", "number", "score"));
      for (const row of rows.slice(0, 100)) {
        const line = make("tr"), name = make("td"), choice = make("button", "choice", row.answer);
        choice.setAttribute("aria-pressed", String(this.answer === row.answer));
        choice.title = "Show only the nodes with this answer";
        choice.addEventListener("click", () => { this.answer = this.answer === row.answer ? null : row.answer; this.showVotes(); this.redraw(); });
        name.append(choice);
        const share = make("td", "share"), colour = this.palette[this.answers.indexOf(row.answer)] ?? this.none;
        const part = make("div", "part");
        part.style.width = `${100 * row.votes / most}%`;
        part.style.background = Layout.css(colour);
        share.append(part);
        line.append(name, share, make("td", "number", Layout.count(row.votes)), make("td", "number", row.score.toFixed(2)));
        body.append(line);
      }
      const header = make("thead");
      header.append(head);
      table.append(header, body);
      const box = make("div", "more");
      box.append(table);
      if (rows.length > 100) box.append(make("p", "quiet", `and ${rows.length - 100} more answers`));
      host.append(box);
    }
  }

  showNode() {
    const host = byId("node");
    host.replaceChildren();
    if (!this.selected) return;
    const { run, item } = this.selected, { node } = item;
    const path = Layout.path(item).reverse();
    host.append(make("h2", "", `Node ${node.number}${this.runs.length > 1 ? ` · ${run.name}` : ""}`));
    const state = [node.end === null ? "still growing when the trace ends" : ENDED[node.end] ?? node.end];
    if (node.greedy) state.push("most likely tokens");
    if (node.closed_ms !== null) state.push(`pruned at ${Layout.duration(node.closed_ms)}`);
    if (item === run.chosen) state.push("chosen");
    const rows = [["ended", state.join(", ")], ["answer", node.answer ?? "none"]];
    if (node.score !== null) rows.push(["score", Layout.share(node.score)]);
    rows.push(["confidence", Layout.share(Layout.confidence(node))]);
    if (node.logprob !== null) rows.push(["log-probability", node.logprob.toFixed(3)]);
    rows.push(["tokens", path.length > 1 ? `${Layout.count(node.tokens.length)}, ${Layout.count(item.to)} from the prompt on` : Layout.count(node.tokens.length)]);
    rows.push(["started", Layout.duration(node.started_ms)]);
    if (node.done_ms !== null) rows.push(["took", Layout.duration(node.done_ms - node.started_ms)]);
    if (node.policy_tokens !== null) rows.push(["search by then", `${Layout.count(node.policy_tokens)} tokens`]);
    const other = this.runs.find((r) => r !== run)?.tree.byNumber.get(node.number);
    if (other) {
      const at = Layout.parting(node, other.node);
      rows.push(["other run", at === null ? "the same tokens" : `parts at token ${at + 1} of ${Layout.count(other.node.tokens.length)}`]);
    }
    host.append(list(rows));
    if (path.length > 1) {
      host.append(make("h3", "", `From the prompt to here, ${path.length} nodes`));
      const steps = make("div");
      steps.id = "path";
      for (const step of path.slice(-200)) {
        const button = make("button", "", step.node.text || "(no text)");
        button.title = `Node ${step.node.number}`;
        button.style.borderLeftColor = Layout.css(this.colour(step.node));
        if (step === item) button.setAttribute("aria-current", "true");
        button.addEventListener("click", () => { this.select(run, step); this.panels[this.runs.indexOf(run)].reveal(step); });
        steps.append(button);
      }
      host.append(steps);
    } else {
      host.append(make("h3", "", "Text"), make("pre", "", node.text || "(no text)"));
    }
    if (node.tokens.length > 0) host.append(fold("Token numbers", make("pre", "", node.tokens.join(" "))));
  }
}

new View(JSON.parse(byId("data").textContent));
