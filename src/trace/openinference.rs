//! Traces for observability tools: OpenTelemetry spans with the attributes of OpenInference.
//!
//! The attributes are those of OpenInference's [semantic conventions](https://arize-ai.github.io/openinference/spec/) (span
//! kinds, LLM spans, evaluations), flattened as they ask. The document is one `TracesData` object in the
//! [OTLP JSON encoding](https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): ids in hexadecimal, 64-bit
//! integers as strings.
//!
//! One `CHAIN` span stands for the search and one `LLM` span under it for each node. The tree is told by `graph.node.id` and
//! `graph.node.parent_id`, since a node goes on after its parent ended and so cannot be a span inside it.

use std::collections::HashMap;
use std::io::Write;

use serde::Serialize;
use serde_json::json;

use super::{Node, Trace};
use crate::error::{Error, ErrorKind, Result};

/// `SPAN_KIND_INTERNAL` of OpenTelemetry.
const INTERNAL: u8 = 1;
/// Spans in one line, so that a collector takes each line as one request.
const BATCH: usize = 512;
/// Bytes of a node's input that its span repeats, from the end; and nodes that are looked at for it.
const INPUT_BYTES: usize = 64 << 10;
const INPUT_NODES: usize = 1024;

/// Writes the spans of a trace to `out`: one JSON document per line, each with up to 512 spans.
pub fn export(trace: &Trace, out: &mut dyn Write) -> Result<()> {
    let id = trace_id(trace);
    let mut before: HashMap<u64, u64> = HashMap::from([(0, trace.header.prompt.tokens.len() as u64)]);
    let mut spans = vec![root(trace, &id)];
    for node in &trace.nodes {
        // Parents come first.
        let above = before.get(&node.parent).copied().unwrap_or_default();
        let own = node.done.as_ref().map_or(0, |done| done.tokens.len()) as u64;
        before.insert(node.number, above.saturating_add(own));
        spans.push(span(trace, node, &id, above, own));
        if spans.len() == BATCH {
            write_line(trace, std::mem::take(&mut spans), out)?;
        }
    }
    if spans.is_empty() { Ok(()) } else { write_line(trace, spans, out) }
}

fn write_line(trace: &Trace, spans: Vec<Span>, out: &mut dyn Write) -> Result<()> {
    let version = trace.header.version.as_str();
    let resource = Resource { attributes: vec![text("service.name", "ruminate"), text("service.version", version)] };
    let scope_spans = vec![ScopeSpans { scope: Scope { name: "ruminate", version }, spans }];
    let document = TracesData { resource_spans: vec![ResourceSpans { resource, scope_spans }] };
    let line = serde_json::to_string(&document)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("an exported span: {e}")))?;
    writeln!(out, "{line}").map_err(|e| Error::io("writing the spans", e))
}

/// The whole search.
fn root(trace: &Trace, id: &str) -> Span {
    let header = &trace.header;
    let mut attributes = vec![
        text("openinference.span.kind", "CHAIN"),
        text("input.value", header.question.as_str()),
        text("input.mime_type", "text/plain"),
        text("llm.model_name", model_name(trace)),
        text("graph.node.id", "0"),
    ];
    let mut metadata = json!({ "params": header.params, "fingerprint": header.model.fingerprint });
    let mut status = Status::UNSET;
    if let Some(outcome) = &trace.outcome {
        let output = outcome.answer.as_deref().unwrap_or(&outcome.text);
        attributes.extend([text("output.value", output), text("output.mime_type", "text/plain")]);
        if let Some(score) = outcome.score {
            attributes.extend(evaluation(0, "confidence", score, Some("CODE")));
        }
        metadata["stop_reason"] = outcome.stop_reason.as_str().into();
        metadata["candidates"] = json!(outcome.candidates);
        metadata["usage"] = json!(outcome.usage);
        status = Status::OK;
    }
    if let Some(error) = &trace.error {
        attributes
            .extend([text("exception.type", error.kind.as_str()), text("exception.message", error.message.as_str())]);
        status = Status { code: 2, message: error.message.clone() };
    }
    attributes.push(text("metadata", metadata.to_string()));
    Span {
        trace_id: id.to_owned(),
        span_id: span_id(0),
        parent_span_id: String::new(),
        name: format!("search {}", header.params.algo.name()),
        kind: INTERNAL,
        start_time_unix_nano: nanos(trace, 0.0),
        end_time_unix_nano: nanos(trace, last_ms(trace)),
        attributes,
        status,
    }
}

