//! One question of a set, searched: what commands that measure share.

use ruminate::observe::{CancelToken, Observer};
use ruminate::reason::{Inquiry, Resources, Strategy};
use ruminate::search::{Outcome, SearchParams, StopReason};
use ruminate::{Error, ErrorKind};

use crate::exit::Failure;
use crate::model::Loaded;

/// What came of a question.
pub enum Asked {
    Answered(Box<Outcome>),
    /// This one is longer than the context; others may fit.
    TooLong(Error),
    Interrupted,
}

/// Searches for the answer with the model's judge, if it has one.
pub fn ask(
    model: &mut Loaded,
    question: &str,
    (strategy, resources): (&dyn Strategy, &Resources),
    params: &SearchParams,
    observer: &mut dyn Observer,
    cancel: &CancelToken,
) -> Result<Asked, Failure> {
    let (words, template) = (&model.tokenizer, model.template.as_ref());
    let (engine, judge) = (&mut model.engine, model.judge.as_deref_mut());
    let inquiry = Inquiry::new(strategy, question, words, template, params, resources);
    match inquiry.and_then(|inquiry| inquiry.solve(engine, judge, observer, cancel)) {
        Ok(outcome) if outcome.stop_reason == StopReason::Cancelled => Ok(Asked::Interrupted),
        Ok(outcome) => Ok(Asked::Answered(Box::new(outcome))),
        Err(error) if error.kind() == ErrorKind::ContextLength => Ok(Asked::TooLong(error)),
        Err(error) => Err(error.into()),
    }
}
