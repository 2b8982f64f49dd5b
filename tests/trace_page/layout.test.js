// The trace page's functions that need no page. Run with `node --test tests/trace_page/`.
"use strict";
const assert = require("node:assert/strict");
const { test } = require("node:test");
const Layout = require("../../src/trace/view/layout.js");

const node = (number, parent, more = {}) => ({
  number, parent, greedy: false, started_ms: number, done_ms: number + 10, closed_ms: null, text: `t${number} `,
  tokens: [1, 2, 3], logprob: -3, score: null, end: "step", answer: null, policy_tokens: 3 * number, ...more,
});

test("a leaf has a row of its own and a parent stands in the middle of its children", () => {
  const tree = Layout.tree([node(1, 0), node(2, 0), node(3, 1), node(4, 1), node(5, 3)]);
  const rows = tree.items.map((item) => item.row);
  assert.deepEqual(rows, [0.5, 2, 0, 1, 0]);
  assert.deepEqual(tree.items.map((item) => [item.from, item.to]), [[0, 3], [0, 3], [3, 6], [3, 6], [6, 9]]);
  assert.deepEqual([tree.rows, tree.tokens, tree.depth], [3, 9, 2]);
  assert.equal(Layout.pathText(tree.byNumber.get(5)), "t1 t3 t5 ");
});

test("no two leaves share a row, in any tree, and large or deep ones are laid out at once", () => {
  const random = (() => { let s = 7; return () => (s = (s * 48271) % 2147483647) / 2147483647; })();
  const shapes = {
    random: (n) => Math.floor(random() * n),
    flat: () => 0,
    chain: (n) => n - 1,
  };
  for (const [shape, parent] of Object.entries(shapes)) {
    const nodes = Array.from({ length: 5000 }, (_, i) => node(i + 1, parent(i + 1)));
    const start = performance.now(), tree = Layout.tree(nodes), took = performance.now() - start;
    const leaves = tree.items.filter((item) => item.children.length === 0).map((item) => item.row);
    assert.equal(new Set(leaves).size, leaves.length, shape);
    assert.equal(tree.order.length, 5000, shape);
    for (const item of tree.items) if (item.parent) assert.ok(item.from === item.parent.to && item.depth === item.parent.depth + 1);
    assert.ok(took < 1000, `${shape}: ${took} ms`);
  }
});

test("a node is absent, then grows, then is done, pruned or given up", () => {
  const one = node(1, 0, { started_ms: 10, done_ms: 20, closed_ms: 30 });
  const states = [5, 15, 20, 35].map((ms) => Layout.at(one, ms));
  assert.deepEqual(states.map((s) => s.state), ["absent", "growing", "done", "closed"]);
  assert.equal(states[1].share, 0.5);
  assert.equal(Layout.at(node(1, 0, { end: "interrupted" }), 99).state, "given up");
  assert.deepEqual(Layout.at(node(1, 0, { done_ms: null }), 99), { state: "growing", share: 1 });
});

test("tokens spent never fall and lie between two points", () => {
  const run = { nodes: [node(2, 0, { done_ms: 20, policy_tokens: 30 }), node(1, 0, { done_ms: 10, policy_tokens: 10 })], outcome: null };
  const points = Layout.burn(run);
  assert.deepEqual(points, [[0, 0], [10, 10], [20, 30]]);
  assert.deepEqual([-5, 0, 5, 10, 15, 99].map((ms) => Layout.spent(points, ms)), [0, 0, 5, 10, 20, 30]);
});

