//! The recipe against numpy (tests/fixtures/make_learn.py), files that lie, and runs that are stopped.

mod labels;
mod pairs;

use std::path::Path;

use half::f16;
use serde_json::Value as Json;

use super::design::Matrix;
use super::figures::Valued;
use super::linear::{self, Examples, Linear};
use super::mlp::Mlp;
use super::*;
use crate::engine::toy::{N_EMBD, N_LAYER, ToyEngine};
use crate::engine::{Engine, SamplerParams, Stream, Tap};
use crate::exec::Team;
use crate::observe::{CancelToken, Event, Interrupt, Observer, Silent};
use crate::reward::verify::Number;
use crate::reward::{Features, Head, HeadJudge, Judge, Step, StepId};
use crate::search::toy::Words;
use crate::{ErrorKind, Limits, Result};

fn golden() -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/learn.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn floats(value: &Json) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn close(found: f64, expected: &Json, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{what}: {found}, numpy says {expected}");
}

#[test]
fn figures_are_those_of_numpy() {
    for case in golden()["figures"].as_array().unwrap() {
        let columns = ["values", "right", "questions"].map(|name| floats(&case[name]));
        let [values, right, questions] = &columns;
        let valued: Vec<Valued> = (0..values.len())
            .map(|i| Valued {
                value: values[i],
                right: right[i] == 1.0,
                label: right[i],
                question: questions[i] as usize,
            })
            .collect();
        let figures = Figures::of(&valued);
        close(figures.auroc.unwrap(), &case["auroc"], "auroc");
        close(figures.pr_auc.unwrap(), &case["pr_auc"], "pr_auc");
        close(figures.within.unwrap(), &case["within"], "within");
        assert_eq!(figures.mixed_questions as u64, case["mixed_questions"].as_u64().unwrap());
        close(figures.brier, &case["brier"], "brier");
        close(figures.log_loss, &case["log_loss"], "log_loss");
        close(figures.ece, &case["ece"], "ece");
    }
    let one = Figures::of(&[Valued { value: 0.5, right: true, label: 1.0, question: 0 }]);
    assert_eq!((one.auroc, one.pr_auc, one.within, one.right), (None, None, None, 1.0));
    assert_eq!(Figures::of(&[]).n, 0);
    // Values that say what a soft label says are as good as can be, and their loss is the label's entropy.
    let soft = Figures::of(&[Valued { value: 0.75, right: true, label: 0.75, question: 0 }]);
    assert_eq!((soft.brier, soft.ece, soft.right), (0.0, 0.0, 1.0));
    assert!((soft.log_loss + 0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln()).abs() < 1e-12);
}

#[test]
fn a_logistic_regression_is_that_of_numpy_for_any_number_of_threads() {
    let golden = &golden()["logistic"];
    let width = golden["width"].as_u64().unwrap() as usize;
    let x = Matrix::new(floats(&golden["x"]).into_iter().map(|x| x as f32).collect(), width);
    let labels = floats(&golden["labels"]);
    let weights = floats(&golden["weights"]);
    let groups: Vec<_> = (0..labels.len()).map(|i| i..i + 1).collect();
    let examples = Examples { x: &x, groups: &groups, labels: &labels, weights: &weights, penalised: x.width() };
    let l2 = golden["l2"].as_f64().unwrap();
    let fit = |threads| {
        let team = Team::new(threads).unwrap();
        Linear::zero(width).fit(examples, l2, &team, &Interrupt::default()).unwrap()
    };
    let found = fit(1);
    for (found, expected) in found.parameters.iter().zip(floats(&golden["parameters"])) {
        assert!((found - expected).abs() < 1e-5, "{found}, numpy says {expected}");
    }
    assert_eq!(found, fit(2));
}

