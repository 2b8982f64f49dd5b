//! AdamW (Loshchilov and Hutter, arXiv 1711.05101) over an adapter's factors.

use crate::model::{Adapter, Lora};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Running means of the gradients and of their squares.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AdamW {
    pub mean: Adapter,
    pub square: Adapter,
    pub steps: u64,
}

impl AdamW {
    pub fn new(adapter: &Adapter) -> Self {
        Self { mean: adapter.zeros_like(), square: adapter.zeros_like(), steps: 0 }
    }

    /// One step along `grads`, each times `factor`.
    pub fn step(&mut self, adapter: &mut Adapter, grads: &Adapter, factor: f64, lr: f64, weight_decay: f64) {
        self.steps += 1;
        let [unbias_1, unbias_2] = [BETA_1, BETA_2].map(|beta| 1.0 - beta.powf(self.steps as f64));
        let update = |w: &mut f32, g: &f32, mean: &mut f32, square: &mut f32| {
            let g = f64::from(*g) * factor;
            let m = BETA_1 * f64::from(*mean) + (1.0 - BETA_1) * g;
            let s = BETA_2 * f64::from(*square) + (1.0 - BETA_2) * g * g;
            let old = f64::from(*w);
            let pull = m / unbias_1 / ((s / unbias_2).sqrt() + EPSILON) + weight_decay * old;
            (*w, *mean, *square) = ((old - lr * pull) as f32, m as f32, s as f32);
        };
        let moments = self.mean.iter_mut().zip(self.square.iter_mut());
        for ((w, (_, _, g)), (mean, square)) in adapter.iter_mut().zip(grads.iter()).zip(moments) {
            type Part = (fn(&mut Lora) -> &mut Vec<f32>, fn(&Lora) -> &Vec<f32>);
            let parts: [Part; 2] = [(|lora| &mut lora.a, |lora| &lora.a), (|lora| &mut lora.b, |lora| &lora.b)];
            for (part, part_of) in parts {
                let moments = part(mean).iter_mut().zip(part(square));
                for ((w, g), (mean, square)) in part(w).iter_mut().zip(part_of(g)).zip(moments) {
                    update(w, g, mean, square);
                }
            }
        }
    }
}

/// The Euclidean norm of all factors together.
pub(super) fn norm(grads: &Adapter) -> f64 {
    let squares = |x: &[f32]| x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
    grads.iter().map(|(_, _, lora)| squares(&lora.a) + squares(&lora.b)).sum::<f64>().sqrt()
}
