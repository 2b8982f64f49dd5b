//! Judges on the native engine: an external model's tree gives the bits of one pass over the whole text, and a head on the
//! trunk reads the states of the rows that drew the step.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test has to stop")]

mod support;

use std::sync::Arc;

use ruminate::engine::{Batch, Engine, Rows, Tap, Want};
use ruminate::gguf::Gguf;
use ruminate::model::Model;
use ruminate::observe::{CancelToken, Interrupt, Silent};
use ruminate::reason;
use ruminate::reward::convention::{
    Convention, Generative, Implicit, MathShepherd, Place, QwenPrm, RewardMode, RlhFlow, Skywork, TokenPair,
};
use ruminate::reward::{
    Activation, Aggregation, Dense, ExternalJudge, Features, Head, HeadJudge, Judge, Pool, Purpose, Step, StepId,
    Transform,
};
use ruminate::search::{Algo, EarlyStop, SearchParams, solve};
use ruminate::storage::LoadMode;
use ruminate::text::{ChatTemplate, EncodeOptions, Tokenizer};
use ruminate::{ErrorKind, Limits};
use support::tiny::{engine, tiny, tiny_path, tokens};

const QUESTION: &str = "Ann has 3 eggs and buys 4. How many are there?";
const STEPS: [(u64, u64, &str); 5] = [
    (1, 0, "Step 1: 3 + 4 = 7.\n\n"),
    (2, 0, "Step 1: 3 + 4 = 8.\n\n"),
    (3, 1, "The answer is 7."),
    (4, 2, "The answer is 8."),
    (5, 1, "The answer is 8."),
];

