use super::*;
use crate::ErrorKind;
use crate::engine::Stream;

fn row() -> Vec<f32> {
    (0..300).map(|i| (f64::from((i * 7919 + 13) % 1009) / 1009.0 * 12.0 - 6.0) as f32).collect()
}

/// How often each token comes up over evenly spaced random numbers: its probability to about 1e-4.
fn frequencies(params: &SamplerParams, logits: &[f32], history: &[TokenId]) -> Vec<(TokenId, f64)> {
    const DRAWS: u32 = 20_000;
    let mut sampler = Sampler::new(params.clone()).unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for i in 0..DRAWS {
        let uniform = (f64::from(i) + 0.5) / f64::from(DRAWS);
        *counts.entry(sampler.sample(logits, history, uniform).unwrap().token).or_insert(0u32) += 1;
    }
    let mut all: Vec<_> = counts.into_iter().map(|(t, c)| (t, f64::from(c) / f64::from(DRAWS))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

// Golden: llama.cpp's samplers (llama-cpp-python 0.3.36) chained in the order penalties (last 16), top-k, top-p, min-p,
// temperature over the same row and history; tokens kept, the four likeliest, and the least likely.
#[test]
fn distributions_equal_llama_cpps_chain() {
    let history: Vec<TokenId> = (0..30).map(|i| i * 3 % 300).chain([5, 5, 5, 10, 20]).collect();
    let case = |top_k, top_p, min_p, temperature, repetition_penalty| SamplerParams {
        temperature,
        top_k,
        top_p,
        min_p,
        repetition_penalty,
        repetition_window: 16,
    };
    type Golden = (SamplerParams, usize, [(TokenId, f64); 4], (TokenId, f64));
    let golden: [Golden; 6] = [
        (
            case(40, 0.95, 0.05, 0.8, 1.1),
            36,
            [(132, 0.05993), (165, 0.05647), (198, 0.05321), (231, 0.05014)],
            (113, 0.01007),
        ),
        (
            case(0, 0.9, 0.0, 1.0, 1.0),
            59,
            [(132, 0.04307), (165, 0.04107), (198, 0.03916), (231, 0.03734)],
            (219, 0.00429),
        ),
        (
            case(0, 1.0, 0.1, 1.5, 1.0),
            58,
            [(132, 0.03329), (165, 0.03225), (198, 0.03125), (231, 0.03027)],
            (186, 0.00738),
        ),
        (
            case(5, 1.0, 0.0, 0.3, 1.3),
            5,
            [(132, 0.26786), (165, 0.22858), (198, 0.19506), (231, 0.16646)],
            (264, 0.14205),
        ),
        (
            case(0, 0.5, 0.2, 2.0, 1.0),
            18,
            [(132, 0.06537), (165, 0.06383), (198, 0.06233), (231, 0.06087)],
            (73, 0.04742),
        ),
        (case(20, 0.6, 0.0, 0.7, 0.8), 9, [(20, 0.44754), (60, 0.11018), (132, 0.0763), (165, 0.07129)], (53, 0.0534)),
    ];
    for (params, kept, likeliest, least) in golden {
        let ours = frequencies(&params, &row(), &history);
        assert_eq!(ours.len(), kept, "{params:?}");
        for ((token, probability), (theirs, expected)) in
            ours[..4].iter().chain(ours.last()).zip(likeliest.iter().chain([&least]))
        {
            assert_eq!(token, theirs, "{params:?}");
            assert!((probability - expected).abs() < 1.1e-4, "{params:?}: token {token} {probability} not {expected}");
        }
    }
}

#[test]
fn the_whole_vocabulary_is_drawn_from_as_it_is() {
    for temperature in [1.0, 0.7, 3.0] {
        let mut logits: Vec<f32> = (0..1300).map(|i| ((i * 37) % 101) as f32 / 10.0).collect();
        logits[600..1200].fill(f32::NEG_INFINITY);
        let params = SamplerParams { temperature, ..SamplerParams::default() };
        let weights: Vec<f64> = logits.iter().map(|&x| f64::from(x / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        for (token, frequency) in frequencies(&params, &logits, &[]) {
            let expected = weights[token as usize] / total;
            assert!((frequency - expected).abs() < 1.1e-4, "{temperature}: {token} {frequency} {expected}");
        }
        let mut sampler = Sampler::new(params).unwrap();
        assert_eq!(sampler.sample(&logits, &[], 0.0).unwrap().token, 0);
        assert_eq!(sampler.sample(&logits, &[], 1.0 - f64::EPSILON / 2.0).unwrap().token, 1299);
    }
}

#[test]
fn greedy_takes_the_lowest_of_equal_peaks_and_reports_the_models_own_logprob() {
    let mut sampler = Sampler::new(SamplerParams::greedy()).unwrap();
    let logits = [1.0, 3.0, f32::NEG_INFINITY, 3.0];
    let sampled = sampler.sample(&logits, &[], 0.99).unwrap();
    assert_eq!(sampled.token, 1);
    let expected = 3.0 - (1f64.exp() + 2.0 * 3f64.exp()).ln();
    assert!((sampled.logprob - expected).abs() < 1e-6);
    // A penalty changes what is drawn, not the reported probability.
    let params = SamplerParams { repetition_penalty: 5.0, ..SamplerParams::greedy() };
    let mut sampler = Sampler::new(params).unwrap();
    let sampled = sampler.sample(&logits, &[1, 3, 3, 99], 0.5).unwrap();
    assert_eq!(sampled.token, 0);
    assert!((sampled.logprob - (expected - 2.0)).abs() < 1e-6);
}

#[test]
fn a_broken_row_is_an_error_under_every_setting() {
    let settings = [
        SamplerParams::default(),
        SamplerParams::greedy(),
        SamplerParams { top_k: 3, top_p: 0.5, repetition_penalty: 1.2, ..SamplerParams::default() },
    ];
    for params in settings {
        let mut sampler = Sampler::new(params).unwrap();
        for fault in [f32::NAN, f32::INFINITY] {
            let error = sampler.sample(&[0.0, fault, 1.0], &[1], 0.5).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NonFinite);
        }
        for row in [&[f32::NEG_INFINITY; 5][..], &[]] {
            assert_eq!(sampler.sample(row, &[1], 0.5).unwrap_err().kind(), ErrorKind::NonFinite);
        }
        assert_eq!(sampler.sample(&[f32::NEG_INFINITY, 0.0], &[], 0.999).unwrap().token, 1, "a masked token was drawn");
    }
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    let bad = [
        ("temperature", SamplerParams { temperature: -0.1, ..SamplerParams::default() }),
        ("temperature", SamplerParams { temperature: f32::NAN, ..SamplerParams::default() }),
        ("temperature", SamplerParams { temperature: 1e-30, ..SamplerParams::default() }),
        ("top_p", SamplerParams { top_p: 0.0, ..SamplerParams::default() }),
        ("top_p", SamplerParams { top_p: 1.1, ..SamplerParams::default() }),
        ("min_p", SamplerParams { min_p: -1.0, ..SamplerParams::default() }),
        ("repetition_penalty", SamplerParams { repetition_penalty: 0.0, ..SamplerParams::default() }),
    ];
    for (name, params) in bad {
        let error = Sampler::new(params).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[test]
fn a_top_k_of_the_whole_vocabulary_cuts_nothing() {
    let all = frequencies(&SamplerParams::default(), &row(), &[]);
    let top_k = frequencies(&SamplerParams { top_k: 300, ..SamplerParams::default() }, &row(), &[]);
    let (mut all, mut top_k) = (all, top_k);
    all.sort_by_key(|&(token, _)| token);
    top_k.sort_by_key(|&(token, _)| token);
    let probability = |list: &[(TokenId, f64)], t: TokenId| list.iter().find(|x| x.0 == t).map_or(0.0, |x| x.1);
    for token in 0..300 {
        assert!((probability(&all, token) - probability(&top_k, token)).abs() < 1.1e-4);
    }
}

#[test]
fn the_stream_decides_alone() {
    let stream = Stream::new(11).child(4);
    let draw = || {
        let mut sampler = Sampler::new(SamplerParams { temperature: 0.8, ..SamplerParams::default() }).unwrap();
        (0..50).map(|step| sampler.sample(&row(), &[], stream.uniform(step)).unwrap().token).collect::<Vec<_>>()
    };
    assert_eq!(draw(), draw());
}

#[test]
fn among_permitted_tokens_it_draws_as_if_there_were_no_others() {
    let logits: Vec<f32> = [row(), row().into_iter().map(|x| x * 0.7).collect()].concat();
    let n = logits.len();
    let some = |keep: &dyn Fn(usize) -> bool| {
        let mut words = vec![0u32; n.div_ceil(32)];
        (0..n).filter(|&i| keep(i)).for_each(|i| words[i / 32] |= 1 << (i % 32));
        words
    };
    let history: Vec<TokenId> = vec![7, 132, 165, 400];
    let params = [
        SamplerParams::default(),
        SamplerParams::greedy(),
        SamplerParams { temperature: 0.7, ..SamplerParams::default() },
        SamplerParams { top_k: 5, ..SamplerParams::default() },
        SamplerParams { top_p: 0.6, repetition_penalty: 1.3, ..SamplerParams::default() },
        SamplerParams { min_p: 0.2, temperature: 1.5, ..SamplerParams::default() },
    ];
    for params in params {
        for keep in [
            &(|i: usize| i % 7 == 3) as &dyn Fn(usize) -> bool,
            &|i| (128..256).contains(&i),
            &|i| i == 599,
            &|i| !(40..=590).contains(&i),
            &|_| true,
        ] {
            let mut sampler = Sampler::new(params.clone()).unwrap();
            let words = some(keep);
            let cut: Vec<f32> = (0..n).map(|i| if keep(i) { logits[i] } else { f32::NEG_INFINITY }).collect();
            let mut blocks = vec![LogitBlock::EMPTY; logit_block_count(n)];
            row_logit_blocks(Isa::detect(), &logits, &mut blocks);
            for i in 0..200 {
                let uniform = f64::from(i) / 200.0;
                let row = Row { logits: &logits, blocks: &blocks };
                let drawn = sampler.sample_row_among(row, &words, &history, uniform).unwrap();
                assert!(keep(drawn.token as usize), "{params:?}: {}", drawn.token);
                assert_eq!(drawn.token, sampler.sample(&cut, &history, uniform).unwrap().token, "{params:?}");
                let mut free = Sampler::new(SamplerParams::default()).unwrap();
                let peak = logits.iter().copied().fold(f32::MIN, f32::max);
                let total: f64 = logits.iter().map(|x| f64::from(x - peak).exp()).sum();
                let model = f64::from(logits[drawn.token as usize] - peak) - total.ln();
                assert!((drawn.logprob - model).abs() < 1e-6, "the model's own probability");
                assert!(free.sample_row_among(row, &vec![0; words.len()], &[], uniform).is_err(), "nothing permitted");
            }
        }
    }
}