/// Random rows in groups of one to four that share some, their labels and weights.
fn examples(rows: usize, width: usize) -> (Matrix, Vec<std::ops::Range<usize>>, Vec<f64>, Vec<f64>) {
    let stream = Stream::new(7);
    let x: Vec<f32> = (0..rows * width).map(|i| (2.0 * stream.uniform(i as u64) - 1.0) as f32).collect();
    let mut groups = Vec::new();
    let mut start = 0;
    while start < rows {
        let end = rows.min(start + 1 + groups.len() % 4);
        groups.push(start..end);
        start = if end < rows { end - groups.len() % 2 } else { end };
    }
    // Hard labels, and soft ones in between.
    let labels = (0..groups.len()).map(|i| (2.0 * stream.child(1).uniform(i as u64) - 0.5).clamp(0.0, 1.0)).collect();
    let weights = (0..groups.len()).map(|i| 0.5 + stream.child(2).uniform(i as u64)).collect();
    (Matrix::new(x, width), groups, labels, weights)
}

/// The gradient that `function` gives at `at`, against central differences.
fn check_gradient(at: &[f64], function: impl Fn(&[f64], &mut [f64]) -> f64) {
    let mut gradient = vec![0.0; at.len()];
    function(at, &mut gradient);
    let mut unused = vec![0.0; at.len()];
    for (i, &g) in gradient.iter().enumerate() {
        let mut moved = at.to_vec();
        let mut value = |to: f64| {
            moved[i] = at[i] + to;
            function(&moved, &mut unused)
        };
        let slope = (value(1e-5) - value(-1e-5)) / 2e-5;
        assert!((slope - g).abs() <= 1e-6 * g.abs().max(1.0), "parameter {i}: {g}, differences say {slope}");
    }
    assert!(gradient.iter().any(|g| g.abs() > 1e-3));
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let (x, groups, labels, weights) = examples(50, 5);
    let examples = Examples { x: &x, groups: &groups, labels: &labels, weights: &weights, penalised: 4 };
    let team = Team::new(1).unwrap();
    let at: Vec<f64> = (0..6).map(|i| 0.3 * f64::from(i) - 0.7).collect();
    check_gradient(&at, |w, gradient| linear::objective(examples, 0.1, &team, w, gradient));
    let mlp = Mlp::new(5, 4, 3);
    let mut start = mlp.parameters.clone();
    // Biases that are not 0 show whether they are left out of the penalty.
    start.iter_mut().for_each(|w| *w += 0.05);
    let all: Vec<usize> = (0..groups.len()).collect();
    check_gradient(&start, |w, gradient| {
        let here = Mlp { parameters: w.to_vec(), ..mlp.clone() };
        here.objective(examples, &all, 0.1, &team, gradient)
    });
}

fn origin() -> Origin {
    Origin {
        architecture: "toy".into(),
        fingerprint: "f".into(),
        data: "d".into(),
        settings: "{}".into(),
        n_embd: 3,
        n_layer: 2,
        taps: vec![Tap::Layer(1), Tap::Final],
    }
}

/// A block whose labels one number of one tap's states decides, by `decide`.
fn block(question: u64, decide: impl Fn(&[f32]) -> bool) -> Block {
    let stream = Stream::new(question);
    let mut rows = Vec::new();
    for sample in 0..6u64 {
        for step in 0..2u64 {
            let place = stream.child(sample).child(step);
            let states: Vec<f32> = (0..12).map(|i| (2.0 * place.uniform(i) - 1.0) as f32).collect();
            rows.push(Row {
                sample: sample as u32,
                step: step as u32,
                complete: step == 1,
                right: decide(&states),
                value: f32::from(u8::from(decide(&states))),
                tokens: 3,
                last_logprob: -0.5,
                mean_logprob: (-place.uniform(99)) as f32,
                states: states.into_iter().map(f16::from_f32).collect(),
            });
        }
    }
    Block { question, rows }
}

fn table(questions: u64, decide: impl Fn(&[f32]) -> bool) -> Table {
    let mut table = Table::new(origin());
    (0..questions).for_each(|number| table.push(&origin(), &block(number, &decide)).unwrap());
    table
}

fn fitted(table: &Table, params: &FitParams, threads: usize) -> (Head, Report) {
    let team = Team::new(threads).unwrap();
    fit(table, None, params, &team, &mut Silent, &Interrupt::default()).unwrap()
}

/// Blocks label every step by itself, which no solution's outcome does.
fn steps() -> FitParams {
    FitParams { objective: Some(Objective::Step), ..FitParams::default() }
}

