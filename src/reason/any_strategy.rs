//! [`AnyStrategy`]: a strategy that a user chose.

use std::ops::Deref;

use super::{Ensemble, Graph, GraphOfThoughts, Strategy, by_name};
use crate::error::{Error, Result};

/// A strategy that needs nothing but its name, or one made of examples, a graph or something else.
pub enum AnyStrategy {
    /// One of [`ALL`](super::ALL).
    Named(&'static dyn Strategy),
    /// One that was made.
    Made(Box<dyn Strategy + Send>),
}

impl AnyStrategy {
    /// As [`by_name`].
    pub fn by_name(name: &str) -> Result<Self> {
        by_name(name).map(Self::Named)
    }

    /// The one of this name and [`detail`](Strategy::detail), as a trace has them of a strategy that its name alone does not make.
    pub fn recorded(name: &str, detail: &str) -> Result<Self> {
        match (name, detail) {
            (GraphOfThoughts::NAME, graph) => Ok(Self::made(GraphOfThoughts::with(Graph::from_json(graph)?))),
            (Ensemble::NAME, shots) => Ok(Self::made(Ensemble::from_json(shots)?)),
            _ => Err(Error::format(format!("the strategy {name} has no detail: {detail:?}"))),
        }
    }

    /// One that was made.
    pub fn made(strategy: impl Strategy + Send + 'static) -> Self {
        Self::Made(Box::new(strategy))
    }
}

impl Deref for AnyStrategy {
    type Target = dyn Strategy;

    fn deref(&self) -> &(dyn Strategy + 'static) {
        match self {
            Self::Named(strategy) => *strategy,
            Self::Made(strategy) => &**strategy,
        }
    }
}
