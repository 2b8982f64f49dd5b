//! What one draw costs at a real vocabulary: `cargo bench --bench sampler [-- n_vocab]`.

use std::hint::black_box;
use std::time::Instant;

use ruminate::engine::{Sampler, SamplerParams, Stream};

const ROUNDS: u64 = 300;

fn main() -> ruminate::Result<()> {
    let n_vocab = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(151_936u64);
    let stream = Stream::new(1);
    // A language model's row, roughly: a normal body and a few dozen likely tokens. The flat row is the worst case.
    let normal = |i: u64| -> f64 { (0..12).map(|j| stream.child(i).uniform(j)).sum::<f64>() - 6.0 };
    let mut model: Vec<f32> = (0..n_vocab).map(|i| (normal(i) * 2.0) as f32).collect();
    for i in 0..40 {
        let at = (stream.bits(i) % n_vocab) as usize;
        model[at] = 22.0 - i as f32 * 0.3;
    }
    let flat: Vec<f32> = (0..n_vocab).map(|i| (stream.uniform(i) * 0.01) as f32).collect();

    let default = SamplerParams::default();
    let settings = [
        ("greedy", SamplerParams::greedy()),
        ("temperature 1", default.clone()),
        ("temperature 0.8", SamplerParams { temperature: 0.8, ..default.clone() }),
        ("top-k 40, top-p 0.95, min-p 0.05", chain(40, 0.95, 0.05, 1.0)),
        ("the same with repetition penalty", chain(40, 0.95, 0.05, 1.1)),
        ("top-p 0.95", chain(0, 0.95, 0.0, 1.0)),
        ("min-p 0.05", chain(0, 1.0, 0.05, 1.0)),
    ];
    let history: Vec<u32> = (0..64).collect();
    println!("{n_vocab} tokens; median microseconds per draw");
    for (name, params) in settings {
        let mut sampler = Sampler::new(params)?;
        let mut median = |row: &[f32]| -> ruminate::Result<f64> {
            let mut times = Vec::new();
            for round in 0..ROUNDS {
                let start = Instant::now();
                black_box(sampler.sample(black_box(row), &history, stream.uniform(round))?);
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
            times.sort_by(f64::total_cmp);
            Ok(times[times.len() / 2])
        };
        println!("{name:34} model-like {:8.1}   flat {:8.1}", median(&model)?, median(&flat)?);
    }
    Ok(())
}

fn chain(top_k: usize, top_p: f32, min_p: f32, repetition_penalty: f32) -> SamplerParams {
    SamplerParams { temperature: 0.8, top_k, top_p, min_p, repetition_penalty, ..SamplerParams::default() }
}