#[test]
fn one_bad_step_carries_the_blame_for_a_wrong_solution() {
    // A step is bad by itself; all steps of a solution are labelled alike, by whether none is.
    let good = |row: &Row| row.states[9].to_f32() > -0.3;
    let mut table = Table::new(origin());
    for number in 0..300 {
        let mut block = block(number, |_| true);
        for pair in block.rows.chunks_exact_mut(2) {
            let right = pair.iter().all(good);
            pair.iter_mut().for_each(|row| (row.right, row.value) = (right, f32::from(u8::from(right))));
        }
        table.push(&origin(), &block).unwrap();
    }
    let params = FitParams { kind: Some(Kind::Linear), l2: vec![1e-4], ..FitParams::default() };
    let (head, report) = fitted(&table, &params, 2);
    let product = report.test_figures.solutions.iter().find(|s| s.aggregation == "product").unwrap();
    assert!(product.figures.auroc.unwrap() > 0.99 && product.figures.ece < 0.05, "{product:?}");
    assert_ne!(head.aggregation, crate::reward::Aggregation::Last);
    let value = |row: &Row| {
        let states: Vec<f32> = row.states.iter().map(|x| x.to_f32()).collect();
        let hidden: Vec<f32> = if head.taps.len() == 2 { states[6..].to_vec() } else { states[9..].to_vec() };
        head.value(&hidden, &[row.mean_logprob]).unwrap()
    };
    let rows: Vec<Row> = (400..500).flat_map(|number| block(number, |_| true).rows).collect();
    let agree = rows.iter().filter(|row| (value(row) > 0.5) == good(row)).count();
    assert!(
        agree > rows.len() * 19 / 20,
        "{agree} of {} steps are told apart without a label of their own",
        rows.len()
    );
    let (_, plain) = fitted(&table, &FitParams { objective: Some(Objective::Step), ..params }, 2);
    let last = |report: &Report| report.test_figures.solutions[2].figures.auroc.unwrap();
    assert!(last(&plain) <= last(&report) + 1e-3);
}

#[test]
fn a_ranking_tells_samples_of_one_question_apart_and_not_questions() {
    // Number 9 says how good a step is, number 10 how hard its question is, and the latter decides most outcomes.
    let mut table = Table::new(origin());
    let mut easy = 0;
    for number in 0..300 {
        let mut block = block(number, |_| true);
        let hard = Stream::new(number).child(77).uniform(0) as f32 - 0.5;
        for steps in block.rows.chunks_exact_mut(2) {
            let right = steps.iter().map(|row| row.states[9].to_f32()).sum::<f32>() - 6.0 * hard > 0.0;
            for row in steps {
                row.states[10] = f16::from_f32(hard + 0.05 * row.states[10].to_f32());
                (row.right, row.value) = (right, f32::from(u8::from(right)));
            }
            easy += usize::from(right);
        }
        table.push(&origin(), &block).unwrap();
    }
    assert!((600..1200).contains(&easy));
    let fit_by = |objective| {
        let params = FitParams { objective: Some(objective), l2: vec![1e-1], ..FitParams::default() };
        let (head, report) = fitted(&table, &params, 2);
        assert_eq!(fitted(&table, &params, 1).0, head);
        let solutions = report.test_figures.solutions.iter().find(|s| s.aggregation == "mean").unwrap();
        (head, solutions.figures)
    };
    let (head, ranking) = fit_by(Objective::Ranking);
    let (_, step) = fit_by(Objective::Step);
    assert!(head.layers.len() == 1 && head.provenance.iter().any(|(_, value)| *value == "ranking".into()));
    assert!(ranking.within.unwrap() > 0.97 && ranking.within > step.within, "{ranking:?} {step:?}");
    // It knows of no question how hard it is, and its calibration takes that into account.
    assert!(ranking.auroc < step.auroc && ranking.ece < 0.12, "{ranking:?} {step:?}");
    let mlp = FitParams { objective: Some(Objective::Ranking), kind: Some(Kind::Mlp), ..FitParams::default() };
    assert!(mlp.validate().unwrap_err().to_string().contains("linear"));
    // Questions whose samples have one fate have nothing to rank.
    let mut alike = Table::new(origin());
    (0..60).for_each(|number| alike.push(&origin(), &block(number, |_| number % 2 == 0)).unwrap());
    let params = FitParams { objective: Some(Objective::Ranking), ..FitParams::default() };
    let team = Team::new(1).unwrap();
    let refused = fit(&alike, None, &params, &team, &mut Silent, &Interrupt::default()).unwrap_err();
    assert!(refused.kind() == ErrorKind::InvalidArgument && refused.to_string().contains("ranked"), "{refused}");
}

