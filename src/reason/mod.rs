//! Prompting: from a question to the tokens that a search goes on from.

mod cot;
mod direct;
mod few_shot;
mod prompt;
mod strategy;

pub use self::cot::ChainOfThought;
pub use self::direct::Direct;
pub use self::few_shot::{FewShot, Shot};
pub use self::prompt::prompt;
pub use self::strategy::{ALL, Strategy, by_name};
