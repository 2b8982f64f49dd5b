//! Recipes: reward heads fitted on what a model's own samples show of their fate.
//!
//! [`collect`] draws solutions of questions with known answers and keeps, for every step, the hidden states at the rows that
//! drew it. By default all steps of a solution get the solution's outcome as their label. A step's label so estimates the probability
//! of a right answer from there on: it is the soft estimate of Math-Shepherd (Wang et al., arXiv 2312.08935) with a single
//! completion, the solution's own rest. Verifiers on hidden states under such labels are LiLaVe's (Piotrowski et al.,
//! arXiv 2504.16760). Labels of this kind are noisier than a judge's of each step (Zhang et al., arXiv 2501.07301) and cost
//! nothing but the samples. [`Labels`] has those that cost rollouts from the middle of solutions, and [`read_steps`] reads steps that
//! others wrote and labelled.
//!
//! Held against the *product* of a solution's values instead ([`Objective::Product`]), the outcome leaves it to the fit which step
//! was bad; on our models this ranks samples of one question better, with the values taken together over all steps. What votes are
//! weighted by has to tell samples of one question apart and nothing else: [`Objective::Ranking`] fits just that.
//!
//! [`fit`] turns the rows into a [`Head`](crate::reward::Head): a logistic regression or a small perceptron, chosen and
//! calibrated on questions that it was not fitted on. It is deterministic for any number of threads.

pub mod backprop;
mod collect;
mod design;
mod figures;
mod first_error;
mod fit;
mod fit_params;
mod grow;
mod judged;
mod labelled;
mod labels;
mod lbfgs;
mod linear;
mod mlp;
mod origin;
mod pairs;
mod part;
pub mod preference;
mod recorder;
mod report;
mod rows;
mod sums;
mod table;
#[cfg(test)]
mod tests;
mod trajectory;
mod tree_value;

pub use self::collect::{CollectParams, Question, collect, default_taps, sampling, tap_name};
pub use self::figures::Figures;
pub use self::fit::fit;
pub use self::fit_params::{FitParams, Kind, Objective};
pub use self::judged::Judged;
pub use self::labelled::{LabelledStep, read_steps};
pub use self::labels::{Labels, OmegaParams};
pub use self::origin::Origin;
pub use self::pairs::{PairParams, Prompt, pairs};
pub use self::recorder::{Recorded, Recorder};
pub use self::report::{Begun, PartFigures, Picked, Report, Size, Solutions, Tried};
pub use self::rows::{Block, Row, RowReader, RowWriter};
pub use self::table::Table;
pub use self::trajectory::{Trajectory, TrajectoryStep};
