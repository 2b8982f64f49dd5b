//! From rows to a calibrated head.

use super::design::{Matrix, Reading, Scale};
use super::fit_params::{FIRST_L2, FitParams, Kind, Objective};
use super::linear::Linear;
use super::mlp::{Mlp, mean_loss};
use super::part::Part;
use super::report::{PartFigures, Report, Size, Tried};
use super::table::Table;
use crate::error::{Error, Result};
use crate::exec::Team;
use crate::gguf::Value;
use crate::observe::{Event, Interrupt, Observer};
use crate::reward::{Activation, Aggregation, Dense, Extra, Head, Purpose, Transform};

/// Shares of the questions for choosing and calibrating, and for the figures.
const VALID: f64 = 0.15;
const TEST: f64 = 0.15;
/// Tames a calibration on labels that the head separates completely.
const CALIBRATION_L2: f64 = 1e-6;

/// Fits a head on most questions of `table`, chooses and calibrates it on others, and measures it on those of `test`, or on
/// a third part of `table` without one. A question's part depends on the question alone.
///
/// All readings (each tap, all taps; last row and mean) are compared by a logistic regression under the penalty 0.01; the best one is
/// fitted with every penalty that is asked for, without and with a hidden layer. Where steps stand for themselves, those that end a solution and those that do not
/// weigh half each.
///
/// Errors: [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for parameters out of range, a part without both labels,
/// and a test of another model; [`Cancelled`](crate::ErrorKind::Cancelled) when `interrupt` fired.
pub fn fit(
    table: &Table,
    test: Option<&Table>,
    params: &FitParams,
    team: &Team,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<(Head, Report)> {
    params.validate()?;
    let by_outcome = if table.labels_steps() { Objective::Step } else { Objective::Product };
    let objective = params.objective.unwrap_or(by_outcome);
    if let Some(test) = test {
        table.origin().check_same_model(test.origin())?;
    }
    let share = if test.is_some() { 0.0 } else { TEST };
    let part = |from: f64, to: f64| -> Vec<usize> {
        (0..table.len()).filter(|&row| (from..to).contains(&table.draw(row))).collect()
    };
    let (held, valid, train) = (part(0.0, share), part(share, share + VALID), part(share + VALID, 1.0));
    let test_rows = test.map_or(held, |test| (0..test.len()).collect());
    let test = test.unwrap_or(table);
    check(table, &train, "fitting")?;
    check(table, &valid, "choosing and calibrating")?;
    check(test, &test_rows, "the figures")?;
    let mut fitter =
        Fitter { table, train: &train, valid: &valid, params, objective, team, interrupt, tried: Vec::new() };
    let best = fitter.best(observer)?;
    let (chosen, tried) = (best.tried.clone(), fitter.tried);
    let mut head = best.head(table)?;
    calibrate(&mut head, &best.reading, table, &valid, objective, team, interrupt)?;
    let figures = |table: &Table, rows: &[usize]| -> Result<PartFigures> {
        let value = |&row: &usize| {
            let (hidden, logprob) = best.reading.numbers(table, row);
            head.value(&hidden, &[logprob]).map(f64::from)
        };
        let values = rows.iter().map(value).collect::<Result<Vec<f64>>>()?;
        Ok(PartFigures::of(table, rows, &values))
    };
    let confidence: Vec<f64> = test_rows.iter().map(|&row| f64::from(test.entry(row).mean_logprob).exp()).collect();
    let report = Report {
        chosen,
        tried,
        train: Size::of(table, &train),
        valid: Size::of(table, &valid),
        valid_figures: figures(table, &valid)?,
        test_figures: figures(test, &test_rows)?,
        test_confidence: PartFigures::of(test, &test_rows, &confidence),
    };
    head.aggregation = report.valid_figures.best_aggregation();
    head.provenance = provenance(table, params, objective, &report);
    head.validate()?;
    Ok((head, report))
}

fn check(table: &Table, rows: &[usize], what: &str) -> Result<()> {
    let right = rows.iter().filter(|&&row| table.entry(row).right).count();
    if right > 0 && right < rows.len() {
        return Ok(());
    }
    let n = rows.len();
    Err(Error::invalid(format!(
        "{what} needs right and wrong solutions, and {right} of {n} rows are of right ones: collect more questions"
    )))
}

struct Fitter<'a> {
    table: &'a Table,
    train: &'a [usize],
    valid: &'a [usize],
    params: &'a FitParams,
    objective: Objective,
    team: &'a Team,
    interrupt: &'a Interrupt,
    tried: Vec<Tried>,
}

