//! AdamW (Loshchilov and Hutter, arXiv 1711.05101) over an adapter's factors.

use crate::error::Result;
use crate::model::{Adapter, Lora};
use crate::observe::Interrupt;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// An adapter on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AdamW {
    pub adapter: Adapter,
    /// Running means of the gradients and of their squares.
    pub mean: Adapter,
    pub square: Adapter,
    pub steps: u64,
}

/// How far a step goes.
pub(super) struct Hyperparams {
    /// What every gradient is multiplied with first.
    pub factor: f64,
    pub lr: f64,
    pub weight_decay: f64,
}

impl AdamW {
    pub fn new(adapter: Adapter) -> Self {
        Self { mean: adapter.zeros_like(), square: adapter.zeros_like(), adapter, steps: 0 }
    }

    /// Makes `next` of this by one step along `grads`. An interruption leaves `next` unfinished.
    pub fn step(
        &self,
        grads: &Adapter,
        hyperparams: &Hyperparams,
        next: &mut Self,
        interrupt: &Interrupt,
    ) -> Result<()> {
        next.steps = self.steps + 1;
        let [unbias_1, unbias_2] = [BETA_1, BETA_2].map(|beta| 1.0 - beta.powf(next.steps as f64));
        let update = |[w, mean, square]: [f32; 3], g: f32| {
            let g = f64::from(g) * hyperparams.factor;
            let m = BETA_1 * f64::from(mean) + (1.0 - BETA_1) * g;
            let s = BETA_2 * f64::from(square) + (1.0 - BETA_2) * g * g;
            let old = f64::from(w);
            let pull = m / unbias_1 / ((s / unbias_2).sqrt() + EPSILON) + hyperparams.weight_decay * old;
            [old - hyperparams.lr * pull, m, s].map(|x| x as f32)
        };
        let grads = grads.iter().flat_map(|(_, _, lora)| factors(lora));
        for ((now, next), grads) in self.factors().zip(next.factors_mut()).zip(grads) {
            interrupt.check()?;
            let [w, mean, square] = now.map(|x| x.iter().copied());
            let [new_w, new_mean, new_square] = next.map(|x| x.iter_mut());
            let now = w.zip(mean).zip(square);
            let next = new_w.zip(new_mean).zip(new_square);
            for ((((w, mean), square), ((new_w, new_mean), new_square)), &g) in now.zip(next).zip(grads) {
                [*new_w, *new_mean, *new_square] = update([w, mean, square], g);
            }
        }
        Ok(())
    }

    /// Every factor with its means.
    fn factors(&self) -> impl Iterator<Item = [&Vec<f32>; 3]> {
        let all = self.adapter.iter().zip(self.mean.iter()).zip(self.square.iter());
        all.flat_map(|(((_, _, w), (_, _, mean)), (_, _, square))| {
            [[&w.a, &mean.a, &square.a], [&w.b, &mean.b, &square.b]]
        })
    }

    fn factors_mut(&mut self) -> impl Iterator<Item = [&mut Vec<f32>; 3]> {
        let all = self.adapter.iter_mut().zip(self.mean.iter_mut()).zip(self.square.iter_mut());
        all.flat_map(|((w, mean), square)| {
            [[&mut w.a, &mut mean.a, &mut square.a], [&mut w.b, &mut mean.b, &mut square.b]]
        })
    }
}

fn factors(lora: &Lora) -> [&Vec<f32>; 2] {
    [&lora.a, &lora.b]
}

/// The Euclidean norm of all factors together.
pub(super) fn norm(grads: &Adapter) -> f64 {
    let squares = |x: &[f32]| x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
    grads.iter().flat_map(|(_, _, lora)| factors(lora)).map(|x| squares(x)).sum::<f64>().sqrt()
}
