//! Measures how many branches are worth decoding together.

use std::time::{Duration, Instant};

use crate::engine::{Batch, Branch, Engine, Rows, Want};
use crate::error::{ErrorKind, Result};
use crate::observe::Interrupt;

/// Widths that are tried.
const WIDTHS: [usize; 10] = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64];
/// Rounds over all widths; a width's fastest pass counts, because neighbours on the machine only ever slow a pass down,
/// and rather in spells than evenly.
const ROUNDS: usize = 3;
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

/// The widest [`free_width`](crate::engine::ModelInfo::free_width) that is ever measured.
pub const WIDEST: usize = WIDTHS[WIDTHS.len() - 1];

/// [`Engine::measure_free_width`].
pub(super) fn measure<E: Engine + ?Sized>(engine: &mut E, interrupt: &Interrupt) -> Result<Vec<WidthCost>> {
    let root = engine.root()?;
    let mut stopwatch = Stopwatch { engine, forks: Vec::new(), rows: Rows::new(), interrupt };
    let costs = stopwatch.time_widths(&root);
    let Stopwatch { engine, forks, .. } = stopwatch;
    forks.into_iter().for_each(|branch| engine.release(branch));
    engine.release(root);
    let costs = costs?;
    if let Some(width) = knee(&costs) {
        engine.set_free_width(width);
    }
    Ok(costs)
}

struct Stopwatch<'a, E: Engine + ?Sized> {
    engine: &'a mut E,
    forks: Vec<Branch>,
    rows: Rows,
    interrupt: &'a Interrupt,
}

impl<E: Engine + ?Sized> Stopwatch<'_, E> {
    fn time_widths(&mut self, root: &Branch) -> Result<Vec<WidthCost>> {
        let mut batch = Batch::new(self.interrupt);
        batch.push(root, 0, Want::Logits);
        self.engine.forward(&batch, &mut self.rows)?; // Warms the weights' pages and the buffers.
        let mut costs: Vec<WidthCost> = Vec::with_capacity(WIDTHS.len());
        for round in 0..ROUNDS {
            for (i, width) in WIDTHS.into_iter().enumerate() {
                if round > 0 && i >= costs.len() {
                    break;
                }
                let pass = match self.time_pass(root, width) {
                    Ok(pass) => pass,
                    Err(error) if error.kind() == ErrorKind::Memory && i > 0 => break,
                    Err(error) if error.kind() == ErrorKind::Cancelled && round > 0 => return Ok(costs),
                    Err(error) => return Err(error),
                };
                match costs.get_mut(i) {
                    Some(cost) => cost.pass = cost.pass.min(pass),
                    None => costs.push(WidthCost { width, pass }),
                }
            }
        }
        Ok(costs)
    }

    /// One pass of one token for each of `width` branches.
    fn time_pass(&mut self, root: &Branch, width: usize) -> Result<Duration> {
        while self.forks.len() < width {
            self.forks.push(self.engine.fork(root)?);
        }
        let mut batch = Batch::new(self.interrupt);
        self.forks.iter().take(width).for_each(|branch| batch.push(branch, 0, Want::Logits));
        let start = Instant::now();
        self.engine.forward(&batch, &mut self.rows)?;
        Ok(start.elapsed())
    }
}

/// The narrowest width whose rate is enough.
fn knee(costs: &[WidthCost]) -> Option<usize> {
    let best = costs.iter().map(WidthCost::rate).fold(0.0, f64::max);
    costs.iter().find(|cost| cost.rate() >= ENOUGH * best).map(|cost| cost.width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_is_the_narrowest_width_near_the_best_rate() {
        let costs = |pass_ms: &[u64]| -> Vec<WidthCost> {
            WIDTHS
                .iter()
                .zip(pass_ms)
                .map(|(&width, &ms)| WidthCost { width, pass: Duration::from_millis(ms) })
                .collect()
        };
        assert_eq!(knee(&costs(&[10, 10, 10, 10, 10, 10, 10, 10, 10, 10])), Some(64), "passes of one price");
        assert_eq!(knee(&costs(&[10, 20, 40, 80, 120, 160, 240, 320, 480, 640])), Some(1), "tokens of one price");
        // 100, 182, 308, 444, 480, 533, 545, 552, 558 and 561 tokens a second.
        assert_eq!(knee(&costs(&[10, 11, 13, 18, 25, 30, 44, 58, 86, 114])), Some(16));
        assert_eq!(knee(&costs(&[10])), Some(1));
        assert_eq!(knee(&[]), None);
    }
}