/// One node: a call of the model that goes on from the path above it, which holds `before` tokens.
fn span(trace: &Trace, node: &Node, id: &str, before: u64, own: u64) -> Span {
    let header = &trace.header;
    // What a method puts to the model on the way is no call of it.
    let is_prompt = node.done.as_ref().is_some_and(|done| done.end == "prompt");
    let own = if is_prompt { 0 } else { own };
    let mut attributes = vec![
        text("openinference.span.kind", if is_prompt { "CHAIN" } else { "LLM" }),
        text("llm.model_name", model_name(trace)),
        text("llm.invocation_parameters", json!(header.params).to_string()),
        text("input.value", input(trace, node)),
        text("input.mime_type", "text/plain"),
        text("output.value", node.text.as_str()),
        text("output.mime_type", "text/plain"),
        text("llm.output_messages.0.message.role", "assistant"),
        text("llm.output_messages.0.message.content", node.text.as_str()),
        integer("llm.token_count.prompt", before),
        integer("llm.token_count.completion", own),
        integer("llm.token_count.total", before.saturating_add(own)),
        text("graph.node.id", node.number.to_string()),
        text("graph.node.parent_id", node.parent.to_string()),
    ];
    let mut metadata = json!({ "greedy": node.greedy, "pruned": node.closed_ms.is_some() });
    if let Some(done) = &node.done {
        let mut evaluations = Vec::new();
        if let Some(score) = done.score {
            let name = header.judge.as_ref().map_or("score", |judge| judge.name.as_str());
            evaluations.push((name, f64::from(score), None));
        }
        if let Some(logprob) = done.logprob.filter(|_| own > 0) {
            evaluations.push(("confidence", (logprob / own as f64).exp(), Some("CODE")));
        }
        for (i, (name, score, annotator)) in evaluations.into_iter().enumerate() {
            attributes.extend(evaluation(i, name, score, annotator));
        }
        metadata["end"] = done.end.as_str().into();
        metadata["answer"] = json!(done.answer);
        metadata["logprob"] = json!(done.logprob);
    }
    attributes.push(text("metadata", metadata.to_string()));
    let end = node.done.as_ref().map_or_else(|| last_ms(trace), |done| done.ms);
    Span {
        trace_id: id.to_owned(),
        span_id: span_id(node.number),
        parent_span_id: span_id(0),
        name: format!("node {}", node.number),
        kind: INTERNAL,
        start_time_unix_nano: nanos(trace, node.started_ms),
        end_time_unix_nano: nanos(trace, end.max(node.started_ms)),
        attributes,
        status: if node.done.is_some() { Status::OK } else { Status::UNSET },
    }
}

/// The text that a node goes on from, or the end of it.
fn input(trace: &Trace, node: &Node) -> String {
    let above = trace.ancestry(node).skip(1).take(INPUT_NODES).map(|node| node.text.as_str());
    let mut parts = Vec::new();
    let mut length = 0;
    for part in above.chain([trace.header.prompt.text.as_str()]) {
        length += part.len();
        parts.push(part);
        if length > INPUT_BYTES {
            break;
        }
    }
    parts.reverse();
    let whole = parts.concat();
    let start = (whole.len().saturating_sub(INPUT_BYTES)..=whole.len()).find(|&at| whole.is_char_boundary(at));
    whole.get(start.unwrap_or_default()..).unwrap_or_default().to_owned()
}

/// One entry of the `evaluations` list; what a judge is made of is not known here, so its kind may be left out.
fn evaluation(i: usize, name: &str, score: f64, annotator_kind: Option<&str>) -> Vec<Attribute> {
    let key = |field: &str| format!("evaluations.{i}.evaluation.{field}");
    let mut attributes = vec![text(key("name"), name)];
    attributes.push(Attribute { key: key("score"), value: Value::Float(score) });
    attributes.extend(annotator_kind.map(|kind| text(key("annotator_kind"), kind)));
    attributes
}

fn model_name(trace: &Trace) -> &str {
    let model = &trace.header.model;
    if model.name.is_empty() { &model.architecture } else { &model.name }
}

/// The last moment that the trace tells of.
fn last_ms(trace: &Trace) -> f64 {
    let nodes = trace.nodes.iter().map(|node| node.done.as_ref().map_or(node.started_ms, |done| done.ms));
    nodes.chain(trace.outcome.as_ref().map(|outcome| outcome.ms)).fold(0.0, f64::max)
}

fn nanos(trace: &Trace, ms: f64) -> String {
    // Times are at most 3.2e13 ms, so the product fits; a float keeps microseconds of a day exactly.
    let since_start = (ms * 1e6) as u64;
    trace.header.created_unix_ms.saturating_mul(1_000_000).saturating_add(since_start).to_string()
}

/// 16 bytes that tell this search from others: FNV-1a over what was asked and when.
fn trace_id(trace: &Trace) -> String {
    let header = &trace.header;
    let parts = [header.model.fingerprint.as_str(), &header.question, &header.params.seed.to_string()];
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff])).chain(header.created_unix_ms.to_le_bytes());
    let fold = |hash: u128, byte| (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    let hash = bytes.fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, fold);
    // An id of zeros alone is invalid.
    format!("{:032x}", hash.max(1))
}

fn span_id(node: u64) -> String {
    format!("{:016x}", node.saturating_add(1))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TracesData<'a> {
    resource_spans: Vec<ResourceSpans<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource,
    scope_spans: Vec<ScopeSpans<'a>>,
}

#[derive(Serialize)]
struct Resource {
    attributes: Vec<Attribute>,
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope<'a>,
    spans: Vec<Span>,
}

#[derive(Serialize)]
struct Scope<'a> {
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent_span_id: String,
    name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute>,
    status: Status,
}

/// `Status` of OpenTelemetry: 0 unset, 1 ok, 2 error.
#[derive(Serialize)]
struct Status {
    code: u8,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

impl Status {
    const UNSET: Self = Self { code: 0, message: String::new() };
    const OK: Self = Self { code: 1, message: String::new() };
}

#[derive(Serialize)]
struct Attribute {
    key: String,
    value: Value,
}

#[derive(Serialize)]
enum Value {
    #[serde(rename = "stringValue")]
    Text(String),
    #[serde(rename = "intValue")]
    Integer(String),
    #[serde(rename = "doubleValue")]
    Float(f64),
}

fn text(key: impl Into<String>, value: impl Into<String>) -> Attribute {
    Attribute { key: key.into(), value: Value::Text(value.into()) }
}

fn integer(key: &str, value: u64) -> Attribute {
    Attribute { key: key.to_owned(), value: Value::Integer(value.to_string()) }
}
