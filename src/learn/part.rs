//! Rows of some questions as an objective holds them against their labels.

use std::ops::Range;

use super::design::Matrix;
use super::fit_params::Objective;
use super::linear::Examples;
use super::table::Table;
use crate::error::{Error, Result};

/// Rows, ready to fit on.
pub(super) struct Part {
    pub x: Matrix,
    groups: Vec<Range<usize>>,
    labels: Vec<f64>,
    weights: Vec<f64>,
    penalised: usize,
}

impl Part {
    /// Rows of the table with their numbers, normalized. [`InvalidArgument`](crate::ErrorKind::InvalidArgument) where nothing can be
    /// ranked.
    pub fn of(table: &Table, rows: &[usize], x: Matrix, objective: Objective) -> Result<Self> {
        let groups: Vec<Range<usize>> = match objective {
            Objective::Ranking => return Self::pairs(table, rows, &x),
            Objective::Product if table.labels_steps() => table
                .samples(rows)
                .into_iter()
                .flat_map(|sample| sample.clone().map(move |at| sample.start..at + 1))
                .collect(),
            Objective::Product => table.samples(rows),
            Objective::Step => (0..rows.len()).map(|at| at..at + 1).collect(),
        };
        let last = |group: &Range<usize>| group.end.checked_sub(1).and_then(|at| rows.get(at).copied());
        let label = |group: &Range<usize>| last(group).map_or(0.0, |row| f64::from(table.entry(row).value));
        let labels = groups.iter().map(label).collect();
        let weights = if groups.len() == rows.len() { weights(table, rows) } else { vec![1.0; groups.len()] };
        Ok(Self { penalised: penalised(&x), x, groups, labels, weights })
    }

    /// Rows with their logits, as one number each. A ranking says nothing of how often a solution is right: there whole
    /// solutions, at the means of their logits, are held against their outcomes.
    pub fn to_calibrate(table: &Table, rows: &[usize], logits: Matrix, objective: Objective) -> Result<Self> {
        if objective != Objective::Ranking {
            return Self::of(table, rows, logits, objective);
        }
        let solutions = solutions(table, rows, &logits);
        let labels: Vec<f64> = solutions.iter().map(|solution| f64::from(u8::from(solution.right))).collect();
        let x = Matrix::new(solutions.into_iter().flat_map(|solution| solution.mean).collect(), logits.width());
        let groups = (0..labels.len()).map(|at| at..at + 1).collect();
        Ok(Self { penalised: penalised(&x), x, groups, weights: vec![1.0; labels.len()], labels })
    }

    /// What tells a right solution from a wrong one of the same question, for every pair of them and both ways round, so that no
    /// bias is learned. Every question counts the same.
    fn pairs(table: &Table, rows: &[usize], x: &Matrix) -> Result<Self> {
        let (mut data, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for question in solutions(table, rows, x).chunk_by(|a, b| a.question == b.question) {
            let (right, wrong): (Vec<_>, Vec<_>) = question.iter().partition(|solution| solution.right);
            let weight = 1.0 / (right.len() * wrong.len()).max(1) as f64;
            for (right, wrong) in right.iter().flat_map(|right| wrong.iter().map(move |wrong| (right, wrong))) {
                for (a, b, label) in [(right, wrong, 1.0), (wrong, right, 0.0)] {
                    data.extend(a.mean.iter().zip(&b.mean).map(|(a, b)| a - b));
                    labels.push(label);
                    weights.push(weight);
                }
            }
        }
        if labels.is_empty() {
            let message = "no question has right and wrong solutions to be ranked: collect more questions, or more samples of each";
            return Err(Error::invalid(message));
        }
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        weights.iter_mut().for_each(|weight| *weight /= mean);
        let x = Matrix::new(data, x.width());
        Ok(Self {
            penalised: penalised(&x),
            x,
            groups: (0..labels.len()).map(|at| at..at + 1).collect(),
            labels,
            weights,
        })
    }

    pub fn examples(&self) -> Examples<'_> {
        let Self { x, groups, labels, weights, penalised } = self;
        Examples { x, groups, labels, weights, penalised: *penalised }
    }
}

/// A sample as a whole.
struct Solution {
    question: usize,
    right: bool,
    /// Means over its steps.
    mean: Vec<f32>,
}

/// The samples of `rows`, whose numbers `x` has.
fn solutions(table: &Table, rows: &[usize], x: &Matrix) -> Vec<Solution> {
    let solution = |sample: Range<usize>| {
        let last = table.entry(*rows.get(sample.end.checked_sub(1)?)?);
        let mut mean = vec![0.0; x.width()];
        let share = 1.0 / sample.len() as f32;
        for row in x.range(sample) {
            mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += share * x);
        }
        Some(Solution { question: last.question, right: last.right, mean })
    };
    table.samples(rows).into_iter().filter_map(solution).collect()
}

/// All inputs but the log-probability, which comes last; a matrix of logits has none.
fn penalised(x: &Matrix) -> usize {
    (x.width() - 1).max(1)
}

/// Mean 1; steps that end a solution and those that do not make up half each.
fn weights(table: &Table, rows: &[usize]) -> Vec<f64> {
    let ends = rows.iter().filter(|&&row| table.entry(row).complete).count();
    let others = rows.len() - ends;
    if ends == 0 || others == 0 {
        return vec![1.0; rows.len()];
    }
    let half = rows.len() as f64 / 2.0;
    rows.iter().map(|&row| half / if table.entry(row).complete { ends } else { others } as f64).collect()
}
