//! Reasoning: how a question is put to a model, in one prompt or in many calls that build on each other.
//!
//! A [`Strategy`] is either one prompt, which any search algorithm goes on from, or a method of several calls: straight-line
//! code at a [`Desk`], whose every reply is a node of one search, within its budget, its trace and its replay.

pub mod calc;
pub mod tools;

mod any_strategy;
mod ask;
mod conversation;
mod cot;
mod debate;
mod desk;
mod direct;
mod ensemble;
mod few_shot;
mod graph;
mod graph_of_thoughts;
mod inquiry;
mod journal;
mod lines;
mod memory;
mod plan;
mod program_aided;
mod prompt;
mod prompts;
mod react;
mod refine;
mod run;
mod strategy;
mod tree_of_thoughts;
mod verify;

#[cfg(test)]
mod tests;

pub use self::any_strategy::AnyStrategy;
pub use self::ask::Ask;
pub use self::cot::ChainOfThought;
pub use self::debate::Debate;
pub use self::desk::{Asked, Desk, Reply, all};
pub use self::direct::Direct;
pub use self::ensemble::Ensemble;
pub use self::few_shot::{FewShot, Shot};
pub use self::graph::{Graph, Kind, Operation};
pub use self::graph_of_thoughts::GraphOfThoughts;
pub use self::inquiry::{Inquiry, Resources, Setting};
pub use self::memory::Memory;
pub use self::plan::Plan;
pub use self::program_aided::ProgramAided;
pub use self::prompt::prompt;
pub use self::prompts::Prompts;
pub use self::react::React;
pub use self::refine::Refine;
pub use self::strategy::{ALL, Running, Steps, Strategy, by_name};
pub use self::tree_of_thoughts::{TreeOfThoughts, ValuedBy};
pub use self::verify::Verify;
