//! Losses over log-probabilities of whole completions, with their gradients.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a preference is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Loss {
    /// Sigmoid DPO (Rafailov et al., arXiv 2305.18290); with label smoothing it is cDPO (Mitchell 2023), for labels that are wrong
    /// with that probability.
    Dpo {
        /// From 0 to 0.5.
        label_smoothing: f64,
    },
    /// IPO (Azar et al., arXiv 2310.12036), over log-ratios per token as its authors confirmed to TRL's.
    Ipo,
    /// SimPO (Meng et al., arXiv 2405.14734): log-probabilities per token, no reference.
    SimPo {
        /// The margin that a pair has to reach.
        gamma: f64,
    },
    /// KTO (Ethayarajh et al., arXiv 2402.01306): single completions with a thumb up or down.
    Kto {
        /// Weight of completions with a thumb up.
        desirable: f64,
        /// Weight of those with a thumb down.
        undesirable: f64,
    },
}

/// A completion's log-probability, summed over its tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Under the adapted model.
    pub logprob: f64,
    /// Under the base.
    pub reference: f64,
    /// Tokens.
    pub tokens: usize,
}

/// A pair's loss; entry 0 is the chosen completion's, 1 the rejected one's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairLoss {
    /// The loss.
    pub loss: f64,
    /// Its gradients at the two log-probabilities.
    pub grads: [f64; 2],
    /// What the adapted model implicitly pays for each.
    pub rewards: [f64; 2],
}

/// A single completion's loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SingleLoss {
    /// The loss.
    pub loss: f64,
    /// Its gradient at the log-probability.
    pub grad: f64,
    /// What the adapted model implicitly pays for it.
    pub reward: f64,
}

impl Default for Loss {
    fn default() -> Self {
        Self::Dpo { label_smoothing: 0.0 }
    }
}

impl Loss {
    /// `dpo`, `ipo`, `simpo` or `kto`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dpo { .. } => "dpo",
            Self::Ipo => "ipo",
            Self::SimPo { .. } => "simpo",
            Self::Kto { .. } => "kto",
        }
    }

    /// The loss of this name with its published constants.
    pub fn by_name(name: &str) -> Result<Self> {
        match name {
            "dpo" => Ok(Self::default()),
            "ipo" => Ok(Self::Ipo),
            "simpo" => Ok(Self::SimPo { gamma: 0.5 }),
            "kto" => Ok(Self::Kto { desirable: 1.0, undesirable: 1.0 }),
            _ => Err(Error::invalid(format!("no loss {name:?}; there are dpo, ipo, simpo and kto"))),
        }
    }

    /// Published strength of the pull towards the reference.
    pub fn default_beta(self) -> f64 {
        if let Self::SimPo { .. } = self { 2.0 } else { 0.1 }
    }

    /// Whether it compares with the base.
    pub fn has_reference(self) -> bool {
        !matches!(self, Self::SimPo { .. })
    }

    /// Whether it takes single completions instead of pairs.
    pub fn takes_singles(self) -> bool {
        matches!(self, Self::Kto { .. })
    }

    /// Refuses constants that mean nothing.
    pub fn validate(self) -> Result<()> {
        let sound = match self {
            Self::Dpo { label_smoothing } => (0.0..=0.5).contains(&label_smoothing),
            Self::Ipo => true,
            Self::SimPo { gamma } => gamma.is_finite() && gamma >= 0.0,
            Self::Kto { desirable, undesirable } => [desirable, undesirable].iter().all(|w| w.is_finite() && *w >= 0.0),
        };
        if sound { Ok(()) } else { Err(Error::invalid(format!("the loss {self:?} is out of range"))) }
    }

    /// A pair's loss. A loss over single completions takes the pair as one of each kind, with no reference point.
    pub fn of(self, beta: f64, chosen: Scored, rejected: Scored) -> PairLoss {
        let ratio = |s: Scored| s.logprob - s.reference;
        let rewards = [beta * ratio(chosen), beta * ratio(rejected)];
        match self {
            Self::Dpo { label_smoothing: e } => {
                let x = rewards[0] - rewards[1];
                let grad = beta * (e * sigmoid(x) - (1.0 - e) * sigmoid(-x));
                let loss = -(1.0 - e) * log_sigmoid(x) - e * log_sigmoid(-x);
                PairLoss { loss, grads: [grad, -grad], rewards }
            }
            Self::Ipo => {
                let [n, m] = [chosen, rejected].map(|s| s.tokens.max(1) as f64);
                let off = ratio(chosen) / n - ratio(rejected) / m - 0.5 / beta;
                PairLoss { loss: off * off, grads: [2.0 * off / n, -2.0 * off / m], rewards }
            }
            Self::SimPo { gamma } => {
                let [n, m] = [chosen, rejected].map(|s| s.tokens.max(1) as f64);
                let rewards = [beta * chosen.logprob / n, beta * rejected.logprob / m];
                let x = rewards[0] - rewards[1] - gamma;
                let grad = -beta * sigmoid(-x);
                PairLoss { loss: -log_sigmoid(x), grads: [grad / n, -grad / m], rewards }
            }
            Self::Kto { .. } => {
                let (up, down) = (self.of_single(beta, chosen, true, 0.0), self.of_single(beta, rejected, false, 0.0));
                PairLoss { loss: up.loss + down.loss, grads: [up.grad, down.grad], rewards }
            }
        }
    }

    /// A single completion's KTO loss, with the reference point `kl`: how far the adapted model is from the base on completions
    /// that do not belong to their prompts, times `beta`, at least 0.
    pub fn of_single(self, beta: f64, scored: Scored, good: bool, kl: f64) -> SingleLoss {
        let weights = if let Self::Kto { desirable, undesirable } = self { [undesirable, desirable] } else { [1.0; 2] };
        let weight = weights[usize::from(good)];
        let reward = beta * (scored.logprob - scored.reference);
        let sign = if good { 1.0 } else { -1.0 };
        let s = sigmoid(sign * (reward - kl));
        SingleLoss { loss: weight * (1.0 - s), grad: -sign * weight * beta * s * (1.0 - s), reward }
    }
}

