//! Training runs on the tiny models: what must hold for any preference training.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a failed test has to stop")]

mod support;

use ruminate::ErrorKind;
use ruminate::exec::Team;
use ruminate::learn::preference::{Example, Feedback, Loss, Preference, StepReport, TrainParams, Trainer};
use ruminate::model::{Adapter, Model};
use ruminate::observe::{CancelToken, Interrupt};
use ruminate::simd::Isa;
use support::tiny::{TINY, tiny};

/// Pairs that differ in what follows the prompt; of several lengths, with common beginnings.
fn pairs(n: u32) -> Vec<Example> {
    let pair = |i: u32| {
        let prompt = (0..4 + i % 3).map(|j| 10 + (7 * i + 3 * j) % 90).collect();
        let chosen: Vec<u32> = (0..3 + i % 2).map(|j| 20 + (11 * i + 5 * j) % 80).collect();
        let rejected = chosen.iter().take((i % 2) as usize).copied().chain((0..4).map(|j| 30 + (5 * i + 13 * j) % 70));
        Example { prompt, completions: vec![chosen.clone(), rejected.collect()], feedback: Feedback::Pair(None) }
    };
    (0..n).map(pair).collect()
}

fn singles(n: u32) -> Vec<Example> {
    let single = |(i, pair): (usize, Example)| {
        let good = i % 2 == 0;
        let completions = vec![pair.completions[usize::from(!good)].clone()];
        Example { completions, feedback: Feedback::Single(good), ..pair }
    };
    pairs(n).into_iter().enumerate().map(single).collect()
}

fn params() -> TrainParams {
    TrainParams { rank: 4, alpha: 8.0, batch: 4, lr: 1e-2, warmup_ratio: 0.0, epochs: 12, ..TrainParams::default() }
}

fn trainer<'a>(model: &'a Model, team: &'a Team, params: TrainParams, examples: Vec<Example>) -> Trainer<'a> {
    Trainer::new(model, team, Isa::detect(), 256, params, examples, None).unwrap()
}

fn run(trainer: &mut Trainer<'_>, most: usize) -> Vec<StepReport> {
    std::iter::from_fn(|| trainer.step(&Interrupt::default()).unwrap()).take(most).collect()
}

fn bits(adapter: &Adapter) -> Vec<u32> {
    adapter.iter().flat_map(|(_, _, lora)| lora.a.iter().chain(&lora.b)).map(|x| x.to_bits()).collect()
}

#[test]
fn the_first_step_costs_ln_2_on_every_architecture() {
    let team = Team::new(2).unwrap();
    for name in TINY {
        let model = tiny(name);
        for layers in [0, 1] {
            let mut trainer = trainer(&model, &team, TrainParams { layers, ..params() }, pairs(4));
            let first = trainer.step(&Interrupt::default()).unwrap().unwrap().measured;
            assert!((first.loss - std::f64::consts::LN_2).abs() < 1e-12, "{name}: {}", first.loss);
            assert_eq!((first.margin, first.accuracy, first.log_ratio), (0.0, 0.0, 0.0), "{name}");
            // One step along the gradient makes the same pairs cheaper.
            let after = trainer.measure(&pairs(4), &Interrupt::default()).unwrap();
            assert!(after.loss < first.loss && after.margin > 0.0, "{name}: {after:?}");
        }
    }
}

#[test]
fn every_loss_learns_its_examples_by_heart() {
    let (model, team) = (tiny("qwen2"), Team::new(2).unwrap());
    for name in ["dpo", "ipo", "simpo", "kto"] {
        let loss = Loss::by_name(name).unwrap();
        let examples = if loss.takes_singles() { singles(8) } else { pairs(8) };
        let params = TrainParams { loss, beta: loss.default_beta(), epochs: 30, ..params() };
        let mut trainer = trainer(&model, &team, params, examples.clone());
        let before = trainer.measure(&examples, &Interrupt::default()).unwrap();
        let steps = run(&mut trainer, usize::MAX);
        let after = trainer.measure(&examples, &Interrupt::default()).unwrap();
        assert_eq!(steps.len(), 60);
        assert!(after.loss < 0.7 * before.loss && after.accuracy == 1.0, "{name}: {before:?} {after:?}");
    }
}

#[test]
fn a_pair_of_equal_completions_teaches_nothing() {
    let (model, team) = (tiny("llama"), Team::new(1).unwrap());
    let mut same = pairs(1);
    same[0].completions[1] = same[0].completions[0].clone();
    let mut trainer = trainer(&model, &team, params(), same);
    let step = trainer.step(&Interrupt::default()).unwrap().unwrap();
    assert_eq!(step.grad_norm, 0.0);
}

