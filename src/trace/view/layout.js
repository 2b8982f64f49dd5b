"use strict";
// What can be computed without a page: the tree's places, colours, votes, the burn-down, and how numbers are written.
const Layout = (() => {
  // The places of a run's nodes. A row belongs to each leaf; a node stands in the middle of its children's rows. Along the
  // other axis a node reaches from its parent's last token to its own. No recursion: a trace may be a long chain.
  function tree(nodes) {
    const items = nodes.map((node) => ({
      node, parent: null, children: [], depth: 0, row: 0, from: 0, to: 0,
    }));
    const byNumber = new Map(items.map((item) => [item.node.number, item]));
    const roots = [];
    for (const item of items) {
      item.parent = byNumber.get(item.node.parent) ?? null;
      (item.parent ? item.parent.children : roots).push(item);
    }
    let rows = 0, tokens = 0, depth = 0;
    const order = [];
    const stack = roots.slice().reverse();
    while (stack.length > 0) {
      const item = stack.pop();
      order.push(item);
      item.depth = item.parent ? item.parent.depth + 1 : 0;
      item.from = item.parent ? item.parent.to : 0;
      item.to = item.from + length(item.node);
      tokens = Math.max(tokens, item.to);
      depth = Math.max(depth, item.depth);
      if (item.children.length === 0) item.row = rows++;
      for (let i = item.children.length - 1; i >= 0; i--) stack.push(item.children[i]);
    }
    for (let i = order.length - 1; i >= 0; i--) {
      const children = order[i].children;
      if (children.length > 0) order[i].row = (children[0].row + children[children.length - 1].row) / 2;
    }
    const middle = roots.length > 0 ? (roots[0].row + roots[roots.length - 1].row) / 2 : 0;
    return { items, byNumber, roots, order, rows, tokens, depth, middle };
  }

  // Tokens of a node; where these are unknown, as many as its text would have at four bytes each.
  function length(node) {
    return node.tokens.length > 0 ? node.tokens.length : Math.ceil(node.text.length / 4);
  }

  // Geometric mean of the probabilities of a node's tokens; none for a prompt's, which were not drawn.
  function confidence(node) {
    if (node.logprob === null || node.tokens.length === 0 || node.end === "prompt") return null;
    return Math.exp(node.logprob / node.tokens.length);
  }

  // The item, then its ancestors.
  function path(item) {
    const path = [];
    for (let at = item; at; at = at.parent) path.push(at);
    return path;
  }

  function pathText(item) {
    return path(item).reverse().map((at) => at.node.text).join("");
  }

  // The text from the end of the last part of a prompt on.
  function solution(item) {
    const own = path(item), prompt = own.findIndex((at) => at.node.end === "prompt");
    return own.slice(0, prompt < 0 ? own.length : prompt).reverse().map((at) => at.node.text).join("");
  }

  // What a node is at a moment, and how much of it there is.
  function at(node, ms) {
    if (ms < node.started_ms) return { state: "absent", share: 0 };
    if (node.done_ms === null || ms < node.done_ms) {
      const end = node.done_ms ?? Infinity;
      const share = end > node.started_ms && end < Infinity ? (ms - node.started_ms) / (end - node.started_ms) : 1;
      return { state: "growing", share: Math.max(0, Math.min(1, share)) };
    }
    if (node.closed_ms !== null && ms >= node.closed_ms) return { state: "closed", share: 1 };
    return { state: node.end === "interrupted" ? "given up" : "done", share: 1 };
  }

  // The last moment of a run.
  function end(run) {
    let last = run.outcome ? run.outcome.ms : 0;
    for (const node of run.nodes) last = Math.max(last, node.started_ms, node.done_ms ?? 0, node.closed_ms ?? 0);
    return last;
  }

  // Tokens spent over time: [ms, tokens] in the order of time, never falling.
  function burn(run) {
    const points = [[0, 0]];
    const done = run.nodes.filter((node) => node.done_ms !== null).sort((a, b) => a.done_ms - b.done_ms);
    let most = 0;
    for (const node of done) {
      most = Math.max(most, node.policy_tokens ?? 0);
      points.push([node.done_ms, most]);
    }
    if (run.outcome) points.push([run.outcome.ms, Math.max(most, run.outcome.usage.policy_tokens)]);
    return points;
  }

  // Tokens spent by then, on a straight line between two points.
  function spent(points, ms) {
    let low = 0, high = points.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (points[middle][0] <= ms) low = middle; else high = middle - 1;
    }
    const [t, tokens] = points[low];
    if (low + 1 >= points.length || points[low + 1][0] === t) return tokens;
    const [next, more] = points[low + 1];
    return tokens + (more - tokens) * Math.max(0, Math.min(1, (ms - t) / (next - t)));
  }

  // Answers of the complete texts by then, most votes first. At the end of a run its own count stands instead.
  function votes(run, ms) {
    if (run.outcome && ms >= run.outcome.ms && run.outcome.candidates.length > 0) {
      return { final: true, rows: run.outcome.candidates.map((c) => ({ ...c })) };
    }
    const rows = new Map();
    for (const node of run.nodes) {
      if (node.answer === null || node.done_ms === null || node.done_ms > ms) continue;
      if (!["eog", "answer", "whole"].includes(node.end)) continue;
      const row = rows.get(node.answer) ?? { answer: node.answer, votes: 0, score: 0 };
      row.votes++;
      row.score = Math.max(row.score, node.score ?? confidence(node) ?? 0);
      rows.set(node.answer, row);
    }
    return { final: false, rows: [...rows.values()].sort((a, b) => b.votes - a.votes || b.score - a.score) };
  }

  // The node whose text was chosen.
  function chosen(run, tree) {
    const text = run.outcome?.text;
    if (!text) return null;
    for (const item of tree.items) {
      if (item.node.answer === run.outcome.answer && text.endsWith(item.node.text) && solution(item) === text) return item;
    }
    return null;
  }

  // The first place where two nodes' tokens part; null when there is none.
  function parting(a, b) {
    const most = Math.max(a.tokens.length, b.tokens.length);
    for (let i = 0; i < most; i++) if (a.tokens[i] !== b.tokens[i]) return i;
    return null;
  }

  // A colour between three, at a share from 0 to 1; colours are [red, green, blue].
  function blend([low, middle, high], share) {
    const s = Math.max(0, Math.min(1, share)) * 2;
    const [from, to, part] = s < 1 ? [low, middle, s] : [middle, high, s - 1];
    return from.map((value, i) => Math.round(value + (to[i] - value) * part));
  }

  function parse(hex) {
    return [1, 3, 5].map((i) => parseInt(hex.trim().slice(i, i + 2), 16));
  }

  const css = ([r, g, b]) => `rgb(${r}, ${g}, ${b})`;

  // Black or white, whichever reads better on a colour (relative luminance of WCAG 2).
  function inkOn(colour) {
    const [r, g, b] = colour.map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
  }

  function duration(ms) {
    if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
    if (ms < 60000) return `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`;
    const seconds = Math.round(ms / 1000);
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  }

  // Digits in groups of three, whatever the reader's language.
  function count(n) {
    return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  }

  function bytes(n) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let i = 0;
    while (n >= 1024 && i + 1 < units.length) { n /= 1024; i++; }
    return `${i === 0 ? n : n.toFixed(1)} ${units[i]}`;
  }

  const share = (value) => (value === null || value === undefined ? "none" : value.toFixed(3));

  // Round steps of an axis: at most that many from 0 to `most`.
  function ticks(most, number) {
    if (!(most > 0)) return [0];
    const raw = most / number;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((s) => s * power).find((s) => s >= raw) ?? raw;
    const all = [];
    for (let at = 0; at <= most * 1.0001; at += step) all.push(at);
    return all;
  }

  return {
    tree, length, confidence, path, pathText, at, end, burn, spent, votes, chosen, parting, blend, parse, css, inkOn,
    duration, count, bytes, share, ticks,
  };
})();
if (typeof module !== "undefined") module.exports = Layout;
