//! [`Report`]: what was chosen, and how it does on questions that it has not seen.

use serde::Serialize;

use super::figures::{Figures, Valued};
use super::fit_params::Kind;
use super::table::Table;
use crate::reward::Aggregation;

/// How a fit went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was chosen, as in [`tried`](Self::tried).
    pub chosen: Tried,
    /// Everything that was fitted.
    pub tried: Vec<Tried>,
    /// Questions and rows that it was fitted on.
    pub train: Size,
    /// Questions and rows that it was chosen and calibrated on.
    pub valid: Size,
    /// On the questions that it was chosen and calibrated on, so on the kind side.
    pub valid_figures: PartFigures,
    /// On questions that nothing was decided by.
    pub test_figures: PartFigures,
    /// What the geometric mean of a step's token probabilities does on the latter: a value that needs no head.
    pub test_confidence: PartFigures,
}

/// One fit and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// The network.
    pub kind: Kind,
    /// What it reads, for a person.
    pub reading: String,
    /// The penalty on its weights.
    pub l2: f64,
    /// Mean log loss on the validation questions.
    pub valid_loss: f64,
}

/// How much there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Size {
    /// Questions.
    pub questions: usize,
    /// Labelled steps.
    pub rows: usize,
}

/// Figures on one part of the questions.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PartFigures {
    /// How much there was.
    pub size: Size,
    /// On all steps.
    pub all: Figures,
    /// On steps that end no solution.
    pub steps: Figures,
    /// On steps that end one.
    pub finals: Figures,
    /// On solutions as far as each step that ends none: its value and those of the steps before it taken together in several
    /// ways, held against its own label. What a search goes on from by.
    pub begun: Vec<Begun>,
    /// On finished solutions, their steps' values taken together in several ways.
    pub solutions: Vec<Solutions>,
}

/// Figures on solutions that are not finished.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Begun {
    /// How the steps' values become one, by its name.
    pub aggregation: String,
    /// Figures of the values.
    pub figures: Figures,
}

/// Figures on finished solutions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Solutions {
    /// How the steps' values become one, by its name.
    pub aggregation: String,
    /// Figures of the values.
    pub figures: Figures,
    /// What picking by value comes to.
    pub picked: Picked,
}

/// The ways that are compared.
const AGGREGATIONS: [Aggregation; 4] = [Aggregation::Last, Aggregation::Min, Aggregation::Product, Aggregation::Mean];

/// Picking the best-valued finished sample of every question, and what one could get.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Picked {
    /// Questions with a finished sample.
    pub questions: usize,
    /// The share of them where the best-valued sample is right; of equals, the share of right ones.
    pub best: f64,
    /// The mean share of right samples: picking blindly.
    pub blind: f64,
    /// The share with a right sample: picking perfectly.
    pub perfect: f64,
}

impl PartFigures {
    /// The figures of `values`, one for each of `rows`.
    pub(super) fn of(table: &Table, rows: &[usize], values: &[f64]) -> Self {
        let valued = |wanted: &dyn Fn(bool) -> bool| -> Vec<Valued> {
            let pairs = rows.iter().zip(values).filter(|(row, _)| wanted(table.entry(**row).complete));
            let valued = pairs.map(|(&row, &value)| table.entry(row).valued(value));
            valued.collect()
        };
        let finals = valued(&|complete| complete);
        Self {
            size: Size::of(table, rows),
            all: Figures::of(&valued(&|_| true)),
            steps: Figures::of(&valued(&|complete| !complete)),
            begun: AGGREGATIONS.map(|by| Begun::of(table, rows, values, by)).to_vec(),
            solutions: AGGREGATIONS.map(|by| Solutions::of(table, rows, values, by)).to_vec(),
            finals: Figures::of(&finals),
        }
    }
}

impl Begun {
    fn of(table: &Table, rows: &[usize], values: &[f64], by: Aggregation) -> Self {
        let mut valued = Vec::new();
        for sample in table.samples(rows) {
            let mut so_far = Vec::with_capacity(sample.len());
            for (&row, &value) in rows.iter().zip(values).take(sample.end).skip(sample.start) {
                so_far.push(value as f32);
                let entry = table.entry(row);
                let value = by.of(&so_far).filter(|_| !entry.complete);
                valued.extend(value.map(|value| entry.valued(value.into())));
            }
        }
        Self { aggregation: by.name(), figures: Figures::of(&valued) }
    }
}

impl Solutions {
    fn of(table: &Table, rows: &[usize], values: &[f64], by: Aggregation) -> Self {
        let valued = table.samples(rows).into_iter().filter_map(|range| {
            let (rows, values) = (rows.get(range.clone())?, values.get(range)?);
            let last = rows.last().map(|&row| table.entry(row)).filter(|last| last.complete)?;
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            Some(last.valued(by.of(&values)?.into()))
        });
        let valued: Vec<Valued> = valued.collect();
        Self { aggregation: by.name(), figures: Figures::of(&valued), picked: Picked::of(&valued) }
    }
}

impl PartFigures {
    /// The way to take values together that ranks samples of one question best.
    pub(super) fn best_aggregation(&self) -> Aggregation {
        let rank = |solutions: &Solutions| solutions.figures.within.or(solutions.figures.auroc).unwrap_or(0.0);
        let ranked = AGGREGATIONS.into_iter().zip(&self.solutions);
        let best = ranked.max_by(|(_, a), (_, b)| rank(a).total_cmp(&rank(b)));
        best.map_or(Aggregation::Last, |(by, _)| by)
    }
}

impl Size {
    pub(super) fn of(table: &Table, rows: &[usize]) -> Self {
        let mut questions: Vec<usize> = rows.iter().map(|&row| table.entry(row).question).collect();
        questions.sort_unstable();
        questions.dedup();
        Self { questions: questions.len(), rows: rows.len() }
    }
}

impl Picked {
    fn of(finals: &[Valued]) -> Self {
        let mut sorted = finals.to_vec();
        sorted.sort_by_key(|v| v.question);
        let share = |of: &[&Valued]| of.iter().filter(|v| v.right).count() as f64 / of.len().max(1) as f64;
        let (mut picked, mut n) = (Self::default(), 0usize);
        for samples in sorted.chunk_by(|a, b| a.question == b.question) {
            let most = samples.iter().map(|v| v.value).fold(f64::NEG_INFINITY, f64::max);
            picked.best += share(&samples.iter().filter(|v| v.value == most).collect::<Vec<_>>());
            picked.blind += share(&samples.iter().collect::<Vec<_>>());
            picked.perfect += f64::from(u8::from(samples.iter().any(|v| v.right)));
            n += 1;
        }
        let per = |sum: f64| sum / n.max(1) as f64;
        Self { questions: n, best: per(picked.best), blind: per(picked.blind), perfect: per(picked.perfect) }
    }
}