#[test]
fn a_label_of_a_step_is_held_against_the_product_so_far() {
    // A step is bad by itself, and its label says whether one was bad up to there: the state of a good step after a bad one does
    // not show its label.
    let good = |row: &Row| row.states[9].to_f32() > -0.3;
    let mut table = Table::new(origin());
    for number in 0..300 {
        let mut block = block(number, |_| true);
        for pair in block.rows.chunks_exact_mut(2) {
            let first = good(&pair[0]);
            let both = first && good(&pair[1]);
            (pair[0].right, pair[0].value) = (first, f32::from(u8::from(first)));
            (pair[1].right, pair[1].value) = (both, f32::from(u8::from(both)));
        }
        table.push(&origin(), &block).unwrap();
    }
    assert!(table.labels_steps());
    let product = FitParams {
        kind: Some(Kind::Linear),
        objective: Some(Objective::Product),
        l2: vec![1e-4],
        ..FitParams::default()
    };
    let (_, report) = fitted(&table, &product, 2);
    let figure = |report: &Report, by: &str| {
        let solutions = report.test_figures.solutions.iter().find(|s| s.aggregation == by).unwrap();
        let begun = report.test_figures.begun.iter().find(|b| b.aggregation == by).unwrap();
        (solutions.figures.auroc.unwrap(), begun.figures)
    };
    let (finished, begun) = figure(&report, "product");
    assert!(finished > 0.99 && begun.auroc.unwrap() > 0.99, "{report:?}");
    assert!(figure(&report, "last").0 < 0.95, "the last step alone does not show what went wrong before it");
    // Only the first of two steps ends nothing, and there every way of taking one value is that value.
    assert_eq!(begun, figure(&report, "last").1);
    assert_eq!(begun.n, report.test_figures.steps.n);
}

#[test]
fn what_is_separable_is_separated_and_where_it_lies_is_found() {
    // Of the final state, mean over the rows, the first number: entry 6 + 3.
    let table = table(150, |states| states[9] > 0.1);
    let params = FitParams { kind: Some(Kind::Linear), l2: vec![1e-4], ..steps() };
    let (head, report) = fitted(&table, &params, 2);
    assert_eq!((report.chosen.reading.as_str(), head.taps.as_slice()), ("final mean", [Tap::Final].as_slice()));
    let figures = &report.test_figures;
    for figures in [figures.all, figures.steps, figures.finals] {
        assert!(figures.auroc.unwrap() > 0.999 && figures.within.unwrap() > 0.999, "{figures:?}");
        assert!(figures.ece < 0.1 && figures.brier < 0.05, "{figures:?}");
    }
    let last = &figures.solutions[0];
    let picked = last.picked;
    assert_eq!(last.aggregation, "last");
    assert!(picked.best == picked.perfect && picked.blind < 0.6, "{picked:?}");
    assert!(report.test_confidence.all.auroc.unwrap() < 0.7);
    assert!(report.train.questions > 80 && report.valid.questions > 10 && figures.size.questions > 10);
    let all = report.train.questions + report.valid.questions + figures.size.questions;
    assert_eq!(all, 150, "every question has one part");
    assert_eq!(fitted(&table, &params, 1), (head, report), "threads change nothing");
}

#[test]
fn only_penalties_that_were_asked_for_are_chosen() {
    #[derive(Default)]
    struct Fits(u64, u64);
    impl Observer for Fits {
        fn event(&mut self, event: &Event<'_>) {
            if let &Event::Progress { done, total, .. } = event {
                (self.0, self.1) = (done, total);
            }
        }
    }
    let table = table(150, |states| states[9] > 0.1);
    for (asked, chosen) in [(vec![100.0], 100.0), (vec![100.0, 1e-2], 1e-2)] {
        let params = FitParams { kind: Some(Kind::Linear), l2: asked, ..steps() };
        let mut fits = Fits::default();
        let report = fit(&table, None, &params, &Team::new(1).unwrap(), &mut fits, &Interrupt::default()).unwrap().1;
        assert_eq!(report.chosen.l2, chosen);
        assert_eq!((fits.0, fits.1), (report.tried.len() as u64, report.tried.len() as u64));
    }
}