test("answers are counted as they come, and the search's own count ends it", () => {
  const answer = (number, answer, end = "answer") => node(number, 0, { done_ms: 10 * number, answer, end });
  const nodes = [answer(1, "7"), answer(2, "9"), answer(3, "9", "eog"), answer(4, "9", "interrupted"), node(5, 0)];
  const run = { nodes, outcome: { ms: 60, candidates: [{ answer: "9", votes: 2, score: 0.5 }] } };
  const shown = (ms) => Layout.votes(run, ms).rows.map((row) => [row.answer, row.votes]);
  assert.deepEqual(shown(10), [["7", 1]]);
  assert.deepEqual(shown(55), [["9", 2], ["7", 1]]);
  assert.deepEqual(shown(60), [["9", 2]]);
  assert.equal(Layout.votes(run, 60).final, true);
});

test("the chosen node is the one whose whole path is the answer's text", () => {
  const nodes = [node(1, 0), node(2, 1, { answer: "7", text: "x" }), node(3, 0, { answer: "7", text: "x" })];
  const run = { nodes, outcome: { answer: "7", text: "t1 x" } };
  assert.equal(Layout.chosen(run, Layout.tree(nodes)).node.number, 2);
  assert.equal(Layout.chosen({ nodes, outcome: { answer: "7", text: "t1 y" } }, Layout.tree(nodes)), null);
});

test("what stands in a prompt on the way is no part of the chosen text", () => {
  const nodes = [node(1, 0, { end: "prompt", text: "Solve: " }), node(2, 1, { answer: "7", text: "x" })];
  const run = { nodes, outcome: { answer: "7", text: "x" } };
  assert.equal(Layout.chosen(run, Layout.tree(nodes)).node.number, 2);
});

test("two runs part at their first different token", () => {
  assert.equal(Layout.parting(node(1, 0), node(1, 0)), null);
  assert.equal(Layout.parting(node(1, 0), node(1, 0, { tokens: [1, 9, 3] })), 1);
  assert.equal(Layout.parting(node(1, 0), node(1, 0, { tokens: [1, 2] })), 2);
});

test("colours blend between three and text stays readable on them", () => {
  const ramp = ["#c2540a", "#b6b1a8", "#1f6fb5"].map(Layout.parse);
  assert.deepEqual([-1, 0, 0.5, 1, 2].map((s) => Layout.blend(ramp, s)), [ramp[0], ramp[0], ramp[1], ramp[2], ramp[2]]);
  assert.equal(Layout.css(Layout.blend(ramp, 0.25)), "rgb(188, 131, 89)");
  const luminance = ([r, g, b]) => [r, g, b].map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  for (let i = 0; i <= 100; i++) {
    const colour = Layout.blend(ramp, i / 100), ink = luminance(Layout.parse(Layout.inkOn(colour))), ground = luminance(colour);
    const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    assert.ok(contrast >= 4.5, `${i}: ${contrast}`);
  }
});

test("numbers are written for people", () => {
  assert.deepEqual([0, 9.94, 999, 1000, 9990, 65000, 3.7e6].map(Layout.duration), ["0.0 ms", "9.9 ms", "999 ms", "1.00 s", "9.99 s", "1 min 5 s", "1 h 1 min"]);
  assert.deepEqual([0, 999, 1000, 1234567].map(Layout.count), ["0", "999", "1\u202f000", "1\u202f234\u202f567"]);
  assert.deepEqual([0, 1023, 1536, 3 * 2 ** 30].map(Layout.bytes), ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]);
  assert.deepEqual(Layout.ticks(1000, 4), [0, 500, 1000]);
  assert.deepEqual(Layout.ticks(0, 4), [0]);
});

test("a trace of nothing has a page too", () => {
  const tree = Layout.tree([]);
  assert.deepEqual([tree.rows, tree.tokens, tree.roots.length], [0, 0, 0]);
  assert.deepEqual(Layout.votes({ nodes: [], outcome: null }, 5).rows, []);
  assert.equal(Layout.end({ nodes: [], outcome: null }), 0);
});

test("a part of a prompt was not drawn, so that nothing is said of how sure it was", () => {
  assert.equal(Layout.confidence(node(1, 0, { end: "prompt", logprob: 0 })), null);
  assert.ok(Layout.confidence(node(2, 1)) > 0);
});
