//! Questions of a set, searched: what commands that measure share.

use ruminate::engine::{Engine, Shared};
use ruminate::observe::{CancelToken, Observer};
use ruminate::reason::{Inquiry, Resources, Strategy};
use ruminate::reward::Judge;
use ruminate::search::{Outcome, SearchParams, StopReason};
use ruminate::text::{ChatTemplate, Tokenizer};
use ruminate::{Error, ErrorKind};

use crate::exit::{Code, Failure};
use crate::judge_args::JudgeArgs;
use crate::model::Loaded;

/// Why searches side by side have no other budgets.
pub const PARALLEL_LIMITS: &str =
    "--parallel goes with budgets in tokens alone: time, memory and energy are spent by all together";

/// What came of a question.
pub enum Asked {
    Answered(Box<Outcome>),
    /// This one is longer than the context; others may fit.
    TooLong(Error),
    Interrupted,
}

/// Who is asked: the model, or a share of it, with a judge of its own.
pub struct Respondent<'a> {
    engine: &'a mut dyn Engine,
    judge: Option<&'a mut (dyn Judge + 'static)>,
    tokenizer: &'a Tokenizer,
    template: Option<&'a ChatTemplate>,
}

impl<'a> Respondent<'a> {
    /// The whole model with its judge, if it has one.
    pub fn whole(model: &'a mut Loaded) -> Self {
        let Loaded { engine, judge, tokenizer, template, .. } = model;
        Self { engine: &mut **engine, judge: judge.as_deref_mut(), tokenizer, template: template.as_ref() }
    }

    /// The same with another judge.
    pub fn judged_by<'b>(&'b mut self, judge: &'b mut (dyn Judge + 'static)) -> Respondent<'b> {
        Respondent { engine: &mut *self.engine, judge: Some(judge), tokenizer: self.tokenizer, template: self.template }
    }

    /// Searches for the answer.
    pub fn ask(
        &mut self,
        question: &str,
        (strategy, resources): (&dyn Strategy, &Resources),
        params: &SearchParams,
        observer: &mut dyn Observer,
        cancel: &CancelToken,
    ) -> Result<Asked, Failure> {
        let inquiry = Inquiry::new(strategy, question, self.tokenizer, self.template, params, resources);
        let judge = self.judge.as_deref_mut();
        match inquiry.and_then(|inquiry| inquiry.solve(&mut *self.engine, judge, observer, cancel)) {
            Ok(outcome) if outcome.stop_reason == StopReason::Cancelled => Ok(Asked::Interrupted),
            Ok(outcome) => Ok(Asked::Answered(Box::new(outcome))),
            Err(error) if error.kind() == ErrorKind::ContextLength => Ok(Asked::TooLong(error)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Has `n` respondents of `model` do `work` side by side, each with a judge that `judge` asks for; their passes become one. The first
/// failure cancels the others.
pub fn side_by_side(
    model: &mut Loaded,
    n: usize,
    judge: &JudgeArgs,
    cancel: &CancelToken,
    work: impl Fn(&mut Respondent<'_>) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    if n == 1 {
        model.judge = judge.load(model)?;
        return work(&mut Respondent::whole(model));
    }
    let mut judges = (0..n).map(|_| judge.load(model)).collect::<Result<Vec<_>, _>>()?;
    let Loaded { engine, tokenizer, template, .. } = model;
    let (tokenizer, template) = (&*tokenizer, template.as_ref());
    let (shared, work) = (Shared::new(&mut **engine), &work);
    std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(n);
        for judge in &mut judges {
            let mut share = shared.share();
            threads.push(scope.spawn(move || {
                let judge = judge.as_deref_mut();
                let done = work(&mut Respondent { engine: &mut share, judge, tokenizer, template });
                done.inspect_err(|_| cancel.cancel())
            }));
        }
        let done = threads.into_iter().map(|thread| thread.join());
        let done: Vec<_> =
            done.map(|done| done.unwrap_or_else(|_| Err(Failure::new(Code::Failure, "a search broke off")))).collect();
        done.into_iter().collect()
    })
}
