//! Judges that are functions of the host: of steps, and of answers.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use ruminate::observe::Interrupt;
use ruminate::reward::{Judge as Valuer, NEUTRAL, Step, answer};
use ruminate::{Error, ErrorKind};

use crate::call::{clear, entry, hand_out};
use crate::host::{Host, rum_drop_fn};
use crate::judge::{Judge, rum_judge};
use crate::status::{Failure, rum_status};
use crate::text::{self, Text, rum_str};

/// A finished step, as a scorer of the host sees it. Valid during the call only.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_step {
    pub struct_size: usize,
    /// Its number, unique within one search; the prompt is 0.
    pub id: u64,
    /// The number of the step that it goes on from.
    pub parent: u64,
    /// The text of this step alone.
    pub text: rum_str,
    /// The text from the prompt's end to this step's end.
    pub path: rum_str,
    /// The tokens of this step alone.
    pub tokens: *const u32,
    /// How many tokens.
    pub n_tokens: usize,
    /// Sum of the natural logarithms of its drawn tokens' probabilities under the model.
    pub logprob: f64,
    /// 1 if the solution ends with this step.
    pub complete: u32,
    /// 0.
    pub reserved: u32,
}

/// A finished solution, as a verifier of the host sees it. Valid during the call only.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_solution {
    pub struct_size: usize,
    /// The question of the search.
    pub question: rum_str,
    /// The whole solution.
    pub text: rum_str,
    /// The answer found in it; NULL when there is none.
    pub answer: rum_str,
}

/// Values steps: writes to `values` one number from 0 to 1 for each of the `n` steps and returns 0. Another number is a failure:
/// it ends the run with `RUM_ERR_CALLBACK`.
///
/// Called on the run's thread with no lock held; all steps that became ready together come in one call. A call on the same
/// session from here gives `RUM_ERR_BUSY`; cancelling is allowed. It must not throw or jump out.
pub type rum_score_fn =
    Option<unsafe extern "C" fn(user: *mut c_void, steps: *const *const rum_step, n: usize, values: *mut f32) -> i32>;

/// Whether a solution is right: returns 1 for yes and 0 for no. A negative number is a failure: it ends the run with
/// `RUM_ERR_CALLBACK`. Called as `rum_score_fn` is.
pub type rum_verify_fn = Option<unsafe extern "C" fn(user: *mut c_void, solution: *const rum_solution) -> i32>;

/// A judge that asks the host's function `score` for the values of steps. `name` is what messages and traces call it.
///
/// `score` is called with `user`; `drop` is called with it once, when the judge and the last run that uses it are gone, and also
/// when this function fails. The caller frees `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_judge_new_scorer(
    name: *const c_char,
    name_len: usize,
    score: rum_score_fn,
    user: *mut c_void,
    drop: rum_drop_fn,
    out: *mut *mut rum_judge,
) -> rum_status {
    let host = Host::new(user, drop);
    entry("rum_judge_new_scorer", move |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { text::read(name, name_len, "the name") }?.to_owned();
        let score = score.ok_or_else(|| Failure::invalid("the function is NULL"))?;
        let scorer = Scorer { name, host, score };
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(Judge::new(Box::new(scorer)), out) }
    })
}

/// A judge that asks the host's function `verify` whether a finished solution is right: worth 1 or 0. A step that finishes none is
/// worth 0.5. Otherwise as `rum_judge_new_scorer`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_judge_new_verifier(
    name: *const c_char,
    name_len: usize,
    verify: rum_verify_fn,
    user: *mut c_void,
    drop: rum_drop_fn,
    out: *mut *mut rum_judge,
) -> rum_status {
    let host = Host::new(user, drop);
    entry("rum_judge_new_verifier", move |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { text::read(name, name_len, "the name") }?.to_owned();
        let verify = verify.ok_or_else(|| Failure::invalid("the function is NULL"))?;
        let verify = Verify { host: Arc::new(host), call: verify };
        let verifier = Verifier { name, verify, question: Text::default() };
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(Judge::new(Box::new(verifier)), out) }
    })
}

