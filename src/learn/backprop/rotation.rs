//! Rotary position embedding, forward and backward.

use super::{Compute, Forest};
use crate::kernels;
use crate::model::{Config, Rope, push_rope};

/// Cosines and sines of every row's position, for the layers of one kind.
pub(super) struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    pub fn new(rope: &Rope, n_ctx: usize, forest: &Forest) -> Self {
        let frequencies = rope.frequencies(n_ctx);
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for position in forest.positions() {
            push_rope(position, &frequencies, rope.magnitude, &mut cos, &mut sin);
        }
        Self { cos, sin }
    }

    /// Rotates all heads of every row in place.
    pub fn forward(&self, on: Compute<'_>, config: &Config, heads: &mut [f32]) {
        self.turn(on, config, &self.sin, heads);
    }

    /// Turns gradients at rotated heads into those at the heads before: the rotation is orthogonal up to its magnitude, so its
    /// transpose turns by the opposite angle.
    pub fn backward(&self, on: Compute<'_>, config: &Config, heads: &mut [f32]) {
        let opposite: Vec<f32> = self.sin.iter().map(|sin| -sin).collect();
        self.turn(on, config, &opposite, heads);
    }

    fn turn(&self, on: Compute<'_>, config: &Config, sin: &[f32], heads: &mut [f32]) {
        let (style, n_rot) = (config.rope.style, config.rope.n_rot);
        kernels::rope(on.team, on.isa, style, config.head_dim, n_rot, &self.cos, sin, heads);
    }
}