enum Net {
    Linear(Linear),
    Mlp(Mlp),
}

struct Fitted {
    reading: Reading,
    scale: Scale,
    net: Net,
    tried: Tried,
}

impl Fitter<'_> {
    fn best(&mut self, observer: &mut dyn Observer) -> Result<Fitted> {
        let readings = Reading::all(&self.table.origin().taps);
        let hidden_too = self.params.kind != Some(Kind::Linear) && self.objective != Objective::Ranking;
        let further: Vec<f64> = self.params.l2.iter().copied().filter(|l2| *l2 != FIRST_L2).collect();
        let n_hidden = if hidden_too { self.params.l2.len() } else { 0 };
        let total = (readings.len() + further.len() + n_hidden) as u64;
        let mut done = 0;
        let mut progress = || {
            done += 1;
            observer.event(&Event::Progress { what: "fits", done, total });
        };
        let mut best: Option<Fitted> = None;
        for reading in readings {
            let fitted = self.linear(reading, FIRST_L2, None)?;
            best = Some(better(best, fitted));
            progress();
        }
        let first = best.ok_or_else(|| Error::invalid("rows without hidden states"))?;
        let reading = first.reading.clone();
        let mut best = first;
        // The penalty that readings are compared under counts only where it is asked for; others start from its fit.
        let mut is_asked_for = further.len() < self.params.l2.len();
        for l2 in further {
            let start = if let Net::Linear(linear) = &best.net { Some(linear.clone()) } else { None };
            let fitted = self.linear(reading.clone(), l2, start)?;
            best = if is_asked_for { better(Some(best), fitted) } else { fitted };
            is_asked_for = true;
            progress();
        }
        let mut hidden: Option<Fitted> = None;
        for &l2 in self.params.l2.iter().filter(|_| hidden_too) {
            hidden = Some(better(hidden, self.mlp(reading.clone(), l2)?));
            progress();
        }
        if let Some(hidden) = hidden {
            best = if self.params.kind == Some(Kind::Mlp) { hidden } else { better(Some(best), hidden) };
        }
        Ok(best)
    }

    fn linear(&mut self, reading: Reading, l2: f64, start: Option<Linear>) -> Result<Fitted> {
        let (scale, train, valid) = self.parts(&reading)?;
        let start = start.unwrap_or_else(|| Linear::zero(train.x.width()));
        let linear = start.fit(train.examples(), l2, self.team, self.interrupt)?;
        let loss = mean_loss(valid.examples(), self.team, |x| linear.logit(x));
        let tried = self.note(Kind::Linear, &reading, l2, loss);
        Ok(Fitted { reading, scale, net: Net::Linear(linear), tried })
    }

    fn mlp(&mut self, reading: Reading, l2: f64) -> Result<Fitted> {
        let (scale, train, valid) = self.parts(&reading)?;
        let (seed, team) = (self.params.seed, self.team);
        let start = Mlp::new(train.x.width(), self.params.n_hidden, seed);
        let (mlp, loss) = start.fit(train.examples(), valid.examples(), l2, seed, team, self.interrupt)?;
        let tried = self.note(Kind::Mlp, &reading, l2, loss);
        Ok(Fitted { reading, scale, net: Net::Mlp(mlp), tried })
    }

    fn note(&mut self, kind: Kind, reading: &Reading, l2: f64, valid_loss: f64) -> Tried {
        let tried = Tried { kind, reading: reading.name(), l2, valid_loss };
        self.tried.push(tried.clone());
        tried
    }

    fn parts(&self, reading: &Reading) -> Result<(Scale, Part, Part)> {
        let (mut train, mut valid) = (reading.matrix(self.table, self.train), reading.matrix(self.table, self.valid));
        let scale = Scale::of(&train);
        train.normalize(&scale);
        valid.normalize(&scale);
        let part = |rows, x| Part::of(self.table, rows, x, self.objective);
        let (train, valid) = (part(self.train, train)?, part(self.valid, valid)?);
        Ok((scale, train, valid))
    }
}

fn better(best: Option<Fitted>, other: Fitted) -> Fitted {
    match best {
        Some(best) if best.tried.valid_loss <= other.tried.valid_loss => best,
        _ => other,
    }
}

