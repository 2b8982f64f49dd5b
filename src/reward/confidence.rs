//! [`Confidence`]: the model's own certainty while it drew a step.

use crate::error::Result;
use crate::observe::Interrupt;
use crate::reward::{Aggregation, Draw, Judge, NEUTRAL, Step};

/// Values a step by its draws, without any other model. A step without tokens is worth [`NEUTRAL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// `exp` of the mean log-probability: the geometric mean of its tokens' probabilities.
    Logprob,
    /// `exp` of the negative mean entropy: 1 over the mean number of choices the model saw (its perplexity).
    Entropy,
}

impl Judge for Confidence {
    fn name(&self) -> &str {
        match self {
            Self::Logprob => "confidence:logprob",
            Self::Entropy => "confidence:entropy",
        }
    }

    /// The mean, in which long texts are worth no less than short ones.
    fn aggregation(&self) -> Aggregation {
        Aggregation::Mean
    }

    fn wants_entropy(&self) -> bool {
        matches!(self, Self::Entropy)
    }

    fn judge(&mut self, steps: &[Step<'_>], _: &Interrupt) -> Result<Vec<f32>> {
        let exponent = |draw: &Draw| match self {
            Self::Logprob => f64::from(draw.logprob),
            Self::Entropy => -f64::from(draw.entropy),
        };
        let value = |step: &Step<'_>| {
            let mean = step.draws.iter().map(exponent).sum::<f64>() / step.draws.len() as f64;
            // No draws, or numbers that are none: nothing is known.
            if mean.is_nan() { NEUTRAL } else { mean.exp().clamp(0.0, 1.0) as f32 }
        };
        Ok(steps.iter().map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::StepId;

    #[test]
    fn certainty_is_the_geometric_mean_and_the_inverse_perplexity() {
        let draw = |p: f32, choices: f32| Draw { logprob: p.ln(), entropy: choices.ln(), confidence: f32::NAN };
        let draws = [draw(0.5, 2.0), draw(0.125, 8.0)];
        let step = |draws| Step {
            id: StepId(1),
            parent: StepId::ROOT,
            text: "",
            path: "",
            tokens: &[],
            draws,
            features: None,
            complete: false,
        };
        let impossible = [Draw { logprob: f32::NEG_INFINITY, ..Draw::default() }];
        let steps = [step(&draws), step(&[]), step(&impossible)];
        for (mut judge, expected) in [(Confidence::Logprob, [0.25, 0.5, 0.0]), (Confidence::Entropy, [0.25, 0.5, 1.0])]
        {
            let values = judge.judge(&steps, &Interrupt::default()).unwrap();
            assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{}: {values:?}", judge.name());
        }
    }
}
