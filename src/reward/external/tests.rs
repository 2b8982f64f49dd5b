//! Conventions against the arithmetic of published code (tests/fixtures/make_conventions.py), and what a tree of KV saves.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;

use super::testing::{HashedEngine, N_EMBD};
use super::*;
use crate::engine::Tap;
use crate::engine::toy::{N_LAYER, TOKEN_BYTES};
use crate::error::ErrorKind;
use crate::gguf::StrArray;
use crate::limits::Limits;
use crate::observe::CancelToken;
use crate::reward::convention::*;
use crate::reward::{Activation, Aggregation, Dense, Head, Pool, Purpose, Transform};
use crate::text::{ChatTemplate, VocabSource};

const N_VOCAB: usize = 8 + 256;

fn tokenizer(first: [&str; 8], add_space_prefix: bool, control: usize) -> Arc<Tokenizer> {
    let mut tokens: Vec<String> = first.map(String::from).to_vec();
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    let kinds = (0..8).map(|i| {
        if i == 0 {
            2
        } else if i < 3 || i >= 8 - control {
            3
        } else {
            1
        }
    });
    let source = VocabSource {
        model: "llama".into(),
        token_type: Some(kinds.chain([6; 256]).collect()),
        scores: Some((0..tokens.len()).map(|i| -(i as f32)).collect()),
        tokens: StrArray::from_strs(tokens).unwrap(),
        add_bos_token: Some(true),
        add_space_prefix: Some(add_space_prefix),
        bos_token_id: Some(1),
        ..VocabSource::default()
    };
    Arc::new(Tokenizer::new(&source, &Limits::default()).unwrap())
}

/// Of Llama 2's kind, with a blank before each text.
fn blank() -> Arc<Tokenizer> {
    tokenizer(["<unk>", "<s>", "</s>", "\u{2581}", "ки", "\u{2581}ки", "\u{2581}+", "\u{2581}-"], true, 0)
}

/// Bytes and control tokens.
fn plain() -> Arc<Tokenizer> {
    tokenizer(["<unk>", "<s>", "</s>", "\u{2581}", "<|turn|>", "<|of|>", "<|end|>", "<extra_0>"], false, 4)
}

fn template() -> ChatTemplate {
    let source = "{% for m in messages %}<|turn|>{{ m.role }}<|of|>{{ m.content | trim }}<|end|>{% endfor %}\
                  {% if add_generation_prompt %}<|turn|>assistant<|of|>{% endif %}";
    ChatTemplate::new(source, "<s>", "</s>", &Limits::default()).unwrap()
}

