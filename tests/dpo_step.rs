//! One DPO step of every tiny model against PyTorch and peft (tests/fixtures/tiny/make_dpo.py).

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a failed test has to stop")]

mod support;

use ruminate::exec::Team;
use ruminate::learn::backprop::{Forest, Trunk};
use ruminate::learn::preference::{Loss, Scored};
use ruminate::model::{Adapter, Lora, Model, Projection};
use ruminate::observe::Interrupt;
use ruminate::simd::Isa;
use serde_json::Value;

/// Largest difference of a number, relative to the golden one or, for a gradient, to its norm.
const TOLERANCE: f64 = 1e-4;

/// `make_dpo.factor`.
fn factor(layer: usize, projection: Projection, which: usize, len: usize) -> Vec<f32> {
    let place = (layer * 14 + projection as usize * 2 + which) as f64;
    (0..len).map(|i| (0.2 * (0.7 * i as f64 + 1.3 * place + 0.5).sin()) as f32).collect()
}

fn adapter(model: &Model, golden: &Value, rank: usize, alpha: f32) -> Adapter {
    let config = model.config();
    let mut adapter = Adapter::new(config, alpha);
    for grad in golden["grads"].as_array().unwrap().iter().filter(|grad| grad["factor"] == "a") {
        let layer = grad["layer"].as_u64().unwrap() as usize;
        let projection = Projection::by_name(grad["projection"].as_str().unwrap()).unwrap();
        let (n_in, n_out) = projection.shape(config);
        let [a, b] = [(0, rank * n_in), (1, rank * n_out)].map(|(which, len)| factor(layer, projection, which, len));
        adapter.set(config, layer, projection, Lora { rank, a, b }).unwrap();
    }
    adapter
}

fn near(what: &str, got: f64, want: f64, scale: f64) {
    let off = (got - want).abs() / scale.max(1e-9);
    assert!(off <= TOLERANCE, "{what}: {got}, expected {want}, off by {off:.1e}");
}

#[test]
fn loss_and_gradients_of_a_step_are_those_of_pytorch_and_peft() {
    let golden = support::json(&support::tiny::tiny_path("dpo", "json"));
    let (beta, rank) = (golden["beta"].as_f64().unwrap(), golden["rank"].as_u64().unwrap() as usize);
    let alpha = golden["alpha"].as_f64().unwrap() as f32;
    let models = golden["models"].as_object().unwrap();
    assert_eq!(models.len(), support::tiny::TINY.len());
    for (name, golden) in models {
        let model = support::tiny::tiny(name);
        let adapter = adapter(&model, golden, rank, alpha);
        let mut forest = Forest::default();
        let ids = |key: &str| support::ids(&golden[key]);
        forest.add(&ids("prompt"), &[&ids("chosen"), &ids("rejected")]).unwrap();
        // All activations kept, and none; one thread, and two.
        for (threads, keep_bytes) in [(1, usize::MAX), (2, 0)] {
            let team = Team::new(threads).unwrap();
            let n_ctx = golden["n_ctx"].as_u64().unwrap() as usize;
            let trunk = Trunk::new(&model, &team, Isa::detect(), n_ctx, keep_bytes);
            let (go, n_layer) = (Interrupt::default(), model.config().n_layer);
            let x = trunk.embed(&forest).unwrap();
            let states = trunk.forward(&forest, x.clone(), 0..n_layer, None, &go).unwrap();
            let reference = trunk.logprobs(&forest, &states, &Interrupt::default()).unwrap();
            let tape = trunk.forward_taped(&forest, x, 0, &adapter, &go).unwrap();
            let policy = tape.logprobs().clone();
            for (i, completion) in ["chosen", "rejected"].into_iter().enumerate() {
                let what = format!("{name}: log-probability of {completion}");
                for (which, got) in [("policy", &policy), ("reference", &reference)] {
                    let want = golden[which][i].as_f64().unwrap();
                    near(&what, got.sequences[i], want, want.abs());
                }
            }
            let scored = |i: usize| Scored {
                logprob: policy.sequences[i],
                reference: reference.sequences[i],
                tokens: policy.lengths[i],
            };
            let loss = Loss::Dpo { label_smoothing: 0.0 }.of(beta, scored(0), scored(1));
            near(&format!("{name}: loss"), loss.loss, golden["loss"].as_f64().unwrap(), 1.0);
            let mut grads = adapter.zeros_like();
            trunk.backward(&forest, tape, &loss.grads, &adapter, &mut grads, &go).unwrap();
            for want in golden["grads"].as_array().unwrap() {
                let layer = want["layer"].as_u64().unwrap() as usize;
                let projection = Projection::by_name(want["projection"].as_str().unwrap()).unwrap();
                let lora = grads.get(layer, projection).unwrap();
                let grad = if want["factor"] == "a" { &lora.a } else { &lora.b };
                let dot = |other: &dyn Fn(f64) -> f64| -> f64 {
                    grad.iter().enumerate().map(|(i, &g)| f64::from(g) * other(i as f64)).sum()
                };
                let norm = want["norm"].as_f64().unwrap();
                let what = format!("{name}: gradient at {}", want["projection"]);
                near(&what, grad.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt(), norm, norm);
                near(&what, dot(&|i| (0.3 * i).cos()), want["probes"][0].as_f64().unwrap(), norm);
                near(&what, dot(&|i| (1.1 * i + 1.0).cos()), want["probes"][1].as_f64().unwrap(), norm);
            }
        }
    }
}
