//! Rotary position embedding, forward and backward.

use super::{Compute, Forest};
use crate::kernels;
use crate::model::{Config, Rope, RopeTable};

/// The rotation of every row, for the layers of one kind.
pub(super) struct Rotation(RopeTable);

impl Rotation {
    pub fn new(rope: &Rope, n_ctx: usize, forest: &Forest) -> Self {
        let mut table = RopeTable::new(rope, n_ctx);
        table.fill(forest.positions());
        Self(table)
    }

    /// Rotates all heads of every row in place.
    pub fn forward(&self, on: Compute<'_>, config: &Config, heads: &mut [f32]) {
        self.turn(on, config, &self.0.sin, heads);
    }

    /// Turns gradients at rotated heads into those at the heads before: the rotation is orthogonal up to its magnitude, so its
    /// transpose turns by the opposite angle.
    pub fn backward(&self, on: Compute<'_>, config: &Config, heads: &mut [f32]) {
        let opposite: Vec<f32> = self.0.sin.iter().map(|sin| -sin).collect();
        self.turn(on, config, &opposite, heads);
    }

    fn turn(&self, on: Compute<'_>, config: &Config, sin: &[f32], heads: &mut [f32]) {
        let (style, n_rot) = (config.rope.style, config.rope.n_rot);
        kernels::rope(on.team, on.isa, style, config.head_dim, n_rot, &self.0.cos, sin, heads);
    }
}