fn fixture() -> Json {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/conventions/scores.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn head(layers: &Json, transform: Transform, positive_index: usize) -> Head {
    let floats =
        |list: &Json| -> Vec<f32> { list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect() };
    let dense = |layer: &Json| {
        let weight: Vec<f32> = layer["weight"].as_array().unwrap().iter().flat_map(&floats).collect();
        let bias = floats(&layer["bias"]);
        let n_out = bias.len();
        Dense::new(weight, bias, n_out).unwrap()
    };
    Head {
        purpose: Purpose::Prm,
        architecture: "toy".into(),
        fingerprint: "hashed".into(),
        n_embd: N_EMBD,
        n_layer: N_LAYER,
        taps: vec![Tap::Final],
        pool: Pool::Last,
        extra: Vec::new(),
        read_offset: 0,
        mean: Vec::new(),
        std: Vec::new(),
        layers: layers.as_array().unwrap().iter().map(dense).collect(),
        activation: Activation::Relu,
        transform,
        positive_index,
        temperature: 1.0,
        bias: 0.0,
        aggregation: Aggregation::Last,
        provenance: Vec::new(),
    }
}

fn external(name: &str) -> ExternalJudge<HashedEngine> {
    let fixture = fixture();
    let head = |of: &str, transform, index| head(&fixture["heads"][of], transform, index);
    let (blank, plain, template) = (blank(), plain(), template());
    let convention: Box<dyn Convention> = match name {
        "math_shepherd" => Box::new(MathShepherd::new(&blank).unwrap()),
        "math_shepherd_system" => Box::new(MathShepherd::with_system(&blank, "Solve it.").unwrap()),
        "rlhflow" => Box::new(RlhFlow::new(&plain, &template).unwrap()),
        "rlhflow_processbench" => Box::new(RlhFlow::new(&plain, &template).unwrap().joined_by("\n\n")),
        "qwen_prm" => Box::new(QwenPrm::new(&plain, &template, head(name, Transform::Softmax, 1)).unwrap()),
        "skywork" => Box::new(Skywork::new(&plain, head(name, Transform::Sigmoid, 0)).unwrap()),
        "token_pair" => Box::new(TokenPair {
            after: " \n".into(),
            before_mark: " ".into(),
            ..TokenPair::new(&plain, "#", "+", "-").unwrap()
        }),
        "generative" => Box::new(Generative::new(&plain, &template).unwrap()),
        other => panic!("{other}"),
    };
    let tokenizer = if name.starts_with("math_shepherd") { blank } else { plain };
    ExternalJudge::new(HashedEngine::new(N_VOCAB, 0), tokenizer, convention).unwrap()
}

const EXTERNAL: [&str; 8] = [
    "math_shepherd",
    "math_shepherd_system",
    "rlhflow",
    "rlhflow_processbench",
    "qwen_prm",
    "skywork",
    "token_pair",
    "generative",
];

fn implicit(mode: RewardMode) -> ImplicitJudge<HashedEngine> {
    let convention = Box::new(Implicit::new(&template(), mode).unwrap());
    ImplicitJudge::new(HashedEngine::new(N_VOCAB, 1), HashedEngine::new(N_VOCAB, 2), plain(), convention).unwrap()
}

struct Tree {
    fixture: Json,
}

impl Tree {
    fn new() -> Self {
        Self { fixture: fixture() }
    }

    fn question(&self) -> &str {
        self.fixture["question"].as_str().unwrap()
    }

    fn steps(&self) -> Vec<Step<'_>> {
        let step = |s: &'_ Json| (s["id"].as_u64().unwrap(), s["parent"].as_u64().unwrap());
        let all = self.fixture["steps"].as_array().unwrap();
        all.iter()
            .map(|s| Step {
                id: StepId(step(s).0),
                parent: StepId(step(s).1),
                text: s["text"].as_str().unwrap(),
                path: "",
                tokens: &[],
                draws: &[],
                features: None,
                complete: s["complete"].as_bool().unwrap(),
            })
            .collect()
    }

    /// Steps in calls as a search makes them: all whose parents are known at once.
    fn levels(&self) -> Vec<Vec<Step<'_>>> {
        let mut depth = HashMap::from([(StepId::ROOT, 0)]);
        let mut levels: Vec<Vec<Step<'_>>> = Vec::new();
        for step in self.steps() {
            let level = depth[&step.parent];
            depth.insert(step.id, level + 1);
            if levels.len() <= level {
                levels.push(Vec::new());
            }
            levels[level].push(step);
        }
        levels
    }

    fn check(&self, name: &str, values: &HashMap<StepId, f32>) {
        let paths = self.fixture["paths"].as_array().unwrap();
        let scores = self.fixture["scores"][name].as_array().unwrap();
        assert_eq!(paths.len(), scores.len());
        for (path, scores) in paths.iter().zip(scores) {
            for (id, score) in path.as_array().unwrap().iter().zip(scores.as_array().unwrap()) {
                let found = f64::from(values[&StepId(id.as_u64().unwrap())]);
                let expected = score.as_f64().unwrap();
                assert!((found - expected).abs() <= 1e-6, "{name}, step {id}: {found}, published code says {expected}");
            }
        }
    }
}