impl Fitted {
    fn head(&self, table: &Table) -> Result<Head> {
        let single = |x: &[f64]| -> Vec<f32> { x.iter().map(|&x| x as f32).collect() };
        let layers = match &self.net {
            Net::Linear(linear) => {
                let (weight, bias) = linear.parameters.split_at(linear.parameters.len().saturating_sub(1));
                vec![Dense::new(single(weight), single(bias), 1)?]
            }
            Net::Mlp(mlp) => {
                let layers = mlp.layers();
                vec![
                    Dense::new(single(layers.weights), single(layers.biases), mlp.n_hidden)?,
                    Dense::new(single(layers.out), vec![layers.out_bias as f32], 1)?,
                ]
            }
        };
        let origin = table.origin();
        Ok(Head {
            purpose: Purpose::Prm,
            architecture: origin.architecture.clone(),
            fingerprint: origin.fingerprint.clone(),
            n_embd: origin.n_embd,
            n_layer: origin.n_layer,
            taps: self.reading.taps.clone(),
            pool: self.reading.pool,
            extra: vec![Extra::Logprob],
            read_offset: -1,
            mean: self.scale.mean.clone(),
            std: self.scale.std.clone(),
            activation: if layers.len() > 1 { Activation::Relu } else { Activation::None },
            layers,
            transform: Transform::Sigmoid,
            positive_index: 0,
            temperature: 1.0,
            bias: 0.0,
            aggregation: Aggregation::Last,
            provenance: Vec::new(),
        })
    }
}

/// Platt's scaling: the temperature and the bias that are best on these rows.
fn calibrate(
    head: &mut Head,
    reading: &Reading,
    table: &Table,
    rows: &[usize],
    objective: Objective,
    team: &Team,
    interrupt: &Interrupt,
) -> Result<()> {
    let logit = |&row: &usize| {
        let (hidden, logprob) = reading.numbers(table, row);
        head.logits(&hidden, &[logprob]).map(|z| z.first().copied().unwrap_or(0.0) as f32)
    };
    let logits = rows.iter().map(logit).collect::<Result<Vec<f32>>>()?;
    let part = Part::to_calibrate(table, rows, Matrix::new(logits, 1), objective)?;
    let line = Linear::zero(1).fit(part.examples(), CALIBRATION_L2, team, interrupt)?;
    if let [slope, bias] = line.parameters[..] {
        // A head that is worse than chance on these rows says nothing, rather than the contrary.
        (head.temperature, head.bias) = ((1.0 / slope.max(1e-3)) as f32, bias as f32);
    }
    Ok(())
}

/// Where the head comes from, for its file.
fn provenance(table: &Table, params: &FitParams, objective: Objective, report: &Report) -> Vec<(String, Value)> {
    let count = |n: usize| Value::U32(u32::try_from(n).unwrap_or(u32::MAX));
    let figures = &report.test_figures;
    let mut keys: Vec<(&str, Value)> = vec![
        ("prm.train.label", if table.labels_steps() { "step" } else { "outcome" }.into()),
        ("prm.train.objective", objective.name().into()),
        ("prm.train.data", table.origin().data.as_str().into()),
        ("prm.train.settings", table.origin().settings.as_str().into()),
        ("prm.train.questions", count(report.train.questions)),
        ("prm.train.rows", count(report.train.rows)),
        ("prm.train.l2", Value::F32(report.chosen.l2 as f32)),
        ("prm.train.seed", Value::U64(params.seed)),
        ("prm.eval.questions", count(figures.size.questions)),
        ("prm.eval.rows", count(figures.size.rows)),
        ("prm.eval.brier", Value::F32(figures.all.brier as f32)),
        ("prm.eval.ece", Value::F32(figures.all.ece as f32)),
        ("prm.eval.log_loss", Value::F32(figures.all.log_loss as f32)),
    ];
    let by = report.valid_figures.best_aggregation().name();
    let solutions = figures.solutions.iter().find(|solutions| solutions.aggregation == by);
    let optional = [
        ("prm.eval.auroc", figures.all.auroc),
        ("prm.eval.pr_auc", figures.all.pr_auc),
        ("prm.eval.step_auroc", figures.steps.auroc),
        ("prm.eval.final_auroc", figures.finals.auroc),
        ("prm.eval.solution_auroc", solutions.and_then(|s| s.figures.auroc)),
        ("prm.eval.solution_auroc_within", solutions.and_then(|s| s.figures.within)),
    ];
    keys.extend(optional.into_iter().filter_map(|(key, value)| Some((key, Value::F32(value? as f32)))));
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
