//! Measures how many branches are worth decoding together.

use std::time::{Duration, Instant};

use crate::engine::native::NativeEngine;
use crate::engine::{Batch, Branch, Engine, Rows, Want};
use crate::error::Result;
use crate::observe::Interrupt;

/// Widths that are tried.
const WIDTHS: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// Passes per width; the fastest counts, because neighbours on the machine only ever slow a pass down.
const PASSES: usize = 3;
/// A width is enough when it reaches this share of the best rate.
const ENOUGH: f64 = 0.9;

/// The time of one decoding pass at one width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WidthCost {
    /// Branches in the pass.
    pub width: usize,
    /// Its duration.
    pub pass: Duration,
}

impl WidthCost {
    /// Tokens per second over all branches.
    pub fn rate(&self) -> f64 {
        self.width as f64 / self.pass.as_secs_f64().max(1e-9)
    }
}

impl NativeEngine {
    /// Times decoding at several widths and sets [`free_width`](crate::engine::ModelInfo::free_width) to the narrowest
    /// that reaches nine tenths of the best rate. Takes about 20 passes; leaves no branch behind.
    pub fn measure_free_width(&mut self) -> Result<Vec<WidthCost>> {
        let root = self.root()?;
        let mut forks = Vec::new();
        let costs = self.time_widths(&root, &mut forks);
        forks.into_iter().for_each(|branch| self.release(branch));
        self.release(root);
        let costs = costs?;
        let best = costs.iter().map(WidthCost::rate).fold(0.0, f64::max);
        if let Some(enough) = costs.iter().find(|c| c.rate() >= ENOUGH * best) {
            self.info.free_width = enough.width;
        }
        Ok(costs)
    }

    fn time_widths(&mut self, root: &Branch, forks: &mut Vec<Branch>) -> Result<Vec<WidthCost>> {
        let mut rows = Rows::new();
        let mut batch = Batch::new(&Interrupt::default());
        batch.push(root, 0, Want::Logits);
        self.forward(&batch, &mut rows)?; // Warms the weights' pages and the buffers.
        let mut costs = Vec::with_capacity(WIDTHS.len());
        for width in WIDTHS {
            while forks.len() < width {
                forks.push(self.fork(root)?);
            }
            let mut pass = Duration::MAX;
            for _ in 0..PASSES {
                let mut batch = Batch::new(&Interrupt::default());
                forks.iter().for_each(|branch| batch.push(branch, 0, Want::Logits));
                let start = Instant::now();
                self.forward(&batch, &mut rows)?;
                pass = pass.min(start.elapsed());
            }
            costs.push(WidthCost { width, pass });
        }
        Ok(costs)
    }
}
