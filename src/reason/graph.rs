//! The operations of a Graph of Thoughts: what is done with which thoughts, as data.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Operations, thoughts that one operation makes, and samples of a score, at most.
const MOST: usize = 64;
/// Thoughts that one operation gets or makes, times the samples of a score, at most: they are asked for at once.
const MOST_THOUGHTS: usize = 4_096;

/// A graph of operations without circles. As JSON a list of operations, each with the numbers of those that it follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Graph {
    operations: Vec<Operation>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// What it does with the thoughts that it gets.
    #[serde(flatten)]
    pub kind: Kind,
    /// The operations whose thoughts it gets, by their places in the list, counted from 0.
    #[serde(default)]
    pub after: Vec<usize>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Makes new solutions; it follows nothing.
    Generate {
        /// How many.
        n: usize,
    },
    /// Gives each thought a score: the mean of so many ratings.
    Score {
        /// Ratings of each.
        samples: usize,
    },
    /// Hands on the thoughts with the best scores.
    KeepBest {
        /// How many.
        n: usize,
    },
    /// Makes new solutions of all thoughts together.
    Aggregate {
        /// How many.
        n: usize,
    },
    /// Makes a better solution of each thought.
    Refine,
}

impl Graph {
    /// A graph of these operations; an error names the first that cannot be, such as one in a circle.
    pub fn new(operations: Vec<Operation>) -> Result<Self> {
        let graph = Self { operations };
        graph.validate()?;
        Ok(graph)
    }

    /// The graph that a JSON text describes.
    pub fn from_json(text: &str) -> Result<Self> {
        let graph: Self =
            serde_json::from_str(text).map_err(|e| Error::format(format!("no graph of operations: {e}")))?;
        graph.validate()?;
        Ok(graph)
    }

    /// Solutions are generated and scored, the best two put together and refined, and the best of all that is kept.
    pub fn usual() -> Self {
        let operation = |kind, after: &[usize]| Operation { kind, after: after.to_vec() };
        Self {
            operations: vec![
                operation(Kind::Generate { n: 4 }, &[]),
                operation(Kind::Score { samples: 2 }, &[0]),
                operation(Kind::KeepBest { n: 2 }, &[1]),
                operation(Kind::Aggregate { n: 2 }, &[2]),
                operation(Kind::Refine, &[3]),
                operation(Kind::Score { samples: 2 }, &[4]),
                operation(Kind::KeepBest { n: 1 }, &[2, 5]),
            ],
        }
    }

    /// The operations in an order in which each comes behind those that it follows, by their places in the list.
    pub fn order(&self) -> Result<Vec<usize>> {
        let mut order: Vec<usize> = Vec::new();
        while order.len() < self.operations.len() {
            let ready = self.operations.iter().enumerate().find(|(index, operation)| {
                !order.contains(index) && operation.after.iter().all(|before| order.contains(before))
            });
            let (next, _) = ready.ok_or_else(|| Error::invalid("the operations follow each other in a circle"))?;
            order.push(next);
        }
        Ok(order)
    }

    /// The operations, in the order of the list.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    fn validate(&self) -> Result<()> {
        let count = self.operations.len();
        if !(1..=MOST).contains(&count) {
            return Err(Error::invalid(format!("a graph of {count} operations; 1 to {MOST} are possible")));
        }
        for (index, Operation { kind, after }) in self.operations.iter().enumerate() {
            let n = match *kind {
                Kind::Generate { n } | Kind::KeepBest { n } | Kind::Aggregate { n } | Kind::Score { samples: n } => n,
                Kind::Refine => 1,
            };
            let starts = matches!(kind, Kind::Generate { .. });
            let fault = if !(1..=MOST).contains(&n) {
                format!("its number is {n}; 1 to {MOST} are possible")
            } else if after.iter().any(|&before| before >= count) {
                "it follows an operation that there is not".to_owned()
            } else if after.iter().enumerate().any(|(i, before)| after.iter().take(i).any(|other| other == before)) {
                "it follows an operation twice".to_owned()
            } else if starts != after.is_empty() {
                "only `generate` follows nothing, and always".to_owned()
            } else {
                continue;
            };
            return Err(Error::invalid(format!("operation {index}: {fault}")));
        }
        self.check_thoughts()
    }

    /// Operations that hand on what several gave them double the thoughts with each other.
    fn check_thoughts(&self) -> Result<()> {
        let mut made = vec![0; self.operations.len()];
        for index in self.order()? {
            let Some(Operation { kind, after }) = self.operations.get(index) else { continue };
            let given: usize = after.iter().filter_map(|&before| made.get(before)).sum();
            let (asked, makes) = match *kind {
                Kind::Generate { n } | Kind::Aggregate { n } => (given, n),
                Kind::Score { samples } => (given * samples, given),
                Kind::KeepBest { n } => (given, n.min(given)),
                Kind::Refine => (given, given),
            };
            if asked > MOST_THOUGHTS {
                return Err(Error::invalid(format!(
                    "operation {index}: {asked} thoughts and ratings at once; {MOST_THOUGHTS} are possible"
                )));
            }
            if let Some(place) = made.get_mut(index) {
                *place = makes;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_the_same_after_json_and_what_cannot_be_run_is_refused() {
        let usual = Graph::usual();
        assert!(usual.validate().is_ok());
        let json = serde_json::to_string(&usual).unwrap();
        assert_eq!(Graph::from_json(&json).unwrap(), usual);
        assert!(json.starts_with(r#"[{"operation":"generate","n":4,"after":[]}"#), "{json}");
        for (text, says) in [
            ("[]", "0 operations"),
            ("{}", "no graph"),
            (r#"[{"operation":"generate","n":0}]"#, "its number"),
            (r#"[{"operation":"generate","n":65}]"#, "its number"),
            (r#"[{"operation":"refine"}]"#, "only `generate`"),
            (r#"[{"operation":"generate","n":1,"after":[0]}]"#, "only `generate`"),
            (r#"[{"operation":"generate","n":1},{"operation":"refine","after":[7]}]"#, "not"),
            (r#"[{"operation":"refine","after":[1]},{"operation":"refine","after":[0]}]"#, "circle"),
            (r#"[{"operation":"explode"}]"#, "no graph"),
            (r#"[{"operation":"generate","n":1},{"operation":"refine","after":[0,0]}]"#, "twice"),
            (
                r#"[{"operation":"generate","n":64},{"operation":"refine","after":[0]},{"operation":"score","samples":64,"after":[0,1]}]"#,
                "operation 2: 8192 thoughts",
            ),
        ] {
            let error = Graph::from_json(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let all_before = |index| Operation { kind: Kind::Refine, after: (0..index).collect() };
        let first = Operation { kind: Kind::Generate { n: 1 }, after: Vec::new() };
        let doubling = Graph::new(std::iter::once(first).chain((1..MOST).map(all_before)).collect()).unwrap_err();
        assert!(doubling.to_string().contains("operation 14: 8192 thoughts"), "{doubling}");
        let backwards = r#"[{"operation":"refine","after":[1]},{"operation":"generate","n":1}]"#;
        assert_eq!(Graph::from_json(backwards).unwrap().order().unwrap(), [1, 0]);
    }
}
