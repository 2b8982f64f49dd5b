//! Every GPU that this build finds beside the processor, both by the same llama.cpp: the same greedy texts up to ties, and what its memory
//! is asked for.
//!
//! Mesa's software driver is a Vulkan device too where it is asked for: `GGML_VK_VISIBLE_DEVICES=0`. Without any GPU the tests say so and
//! pass, or fail with `RUMINATE_REQUIRE_GPU=1`.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod support;

use std::path::{Path, PathBuf};

use ruminate::Limits;
use ruminate::engine::llama::{LlamaEngine, LlamaOptions};
use ruminate::engine::{Batch, Branch, Device, Engine, Rows, Want, devices};
use ruminate::gguf::Gguf;
use ruminate::observe::Interrupt;
use ruminate::storage::LoadMode;
use ruminate::text::{ChatMessage, ChatTemplate, EncodeOptions, TokenId, Tokenizer};

/// How far the distributions may lie apart in the mean, in nats (Kullback and Leibler): the processor rounds what goes into a product to
/// 8 bits, GPUs to half precision.
const CLOSE: f64 = 0.002;
/// Where the texts part, the two best logits have to be this close, as a share of the distance between the largest and the least:
/// neither is wrong.
const TIE: f32 = 0.005;
const TOKENS: usize = 48;

const PROMPTS: [&str; 20] = [
    "Tom has 3 boxes with 4 pens each. How many pens does he have?",
    "Anna buys 5 apples and 7 pears. How many pieces of fruit does she buy?",
    "A train has 6 cars with 12 seats each. How many seats are there?",
    "Ben had 20 marbles and lost 8. How many are left?",
    "Four friends share 24 nuts. How many does each one get?",
    "A book has 90 pages. Mia reads 15 pages a day. How many days does she need?",
    "A shirt costs 12 dollars and a hat 9. What do two shirts and a hat cost?",
    "Leo runs 3 miles a day. How far does he run in a week?",
    "There are 18 birds on a tree and 7 fly away. How many stay?",
    "A baker makes 8 trays of 6 rolls and sells 30 rolls. How many are left?",
    "Sam is 4 years older than Eva, who is 9. How old is Sam?",
    "A tank holds 50 litres and is filled with 5 litres a minute. How long does it take?",
    "Write a sentence about the sea.",
    "Name three colours.",
    "What is the capital of France?",
    "Say good morning in Spanish.",
    "Why is the sky blue?",
    "What do bees make?",
    "Count from one to ten.",
    "Which is larger, 7 or 12?",
];

/// The GPUs of this machine; none has to be loud.
fn gpus() -> Vec<Device> {
    let gpus: Vec<Device> = devices().into_iter().filter(|device| device.gpu).collect();
    if gpus.is_empty() {
        assert!(std::env::var_os("RUMINATE_REQUIRE_GPU").is_none(), "no GPU in this build and machine");
        eprintln!("SKIPPED: no GPU in this build and machine");
    }
    gpus
}

fn models() -> Vec<PathBuf> {
    let bundled = ["models/abacus-q8_0.gguf"].map(PathBuf::from);
    bundled.into_iter().chain(support::fetched("smollm2-135m-instruct-q4_1.gguf")).collect()
}

fn opened(path: &Path, device: &str) -> LlamaEngine {
    let gguf = Gguf::open(path, LoadMode::Mmap, &Limits::default()).unwrap();
    let mut options = LlamaOptions::new(path);
    (options.n_ctx, options.branches, options.devices) = (Some(512), 4, vec![device.to_owned()]);
    LlamaEngine::load(&gguf, &options).unwrap()
}

/// Appends `tokens`; the logits of the last one.
fn extend(engine: &mut LlamaEngine, branch: &Branch, tokens: &[TokenId]) -> Vec<f32> {
    let interrupt = Interrupt::default();
    let mut batch = Batch::new(&interrupt);
    let (last, others) = tokens.split_last().unwrap();
    batch.extend(branch, others, Want::None);
    batch.push(branch, *last, Want::Logits);
    let mut rows = Rows::new();
    engine.forward(&batch, &mut rows).unwrap();
    rows.logits(0).unwrap().to_vec()
}

fn best(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap()
}

fn divergence(a: &[f32], b: &[f32]) -> f64 {
    let total = |x: &[f32]| x.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
    let (total_a, total_b) = (total(a), total(b));
    let term = |(a, b): (&f32, &f32)| {
        let (a, b) = (f64::from(*a) - total_a, f64::from(*b) - total_b);
        a.exp() * (a - b)
    };
    a.iter().zip(b).map(term).sum()
}

