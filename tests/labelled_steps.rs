//! Steps that somebody else wrote are read as if the model had drawn them: its own samples, read again, give the same rows.

#![allow(clippy::unwrap_used, reason = "a failed test has to stop")]

use std::path::Path;
use std::sync::Arc;

use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::engine::{Engine, SamplerParams, Tap};
use ruminate::gguf::Gguf;
use ruminate::learn::{self, CollectParams, LabelledStep, Labels, Question, Recorder, Row, read_steps};
use ruminate::model::Model;
use ruminate::observe::{CancelToken, Interrupt, Silent};
use ruminate::reward::verify::Number;
use ruminate::search::SearchParams;
use ruminate::storage::LoadMode;
use ruminate::text::{ChatTemplate, TokenId, Tokenizer};
use ruminate::{ErrorKind, Limits, reason};

const TAPS: [Tap; 2] = [Tap::Layer(3), Tap::Final];

struct World {
    engine: NativeEngine,
    tokenizer: Tokenizer,
    prompt: Vec<TokenId>,
}

fn world(threads: usize) -> World {
    let limits = Limits::default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/abacus-q8_0.gguf");
    let gguf = Gguf::open(&path, LoadMode::Mmap, &limits).unwrap();
    let model = Arc::new(Model::load(&gguf, &limits).unwrap());
    let mut options = NativeOptions::default();
    options.threads = threads;
    let tokenizer = Tokenizer::from_gguf(&gguf, &limits).unwrap();
    let template = ChatTemplate::from_gguf(&gguf, &limits).unwrap();
    let question = "Tom has 12 pens and buys 5 more. He gives 3 away. How many pens does he have?";
    let prompt = reason::prompt(reason::by_name("direct").unwrap(), question, &tokenizer, template.as_ref()).unwrap();
    World { engine: NativeEngine::new(model, &options).unwrap(), tokenizer, prompt }
}

fn read(world: &mut World, steps: &[LabelledStep]) -> ruminate::Result<Vec<Row>> {
    let World { engine, tokenizer, prompt } = world;
    let block = read_steps(engine, tokenizer, (0, prompt), (steps, "\n"), &TAPS, &Interrupt::default())?;
    Ok(block.rows)
}

#[test]
fn the_models_own_samples_read_again_give_the_rows_that_drew_them() {
    let mut world = world(2);
    let verifier = Number::new("14").unwrap();
    let mut recorder = Recorder::new(TAPS.to_vec()).unwrap();
    let search = SearchParams { stop_at_answer: false, ..learn::sampling(6, SamplerParams::default(), 120, 3) };
    let params = CollectParams { search, labels: Labels::Outcome };
    let World { engine, tokenizer, prompt } = &mut world;
    let question = Question { number: 0, text: "", prompt, verifier: &verifier };
    let cancel = CancelToken::new();
    let drawn = learn::collect(engine, tokenizer, &question, &params, &mut recorder, &mut Silent, &cancel);
    let drawn = drawn.unwrap().unwrap().rows;
    let mut same = 0;
    for (sample, path) in recorder.paths().iter().enumerate() {
        let steps = path.iter().enumerate().map(|(i, step)| LabelledStep {
            parent: i.checked_sub(1),
            text: step.text.trim_end_matches('\n').to_owned(),
            value: Some(1.0),
            complete: step.complete,
        });
        let rows = read(&mut world, &steps.collect::<Vec<_>>()).unwrap();
        let drawn: Vec<&Row> = drawn.iter().filter(|row| row.sample as usize == sample).collect();
        // Only where it drew the tokens that encoding gives.
        let tokens = |row: &Row| (row.step, row.tokens, row.complete);
        if rows.len() != drawn.len() || rows.iter().zip(&drawn).any(|(a, b)| tokens(a) != tokens(b)) {
            continue;
        }
        for (read, drawn) in rows.iter().zip(drawn) {
            assert!(read.states == drawn.states, "sample {sample}, step {}", read.step);
            assert!((read.mean_logprob - drawn.mean_logprob).abs() < 1e-5);
            assert!((read.last_logprob - drawn.last_logprob).abs() < 1e-5);
        }
        same += 1;
    }
    assert!(same >= 3, "{same} of 6 samples were drawn in the tokens that encoding gives");
    assert_eq!(world.engine.memory().kv, 0, "all branches are given back");
}

#[test]
fn a_trees_branches_are_read_as_if_each_stood_alone() {
    let step = |parent: Option<usize>, text: &str, value: f32, complete: bool| LabelledStep {
        parent,
        text: text.to_owned(),
        value: Some(value),
        complete,
    };
    let tree = [
        step(None, "12 + 5 = 17", 0.75, false),
        step(Some(0), "17 - 3 = 14", 1.0, false),
        step(Some(1), "#### 14", 1.0, true),
        step(Some(0), "#### 17", 0.0, true),
        step(None, "#### 7", 0.0, true),
    ];
    let mut world = world(1);
    let rows = read(&mut world, &tree).unwrap();
    let places: Vec<(u32, u32, bool, bool)> =
        rows.iter().map(|row| (row.sample, row.step, row.right, row.complete)).collect();
    let expected =
        [(0, 0, true, false), (0, 1, true, false), (0, 2, true, true), (1, 1, false, true), (2, 0, false, true)];
    assert_eq!(places, expected);
    assert!((rows[0].value - 0.75).abs() < 1e-4);
    let chain = [tree[0].clone(), step(Some(0), "#### 17", 0.0, true)];
    let alone = read(&mut world, &chain).unwrap();
    assert!(alone[0].states == rows[0].states && alone[1].states == rows[3].states);
    // A step that nobody rated is gone on from and has no row.
    let mut unrated = tree.clone();
    unrated[0].value = None;
    let fewer = read(&mut world, &unrated).unwrap();
    assert_eq!(fewer.len(), 4);
    assert!(fewer[0].states == rows[1].states);
}

#[test]
fn steps_that_lie_are_refused_and_leave_nothing_behind() {
    let mut world = world(1);
    let good = LabelledStep { parent: None, text: "1 + 1 = 2".into(), value: Some(1.0), complete: false };
    for (bad, says) in [
        (LabelledStep { parent: Some(0), ..good.clone() }, "before"),
        (LabelledStep { parent: Some(7), ..good.clone() }, "before"),
        (LabelledStep { text: " \n".into(), ..good.clone() }, "no text"),
        (LabelledStep { value: Some(1.5), ..good.clone() }, "label"),
        (LabelledStep { value: Some(f32::NAN), ..good.clone() }, "label"),
    ] {
        let error = read(&mut world, &[bad]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.to_string().contains(says), "{error}");
    }
    let long = LabelledStep { text: "1 + 1 = 2 ".repeat(2000), ..good.clone() };
    assert_eq!(read(&mut world, &[good.clone(), long]).unwrap_err().kind(), ErrorKind::ContextLength);
    assert_eq!(world.engine.memory().kv, 0);
    let cancelled = Interrupt::default();
    cancelled.cancel.cancel();
    let World { engine, tokenizer, prompt } = &mut world;
    let error = read_steps(engine, tokenizer, (0, prompt), (&[good], "\n"), &TAPS, &cancelled).unwrap_err();
    assert_eq!((error.kind(), world.engine.memory().kv), (ErrorKind::Cancelled, 0));
    assert!(read(&mut world, &[]).unwrap().is_empty());
}
