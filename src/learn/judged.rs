//! [`Judged`]: what a judge says of the steps of a search that is over.

use std::collections::BTreeMap;

use super::recorder::Recorder;
use crate::engine::Tap;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Interrupt;
use crate::reward::{Aggregation, Features, Judge, Step, StepId};

/// What a judge says of the steps of a search.
#[derive(Debug, Clone)]
pub struct Judged<'a> {
    recorder: &'a Recorder,
    values: BTreeMap<StepId, f32>,
    aggregation: Aggregation,
}

impl<'a> Judged<'a> {
    /// Has all steps that `recorder` holds judged, as a search about `question` would have done.
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a judge that reads hidden states which the recorder does not keep; other
    /// errors are the judge's.
    pub fn of(recorder: &'a Recorder, judge: &mut dyn Judge, question: &str, interrupt: &Interrupt) -> Result<Self> {
        let places = places(judge.taps(), recorder.taps())?;
        judge.begin(question)?;
        let all: Vec<_> = recorder.steps().iter().collect();
        let paths: Vec<String> = all.iter().map(|(id, _)| recorder.text(**id)).collect();
        let reads_hidden = !places.is_empty();
        let features: Vec<Option<Features>> = all
            .iter()
            .map(|(_, step)| reads_hidden.then(|| select(&step.features, &places, recorder.taps().len())))
            .collect();
        let steps = all.iter().zip(&paths).zip(&features).map(|(((id, step), path), features)| Step {
            id: **id,
            parent: step.parent,
            text: &step.text,
            path,
            tokens: &step.tokens,
            draws: &step.draws,
            features: features.as_ref(),
            complete: step.complete,
        });
        let steps: Vec<Step<'_>> = steps.collect();
        let given = judge.judge(&steps, interrupt)?;
        if given.len() != steps.len() {
            let message = format!("the judge gave {} values for {} steps", given.len(), steps.len());
            return Err(Error::new(ErrorKind::Internal, message));
        }
        steps.iter().for_each(|step| judge.release(step.id));
        let sound = |value: f32| if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) };
        let values = steps.iter().zip(given).map(|(step, value)| (step.id, sound(value))).collect();
        Ok(Self { recorder, values, aggregation: judge.aggregation() })
    }

    /// What the text up to the end of `last` is worth: its steps' values as one; 0 without any.
    pub fn worth(&self, last: StepId) -> f64 {
        let path = self.recorder.path(last);
        let values: Vec<f32> = path.iter().filter_map(|step| self.values.get(step).copied()).collect();
        self.aggregation.of(&values).map_or(0.0, f64::from)
    }
}

/// Where each of the judge's taps lies among those that are kept.
fn places(wanted: &[Tap], kept: &[Tap]) -> Result<Vec<usize>> {
    let place = |tap: &Tap| {
        kept.iter().position(|other| other == tap).ok_or_else(|| {
            let message =
                format!("the judge reads hidden states at {tap:?}, and {kept:?} are kept: ask for its taps too");
            Error::invalid(message)
        })
    };
    wanted.iter().map(place).collect()
}

/// The features at these of `taps` taps.
fn select(features: &Features, places: &[usize], taps: usize) -> Features {
    let part = |all: &[f32]| -> Vec<f32> {
        let width = all.len() / taps.max(1);
        let at = |&place: &usize| all.get(place * width..(place + 1) * width).unwrap_or_default();
        places.iter().flat_map(at).copied().collect()
    };
    Features { last: part(&features.last), sum: part(&features.sum), count: features.count }
}
