//! Traces of toy searches: written, broken, read back, replayed, drawn and exported.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::*;
use crate::engine::toy::ToyEngine;
use crate::engine::{SamplerParams, Stream};
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;
use crate::observe::{CancelToken, Event, Observer, Silent};
use crate::search::toy::Words;
use crate::search::{self, Algo, Budget, EarlyStop, Outcome, SearchParams};
use crate::text::TokenId;

const PROMPT: [TokenId; 5] = [3, 11, 12, 4, 13];

fn params() -> SearchParams {
    SearchParams { n: 9, max_tokens: 40, seed: 5, early_stop: EarlyStop::Never, ..SearchParams::default() }
}

fn solve(
    toy: &mut ToyEngine,
    params: &SearchParams,
    observer: &mut dyn Observer,
    cancel: &CancelToken,
) -> Result<Outcome> {
    search::solve(toy, &Words, &PROMPT, params, None, "", observer, cancel)
}

fn header(toy: &ToyEngine, params: &SearchParams) -> Header {
    let mut header = Header::new(toy, PromptRecord { text: "3 eggs".into(), tokens: PROMPT.to_vec() }, params);
    header.question = "how many <b>eggs</b>?".into();
    header
}

/// The trace of one search and what it came to.
fn record(params: &SearchParams, text: bool, width: usize) -> (Vec<u8>, Outcome) {
    let mut toy = ToyEngine::new(200, width);
    let header = header(&toy, params);
    let mut silent = Silent;
    let mut writer = TraceWriter::new(Vec::new(), &header, &mut silent).with_text(text);
    let outcome = solve(&mut toy, params, &mut writer, &CancelToken::new());
    let bytes = writer.finish(&outcome).unwrap();
    (bytes, outcome.unwrap())
}

fn read(bytes: &[u8]) -> Result<Trace> {
    Trace::read(bytes, &Limits::default())
}

fn replay(trace: &Trace, width: usize) -> Verdict {
    let mut toy = ToyEngine::new(200, width);
    let (mut silent, cancel) = (Silent, CancelToken::new());
    let mut replay = Replay::new(trace, width, &cancel, &mut silent);
    let outcome = solve(&mut toy, &Replay::params(trace), &mut replay, &cancel).unwrap();
    assert!(outcome.stop_reason != search::StopReason::Cancelled || replay.is_settled());
    replay.finish(&outcome)
}

