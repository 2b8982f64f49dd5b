//! [`Product`]: several judges as one.

use crate::engine::Tap;
use crate::error::{Error, Result};
use crate::observe::Interrupt;
use crate::reward::{Aggregation, Features, Judge, JudgeUsage, Step, StepId, one_for_each};

/// How the values of several judges become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Their product: each judge has a veto. ReProbe's authors report that a probe times a PRM beats either alone.
    Product,
    /// Their arithmetic mean.
    Mean,
}

/// Several judges, asked about every step; their values become one.
pub struct Product {
    name: String,
    mix: Mix,
    judges: Vec<Box<dyn Judge>>,
    /// The judges' taps one after the other.
    taps: Vec<Tap>,
}

impl Product {
    /// `judges` as one; an error without any.
    pub fn new(mix: Mix, judges: Vec<Box<dyn Judge>>) -> Result<Self> {
        if judges.is_empty() {
            return Err(Error::invalid("a product of judges needs at least one"));
        }
        let names: Vec<&str> = judges.iter().map(|judge| judge.name()).collect();
        let name = match mix {
            Mix::Product => names.join("*"),
            Mix::Mean => format!("mean({})", names.join(",")),
        };
        let taps = judges.iter().flat_map(|judge| judge.taps().to_vec()).collect();
        Ok(Self { name, mix, judges, taps })
    }
}

impl Judge for Product {
    fn name(&self) -> &str {
        &self.name
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// The first judge's.
    fn aggregation(&self) -> Aggregation {
        self.judges.first().map_or(Aggregation::Last, |judge| judge.aggregation())
    }

    fn wants_entropy(&self) -> bool {
        self.judges.iter().any(|judge| judge.wants_entropy())
    }

    fn begin(&mut self, question: &str) -> Result<()> {
        self.judges.iter_mut().try_for_each(|judge| judge.begin(question))
    }

    fn judge(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> Result<Vec<f32>> {
        let all = self.taps.len();
        let mut from = 0;
        let mut values = vec![if self.mix == Mix::Product { 1.0 } else { 0.0 }; steps.len()];
        let share = 1.0 / self.judges.len() as f64;
        for judge in &mut self.judges {
            let to = from + judge.taps().len();
            let features: Vec<Option<Features>> =
                steps.iter().map(|step| part(step.features?, from, to, all)).collect();
            let own = steps.iter().zip(&features).map(|(step, features)| Step { features: features.as_ref(), ..*step });
            let own: Vec<Step<'_>> = own.collect();
            let judged = one_for_each(judge.judge(&own, interrupt)?, steps.len(), judge.name())?;
            for (value, new) in values.iter_mut().zip(judged) {
                match self.mix {
                    Mix::Product => *value *= f64::from(new),
                    Mix::Mean => *value += f64::from(new) * share,
                }
            }
            from = to;
        }
        Ok(values.into_iter().map(|value| value as f32).collect())
    }

    fn recall(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> Result<()> {
        self.judges.iter_mut().try_for_each(|judge| judge.recall(steps, interrupt))
    }

    fn release(&mut self, step: StepId) {
        self.judges.iter_mut().for_each(|judge| judge.release(step));
    }

    fn usage(&self) -> JudgeUsage {
        self.judges.iter().map(|judge| judge.usage()).fold(JudgeUsage::default(), |sum, one| JudgeUsage {
            tokens: sum.tokens + one.tokens,
            passes: sum.passes + one.passes,
            kv_bytes: sum.kv_bytes + one.kv_bytes,
        })
    }
}

/// The states of taps `from..to` out of `all`; `None` for no taps.
fn part(features: &Features, from: usize, to: usize, all: usize) -> Option<Features> {
    if from == to {
        return None;
    }
    let cut = |row: &[f32]| {
        let n_embd = row.len() / all.max(1);
        row.get(from * n_embd..to * n_embd).unwrap_or_default().to_vec()
    };
    Some(Features { last: cut(&features.last), sum: cut(&features.sum), count: features.count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::reward::Host;

    /// Gives the first number of its features, or a half without any.
    struct First(Vec<Tap>);

    impl Judge for First {
        fn name(&self) -> &str {
            "first"
        }

        fn taps(&self) -> &[Tap] {
            &self.0
        }

        fn judge(&mut self, steps: &[Step<'_>], _: &Interrupt) -> Result<Vec<f32>> {
            assert!(steps.iter().all(|s| s.features.is_some() != self.0.is_empty()));
            assert!(steps.iter().all(|s| s.features.is_none_or(|f| f.last.len() == 2 * self.0.len())));
            Ok(steps.iter().map(|s| s.features.map_or(0.5, |f| f.last[0])).collect())
        }

        fn usage(&self) -> JudgeUsage {
            JudgeUsage { tokens: 3, passes: 2, kv_bytes: 1 }
        }
    }

    fn step(features: Option<&Features>) -> Step<'_> {
        let (id, parent) = (StepId(1), StepId::ROOT);
        Step { id, parent, text: "", path: "", tokens: &[], draws: &[], features, complete: false }
    }

    #[test]
    fn each_judge_gets_its_own_states() {
        let features = Features { last: vec![0.25, 0.0, 0.5, 0.0, 0.75, 0.0], sum: vec![0.0; 6], count: 1 };
        let step = step(Some(&features));
        for (mix, expected) in [(Mix::Product, 0.25 * 0.5 * 0.5), (Mix::Mean, (0.25 + 0.5 + 0.5) / 3.0)] {
            let taps = [vec![Tap::Layer(1)], vec![], vec![Tap::Layer(0), Tap::Final]];
            let judges = taps.map(|taps| Box::new(First(taps)) as Box<dyn Judge>);
            let mut product = Product::new(mix, judges.into()).unwrap();
            assert_eq!(product.taps(), [Tap::Layer(1), Tap::Layer(0), Tap::Final]);
            let value = product.judge(&[step], &Interrupt::default()).unwrap()[0];
            assert!((value - expected).abs() < 1e-6, "{value}");
            assert_eq!(product.usage(), JudgeUsage { tokens: 9, passes: 6, kv_bytes: 3 });
        }
    }

    #[test]
    fn an_error_of_one_is_the_error_of_all() {
        assert!(Product::new(Mix::Mean, Vec::new()).is_err());
        let broken = Host::new("broken", |_: &[Step<'_>], _: &Interrupt| Err(Error::invalid("no")));
        let mut product = Product::new(Mix::Mean, vec![Box::new(broken)]).unwrap();
        assert!(product.judge(&[], &Interrupt::default()).is_err());
    }

    #[test]
    fn a_judge_that_leaves_a_step_out_is_an_error() {
        /// Values nothing.
        struct Silent;

        impl Judge for Silent {
            fn name(&self) -> &str {
                "silent"
            }

            fn judge(&mut self, _: &[Step<'_>], _: &Interrupt) -> Result<Vec<f32>> {
                Ok(Vec::new())
            }
        }

        let step = step(None);
        let mut product = Product::new(Mix::Product, vec![Box::new(Silent)]).unwrap();
        let error = product.judge(&[step], &Interrupt::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.to_string().contains("silent gave 0 values for 1 steps"), "{error}");
    }
}
