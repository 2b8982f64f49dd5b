//! [`HeadJudge`]: steps valued by a head on the policy's own hidden states, without a forward pass.

use super::{Extra, Head, Pool, Purpose};
use crate::engine::{ModelInfo, Tap};
use crate::error::{Error, Result};
use crate::observe::Interrupt;
use crate::reward::{Aggregation, Draw, Features, Judge, Step};

/// The value of a step about which a judge knows nothing.
pub const NEUTRAL: f32 = 0.5;

/// Values steps by a [`Head`] on the policy's trunk.
///
/// A step without tokens, and with an ORM a step that does not finish a solution, is worth [`NEUTRAL`]. Features are those
/// of the step alone: an ORM that pools the mean takes that of the last step.
#[derive(Debug, Clone)]
pub struct HeadJudge {
    name: String,
    head: Head,
}

impl HeadJudge {
    /// A judge of steps that `base` decodes. Errors as [`Head::check_base`] and [`Head::validate`], and
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a head that reads tokens at their own row, which a step
    /// does not have yet when it is judged.
    pub fn new(head: Head, base: &ModelInfo) -> Result<Self> {
        head.validate()?;
        head.check_base(base)?;
        if head.read_offset != -1 {
            let why = "that row is computed only after the step; use the head in an external judge";
            return Err(Error::invalid(format!("the reward head reads a token at its own row: {why}")));
        }
        let name = match head.purpose {
            Purpose::Prm => "head:prm",
            Purpose::Orm => "head:orm",
            Purpose::Probe => "head:probe",
        };
        Ok(Self { name: name.into(), head })
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    fn value(&self, step: &Step<'_>) -> Result<f32> {
        let features =
            step.features.ok_or_else(|| Error::invalid("a step came without the hidden states to judge it by"))?;
        if features.count == 0 || (self.head.purpose == Purpose::Orm && !step.complete) {
            return Ok(NEUTRAL);
        }
        let extra: Vec<f32> = self.head.extra.iter().map(|&extra| self.pooled(extra, step.draws)).collect();
        self.head.value(&self.hidden(features), &extra).map(|value| value.clamp(0.0, 1.0))
    }

    fn hidden(&self, features: &Features) -> Vec<f32> {
        match self.head.pool {
            Pool::Last => features.last.clone(),
            Pool::Mean => features.mean(),
        }
    }

    fn pooled(&self, extra: Extra, draws: &[Draw]) -> f32 {
        let of = |draw: &Draw| match extra {
            Extra::Entropy => draw.entropy,
            Extra::Logprob => draw.logprob,
        };
        match self.head.pool {
            Pool::Last => draws.last().map_or(0.0, of),
            Pool::Mean => {
                let sum: f64 = draws.iter().map(|draw| f64::from(of(draw))).sum();
                (sum / draws.len().max(1) as f64) as f32
            }
        }
    }
}

impl Judge for HeadJudge {
    fn name(&self) -> &str {
        &self.name
    }

    fn taps(&self) -> &[Tap] {
        &self.head.taps
    }

    fn aggregation(&self) -> Aggregation {
        self.head.aggregation
    }

    fn wants_entropy(&self) -> bool {
        self.head.extra.contains(&Extra::Entropy)
    }

    /// Takes microseconds and has its states only now: it is not interrupted.
    fn judge(&mut self, steps: &[Step<'_>], _: &Interrupt) -> Result<Vec<f32>> {
        steps.iter().map(|step| self.value(step)).collect()
    }
}