struct Scorer {
    name: String,
    host: Host,
    score: unsafe extern "C" fn(*mut c_void, *const *const rum_step, usize, *mut f32) -> i32,
}

impl Valuer for Scorer {
    fn name(&self) -> &str {
        &self.name
    }

    fn judge(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> ruminate::Result<Vec<f32>> {
        interrupt.check()?;
        let texts: Vec<[Text; 2]> = steps.iter().map(|step| [step.text, step.path].map(Text::new)).collect();
        let lent: Vec<rum_step> = steps.iter().zip(&texts).map(|(step, texts)| lend(step, texts)).collect();
        let pointers: Vec<*const rum_step> = lent.iter().map(std::ptr::from_ref).collect();
        let mut values = vec![0.0; steps.len()];
        // SAFETY: the host's function with the host's data; everything pointed to outlives the call.
        let said = unsafe { (self.score)(self.host.user(), pointers.as_ptr(), pointers.len(), values.as_mut_ptr()) };
        if said != 0 {
            return Err(refused(&self.name, said));
        }
        match values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            None => Ok(values),
            Some(value) => {
                let message = format!("the judge {:?} gave {value}; values are 0 to 1", self.name);
                Err(Error::new(ErrorKind::NonFinite, message))
            }
        }
    }
}

fn lend(step: &Step<'_>, [text, path]: &[Text; 2]) -> rum_step {
    rum_step {
        struct_size: size_of::<rum_step>(),
        id: step.id.0,
        parent: step.parent.0,
        text: text.lend(),
        path: path.lend(),
        tokens: step.tokens.as_ptr(),
        n_tokens: step.tokens.len(),
        logprob: step.draws.iter().map(|draw| f64::from(draw.logprob)).sum(),
        complete: step.complete.into(),
        reserved: 0,
    }
}

/// A function of the host that says whether a solution is right.
pub struct Verify {
    pub host: Arc<Host>,
    pub call: unsafe extern "C" fn(*mut c_void, *const rum_solution) -> i32,
}

impl Verify {
    /// What it returns for this `solution` of the question.
    pub fn ask(&self, question: &Text, solution: &str) -> i32 {
        let found = answer::extract(solution).map(|found| Text::new(found.answer.text()));
        let text = Text::new(solution);
        let lent = rum_solution {
            struct_size: size_of::<rum_solution>(),
            question: question.lend(),
            text: text.lend(),
            answer: Text::lend_optional(found.as_ref()),
        };
        // SAFETY: the host's function with the host's data; everything pointed to outlives the call.
        unsafe { (self.call)(self.host.user(), &lent) }
    }
}

struct Verifier {
    name: String,
    verify: Verify,
    question: Text,
}

impl Valuer for Verifier {
    fn name(&self) -> &str {
        &self.name
    }

    fn begin(&mut self, question: &str) -> ruminate::Result<()> {
        self.question = Text::new(question);
        Ok(())
    }

    fn judge(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> ruminate::Result<Vec<f32>> {
        steps
            .iter()
            .map(|step| {
                interrupt.check()?;
                if step.complete { self.ask(step.path) } else { Ok(NEUTRAL) }
            })
            .collect()
    }
}

impl Verifier {
    fn ask(&self, solution: &str) -> ruminate::Result<f32> {
        match self.verify.ask(&self.question, solution) {
            0 => Ok(0.0),
            1 => Ok(1.0),
            said => Err(refused(&self.name, said)),
        }
    }
}

/// What a run's failure is known by once it has gone through the search.
#[derive(Debug)]
pub struct HostFailed;

impl std::fmt::Display for HostFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a function of the host failed")
    }
}

impl std::error::Error for HostFailed {}

fn refused(name: &str, said: i32) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("the host's judge {name:?} returned {said}")).with_source(HostFailed)
}

/// [`Failure`] of an error that may have begun in a function of the host.
pub fn failure(error: Error) -> Failure {
    let is_host = std::error::Error::source(&error).is_some_and(|source| source.is::<HostFailed>());
    let failure = Failure::from(error);
    if is_host { Failure { status: rum_status::RUM_ERR_CALLBACK, ..failure } } else { failure }
}