#[test]
fn what_is_kept_or_computed_again_changes_no_bit() {
    let (model, team) = (tiny("gemma3"), Team::new(2).unwrap());
    let trained = |keep_bytes: usize, layers: usize| {
        let mut trainer = trainer(&model, &team, TrainParams { keep_bytes, layers, ..params() }, pairs(6));
        run(&mut trainer, 6);
        bits(trainer.adapter())
    };
    for layers in [0, 3] {
        let all = trained(1 << 30, layers);
        assert!(all.iter().any(|&bits| bits != 0));
        assert_eq!(trained(0, layers), all);
        assert_eq!(trained(1 << 16, layers), all);
    }
    assert_eq!(tiny("gemma3").config().n_layer - 3, first_layer(&model, &team));
}

fn first_layer(model: &Model, team: &Team) -> usize {
    let trainer = trainer(model, team, TrainParams { layers: 3, ..params() }, pairs(2));
    trainer.adapter().iter().map(|(layer, _, _)| layer).min().unwrap()
}

#[test]
fn an_adapter_to_go_on_from_is_trained_where_it_has_factors() {
    let (model, team) = (tiny("llama"), Team::new(1).unwrap());
    let mut first = trainer(&model, &team, params(), pairs(4));
    run(&mut first, 4);
    let from = |layers: usize, adapter: &Adapter| {
        let params = TrainParams { layers, ..params() };
        Trainer::new(&model, &team, Isa::detect(), 256, params, pairs(4), Some(adapter.clone())).unwrap()
    };
    let loss = |trainer: &Trainer<'_>| trainer.measure(&pairs(4), &Interrupt::default()).unwrap().loss;
    let mut second = from(1, first.adapter());
    assert_eq!(loss(&second), loss(&first));
    let step = second.step(&Interrupt::default()).unwrap().unwrap();
    assert!((step.measured.loss - loss(&first)).abs() < 1e-6);
    assert_eq!(loss(&from(0, second.adapter())), loss(&second));
    // Another adapter's state is refused.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.state");
    second.save(&path, "data").unwrap();
    let mut other = trainer(&model, &team, TrainParams { layers: 1, ..params() }, pairs(4));
    assert_eq!(other.resume(&path, "data").unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn singles_are_measured_as_a_step_measures_them() {
    let (model, team) = (tiny("qwen2"), Team::new(1).unwrap());
    let params = TrainParams { loss: Loss::by_name("kto").unwrap(), batch: 6, ..params() };
    let mut trainer = trainer(&model, &team, params, singles(6));
    run(&mut trainer, 3);
    let measured = trainer.measure(&singles(6), &Interrupt::default()).unwrap();
    let step = trainer.step(&Interrupt::default()).unwrap().unwrap().measured;
    assert!((measured.loss - step.loss).abs() < 1e-6 && measured.accuracy == step.accuracy, "{measured:?} {step:?}");
}

#[test]
fn singles_are_split_into_passes_and_their_sums_stay() {
    let (model, team) = (tiny("llama"), Team::new(1).unwrap());
    let steps = |micro_batch_tokens: usize| {
        let params = TrainParams { loss: Loss::by_name("kto").unwrap(), batch: 6, micro_batch_tokens, ..params() };
        let mut trainer = trainer(&model, &team, params, singles(6));
        (run(&mut trainer, 4), bits(trainer.adapter()))
    };
    let (together, _) = steps(1 << 20);
    for micro_batch_tokens in [1, 20] {
        let (apart, _) = steps(micro_batch_tokens);
        for (a, b) in apart.iter().zip(&together) {
            assert_eq!((a.measured.tokens, a.measured.accuracy), (b.measured.tokens, b.measured.accuracy));
            let close = |x: f64, y: f64| (x - y).abs() < 1e-5 * y.abs().max(1e-2);
            assert!(close(a.measured.loss, b.measured.loss) && close(a.grad_norm, b.grad_norm), "{a:?} {b:?}");
        }
    }
    assert!(together.iter().any(|step| step.measured.loss != together[0].measured.loss));
}

#[test]
fn a_saved_run_goes_on_as_if_it_had_never_stopped() {
    let (model, team) = (tiny("qwen3"), Team::new(1).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.state");
    for (examples, loss) in [(pairs(7), Loss::default()), (singles(7), Loss::by_name("kto").unwrap())] {
        let params = TrainParams { loss, epochs: 3, ..params() };
        let mut whole = trainer(&model, &team, params.clone(), examples.clone());
        let all = run(&mut whole, usize::MAX);
        let mut first = trainer(&model, &team, params.clone(), examples.clone());
        run(&mut first, 3);
        first.save(&path, "digest").unwrap();
        let mut second = trainer(&model, &team, params.clone(), examples.clone());
        second.resume(&path, "digest").unwrap();
        assert_eq!(second.step_count(), 3);
        let rest = run(&mut second, usize::MAX);
        assert_eq!(bits(second.adapter()), bits(whole.adapter()));
        let measured =
            |steps: &[StepReport]| steps.iter().map(|s| (s.step, s.measured, s.grad_norm)).collect::<Vec<_>>();
        assert_eq!(measured(&rest), measured(&all[3..]));
        // Another run's state is refused.
        for (params, data) in [(TrainParams { seed: 1, ..params.clone() }, "digest"), (params.clone(), "other")] {
            let mut other = trainer(&model, &team, params, examples.clone());
            let error = other.resume(&path, data).unwrap_err();
            assert_eq!((error.kind(), other.step_count()), (ErrorKind::InvalidArgument, 0), "{error}");
        }
    }
}

#[test]
fn damaged_states_are_refused_and_change_nothing() {
    let (model, team) = (tiny("llama_tied"), Team::new(1).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.state");
    let params = TrainParams { rank: 1, projections: vec!["attn_q".to_owned()], ..params() };
    let mut trainer = trainer(&model, &team, params, pairs(4));
    run(&mut trainer, 1);
    trainer.save(&path, "data").unwrap();
    let whole = std::fs::read(&path).unwrap();
    let before = bits(trainer.adapter());
    for cut in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(trainer.resume(&path, "data").is_err(), "cut at {cut}");
    }
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
    };
    with(&|bytes| bytes.push(0));
    assert!(trainer.resume(&path, "data").is_err());
    with(&|bytes| {
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    assert!(trainer.resume(&path, "data").is_err());
    with(&|bytes| bytes[0] ^= 1);
    assert!(trainer.resume(&path, "data").is_err());
    assert_eq!((bits(trainer.adapter()), trainer.step_count()), (before, 1));
    with(&|_| ());
    trainer.resume(&path, "data").unwrap();
}

#[test]
fn a_cancelled_step_changes_nothing() {
    let (model, team) = (tiny("phi3"), Team::new(1).unwrap());
    let mut trainer = trainer(&model, &team, params(), pairs(4));
    let before = bits(trainer.adapter());
    let cancel = CancelToken::new();
    cancel.cancel();
    let error = trainer.step(&Interrupt { cancel, deadline: None }).unwrap_err();
    assert_eq!((error.kind(), trainer.step_count()), (ErrorKind::Cancelled, 0));
    assert_eq!(bits(trainer.adapter()), before);
    assert!(trainer.step(&Interrupt::default()).unwrap().is_some());
}

#[test]
fn what_cannot_be_trained_on_is_refused() {
    let (model, team) = (tiny("llama"), Team::new(1).unwrap());
    let new = |params: TrainParams, examples: Vec<Example>| {
        Trainer::new(&model, &team, Isa::detect(), 16, params, examples, None).map(|_| ()).unwrap_err().kind()
    };
    for params in [
        TrainParams { rank: 0, ..params() },
        TrainParams { beta: f64::NAN, ..params() },
        TrainParams { projections: vec!["attn_x".to_owned()], ..params() },
        TrainParams { lr: 0.0, ..params() },
        TrainParams { max_tokens: 3, ..params() },
    ] {
        assert_eq!(new(params, pairs(2)), ErrorKind::InvalidArgument);
    }
    assert_eq!(new(params(), singles(2)), ErrorKind::InvalidArgument);
    assert_eq!(
        new(TrainParams { loss: Loss::by_name("kto").unwrap(), ..params() }, pairs(2)),
        ErrorKind::InvalidArgument
    );
    // What does not fit the context is left out.
    let mut long = pairs(1);
    long[0].prompt = vec![1; 20];
    assert_eq!(new(params(), long.clone()), ErrorKind::InvalidArgument);
    assert_eq!(
        new(TrainParams { loss: Loss::by_name("kto").unwrap(), ..params() }, singles(1)),
        ErrorKind::InvalidArgument
    );
    long[0].prompt = vec![100_000];
    let mut trainer = Trainer::new(&model, &team, Isa::detect(), 16, params(), long, None).unwrap();
    assert_eq!(trainer.step(&Interrupt::default()).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn rows_are_read_and_wrong_ones_named() {
    let good = "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\",\"smoothing\":0.2}\n\n{\"prompt\":\"a\",\"completion\":\"b\",\"label\":false}\n";
    assert_eq!(Preference::parse(good).unwrap().len(), 2);
    for bad in [
        "{\"prompt\":\"a\",\"chosen\":\"b\"}",
        "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\",\"label\":true}",
        "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\",\"smoothing\":0.7}",
        "[1]",
        "{",
    ] {
        let error = Preference::parse(&format!("{good}{bad}")).unwrap_err();
        assert!(error.to_string().contains("line 4"), "{error}");
    }
}
