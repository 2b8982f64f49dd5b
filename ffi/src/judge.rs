//! Judges: what values the steps of a search.

use std::ffi::c_char;
use std::sync::Arc;

use ruminate::engine::ModelInfo;
use ruminate::observe::Interrupt;
use ruminate::reward::{Arithmetic, Confidence, Judge as Valuer, Mix, Product, Step, StepId};

use crate::call::{clear, entry, free, hand_out, not_null};
use crate::handle::{self, Kind};
use crate::lend::Lending;
use crate::number::numbers;
use crate::status::{Failure, rum_status};
use crate::text::{self, rum_str};

/// Values the steps of a search, from 0 to 1. One run at a time; a second one gives `RUM_ERR_BUSY`.
pub struct rum_judge(());

/// Judges that need no file.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_judge_kind {
    /// Recomputes the sums in the text: 0 when one is wrong, 1 when there are some and all are right, else 0.5.
    RUM_JUDGE_ARITHMETIC = 0,
    /// How likely the step's tokens were under the model.
    RUM_JUDGE_LOGPROB = 1,
    /// How sure the model was of its choices.
    RUM_JUDGE_ENTROPY = 2,
}

numbers!(rum_judge_kind, "kind of judge": RUM_JUDGE_ARITHMETIC, RUM_JUDGE_LOGPROB, RUM_JUDGE_ENTROPY);

/// How the values of several judges become one.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_mix {
    /// Their product: each judge has a veto.
    RUM_MIX_PRODUCT = 0,
    /// Their mean.
    RUM_MIX_MEAN = 1,
}

numbers!(rum_mix, "mix": RUM_MIX_PRODUCT, RUM_MIX_MEAN);

/// A judge that one run at a time has the use of.
pub struct Judge {
    pub judge: Arc<Lending<Box<dyn Valuer>>>,
    pub name: String,
    /// Fingerprints of the models, adapters included, whose hidden states it reads.
    trunks: Vec<String>,
}

impl Kind for Judge {
    type Opaque = rum_judge;
    const NAME: &'static str = "judge";
}

impl Judge {
    pub fn new(judge: Box<dyn Valuer>) -> Self {
        Self::on(judge, Vec::new())
    }

    /// A judge that reads hidden states of the models of these fingerprints.
    pub fn on(judge: Box<dyn Valuer>, trunks: Vec<String>) -> Self {
        let name = judge.name().to_owned();
        Self { judge: Lending::new("judge", judge), name, trunks }
    }

    /// An error unless this model is the one that the judge reads, with the same adapters.
    pub fn check_trunk(&self, model: &ModelInfo) -> Result<(), Failure> {
        match self.trunks.iter().find(|trunk| **trunk != model.fingerprint) {
            None => Ok(()),
            Some(trunk) => Err(Failure::invalid(format!(
                "the judge reads hidden states of a model of fingerprint {trunk}, and the session's is {}: fit a head on the \
                 session's model with its adapters, or take them away",
                model.fingerprint
            ))),
        }
    }
}

/// A judge of a `rum_judge_kind`. The caller frees `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_judge_new(kind: u32, out: *mut *mut rum_judge) -> rum_status {
    entry("rum_judge_new", |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let judge: Box<dyn Valuer> = match rum_judge_kind::read(kind)? {
            rum_judge_kind::RUM_JUDGE_ARITHMETIC => Box::new(Arithmetic),
            rum_judge_kind::RUM_JUDGE_LOGPROB => Box::new(Confidence::Logprob),
            rum_judge_kind::RUM_JUDGE_ENTROPY => Box::new(Confidence::Entropy),
        };
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(Judge::new(judge), out) }
    })
}

/// Several judges as one: `n` of them at `judges`, mixed by a `rum_mix`. How a text's steps are put together is the first one's
/// affair.
///
/// On success the judges belong to the new one and their handles are freed; on failure nothing has changed. The caller frees
/// `out`. `RUM_ERR_BUSY` while one of them is used by a run.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_judge_mix(
    mix: u32,
    judges: *const *mut rum_judge,
    n: usize,
    out: *mut *mut rum_judge,
) -> rum_status {
    entry("rum_judge_mix", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let mix = match rum_mix::read(mix)? {
            rum_mix::RUM_MIX_PRODUCT => Mix::Product,
            rum_mix::RUM_MIX_MEAN => Mix::Mean,
        };
        not_null(judges, "judges")?;
        if !(1..=64).contains(&n) {
            return Err(Failure::invalid(format!("{n} judges: give 1 to 64")));
        }
        // SAFETY: the caller's promise: `n` handles can be read.
        let handles = unsafe { std::slice::from_raw_parts(judges, n) };
        let (mut loans, mut trunks) = (Vec::with_capacity(n), Vec::new());
        for &judge in handles {
            let judge = call.object::<Judge>(judge)?;
            // The same judge twice is busy the second time.
            loans.push(judge.value.judge.lend()?);
            trunks.extend(judge.value.trunks.iter().cloned());
        }
        let parts = loans.into_iter().map(|loan| Box::new(Lent(loan)) as Box<dyn Valuer>).collect();
        let mixed = Judge::on(Box::new(Product::new(mix, parts)?), trunks);
        for &judge in handles {
            // One that another thread freed in the meantime is gone already; the mixed judge is whole all the same.
            drop(handle::take::<Judge>(judge));
        }
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(mixed, out) }
    })
}

