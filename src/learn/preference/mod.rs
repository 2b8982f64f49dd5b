//! Small updates of a policy from preferences: DPO and its kin over a LoRA adapter, on a frozen, quantized base.
//!
//! The reference is the base with the adapter off, its log-probabilities computed once per example. Adapters of the last layers
//! only leave the states below them as they are, so those are computed once too.

mod adamw;
mod example;
mod loss;
mod measured;
mod params;
mod pass;
mod state;
mod trainer;

pub use self::example::{Example, Feedback, Preference, digest};
pub use self::loss::{Loss, PairLoss, Scored, SingleLoss};
pub use self::measured::{Measured, StepReport};
pub use self::params::TrainParams;
pub use self::trainer::Trainer;
