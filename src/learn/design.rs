//! What a head reads, as a matrix: one row for each step, its numbers normalized.

use std::ops::Range;

use super::collect::tap_name;
use super::table::Table;
use crate::engine::Tap;
use crate::reward::Pool;

/// Which of a step's numbers go in: the states at these taps, pooled, and the log-probability, pooled alike.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    pub taps: Vec<Tap>,
    pub pool: Pool,
}

/// Rows of `width` numbers.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    data: Vec<f32>,
    width: usize,
}

/// What the numbers are normalized by.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
}

impl Reading {
    /// Every reading of rows with these taps: each tap alone and all of them, pooled in both ways.
    pub fn all(taps: &[Tap]) -> Vec<Self> {
        let mut sets: Vec<Vec<Tap>> = taps.iter().map(|&tap| vec![tap]).collect();
        if taps.len() > 1 {
            sets.push(taps.to_vec());
        }
        let both = |taps: Vec<Tap>| [Pool::Last, Pool::Mean].map(|pool| Self { taps: taps.clone(), pool });
        sets.into_iter().flat_map(both).collect()
    }

    /// For a person: its taps, and how they are pooled.
    pub fn name(&self) -> String {
        let taps: Vec<String> = self.taps.iter().map(|&tap| tap_name(tap)).collect();
        let pool = match self.pool {
            Pool::Last => "last",
            Pool::Mean => "mean",
        };
        format!("{} {pool}", taps.join("+"))
    }

    /// The hidden states and the log-probability of a row of the table.
    pub fn numbers(&self, table: &Table, row: usize) -> (Vec<f32>, f32) {
        let hidden = self.taps.iter().flat_map(|&tap| table.states(row, tap, self.pool));
        let entry = table.entry(row);
        let logprob = match self.pool {
            Pool::Last => entry.last_logprob,
            Pool::Mean => entry.mean_logprob,
        };
        (hidden.map(|x| x.to_f32()).collect(), logprob)
    }

    /// These rows of the table as they are.
    pub fn matrix(&self, table: &Table, rows: &[usize]) -> Matrix {
        let width = self.taps.len() * table.origin().n_embd + 1;
        let mut data = Vec::with_capacity(rows.len().saturating_mul(width));
        for &row in rows {
            let (hidden, logprob) = self.numbers(table, row);
            data.extend(hidden);
            data.push(logprob);
        }
        Matrix::new(data, width)
    }
}

impl Matrix {
    pub fn new(data: Vec<f32>, width: usize) -> Self {
        Self { data, width: width.max(1) }
    }

    pub fn rows(&self) -> usize {
        self.data.len() / self.width
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn range(&self, rows: Range<usize>) -> impl Iterator<Item = &[f32]> {
        let data = self.data.get(rows.start * self.width..rows.end * self.width).unwrap_or_default();
        data.chunks_exact(self.width)
    }

    /// Subtracts the means and divides by the deviations.
    pub fn normalize(&mut self, scale: &Scale) {
        for row in self.data.chunks_exact_mut(self.width) {
            for ((x, &mean), &std) in row.iter_mut().zip(&scale.mean).zip(&scale.std) {
                *x = (*x - mean) / std;
            }
        }
    }
}

impl Scale {
    /// Means and deviations of every column; a column that hardly varies is only centred.
    pub fn of(x: &Matrix) -> Self {
        let n = x.rows().max(1) as f64;
        let mut mean = vec![0.0; x.width()];
        for row in x.range(0..x.rows()) {
            mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) / n);
        }
        let mut variance = vec![0.0; x.width()];
        for row in x.range(0..x.rows()) {
            for ((sum, &x), mean) in variance.iter_mut().zip(row).zip(&mean) {
                *sum += (f64::from(x) - mean).powi(2) / n;
            }
        }
        let deviation = |(variance, mean): (&f64, &f64)| match variance.sqrt() {
            std if std > 1e-6 * mean.abs().max(1e-3) => std as f32,
            _ => 1.0,
        };
        let std = variance.iter().zip(&mean).map(deviation).collect();
        Self { mean: mean.into_iter().map(|x| x as f32).collect(), std }
    }
}