/// A judge that was taken over from its handle.
struct Lent(crate::lend::Loan<Box<dyn Valuer>>);

impl Valuer for Lent {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn taps(&self) -> &[ruminate::engine::Tap] {
        self.0.taps()
    }

    fn wants_entropy(&self) -> bool {
        self.0.wants_entropy()
    }

    fn aggregation(&self) -> ruminate::reward::Aggregation {
        self.0.aggregation()
    }

    fn begin(&mut self, question: &str) -> ruminate::Result<()> {
        self.0.begin(question)
    }

    fn judge(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> ruminate::Result<Vec<f32>> {
        self.0.judge(steps, interrupt)
    }

    fn recall(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> ruminate::Result<()> {
        self.0.recall(steps, interrupt)
    }

    fn release(&mut self, step: StepId) {
        self.0.release(step);
    }

    fn usage(&self) -> ruminate::reward::JudgeUsage {
        self.0.usage()
    }
}

/// The judge's values of a solution that the host has: `n` steps that follow each other, one text each, of which the last ends
/// the solution if `complete` is not 0. `values` gets `n` numbers from 0 to 1.
///
/// For judges of texts: `RUM_ERR_INVALID_ARGUMENT` from a head, which reads hidden states that texts do not have. Judges by how
/// sure the model was know nothing of a text and give 0.5.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_judge_score(
    judge: *mut rum_judge,
    question: *const c_char,
    question_len: usize,
    steps: *const rum_str,
    n: usize,
    complete: u32,
    values: *mut f32,
) -> rum_status {
    entry("rum_judge_score", |call| {
        let judge = call.receiver::<Judge>(judge)?;
        // SAFETY: the caller's promise.
        let question = unsafe { text::read(question, question_len, "the question") }?;
        not_null(steps, "the steps")?;
        not_null(values, "values")?;
        if n > 1 << 20 {
            return Err(Failure::invalid(format!("{n} steps: give at most 2^20")));
        }
        // SAFETY: the caller's promise: `n` texts can be read.
        let texts = unsafe { std::slice::from_raw_parts(steps, n) };
        // SAFETY: the caller's promise.
        let texts = texts.iter().map(|text| unsafe { text.read("a step") }).collect::<Result<Vec<_>, _>>()?;
        let found = score(&mut **judge.value.judge.lend()?, question, &texts, complete != 0)?;
        // SAFETY: the caller's promise: room for `n` numbers; not NULL.
        unsafe { std::ptr::copy_nonoverlapping(found.as_ptr(), values, found.len().min(n)) };
        Ok(())
    })
}

fn score(judge: &mut dyn Valuer, question: &str, texts: &[&str], complete: bool) -> Result<Vec<f32>, Failure> {
    judge.begin(question)?;
    let whole = texts.concat();
    let mut end = 0;
    let steps: Vec<Step<'_>> = texts
        .iter()
        .zip(1..)
        .map(|(&text, id)| {
            end += text.len();
            let path = whole.get(..end).unwrap_or_default();
            let complete = complete && id == texts.len() as u64;
            let (id, parent) = (StepId(id), StepId(id - 1));
            Step { id, parent, text, path, tokens: &[], draws: &[], features: None, complete }
        })
        .collect();
    let values = judge.judge(&steps, &Interrupt::default());
    steps.iter().for_each(|step| judge.release(step.id));
    let values = values?;
    if values.len() != texts.len() {
        return Err(Failure::internal(format!("{} values for {} steps", values.len(), texts.len())));
    }
    Ok(values)
}

/// Frees a judge; NULL is fine. A run that uses it goes on.
#[unsafe(no_mangle)]
pub extern "C" fn rum_judge_free(judge: *mut rum_judge) -> rum_status {
    free::<Judge>("rum_judge_free", judge)
}