impl PairLoss {
    /// With `weight` times the chosen completion's mean negative log-probability beside it.
    #[must_use]
    pub fn with_sft(self, weight: f64, chosen: Scored) -> Self {
        let share = weight / chosen.tokens.max(1) as f64;
        let Self { loss, grads: [up, down], rewards } = self;
        Self { loss: loss - share * chosen.logprob, grads: [up - share, down], rewards }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn log_sigmoid(x: f64) -> f64 {
    -(-x.abs()).exp().ln_1p() + x.min(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Loss; 5] = [
        Loss::Dpo { label_smoothing: 0.0 },
        Loss::Dpo { label_smoothing: 0.2 },
        Loss::Ipo,
        Loss::SimPo { gamma: 0.5 },
        Loss::Kto { desirable: 1.0, undesirable: 1.3 },
    ];

    fn scored(logprob: f64, reference: f64, tokens: usize) -> Scored {
        Scored { logprob, reference, tokens }
    }

    #[test]
    fn gradients_are_those_of_the_loss() {
        let (a, b, h) = (scored(-30.0, -33.0, 12), scored(-41.0, -37.5, 17), 1e-5);
        for (loss, sft) in ALL.into_iter().zip([0.0, 1.0].into_iter().cycle()) {
            let got = loss.of(0.3, a, b).with_sft(sft, a);
            let at = |da: f64, db: f64| {
                let a = Scored { logprob: a.logprob + da, ..a };
                loss.of(0.3, a, Scored { logprob: b.logprob + db, ..b }).with_sft(sft, a).loss
            };
            let grads = [(at(h, 0.0) - at(-h, 0.0)) / (2.0 * h), (at(0.0, h) - at(0.0, -h)) / (2.0 * h)];
            for (got, want) in got.grads.iter().zip(grads) {
                assert!((got - want).abs() < 1e-8, "{loss:?}: {got} {want}");
            }
            // A smoothed pair is pushed together again once it is further apart than its label is trusted.
            let apart = matches!(loss, Loss::Dpo { label_smoothing } if label_smoothing > 0.0);
            assert!(apart || got.grads[0] < 0.0 && got.grads[1] > 0.0, "{loss:?} pulls the pair apart");
        }
    }

    #[test]
    fn a_policy_like_its_reference_costs_ln_2() {
        let (a, b) = (scored(-30.0, -30.0, 12), scored(-41.0, -41.0, 17));
        for label_smoothing in [0.0, 0.3] {
            let got = Loss::Dpo { label_smoothing }.of(0.1, a, b);
            assert!((got.loss - std::f64::consts::LN_2).abs() < 1e-15 && got.rewards == [0.0; 2]);
        }
        // Labels that are wrong half of the time teach nothing here.
        assert_eq!(Loss::Dpo { label_smoothing: 0.5 }.of(0.1, a, b).grads, [0.0, 0.0]);
        assert!((Loss::Ipo.of(0.1, a, b).loss - 25.0).abs() < 1e-12);
    }

    #[test]
    fn extremes_stay_finite() {
        for loss in ALL {
            for (a, b) in [(-1e4, -1.0), (-1.0, -1e4)] {
                let got = loss.of(10.0, scored(a, -50.0, 3), scored(b, -50.0, 4));
                assert!(got.loss.is_finite() && got.grads.iter().all(|s| s.is_finite()), "{loss:?}");
            }
        }
    }

    #[test]
    fn names_lead_back_and_constants_are_checked() {
        for loss in ALL {
            assert_eq!(Loss::by_name(loss.name()).unwrap().name(), loss.name());
            loss.validate().unwrap();
        }
        assert!(Loss::by_name("ppo").is_err());
        assert!(Loss::Dpo { label_smoothing: 0.6 }.validate().is_err());
        assert!(Loss::SimPo { gamma: f64::NAN }.validate().is_err());
    }
}