/// A line of a trace by its event, the `nth` of its kind from 0, changed.
fn edit(trace: &[u8], event: &str, nth: usize, change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut lines: Vec<serde_json::Value> =
        std::str::from_utf8(trace).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    change(lines.iter_mut().filter(|line| line["event"] == event).nth(nth).unwrap());
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

#[test]
fn a_trace_says_what_the_search_did() {
    #[derive(Default)]
    struct Seen {
        started: usize,
        done: BTreeMap<u64, (String, Vec<u32>, u64, Option<String>)>,
    }
    impl Observer for Seen {
        fn event(&mut self, event: &Event<'_>) {
            match event {
                Event::NodeStarted { .. } => self.started += 1,
                Event::NodeDone { node, text, tokens, logprob, answer, .. } => {
                    let kept = (text.to_string(), tokens.to_vec(), logprob.to_bits(), answer.map(str::to_owned));
                    self.done.insert(*node, kept);
                }
                _ => {}
            }
        }
    }
    for text in [false, true] {
        let params = params();
        let mut toy = ToyEngine::new(200, 4);
        let header = header(&toy, &params);
        let mut seen = Seen::default();
        let mut writer = TraceWriter::new(Vec::new(), &header, &mut seen).with_text(text);
        let outcome = solve(&mut toy, &params, &mut writer, &CancelToken::new());
        let bytes = writer.finish(&outcome).unwrap();
        let outcome = outcome.unwrap();
        let trace = read(&bytes).unwrap();
        assert_eq!(trace.header, header);
        assert_eq!((trace.nodes.len(), seen.started), (9, 9));
        assert!(!trace.broke_off && trace.error.is_none());
        for node in &trace.nodes {
            let (text, tokens, logprob, answer) = &seen.done[&node.number];
            let done = node.done.as_ref().unwrap();
            assert_eq!((&node.text, &done.tokens, &done.answer), (text, tokens, answer));
            assert_eq!(done.logprob.unwrap().to_bits(), *logprob);
            assert!(node.started_ms <= done.ms && done.ms <= trace.outcome.as_ref().unwrap().ms);
        }
        let kept = trace.outcome.unwrap();
        assert_eq!((kept.answer, kept.text, kept.score), (outcome.answer, outcome.text, outcome.score));
        assert_eq!(kept.usage.policy_tokens, outcome.usage.policy_tokens);
        assert_eq!(kept.candidates.len(), outcome.candidates.len());
        let texts = std::str::from_utf8(&bytes).unwrap().lines().filter(|line| line.contains("node_text")).count();
        assert_eq!(texts > 0, text);
    }
}

#[test]
fn parameters_come_back_bit_for_bit() {
    for early_stop in [EarlyStop::Never, EarlyStop::Beta(0.1 + 0.2 + 0.3), EarlyStop::Window(5)] {
        let params = SearchParams {
            early_stop,
            sampler: SamplerParams {
                temperature: 0.1 + 0.6,
                top_p: f32::from_bits(0x3f7f_fffe),
                ..SamplerParams::default()
            },
            seed: u64::MAX - 1,
            budget: Budget {
                tokens: Some(u64::MAX),
                wall: Some(Duration::from_nanos(1_234_567_891)),
                ..Budget::default()
            },
            ..params()
        };
        let kept = serde_json::to_string(&params).unwrap();
        assert_eq!(serde_json::from_str::<SearchParams>(&kept).unwrap(), params, "{kept}");
    }
    let sparse: SearchParams = serde_json::from_str(r#"{"n": 3, "sampler": {"top_k": 7}, "later": {}}"#).unwrap();
    assert_eq!((sparse.n, sparse.sampler.top_k, sparse.max_tokens), (3, 7, SearchParams::default().max_tokens));
    for bad in [r#"{"algo": "oracle"}"#, r#"{"budget": {"wall": {"secs": -1, "nanos": 0}}}"#, r#"{"n": 1e300}"#] {
        assert!(serde_json::from_str::<SearchParams>(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_failing_writer_ends_the_trace_and_not_the_search() {
    struct Full {
        left: usize,
    }
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.left == 0 {
                return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is full"));
            }
            let taken = bytes.len().min(self.left);
            self.left -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (whole, expected) = record(&params(), false, 4);
    for left in [0, 1, 200, whole.len() / 2, whole.len() - 200] {
        let mut toy = ToyEngine::new(200, 4);
        let (header, mut silent) = (header(&toy, &params()), Silent);
        let mut writer = TraceWriter::new(Full { left }, &header, &mut silent);
        let outcome = solve(&mut toy, &params(), &mut writer, &CancelToken::new());
        let failure = writer.finish(&outcome).map(drop).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Io);
        assert!(failure.to_string().contains("the disk is full"), "{failure}");
        let outcome = outcome.unwrap();
        assert_eq!((outcome.text, outcome.usage.policy_tokens), (expected.text.clone(), expected.usage.policy_tokens));
    }
}

#[test]
fn a_failed_search_leaves_its_error_in_the_trace() {
    let mut toy = ToyEngine::new(200, 4);
    toy.faults.nan_at = Some(3);
    let (header, mut silent) = (header(&toy, &params()), Silent);
    let mut writer = TraceWriter::new(Vec::new(), &header, &mut silent);
    let outcome = solve(&mut toy, &params(), &mut writer, &CancelToken::new());
    let trace = read(&writer.finish(&outcome).unwrap()).unwrap();
    assert!(trace.outcome.is_none() && trace.error.unwrap().kind == "NonFinite");
}

#[test]
fn a_replay_finds_the_same_search_under_every_width() {
    let early = SearchParams { n: 40, early_stop: EarlyStop::Beta(0.95), ..params() };
    let short = SearchParams { budget: Budget { tokens: Some(130), ..Budget::default() }, ..params() };
    let mut beside = 0;
    for params in [params(), early, short] {
        for recorded in [1, 4] {
            let (bytes, _) = record(&params, false, recorded);
            let trace = read(&bytes).unwrap();
            for width in [1, 2, 4, 8] {
                let verdict = replay(&trace, width);
                assert_eq!(verdict.difference, None, "{recorded} and {width} lanes, {params:?}");
                assert!(verdict.nodes > 3 && verdict.tokens > 50, "{verdict}");
                assert!(width != recorded || verdict.beside == 0, "{verdict}");
                beside += verdict.beside;
            }
        }
    }
    assert!(beside > 0, "no width gave up other nodes");
}

#[test]
fn nodes_that_grew_beside_a_decision_are_no_difference_in_a_trace_with_texts() {
    let params = SearchParams { n: 40, early_stop: EarlyStop::Beta(0.95), ..params() };
    let trace = read(&record(&params, true, 4).0).unwrap();
    assert!(trace.nodes.iter().any(|node| node.done.is_none() && !node.text.is_empty()), "none grew beside it");
    assert_eq!(replay(&trace, 4).difference, None);
}

#[test]
fn every_algorithm_is_traced_and_replayed() {
    let mut deepest = 0;
    for algo in Algo::ALL {
        let budget = Budget { tokens: Some(600), ..Budget::default() };
        let params = SearchParams { algo, n: 8, budget, ..params() };
        let (bytes, outcome) = record(&params, false, 4);
        let trace = read(&bytes).unwrap();
        assert_eq!(trace.outcome.as_ref().unwrap().algo, outcome.algo.name());
        deepest = trace.nodes.iter().map(|node| trace.ancestry(node).count()).max().unwrap().max(deepest);
        for width in [1, 4, 8] {
            let verdict = replay(&trace, width);
            assert_eq!(verdict.difference, None, "{algo:?}, {width} lanes");
            assert!(verdict.nodes > 0 && (width != 4 || verdict.beside == 0), "{algo:?}: {verdict}");
        }
        view::page(&[("run", &trace)]).unwrap();
        openinference::export(&trace, &mut Vec::new()).unwrap();
    }
    assert!(deepest >= 3, "{deepest}");
}

#[test]
fn a_replay_names_the_first_difference() {
    let (bytes, _) = record(&params(), false, 4);
    let first = read(&bytes).unwrap().nodes[0].done.clone().unwrap();
    type Change = Box<dyn Fn(&mut serde_json::Value)>;
    let cases: [(&str, Change, &str); 9] = [
        ("node_done", Box::new(|line| line["tokens"][3] = 14.into()), "token 4"),
        ("node_done", Box::new(|line| drop(line["tokens"].as_array_mut().unwrap().pop())), "token "),
        ("node_done", Box::new(|line| line["text"] = "other".into()), "text: \"other\" recorded"),
        (
            "node_done",
            Box::new(move |line| line["logprob"] = f64::from_bits(first.logprob.unwrap().to_bits() + 1).into()),
            "log-probability",
        ),
        ("node_done", Box::new(|line| line["score"] = 0.5.into()), "score: 0.5 recorded, none replayed"),
        ("node_done", Box::new(|line| line["end"] = "memory".into()), "end: memory recorded"),
        ("node_started", Box::new(|line| line["greedy"] = true.into()), "greedy: true recorded, false replayed"),
        ("outcome", Box::new(|line| line["answer"] = "99".into()), "outcome, answer: 99 recorded"),
        ("outcome", Box::new(|line| line["candidates"][0]["votes"] = 99.into()), "99 votes"),
    ];
    for (event, change, says) in cases {
        let mut number = 0;
        let changed = edit(&bytes, event, 0, |line| {
            change(line);
            number = line["node"].as_u64().unwrap_or_default();
        });
        let verdict = replay(&read(&changed).unwrap(), 4);
        let difference = verdict.difference.as_ref().unwrap_or_else(|| panic!("{says} was not seen"));
        assert_eq!(difference.node, Some(number).filter(|n| *n > 0));
        assert!(verdict.to_string().contains(says), "{verdict} does not say {says:?}");
    }
    // A seed of its own is another search; a node too few or too many is a difference at the same width.
    let other = edit(&bytes, "header", 0, |line| line["params"]["seed"] = 6.into());
    assert!(replay(&read(&other).unwrap(), 4).difference.is_some());
    let fewer = edit(&bytes, "header", 0, |line| line["params"]["n"] = 8.into());
    assert!(replay(&read(&fewer).unwrap(), 4).difference.is_some());
    let more = edit(&bytes, "header", 0, |line| line["params"]["n"] = 10.into());
    assert!(replay(&read(&more).unwrap(), 4).difference.is_some());
}

#[test]
fn a_search_that_was_killed_is_replayed_as_far_as_it_came() {
    let (bytes, _) = record(&params(), true, 4);
    let ends: Vec<usize> = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
    let mut compared = 0;
    for end in ends.iter().copied().step_by(7).take_while(|end| *end < bytes.len()) {
        let trace = read(&bytes[..end]).unwrap();
        assert!(trace.outcome.is_none());
        for width in [3, 4] {
            let verdict = replay(&trace, width);
            assert_eq!(verdict.difference, None, "cut at byte {end}, {width} lanes");
            compared += verdict.nodes;
        }
    }
    assert!(compared > 100, "{compared}");
    // What it wrote before it was killed counts.
    let at = ends[ends.len() / 2];
    let changed = edit(&bytes[..at], "node_text", 5, |line| line["text"] = "#".into());
    assert!(replay(&read(&changed).unwrap(), 4).difference.is_some());
}

#[test]
fn a_search_that_was_cancelled_is_replayed_as_far_as_it_came() {
    for at in [6, 20] {
        let mut toy = ToyEngine::new(200, 4);
        let cancel = CancelToken::new();
        toy.faults.cancel_at = Some((at, cancel.clone()));
        let (header, mut silent) = (header(&toy, &params()), Silent);
        let mut writer = TraceWriter::new(Vec::new(), &header, &mut silent);
        let outcome = solve(&mut toy, &params(), &mut writer, &cancel);
        let trace = read(&writer.finish(&outcome).unwrap()).unwrap();
        let given_up = trace.nodes.iter().filter(|n| n.done.as_ref().is_some_and(|d| d.end == "interrupted")).count();
        assert!(given_up > 0, "{trace:?}");
        let verdict = replay(&trace, 4);
        assert!(verdict.difference.is_none() && verdict.nodes >= given_up, "{verdict}");
    }
}

#[test]
fn a_broken_off_line_is_left_out_and_a_broken_one_is_an_error() {
    let (bytes, _) = record(&params(), false, 4);
    let head = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
    for end in (head..bytes.len()).step_by(13) {
        let trace = read(&bytes[..end]).unwrap();
        let whole = bytes[end - 1] == b'\n' || bytes[end] == b'\n';
        assert_eq!(trace.broke_off, !whole, "at byte {end}");
    }
    for end in (0..head - 1).step_by(13) {
        assert!(read(&bytes[..end]).is_err(), "half a header, {end} bytes");
    }
    let mut torn = bytes.clone();
    torn.remove(head);
    let error = read(&torn).unwrap_err();
    assert!(error.kind() == ErrorKind::Format && error.to_string().contains("line 2"), "{error}");
}

#[test]
fn a_trace_that_contradicts_itself_is_refused() {
    let head = r#"{"event":"header","format":1,"version":"0","model":{},"prompt":{}}"#;
    let start = r#"{"event":"node_started","node":1,"parent":0,"ms":1}"#;
    let done = r#"{"event":"node_done","node":1,"parent":0,"ms":2}"#;
    let good = [head, start, done].join("\n");
    let trace = read(good.as_bytes()).unwrap();
    assert_eq!((trace.nodes.len(), trace.header.params.n), (1, SearchParams::default().n));
    let later =
        [head, r#"{"event":"omen","node":7}"#, start, "", r#"{"later":[{}],"event":"node_closed","node":1,"ms":3}"#];
    assert_eq!(read(later.join("\n").as_bytes()).unwrap().nodes[0].closed_ms, Some(3.0));
    let deep = format!(r#"{{"event":"node_done","node":1,"x":{}"#, "[".repeat(100_000));
    let cases: [(&[&str], &str); 20] = [
        (&[], "empty"),
        (&["{}"], "no trace"),
        (&["not json"], "no trace"),
        (&[start], "header"),
        (&[r#"{"event":"header","format":2,"version":"0","model":{},"prompt":{}}"#], "format 2"),
        (&[r#"{"event":"header","format":1}"#], "version"),
        (&[head, head, ""], "second header"),
        (&[head, start, start, ""], "second time"),
        (&[head, start, done, done, ""], "second time"),
        (&[head, r#"{"event":"node_started","node":0,"parent":0,"ms":1}"#, ""], "not above"),
        (&[head, r#"{"event":"node_started","node":1,"parent":1,"ms":1}"#, ""], "not above"),
        (&[head, r#"{"event":"node_started","node":3,"parent":2,"ms":1}"#, ""], "not above"),
        (&[head, r#"{"event":"node_started","node":9007199254740993,"parent":0,"ms":1}"#, ""], "too large"),
        (&[head, r#"{"event":"node_started","node":1,"parent":0,"ms":-1}"#, ""], "milliseconds"),
        (&[head, r#"{"event":"node_started","node":1,"parent":0,"ms":1e999}"#, ""], "number"),
        (&[head, r#"{"event":"node_text","node":1,"text":"x","ms":1}"#, ""], "never started"),
        (&[head, start, done, r#"{"event":"node_text","node":1,"text":"x","ms":1}"#, ""], "after it was done"),
        (&[head, start, r#"{"event":"node_done","node":1,"parent":0,"ms":2,"score":1e300}"#, ""], "out of range"),
        (&[head, start, r#"{"event":"node_done","node":1,"parent":0,"ms":2,"tokens":[-1]}"#, ""], "line 3"),
        (&[head, start, &deep, ""], "EOF"),
    ];
    for (lines, says) in cases {
        let error = read(lines.join("\n").as_bytes()).unwrap_err();
        assert!(error.to_string().contains(says), "{error} does not say {says:?}");
        let expected = if says == "format 2" { ErrorKind::Unsupported } else { ErrorKind::Format };
        assert_eq!(error.kind(), expected, "{error}");
    }
}

#[test]
fn sizes_are_capped() {
    let (bytes, _) = record(&params(), false, 4);
    let small = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        Trace::read(bytes.as_slice(), &limits).unwrap_err().to_string()
    };
    assert!(small(|limits| limits.trace_nodes = 8).contains("more than 8 nodes"));
    assert!(small(|limits| limits.trace_bytes = 2000).contains("longer than 2000 bytes"));
    assert!(small(|limits| limits.trace_line_bytes = 150).contains("longer than 150 bytes"));
    let exact = Limits { trace_bytes: bytes.len() as u64, trace_nodes: 9, ..Limits::default() };
    assert!(Trace::read(bytes.as_slice(), &exact).is_ok());
}

#[test]
fn whatever_a_trace_holds_it_is_read_drawn_and_exported_without_a_panic() {
    let (bytes, _) = record(&SearchParams { n: 3, ..params() }, true, 4);
    let stream = Stream::new(99);
    let (mut read_back, mut refused) = (0, 0);
    for round in 0..3000 {
        let mut hostile = bytes.clone();
        for edit in 0..1 + stream.bits(round * 16) % 3 {
            let bits = stream.bits(round * 16 + edit + 1);
            let at = (bits >> 8) as usize % hostile.len();
            match bits % 4 {
                0 => hostile[at] = (bits >> 40) as u8,
                1 => drop(hostile.remove(at)),
                2 => hostile.insert(at, b"0123456789{}[],\":-e\n"[(bits >> 40) as usize % 20]),
                _ => hostile.truncate(at.max(600)),
            }
        }
        match read(&hostile) {
            Ok(trace) => {
                read_back += 1;
                view::page(&[("hostile", &trace)]).unwrap();
                openinference::export(&trace, &mut Vec::new()).unwrap();
                assert!(Replay::params(&trace).budget.wall.is_none());
            }
            Err(error) => {
                refused += 1;
                assert!(matches!(error.kind(), ErrorKind::Format | ErrorKind::Unsupported), "{error:?}");
            }
        }
    }
    assert!(read_back > 100 && refused > 100, "{read_back} read, {refused} refused");
}

#[test]
fn the_page_holds_hostile_text_as_data_alone() {
    let evil = "</script><script>alert(1)</script><!--<img onerror=alert(2)>%SCRIPT%%DATA%\u{2028}&lt;";
    let (bytes, _) = record(&params(), false, 4);
    let bytes = edit(&bytes, "node_done", 0, |line| {
        line["text"] = evil.into();
        line["answer"] = evil.into();
        line["end"] = evil.into();
    });
    let bytes = edit(&bytes, "header", 0, |line| {
        line["question"] = evil.into();
        line["model"]["name"] = evil.into();
    });
    let trace = read(&bytes).unwrap();
    let page = view::page(&[(evil, &trace), ("b", &trace)]).unwrap();
    assert_eq!(page.matches("<script").count(), 2, "the data and the script");
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("alert(1)</") && !page.contains("<img") && !page.contains("<!--<"));
    let (_, data) = page.split_once("id=\"data\">").unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let runs: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!((&runs[0]["name"], &runs[0]["header"]["question"]), (&evil.into(), &evil.into()));
    let nodes = runs[0]["nodes"].as_array().unwrap();
    assert!(nodes.len() == 9 && nodes.iter().any(|node| node["text"] == evil && node["end"] == evil));
    assert_eq!(runs[0]["seed"], "5");
}

#[test]
fn spans_are_what_a_collector_reads() {
    let (bytes, outcome) = record(&params(), false, 4);
    let bytes = edit(&bytes, "node_done", 0, |line| line["score"] = 0.25.into());
    let scored = edit(&bytes, "header", 0, |line| line["judge"] = serde_json::json!({"name": "steps"}));
    let trace = read(&scored).unwrap();
    let mut lines = Vec::new();
    openinference::export(&trace, &mut lines).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&lines).unwrap();
    let spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 10);
    let attribute = |span: &serde_json::Value, key: &str| {
        let all = span["attributes"].as_array().unwrap();
        all.iter().find(|a| a["key"] == key).map(|a| a["value"].clone()).unwrap_or_default()
    };
    let root = &spans[0];
    assert_eq!(attribute(root, "openinference.span.kind")["stringValue"], "CHAIN");
    assert_eq!(attribute(root, "output.value")["stringValue"].as_str(), outcome.answer.as_deref());
    assert!(root.get("parentSpanId").is_none());
    let hex = |value: &serde_json::Value, digits: usize| {
        let id = value.as_str().unwrap();
        id.len() == digits && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0')
    };
    let nanos = |value: &serde_json::Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let (mut ids, mut scores) = (std::collections::HashSet::new(), 0);
    for span in spans {
        assert!(hex(&span["traceId"], 32) && hex(&span["spanId"], 16) && ids.insert(span["spanId"].clone()));
        assert_eq!(span["traceId"], root["traceId"]);
        assert!(nanos(&span["startTimeUnixNano"]) <= nanos(&span["endTimeUnixNano"]));
        assert!(nanos(&span["endTimeUnixNano"]) <= nanos(&root["endTimeUnixNano"]));
    }
    for (span, node) in spans[1..].iter().zip(&trace.nodes) {
        assert_eq!(attribute(span, "openinference.span.kind")["stringValue"], "LLM");
        assert_eq!(span["parentSpanId"], root["spanId"]);
        let tokens = node.done.as_ref().unwrap().tokens.len();
        let count = |key: &str| attribute(span, key)["intValue"].as_str().unwrap().parse::<usize>().unwrap();
        assert_eq!((count("llm.token_count.prompt"), count("llm.token_count.completion")), (5, tokens));
        assert_eq!(count("llm.token_count.total"), 5 + tokens);
        assert_eq!(attribute(span, "input.value")["stringValue"], "3 eggs");
        assert_eq!(attribute(span, "graph.node.parent_id")["stringValue"], "0");
        if attribute(span, "evaluations.0.evaluation.name")["stringValue"] == "steps" {
            assert_eq!(attribute(span, "evaluations.0.evaluation.score")["doubleValue"], 0.25);
            scores += 1;
        }
    }
    assert_eq!(scores, 1);
}

#[test]
fn spans_of_large_and_deep_trees_stay_small() {
    let head = r#"{"event":"header","format":1,"version":"0","model":{},"prompt":{"text":"é","tokens":[1]}}"#;
    let text = "é".repeat(300);
    let nodes = (1..=1500).map(|n| {
        format!(r#"{{"event":"node_done","node":{n},"parent":{},"ms":{n},"text":"{text}","tokens":[7,7]}}"#, n - 1)
    });
    let lines: Vec<String> = std::iter::once(head.to_owned()).chain(nodes).collect();
    let trace = read(lines.join("\n").as_bytes()).unwrap();
    let mut out = Vec::new();
    openinference::export(&trace, &mut out).unwrap();
    let documents: Vec<serde_json::Value> =
        std::str::from_utf8(&out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let spans: Vec<&serde_json::Value> =
        documents.iter().flat_map(|d| d["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap()).collect();
    assert_eq!((documents.len(), spans.len()), (3, 1501));
    let of = |span: &serde_json::Value, key: &str| {
        span["attributes"].as_array().unwrap().iter().find(|a| a["key"] == key).unwrap()["value"].clone()
    };
    let last = spans[1500];
    assert_eq!(of(last, "llm.token_count.prompt")["intValue"], (1 + 2 * 1499).to_string());
    assert!(of(last, "input.value")["stringValue"].as_str().unwrap().len() <= 64 << 10);
    assert_eq!(of(spans[2], "input.value")["stringValue"].as_str().unwrap(), format!("é{text}"));
}