fn judge_all(judge: &mut dyn Judge, calls: &[Vec<Step<'_>>]) -> HashMap<StepId, f32> {
    let mut values = HashMap::new();
    for steps in calls {
        let new = judge.judge(steps, &Interrupt::default()).unwrap();
        values.extend(steps.iter().map(|s| s.id).zip(new));
    }
    values
}

#[test]
fn scores_are_those_of_the_published_code() {
    let tree = Tree::new();
    for name in EXTERNAL {
        for calls in [tree.levels(), vec![tree.steps()], tree.steps().into_iter().map(|s| vec![s]).collect()] {
            let mut judge = external(name);
            judge.begin(tree.question()).unwrap();
            tree.check(name, &judge_all(&mut judge, &calls));
        }
    }
    for (name, mode) in [("implicit_single", RewardMode::Single), ("implicit_accumulative", RewardMode::Accumulative)] {
        for calls in [tree.levels(), vec![tree.steps()]] {
            let mut judge = implicit(mode);
            judge.begin(tree.question()).unwrap();
            tree.check(name, &judge_all(&mut judge, &calls));
        }
    }
}

#[test]
fn no_text_goes_through_the_model_twice_and_a_call_is_one_pass() {
    let tree = Tree::new();
    for name in EXTERNAL {
        let mut judge = external(name);
        judge.begin(tree.question()).unwrap();
        let calls = tree.levels();
        judge_all(&mut judge, &calls);
        let passages = tree.steps().iter().map(|step| judge.writer.passage(step).unwrap()).collect::<Vec<_>>();
        let texts: usize = passages.iter().map(|passage| passage.tokens.len() + passage.probe.len()).sum();
        let tokens = (judge.writer.prompt(tree.question(), usize::MAX).unwrap().len() + texts) as u64;
        let computed: usize = judge.engine().computed.values().sum();
        assert_eq!(computed as u64, tokens, "{name}: every text once");
        // The first call holds one step, so that the prompt goes along with it.
        assert_eq!(judge.usage().tokens, tokens, "{name}");
        assert_eq!(judge.usage().passes, calls.len() as u64, "{name}: one pass a call");
        assert_eq!(judge.usage().kv_bytes, judge.engine().memory().kv);
        // Asked again, a judged step costs nothing.
        judge.judge(&calls[1], &Interrupt::default()).unwrap();
        assert_eq!(judge.usage().tokens, tokens, "{name}");
    }
    let mut judge = implicit(RewardMode::Single);
    judge.begin(tree.question()).unwrap();
    judge_all(&mut judge, &tree.levels());
    let texts: usize = tree.steps().iter().map(|step| judge.writer.passage(step).unwrap().tokens.len()).sum();
    let tokens = judge.writer.prompt(tree.question(), usize::MAX).unwrap().len() + texts;
    for side in judge.engines() {
        assert_eq!(side.computed.values().sum::<usize>(), tokens);
    }
    assert_eq!((judge.usage().tokens, judge.usage().passes), (2 * tokens as u64, 2 * tree.levels().len() as u64));
}

#[test]
fn a_cap_on_kv_costs_tokens_but_changes_no_score() {
    let tree = Tree::new();
    for name in EXTERNAL {
        let mut free = external(name);
        free.begin(tree.question()).unwrap();
        judge_all(&mut free, &tree.levels());
        let (all, once) = (free.usage().kv_bytes, free.usage().tokens);
        // Room for the longest path, and hardly more.
        let prompt = free.writer.prompt(tree.question(), usize::MAX).unwrap().len();
        let mut ends = HashMap::from([(StepId::ROOT, prompt)]);
        let mut longest = 0;
        for step in tree.steps() {
            let passage = free.writer.passage(&step).unwrap();
            let end = ends[&step.parent] + passage.tokens.len();
            longest = longest.max(end + passage.probe.len());
            ends.insert(step.id, end);
        }
        let cap = (longest + 5) as u64 * TOKEN_BYTES;
        assert!(cap < all, "{name}: {cap} of {all} bytes");
        let mut capped = external(name);
        capped.set_kv_limit(cap);
        capped.begin(tree.question()).unwrap();
        let values = judge_all(&mut capped, &tree.levels());
        tree.check(name, &values);
        assert!(capped.usage().kv_bytes <= cap, "{name}");
        assert!(capped.usage().tokens > once, "{name}: {} tokens", capped.usage().tokens);
    }
    let mut capped = implicit(RewardMode::Accumulative);
    capped.set_kv_limit(300 * TOKEN_BYTES);
    capped.begin(tree.question()).unwrap();
    tree.check("implicit_accumulative", &judge_all(&mut capped, &tree.levels()));
}

#[test]
fn a_path_that_outgrows_the_memory_is_an_error() {
    let tree = Tree::new();
    let mut judge = external("qwen_prm");
    judge.begin(tree.question()).unwrap();
    judge.set_kv_limit(20 * TOKEN_BYTES);
    let error = judge.judge(&tree.levels()[0], &Interrupt::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Memory);
    judge.set_kv_limit(u64::MAX);
    tree.check("qwen_prm", &judge_all(&mut judge, &tree.levels()));
}

#[test]
fn a_step_past_the_context_has_its_parents_value() {
    let tree = Tree::new();
    let prompt = |name| external(name).writer.prompt(tree.question(), usize::MAX).unwrap().len();
    for name in EXTERNAL {
        let mut free = external(name);
        free.begin(tree.question()).unwrap();
        let whole = judge_all(&mut free, &tree.levels());
        let mut ends = HashMap::from([(StepId::ROOT, prompt(name))]);
        let mut needs = HashMap::new();
        for step in tree.steps() {
            let passage = free.writer.passage(&step).unwrap();
            let end = ends[&step.parent] + passage.tokens.len();
            ends.insert(step.id, end);
            needs.insert(step.id, end + passage.probe.len());
        }
        let mut outgrown = 0;
        for n_ctx in [prompt(name) + 1, needs[&tree.steps()[0].id], needs.values().max().unwrap() - 1] {
            for calls in [tree.levels(), vec![tree.steps()]] {
                let mut judge = external(name);
                judge.grove.engine_mut().set_context(n_ctx);
                judge.begin(tree.question()).unwrap();
                let values = judge_all(&mut judge, &calls);
                for step in tree.steps() {
                    let fits = needs[&step.id] <= n_ctx;
                    let above = values.get(&step.parent).copied().unwrap_or(NEUTRAL);
                    assert_eq!(values[&step.id], if fits { whole[&step.id] } else { above }, "{name} {n_ctx}");
                    outgrown += usize::from(!fits);
                }
            }
        }
        assert!(outgrown > 0, "{name}");
        let mut judge = external(name);
        judge.grove.engine_mut().set_context(prompt(name));
        assert_eq!(judge.begin(tree.question()).unwrap_err().kind(), ErrorKind::ContextLength);
    }
    let n_ctx = implicit(RewardMode::Single).writer.prompt(tree.question(), usize::MAX).unwrap().len() + 1;
    let mut short = HashedEngine::new(N_VOCAB, 2);
    short.set_context(n_ctx);
    let convention = Box::new(Implicit::new(&template(), RewardMode::Accumulative).unwrap());
    let mut judge = ImplicitJudge::new(HashedEngine::new(N_VOCAB, 1), short, plain(), convention).unwrap();
    judge.begin(tree.question()).unwrap();
    assert!(judge_all(&mut judge, &tree.levels()).values().all(|value| *value == NEUTRAL));
}

#[test]
fn released_steps_give_their_kv_back() {
    let tree = Tree::new();
    let mut judge = external("rlhflow");
    judge.begin(tree.question()).unwrap();
    let levels = tree.levels();
    judge_all(&mut judge, &levels[..2]);
    let before = judge.usage().kv_bytes;
    // Step 3 is pruned, step 2 goes on.
    judge.release(StepId(3));
    assert!(judge.usage().kv_bytes < before);
    // Step 1 is not extended any more, but its children are.
    judge.release(StepId(1));
    let four = levels[2].iter().find(|s| s.id == StepId(4)).unwrap();
    judge.set_kv_limit(judge.usage().kv_bytes + 100 * TOKEN_BYTES);
    judge.judge(&[*four], &Interrupt::default()).unwrap();
    let five = levels[2].iter().find(|s| s.id == StepId(5)).unwrap();
    let error = judge.judge(&[*five], &Interrupt::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    judge.release(StepId(2));
    judge.release(StepId(4));
    assert_eq!(judge.engine().alive(), 1, "the prompt's branch");
    judge.begin("another").unwrap();
    assert_eq!((judge.engine().alive(), judge.usage()), (0, JudgeUsage::default()));
}

#[test]
fn a_pass_that_fails_can_be_made_again() {
    let tree = Tree::new();
    for at in 0..4 {
        let mut judge = external("generative");
        judge.begin(tree.question()).unwrap();
        let cancel = CancelToken::new();
        judge.grove.engine_mut().faults().cancel_at = Some((at, cancel.clone()));
        let mut values = HashMap::new();
        let mut failed = 0;
        for steps in tree.levels() {
            let interrupt = Interrupt { cancel: cancel.clone(), deadline: None };
            if let Err(error) = judge.judge(&steps, &interrupt) {
                assert_eq!(error.kind(), ErrorKind::Cancelled);
                failed += 1;
            }
            let new = judge.judge(&steps, &Interrupt::default()).unwrap();
            values.extend(steps.iter().map(|s| s.id).zip(new));
        }
        assert!(failed > 0);
        tree.check("generative", &values);
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let (plain, template, fixture) = (plain(), template(), fixture());
    let kind = |r: Result<ExternalJudge<HashedEngine>>| r.err().unwrap().kind();
    let convention = || Box::new(RlhFlow::new(&plain, &template).unwrap());
    let small = HashedEngine::new(10, 0);
    assert_eq!(kind(ExternalJudge::new(small, plain.clone(), convention())), ErrorKind::InvalidArgument);
    let ratio = Box::new(Implicit::new(&template, RewardMode::Single).unwrap());
    let engine = || HashedEngine::new(N_VOCAB, 0);
    assert_eq!(kind(ExternalJudge::new(engine(), plain.clone(), ratio)), ErrorKind::InvalidArgument);
    let mut other = head(&fixture["heads"]["skywork"], Transform::Sigmoid, 0);
    other.fingerprint = "another".into();
    let skywork = Box::new(Skywork::new(&plain, other.clone()).unwrap());
    assert_eq!(kind(ExternalJudge::new(engine(), plain.clone(), skywork)), ErrorKind::InvalidArgument);
    other.read_offset = -1;
    assert!(Skywork::new(&plain, other).is_err());
    assert!(ImplicitJudge::new(engine(), engine(), plain.clone(), convention()).is_err());
    assert!(TokenPair::new(&plain, "#", "+", "+").is_err());
    assert!(TokenPair::new(&plain, "", "+", "-").is_err());
    assert!(QwenPrm::new(&blank(), &template, head(&fixture["heads"]["qwen_prm"], Transform::Softmax, 1)).is_err());
    let mut judge = external("rlhflow");
    let tree = Tree::new();
    assert!(judge.judge(&tree.levels()[0], &Interrupt::default()).is_err(), "begin was not called");
    judge.begin("?").unwrap();
    assert!(judge.judge(&tree.levels()[1], &Interrupt::default()).is_err(), "the parent is unknown");
}