/// What one prompt showed.
#[derive(Default)]
struct Seen {
    tokens: usize,
    /// The divergences of all tokens.
    divergence: f64,
    /// The largest difference of two logits, as a share of their range.
    difference: f32,
    /// For each token where the GPU would have chosen another one, how far the two lie apart on the processor, as the same share.
    gaps: Vec<f32>,
}

/// The processor's greedy text, which both engines read, so that every token is compared behind the same ones.
fn compare(cpu: &mut LlamaEngine, gpu: &mut LlamaEngine, prompt: &[TokenId], tokenizer: &Tokenizer) -> Seen {
    let (ours, theirs) = (cpu.root().unwrap(), gpu.root().unwrap());
    let mut seen = Seen::default();
    let mut next = prompt.to_vec();
    while seen.tokens < TOKENS {
        let (a, b) = (extend(cpu, &ours, &next), extend(gpu, &theirs, &next));
        let (choice, other) = (best(&a), best(&b));
        let range = a[choice] - a.iter().copied().fold(f32::INFINITY, f32::min);
        let difference = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / range;
        seen.difference = seen.difference.max(difference);
        seen.divergence += divergence(&a, &b);
        if choice != other {
            seen.gaps.push((a[choice] - a[other]) / range);
        }
        seen.tokens += 1;
        next = vec![choice as TokenId];
        if tokenizer.is_eog(next[0]) {
            break;
        }
    }
    cpu.release(ours);
    gpu.release(theirs);
    seen
}

#[test]
fn greedy_texts_are_the_processor_s_up_to_ties() {
    for device in gpus() {
        for path in models() {
            let gguf = Gguf::open(&path, LoadMode::Mmap, &Limits::default()).unwrap();
            let tokenizer = Tokenizer::from_gguf(&gguf, &Limits::default()).unwrap();
            let template = ChatTemplate::from_gguf(&gguf, &Limits::default()).unwrap().unwrap();
            let (mut cpu, mut gpu) = (opened(&path, "CPU"), opened(&path, &device.name));
            let mut all = Seen::default();
            let mut same = 0;
            for prompt in PROMPTS {
                let text = template.render(&[ChatMessage::new("user", prompt)], true).unwrap();
                let options = EncodeOptions { add_special: false, parse_special: true };
                let tokens = tokenizer.encode(&text, options).unwrap();
                let seen = compare(&mut cpu, &mut gpu, &tokens, &tokenizer);
                same += usize::from(seen.gaps.is_empty());
                all.tokens += seen.tokens;
                all.difference = all.difference.max(seen.difference);
                all.divergence += seen.divergence;
                all.gaps.extend(seen.gaps);
            }
            let divergence = all.divergence / all.tokens as f64;
            println!(
                "{} ({}), {}: {same} of {} texts alike, {} of {} tokens chosen otherwise where the best two lie {:?} of the range \
                 apart; logits differ by {:.5} of it at most, by {divergence:.2e} nats in the mean",
                device.name,
                device.description,
                path.display(),
                PROMPTS.len(),
                all.gaps.len(),
                all.tokens,
                all.gaps,
                all.difference
            );
            assert!(all.difference > 0.0, "the processor computed both");
            assert!(divergence < CLOSE, "logits differ by {divergence} nats");
            assert!(all.gaps.iter().all(|gap| *gap < TIE), "no tie: {:?}", all.gaps);
            assert!(all.tokens > PROMPTS.len() * 4, "texts of {} tokens in all", all.tokens);
        }
    }
}

#[test]
fn a_footprint_counts_the_gpu_s_memory() {
    for device in gpus() {
        let path = Path::new("models/abacus-q8_0.gguf");
        let gguf = Gguf::open(path, LoadMode::Mmap, &Limits::default()).unwrap();
        let mut options = LlamaOptions::new(path);
        (options.n_ctx, options.devices) = (Some(512), vec![device.name.clone()]);
        let engine = LlamaEngine::load(&gguf, &options).unwrap();
        let mut on_gpu = |layers: Option<u32>| {
            options.gpu_layers = layers;
            let all = LlamaEngine::footprint(&gguf, &options).unwrap();
            let sum = |part: fn(&ruminate::engine::Footprint) -> u64| all.iter().map(part).sum::<u64>();
            assert_eq!(sum(|f| f.kv), engine.memory().kv_limit, "cells are somewhere");
            assert!(sum(|f| f.weights) >= engine.memory().weights);
            let found = all.into_iter().find(|footprint| footprint.device.name == device.name);
            found.map_or((0, 0), |f| (f.weights, f.kv))
        };
        let (all, some, none) = (on_gpu(None), on_gpu(Some(2)), on_gpu(Some(0)));
        assert!(all.0 > some.0 && some.0 > none.0, "weights: {all:?} {some:?} {none:?}");
        assert!(all.1 > some.1 && some.1 > 0 && none.1 == 0, "KV: {all:?} {some:?} {none:?}");
    }
}