fn step(&(id, parent, text): &(u64, u64, &'static str)) -> Step<'static> {
    Step {
        id: StepId(id),
        parent: StepId(parent),
        text,
        path: "",
        tokens: &[],
        draws: &[],
        features: None,
        complete: parent != 0,
    }
}

fn head(fingerprint: &str, n_embd: usize, n_layer: usize, taps: Vec<Tap>, read_offset: i32) -> Head {
    let weight = (0..taps.len() * n_embd).map(|i| ((i * 37 % 11) as f32 - 5.0) / 10.0).collect();
    Head {
        purpose: Purpose::Prm,
        architecture: "llama".into(),
        fingerprint: fingerprint.into(),
        n_embd,
        n_layer,
        taps,
        pool: Pool::Last,
        extra: Vec::new(),
        read_offset,
        mean: Vec::new(),
        std: Vec::new(),
        layers: vec![Dense::new(weight, vec![0.25], 1).unwrap()],
        activation: Activation::None,
        transform: Transform::Sigmoid,
        positive_index: 0,
        temperature: 1.0,
        bias: 0.0,
        aggregation: Aggregation::Last,
        provenance: Vec::new(),
    }
}

#[test]
fn a_tree_of_kv_gives_the_bits_of_one_pass_over_the_whole_text() {
    let limits = Limits::default();
    let gguf = Gguf::open(&tiny_path("llama", "gguf"), LoadMode::Read, &limits).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_gguf(&gguf, &limits).unwrap());
    let model = tiny("llama");
    let pair = TokenPair::new(&tokenizer, "<|user|>", "+", "-").unwrap();
    let mark = pair.mark;
    let whole = |path: &[&str]| {
        let text: String = path.iter().map(|text| format!(" {}<|user|>", text.trim())).collect();
        let options = EncodeOptions { add_special: true, parse_special: true };
        let ids = tokenizer.encode(&format!("{QUESTION}{text}"), options).unwrap();
        let mut engine = engine(&model, |o| o.n_ctx = Some(512));
        let branch = engine.root().unwrap();
        let mut batch = Batch::default();
        ids.iter().for_each(|&id| batch.push(&branch, id, if id == mark { Want::Logits } else { Want::None }));
        let mut rows = Rows::new();
        engine.forward(&batch, &mut rows).unwrap();
        let values = (0..path.len()).map(|i| pair.reader().value(rows.logits(i).unwrap()).unwrap());
        values.collect::<Vec<_>>()
    };
    for (threads, cap) in [(1, u64::MAX), (2, u64::MAX), (1, 20_000)] {
        let pair = TokenPair { between: " ".into(), ..pair.clone() };
        let own = engine(&model, |o| (o.n_ctx, o.threads) = (Some(512), threads));
        let mut judge = ExternalJudge::new(own, Arc::clone(&tokenizer), Box::new(pair)).unwrap();
        judge.set_kv_limit(cap);
        judge.begin(QUESTION).unwrap();
        let steps: Vec<Step<'_>> = STEPS.iter().map(step).collect();
        let mut found = judge.judge(&steps[..2], &Interrupt::default()).unwrap();
        found.extend(judge.judge(&steps[2..], &Interrupt::default()).unwrap());
        assert!(judge.usage().kv_bytes <= cap);
        for (path, values) in [([1, 3], [0, 2]), ([2, 4], [1, 3]), ([1, 5], [0, 4])] {
            let texts = path.map(|id: usize| STEPS[id - 1].2);
            assert_eq!(values.map(|i| found[i].to_bits()).to_vec(), bits(&whole(&texts)), "path {path:?}");
        }
        assert!(found[0] != found[1] && found[3] != found[4]);
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_head_belongs_to_one_file_and_reads_the_rows_that_drew_the_step() {
    let model = tiny("qwen2");
    let (n_embd, n_layer) = (model.config().n_embd, model.config().n_layer);
    let mut own = engine(&model, |_| ());
    let taps = vec![Tap::Layer(0), Tap::Final];
    let head = head(&own.info().fingerprint.clone(), n_embd, n_layer, taps.clone(), -1);
    let other = engine(&tiny("qwen3"), |_| ());
    assert_eq!(HeadJudge::new(head.clone(), other.info()).unwrap_err().kind(), ErrorKind::InvalidArgument);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.gguf");
    head.save(&path).unwrap();
    let mut judge = HeadJudge::new(Head::open(&path, &Limits::default()).unwrap(), own.info()).unwrap();
    assert!(
        Gguf::open(&path, LoadMode::Read, &Limits::default()).is_ok_and(|gguf| ruminate::model::Model::load(
            &gguf,
            &Limits::default()
        )
        .is_err()),
        "no model"
    );

    let ids = tokens(3, 12, model.config().n_vocab);
    let branch = own.root().unwrap();
    let mut batch = Batch::default().with_taps(&taps);
    ids.iter().for_each(|&id| batch.push(&branch, id, Want::Both));
    let mut rows = Rows::new();
    own.forward(&batch, &mut rows).unwrap();
    // The step is tokens 8 to 11: rows 7 to 10 drew them.
    let mut features = Features::default();
    (7..11).for_each(|i| features.push(rows.hidden(i).unwrap()));
    let draws = [Default::default(); 4];
    let step = Step { features: Some(&features), draws: &draws, tokens: &ids[8..], ..step(&STEPS[0]) };
    let value = judge.judge(&[step], &Interrupt::default()).unwrap()[0];
    let x = rows.hidden(10).unwrap();
    let z = 0.25 + x.iter().enumerate().map(|(i, x)| ((i * 37 % 11) as f64 - 5.0) / 10.0 * f64::from(*x)).sum::<f64>();
    assert!((f64::from(value) - 1.0 / (1.0 + (-z).exp())).abs() < 1e-5, "{value}");
    assert_eq!(judge.usage(), Default::default(), "no token of its own");
}

/// Pieces put together are the tokens of the whole text where their borders are special tokens, marks and line ends.
#[test]
fn steps_tokenized_one_by_one_are_the_whole_text_on_real_vocabularies() {
    let Some(path) = support::fetched("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf") else { return };
    let limits = Limits::default();
    let gguf = Gguf::open(&path, LoadMode::Mmap, &limits).unwrap();
    let tokenizer = Tokenizer::from_gguf(&gguf, &limits).unwrap();
    let template = ChatTemplate::from_gguf(&gguf, &limits).unwrap().unwrap();
    let pair = TokenPair { between: "\n".into(), ..TokenPair::new(&tokenizer, "<|fim_pad|>", "+", "-").unwrap() };
    let head = || head("f", 8, 2, vec![Tap::Final], 0);
    let conventions: Vec<Box<dyn Convention>> = vec![
        Box::new(pair),
        Box::new(RlhFlow::new(&tokenizer, &template).unwrap()),
        Box::new(RlhFlow::new(&tokenizer, &template).unwrap().joined_by("\n\n")),
        Box::new(Generative::new(&tokenizer, &template).unwrap()),
        Box::new(Implicit::new(&template, RewardMode::Single).unwrap()),
        Box::new(MathShepherd::new(&tokenizer).unwrap()),
        Box::new(MathShepherd::with_system(&tokenizer, "Solve it.").unwrap()),
    ];
    for convention in conventions {
        let mut ids = convention.prompt(&tokenizer, QUESTION).unwrap();
        for (i, text) in ["Step 1: 3 + 4 = 7.\n\n", "Step 2: so $7$ (of 12)\n\n", "The answer is 7."].iter().enumerate()
        {
            let place = Place { text, is_first: i == 0, complete: i == 2 };
            let passage = convention.step(&tokenizer, &place).unwrap();
            assert!(passage.read < passage.tokens.len() + passage.probe.len());
            ids.extend(passage.tokens);
        }
        let text = String::from_utf8(tokenizer.decode(&ids, true)).unwrap();
        let whole = tokenizer.encode(&text, EncodeOptions { add_special: false, parse_special: true }).unwrap();
        assert_eq!(ids, whole, "{}: {text:?}", convention.name());
    }
    // Skywork's own code tokenizes line by line; its line end is the token that other vocabularies call "\n".
    let skywork = Skywork::new(&tokenizer, head()).unwrap();
    let place = Place { text: "3 + 4 = 7.\n\nSo", is_first: true, complete: false };
    let passage = skywork.step(&tokenizer, &place).unwrap();
    let line_end = tokenizer.encode("\n", EncodeOptions { add_special: false, parse_special: false }).unwrap();
    assert_eq!(passage.tokens.iter().filter(|id| [**id] == line_end[..]).count(), 3);
    assert!(QwenPrm::new(&tokenizer, &template, head()).is_err(), "a coder's vocabulary has no <extra_0>");
}

/// The built-in model searches, and values its own steps as if it were a reward model: what counts is the bookkeeping.
#[test]
fn a_search_with_a_reward_model_of_its_own_reads_every_step_once() {
    let limits = Limits::default();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/abacus-q8_0.gguf");
    let gguf = Gguf::open(&path, LoadMode::Mmap, &limits).unwrap();
    let model = Arc::new(Model::load(&gguf, &limits).unwrap());
    let tokenizer = Arc::new(Tokenizer::from_gguf(&gguf, &limits).unwrap());
    let template = ChatTemplate::from_gguf(&gguf, &limits).unwrap();
    let prompt = |question: &str| {
        let direct = reason::by_name("direct").unwrap();
        reason::prompt(direct, question, &tokenizer, template.as_ref()).unwrap()
    };
    let problems = std::fs::read_to_string(path.with_file_name("test.jsonl")).unwrap();
    let questions: Vec<String> = problems.lines().take(3).map(question).collect();
    for algo in [Algo::BestOfN, Algo::Beam, Algo::Mcts, Algo::Rebase] {
        let run = |threads: usize, cap: Option<u64>| {
            let own = || engine(&model, |o| (o.n_ctx, o.threads) = (None, threads));
            let pair = TokenPair { between: "\n".into(), ..TokenPair::new(&tokenizer, "#", "+", "-").unwrap() };
            let mut judge = ExternalJudge::new(own(), Arc::clone(&tokenizer), Box::new(pair)).unwrap();
            if let Some(cap) = cap {
                judge.set_kv_limit(cap);
            }
            let mut policy = own();
            let mut found = Vec::new();
            for question in &questions {
                let params =
                    SearchParams { algo, n: 4, max_tokens: 96, early_stop: EarlyStop::Never, ..Default::default() };
                let outcome = solve(
                    &mut policy,
                    &*tokenizer,
                    &prompt(question),
                    &params,
                    Some(&mut judge),
                    question,
                    &mut Silent,
                    &CancelToken::new(),
                )
                .unwrap();
                assert_eq!(outcome.usage.reward_tokens, judge.usage().tokens);
                assert_eq!(policy.memory().kv, 0);
                found.push((outcome.answer, outcome.score.map(f64::to_bits), outcome.usage.reward_tokens));
            }
            found
        };
        let free = run(1, None);
        assert!(free.iter().all(|(_, _, tokens)| *tokens > 0), "{free:?}");
        assert_eq!(free, run(2, None), "{}: threads", algo.name());
        let short = run(1, Some(600_000));
        for (free, short) in free.iter().zip(&short) {
            assert_eq!((&free.0, free.1), (&short.0, short.1), "{}: a cap changes no score", algo.name());
            assert!(short.2 >= free.2);
        }
    }
}

fn question(line: &str) -> String {
    let row: serde_json::Value = serde_json::from_str(line).unwrap();
    row["question"].as_str().unwrap().to_owned()
}
