//! How good values are at telling right from wrong, and at being how right the labels are.

use serde::Serialize;

/// Figures of values against labels. Those that need right and wrong ones are `None` without; a label between the two, such as the
/// share of rollouts that end right, is right for them unless it is 0, and as it is for the Brier score, the log loss and the
/// calibration error.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Figures {
    /// Values.
    pub n: usize,
    /// The share of them that is labelled right.
    pub right: f64,
    /// The probability that a right one has a higher value than a wrong one, ties counting half.
    pub auroc: Option<f64>,
    /// Average precision: precision at every value, weighted with the recall that it adds; right is positive.
    pub pr_auc: Option<f64>,
    /// AUROC inside each question that has both labels, averaged over these: what ranking samples of one question takes.
    pub within: Option<f64>,
    /// Questions in that mean.
    pub mixed_questions: usize,
    /// Mean squared distance to the label.
    pub brier: f64,
    /// Mean log loss, in nats; of a label between 0 and 1 the cross-entropy.
    pub log_loss: f64,
    /// Expected calibration error over ten bins of equal width (Naeini et al., AAAI 2015).
    pub ece: f64,
}

/// A value in [0, 1], its label, and the question that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Valued {
    pub value: f64,
    pub right: bool,
    /// How right, from 0 to 1.
    pub label: f64,
    pub question: usize,
}

const BINS: usize = 10;
/// Keeps one certain mistake from being infinite.
const LEAST: f64 = 1e-12;

impl Figures {
    pub(super) fn of(values: &[Valued]) -> Self {
        let n = values.len().max(1) as f64;
        let mean = |of: &dyn Fn(&Valued) -> f64| values.iter().map(of).sum::<f64>() / n;
        let within = within(values);
        Self {
            n: values.len(),
            right: mean(&|v| f64::from(u8::from(v.right))),
            auroc: auroc(values),
            pr_auc: average_precision(values),
            within: (!within.is_empty()).then(|| within.iter().sum::<f64>() / within.len() as f64),
            mixed_questions: within.len(),
            brier: mean(&|v| (v.value - v.label).powi(2)),
            log_loss: mean(&|v| {
                let log = |p: f64| p.clamp(LEAST, 1.0).ln();
                -(v.label * log(v.value) + (1.0 - v.label) * log(1.0 - v.value))
            }),
            ece: calibration_error(values),
        }
    }
}

/// By Mann and Whitney's ranks; `None` without both labels.
fn auroc(values: &[Valued]) -> Option<f64> {
    let (mut right_below, mut wrong_below, mut pairs) = (0usize, 0usize, 0.0);
    for tied in ties(values).rev() {
        let right = tied.iter().filter(|v| v.right).count();
        let wrong = tied.len() - right;
        pairs += right as f64 * (wrong_below as f64 + 0.5 * wrong as f64);
        (right_below, wrong_below) = (right_below + right, wrong_below + wrong);
    }
    (right_below > 0 && wrong_below > 0).then(|| pairs / (right_below as f64 * wrong_below as f64))
}

fn average_precision(values: &[Valued]) -> Option<f64> {
    let all = values.iter().filter(|v| v.right).count();
    let (mut taken, mut found, mut area) = (0usize, 0usize, 0.0);
    for tied in ties(values) {
        let right = tied.iter().filter(|v| v.right).count();
        (taken, found) = (taken + tied.len(), found + right);
        area += right as f64 / all as f64 * (found as f64 / taken as f64);
    }
    (all > 0 && all < values.len()).then_some(area)
}

fn within(values: &[Valued]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by_key(|v| v.question);
    sorted.chunk_by(|a, b| a.question == b.question).filter_map(auroc).collect()
}

fn calibration_error(values: &[Valued]) -> f64 {
    let mut bins = [(0.0, 0.0); BINS];
    for v in values {
        let bin = ((v.value * BINS as f64) as usize).min(BINS - 1);
        if let Some((values, labels)) = bins.get_mut(bin) {
            *values += v.value;
            *labels += v.label;
        }
    }
    // A bin's share of the rows times the distance of its means.
    bins.iter().map(|(values, labels)| (values - labels).abs()).sum::<f64>() / values.len().max(1) as f64
}

/// Runs of equal values, the highest first.
fn ties(values: &[Valued]) -> impl DoubleEndedIterator<Item = Vec<Valued>> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.value.total_cmp(&a.value));
    let runs: Vec<Vec<Valued>> = sorted.chunk_by(|a, b| a.value == b.value).map(<[Valued]>::to_vec).collect();
    runs.into_iter()
}