#[test]
fn a_hidden_layer_is_chosen_for_what_no_line_separates() {
    // A line tells a little of a band, enough to find where it lies.
    let table = table(300, |states| states[9] > -0.6 && states[9] < 0.3);
    let params = FitParams { n_hidden: 16, l2: vec![1e-4], ..steps() };
    let (head, report) = fitted(&table, &params, 2);
    assert_eq!((report.chosen.kind, head.layers.len()), (Kind::Mlp, 2));
    assert!(report.test_figures.all.auroc.unwrap() > 0.9, "{report:?}");
    let linear = FitParams { kind: Some(Kind::Linear), ..params };
    assert!(fitted(&table, &linear, 1).1.test_figures.all.auroc.unwrap() < 0.75);
}

#[test]
fn a_head_from_its_file_values_steps_as_the_fit_did() {
    let table = table(60, |states| states[9] > 0.1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.gguf");
    for kind in [Kind::Linear, Kind::Mlp] {
        let params = FitParams { kind: Some(kind), n_hidden: 8, ..FitParams::default() };
        let (head, report) = fitted(&table, &params, 1);
        head.save(&path).unwrap();
        let opened = Head::open(&path, &Limits::default()).unwrap();
        assert_eq!(opened, head);
        let auroc = head.provenance.iter().find(|(key, _)| key == "prm.eval.auroc").unwrap();
        assert_eq!(auroc.1, crate::gguf::Value::F32(report.test_figures.all.auroc.unwrap() as f32));
        let mut info = ToyEngine::new(8, 1).info().clone();
        (info.fingerprint, info.n_embd, info.n_layer) = ("f".into(), 3, 2);
        let mut judge = HeadJudge::new(opened, &info).unwrap();
        let rows = block(3, |states| states[9] > 0.1).rows;
        for (row, entry) in rows.iter().zip(36..) {
            let states: Vec<f32> = row.states.iter().map(|x| x.to_f32()).collect();
            let reading = super::design::Reading { taps: head.taps.clone(), pool: head.pool };
            let (hidden, logprob) = reading.numbers(&table, entry);
            // The features of a step as a search hands them over, with the head's taps alone.
            let taps: Vec<usize> = head.taps.iter().map(|tap| usize::from(*tap == Tap::Final) * 3).collect();
            let part = |from: usize| taps.iter().flat_map(|&tap| states[from + tap..from + tap + 3].to_vec()).collect();
            let features = Features { last: part(0), sum: part(6), count: 1 };
            let draws = [crate::reward::Draw { logprob, ..Default::default() }];
            let step = Step {
                id: StepId(1),
                parent: StepId::ROOT,
                text: "",
                path: "",
                tokens: &[0],
                draws: &draws,
                features: Some(&features),
                complete: false,
            };
            let value = judge.judge(&[step], &Interrupt::default()).unwrap();
            assert_eq!(value, [head.value(&hidden, &[logprob]).unwrap()]);
        }
    }
}

#[test]
fn a_set_without_both_outcomes_or_of_two_models_is_refused() {
    let team = Team::new(1).unwrap();
    let error = |table: &Table, test: Option<&Table>, params: &FitParams| {
        fit(table, test, params, &team, &mut Silent, &Interrupt::default()).unwrap_err()
    };
    let all_right = table(60, |_| true);
    let fine = table(60, |states| states[9] > 0.1);
    let default = FitParams::default();
    assert!(error(&all_right, None, &default).to_string().contains("collect more"));
    assert!(error(&table(1, |states| states[9] > 0.1), None, &default).to_string().contains("collect more"));
    assert!(error(&fine, None, &FitParams { n_hidden: 0, ..default.clone() }).to_string().contains("hidden"));
    assert!(error(&fine, None, &FitParams { l2: vec![f64::NAN], ..default.clone() }).to_string().contains("penalt"));
    let other = Table::new(Origin { fingerprint: "g".into(), ..origin() });
    assert!(error(&fine, Some(&other), &default).to_string().contains("another model"));
    let mut mixed = fine.clone();
    let taps = Origin { taps: vec![Tap::Final], ..origin() };
    assert!(mixed.push(&taps, &block(1, |_| true)).unwrap_err().to_string().contains("hidden states"));
    let interrupt = Interrupt::default();
    interrupt.cancel.cancel();
    let cancelled = fit(&fine, None, &default, &team, &mut Silent, &interrupt).unwrap_err();
    assert_eq!(cancelled.kind(), ErrorKind::Cancelled);
}

fn written(folder: &Path, blocks: u64) -> Vec<u8> {
    let path = folder.join("whole");
    let mut out = RowWriter::open(&path, &origin()).unwrap();
    (0..blocks).for_each(|number| out.push(&block(number, |states| states[9] > 0.1)).unwrap());
    assert!(out.push(&block(0, |_| true)).is_err(), "a question twice");
    drop(out);
    std::fs::read(path).unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<Block>> {
    let mut reader = RowReader::new(bytes, bytes.len() as u64)?;
    let mut blocks = Vec::new();
    while let Some(block) = reader.block()? {
        blocks.push(block);
    }
    Ok(blocks)
}

#[test]
fn a_file_cut_anywhere_is_gone_on_with_and_ends_as_if_never_cut() {
    let folder = tempfile::tempdir().unwrap();
    let whole = written(folder.path(), 3);
    let expected: Vec<Block> = (0..3).map(|number| block(number, |states| states[9] > 0.1)).collect();
    assert_eq!(read(&whole).unwrap(), expected);
    let path = folder.path().join("cut");
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut out = RowWriter::open(&path, &origin()).unwrap();
        for block in &expected {
            if !out.contains(block.question) {
                out.push(block).unwrap();
            }
        }
        assert_eq!(out.questions(), 3);
        drop(out);
        assert!(std::fs::read(&path).unwrap() == whole, "cut at {cut}");
    }
}

#[test]
fn other_files_and_other_origins_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let whole = written(folder.path(), 1);
    let path = folder.path().join("whole");
    let others = [
        Origin { fingerprint: "g".into(), ..origin() },
        Origin { taps: vec![Tap::Final], ..origin() },
        Origin { settings: "{1}".into(), ..origin() },
        Origin { data: "e".into(), ..origin() },
    ];
    for other in &others {
        let error = RowWriter::open(&path, other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let first = RowWriter::open(&path, &origin()).unwrap();
    assert!(RowWriter::open(&path, &origin()).unwrap_err().to_string().contains("another run"));
    drop(first);
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    for foreign in ["x".to_owned(), "tea leaves ".repeat(100)] {
        std::fs::write(&path, &foreign).unwrap();
        assert_eq!(RowWriter::open(&path, &origin()).unwrap_err().kind(), ErrorKind::Format);
        assert!(RowReader::open(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
    }
    let bad = Origin { n_embd: 0, ..origin() };
    assert!(RowWriter::open(&folder.path().join("new"), &bad).is_err());
}

#[test]
fn lying_files_are_refused_or_sound() {
    let folder = tempfile::tempdir().unwrap();
    let whole = written(folder.path(), 2);
    let mut refused = 0;
    for at in 0..whole.len() {
        for bit in [0x01, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= bit;
            match read(&bytes) {
                Ok(blocks) => assert!(blocks.iter().flat_map(|b| &b.rows).all(|row| row.states.len() == 12)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Format, "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
    // Sizes far beyond the file take no memory.
    let head = whole.len() - 2 * (16 + 12 * (24 + 24));
    let mut many = whole.clone();
    many[head + 8..head + 16].copy_from_slice(&(1u64 << 22).to_le_bytes());
    assert_eq!(read(&many).unwrap(), []);
    many[head + 8..head + 16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(read(&many).unwrap_err().kind(), ErrorKind::Format);
}

#[test]
fn every_sample_of_a_question_gets_its_outcome() {
    let verifier = Number::new("7").unwrap();
    let search = sampling(12, SamplerParams::default(), 60, 5);
    let params = CollectParams { search, labels: Labels::Outcome };
    let taps = default_taps(N_LAYER);
    assert_eq!(taps, [Tap::Layer(1), Tap::Final]);
    let collected = |number: u64, width: usize| {
        let mut recorder = Recorder::new(taps.clone()).unwrap();
        let question = Question { number, text: "?", prompt: &[3, 11, 12, 4, 13], verifier: &verifier };
        let (mut engine, cancel) = (ToyEngine::new(256, width), CancelToken::new());
        let block = collect(&mut engine, &Words, &question, &params, &mut recorder, &mut Silent, &cancel);
        (block.unwrap().unwrap(), recorder)
    };
    let (block, recorder) = collected(4, 4);
    assert_eq!(block.question, 4);
    let samples: Vec<&[Row]> = block.rows.chunk_by(|a, b| a.sample == b.sample).collect();
    assert_eq!(samples.len(), 12);
    let mut rights = 0;
    for (sample, path) in samples.iter().zip(recorder.paths()) {
        let text: String = path.iter().map(|step| step.text.as_str()).collect();
        let answer = text.trim_end().rsplit("#### ").next().unwrap_or_default();
        let right = path.last().unwrap().complete && text.contains("#### ") && answer == "7";
        rights += usize::from(right);
        for (index, row) in sample.iter().enumerate() {
            assert_eq!((row.right, row.step as usize), (right, index), "{text:?}");
            assert_eq!(row.complete, path[index].complete);
            assert_eq!(row.states.len(), 2 * 2 * N_EMBD);
            assert_eq!(row.states[0], f16::from_f32(path[index].features.last[0]));
            assert_eq!(row.states[2 * N_EMBD], f16::from_f32(path[index].features.mean()[0]));
            assert!(row.mean_logprob < 0.0 && row.tokens as usize == path[index].draws.len());
        }
    }
    assert!(rights > 0 && rights < 12, "{rights}");
    assert_eq!(collected(4, 1).0, block, "the schedule changes nothing");
    assert_ne!(collected(5, 4).0.rows, block.rows, "every question has random numbers of its own");
    let cancel = CancelToken::new();
    cancel.cancel();
    let mut recorder = Recorder::new(taps.clone()).unwrap();
    let question = Question { number: 0, text: "?", prompt: &[3], verifier: &verifier };
    let mut engine = ToyEngine::new(256, 4);
    let stopped = collect(&mut engine, &Words, &question, &params, &mut recorder, &mut Silent, &cancel);
    assert!(stopped.unwrap().is_none() && engine.alive() == 0);
}

#[test]
fn soft_labels_are_kept_and_a_head_learns_their_share() {
    let mut soft = block(0, |_| true);
    for (i, row) in soft.rows.iter_mut().enumerate() {
        row.value = i as f32 / 11.0;
        row.right = i > 0;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("soft");
    RowWriter::open(&path, &origin()).unwrap().push(&soft).unwrap();
    let read = RowReader::open(&path).unwrap().block().unwrap().unwrap();
    for (a, b) in read.rows.iter().zip(&soft.rows) {
        assert!((a.value - b.value).abs() < 1e-5 && a.right == b.right);
    }
    let mut table = Table::new(origin());
    for number in 0..200 {
        let mut block = block(number, |states| states[9] > 0.0);
        // What is right at all is three quarters right.
        block.rows.iter_mut().for_each(|row| row.value = if row.right { 0.75 } else { 0.0 });
        table.push(&origin(), &block).unwrap();
    }
    assert!(table.labels_steps());
    let params = FitParams { kind: Some(Kind::Linear), l2: vec![1e-4], ..FitParams::default() };
    let (_, report) = fitted(&table, &params, 1);
    let figures = report.test_figures.all;
    // Ranked as the labels say, and valued no surer than they are.
    assert!(figures.auroc.unwrap() > 0.95, "{figures:?}");
    // The best logistic function of a uniform state has 0.031 and 0.386; held against 1 in place of 0.75, it would have 0.082 and 0.272.
    assert!(figures.brier < 0.05 && (figures.log_loss - 0.386).abs() < 0.08, "{figures:?}");
}
