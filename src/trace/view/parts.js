// Pieces of the page that depend on a run alone, and what makes elements. Text only ever becomes text: nothing here parses
// markup.
// Why nodes end, by colour: those that lead on or to an answer, and those that something cut short.
const ENDS = [[["answer", "eog", "whole"], "came to an end"], [["length", "context", "tokens", "memory"], "cut by a limit"], [["step"], "a step"], [["confidence"], "not confident"], [["prompt"], "a part of a prompt"]];
const ENDED = {
  eog: "by itself", answer: "with an answer", step: "at a step", length: "at its own limit", context: "context full",
  tokens: "out of tokens", memory: "out of memory", confidence: "confidence too low", interrupted: "given up with the search",
  prompt: "never drawn: it is a part of a prompt", whole: "with all that its grammar lets it be",
};

function facts(run, many) {
  const line = make("div", "run"), { outcome, header, error } = run;
  const fact = (name, value, kind = "") => {
    const fact = make("span", `fact ${kind}`);
    fact.append(make("span", "", `${name} `), make("b", "", value));
    line.append(fact);
  };
  if (many) line.append(make("span", "name", run.name));
  if (outcome) fact("answer", outcome.answer ?? "none", "answer");
  if (error) line.append(make("span", "wrong", `failed: ${error.message}`));
  if (!outcome && !error) line.append(make("span", "wrong", "The trace ends before the search did."));
  const limit = header.params.budget.tokens, spent = outcome ? outcome.usage.policy_tokens : run.burn[run.burn.length - 1][1];
  fact("tokens", Layout.count(spent) + (limit === null ? "" : ` of ${Layout.count(limit)}`));
  fact("time", Layout.duration(outcome ? outcome.usage.wall_ms : run.end));
  fact("nodes", Layout.count(run.nodes.length));
  if (outcome) fact("stopped", outcome.stop_reason);
  // Only a method puts prompts to the model on the way; it takes an algorithm's place.
  const isMethod = run.nodes.some((node) => node.end === "prompt");
  fact("method", (isMethod && header.strategy) || outcome?.algo || header.params.algo);
  fact("model", header.model.name || header.model.architecture || "unknown");
  return line;
}

function about(run, many) {
  const { header, outcome } = run, { params } = header, { sampler, budget } = params;
  const rows = [["model", header.model.path ?? header.model.name], ["fingerprint", header.model.fingerprint], ["written", `${moment(header.created_unix_ms)} by ruminate ${header.version}`]];
  if (header.strategy) rows.push(["strategy", header.strategy]);
  if (header.judge) rows.push(["judge", header.judge.name]);
  rows.push(["samples", `at most ${params.n}, ${Layout.count(params.max_tokens)} tokens each`], ["seed", run.seed]);
  rows.push(["sampler", Object.entries(sampler).map(([name, value]) => `${name.replaceAll("_", " ")} ${typeof value === "number" ? +value.toFixed(4) : value}`).join(", ")]);
  rows.push(["early stop", typeof params.early_stop === "string" ? params.early_stop : Object.entries(params.early_stop).flat().join(" ")]);
  const limits = [budget.tokens && `${Layout.count(budget.tokens)} tokens`, budget.wall && Layout.duration(wallMs(budget)), budget.kv_bytes && `${Layout.bytes(budget.kv_bytes)} of KV`, budget.bytes && Layout.bytes(budget.bytes), budget.joules && `${budget.joules} J`];
  rows.push(["budget", limits.filter(Boolean).join(", ") || "none"], ["lanes", String(header.free_width)]);
  if (outcome) rows.push(["passes", Layout.count(outcome.usage.forward_passes)], ["memory", `${Layout.bytes(outcome.usage.peak_bytes)}, of it KV ${Layout.bytes(outcome.usage.kv_peak_bytes)}`]);
  if (outcome?.usage.reward_tokens) rows.push(["judge read", `${Layout.count(outcome.usage.reward_tokens)} tokens`]);
  if (outcome?.usage.joules) rows.push(["energy", `${outcome.usage.joules.toFixed(1)} J, ${outcome.usage.joules_source}`]);
  if (run.broke_off) rows.push(["file", "its last line broke off and was left out"]);
  const prompt = fold(`Prompt, ${Layout.count(header.prompt.tokens.length)} tokens`, make("pre", "", header.prompt.text));
  const box = make("div");
  box.append(make("h2", "", many ? `Run · ${run.name}` : "Run"), list(rows), prompt);
  return box;
}

const wallMs = ({ wall }) => (wall ? wall.secs * 1e3 + wall.nanos / 1e6 : null);

function moment(unixMs) {
  const date = new Date(unixMs);
  return Number.isNaN(date.getTime()) ? "at an unknown time" : `${date.toISOString().replace("T", " ").slice(0, 19)} UTC`;
}

function list(rows) {
  const list = make("dl");
  for (const [name, value] of rows) list.append(make("dt", "", name), make("dd", "", value));
  return list;
}

function fold(title, content) {
  const fold = make("details");
  fold.append(make("summary", "", title), content);
  return fold;
}

function swatch(colour) {
  const swatch = make("span", "swatch");
  swatch.style.background = Layout.css(colour);
  return swatch;
}

function make(tag, kind = "", text = "") {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  if (text) element.textContent = text;
  return element;
}

function stroke(c, points) {
  c.beginPath();
  points.forEach(([x, y], i) => (i === 0 ? c.moveTo(x, y) : c.lineTo(x, y)));
  c.stroke();
}

const byId = (id) => document.getElementById(id);
