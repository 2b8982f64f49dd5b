//! Questions of a set, searched: what commands that measure share.

use clap::builder::RangedU64ValueParser;
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
use crate::search_args::SearchArgs;

/// How many are asked at once.
#[derive(clap::Args)]
pub struct ParallelArgs {
    /// Searches side by side, whose passes become one: the same answers in less time, as a batch shares the reading of the weights.
    /// A search's seconds and joules then count what it waits for others, so it goes with budgets in tokens alone. Each has a judge of
    /// its own, a reward model of its own included.
    #[arg(long, env = "RUMINATE_PARALLEL", value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..=64))]
    pub parallel: usize,
}

impl ParallelArgs {
    /// An error for budgets of `search` that searches side by side spend together.
    pub fn check(&self, search: &SearchArgs) -> Result<(), Failure> {
        match self.parallel > 1 && search.budget.limits_more_than_tokens() {
            true => Err(Failure::usage(
                "--parallel goes with budgets in tokens alone: time, memory and energy are spent by all together",
            )),
            false => Ok(()),
        }
    }
}

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

/// Has `n` respondents of `model` do `work` side by side, each with a judge that `judge` asks for; their passes become one. A
/// failure cancels the others, which should end without one.
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
