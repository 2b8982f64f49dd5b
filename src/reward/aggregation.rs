//! How the values of a path's steps become one value of the path.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The value of a path from those of its steps.
///
/// It is no property of a reward model: published code takes the last (search-and-learn), the least (Math-Shepherd), the
/// product (PRM800K) or the mean (RLHFlow) of the same scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// The last step's.
    #[default]
    Last,
    /// The least of all steps.
    Min,
    /// The product of all steps.
    Product,
    /// The arithmetic mean of all steps.
    Mean,
    /// The mean of the last so many steps; at least 1.
    Window(usize),
}

impl Aggregation {
    /// The value of a path whose steps have these values, in order; `None` without steps.
    pub fn of(&self, steps: &[f32]) -> Option<f32> {
        match self {
            Self::Last => steps.last().copied(),
            Self::Min => steps.iter().copied().reduce(f32::min),
            Self::Product => {
                let product: f64 = steps.iter().map(|&x| f64::from(x)).product();
                (!steps.is_empty()).then_some(product as f32)
            }
            Self::Mean => mean(steps),
            Self::Window(size) => mean(steps.get(steps.len().saturating_sub((*size).max(1))..)?),
        }
    }

    /// `last`, `min`, `product`, `mean`, `window:N`.
    pub fn name(&self) -> String {
        match self {
            Self::Last => "last".into(),
            Self::Min => "min".into(),
            Self::Product => "product".into(),
            Self::Mean => "mean".into(),
            Self::Window(size) => format!("window:{size}"),
        }
    }

    /// The aggregation of that [`name`](Self::name); an error that lists them for any other.
    pub fn by_name(name: &str) -> Result<Self> {
        let window = || name.strip_prefix("window:")?.parse().ok().filter(|&size| size > 0).map(Self::Window);
        match name {
            "last" => Ok(Self::Last),
            "min" => Ok(Self::Min),
            "product" => Ok(Self::Product),
            "mean" => Ok(Self::Mean),
            _ => window().ok_or_else(|| {
                let names = "last, min, product, mean or window:N with N of at least 1";
                Error::invalid(format!("there is no aggregation {name:?}: give {names}"))
            }),
        }
    }
}

fn mean(steps: &[f32]) -> Option<f32> {
    let sum: f64 = steps.iter().map(|&x| f64::from(x)).sum();
    (!steps.is_empty()).then(|| (sum / steps.len() as f64) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Aggregation; 5] =
        [Aggregation::Last, Aggregation::Min, Aggregation::Product, Aggregation::Mean, Aggregation::Window(2)];

    #[test]
    fn each_takes_what_its_name_says() {
        let steps = [0.5, 0.25, 1.0];
        let values = ALL.map(|a| a.of(&steps).unwrap());
        assert_eq!(values, [1.0, 0.25, 0.125, 1.75 / 3.0, 0.625]);
        assert_eq!(Aggregation::Window(9).of(&steps), Aggregation::Mean.of(&steps));
        assert!(ALL.iter().all(|a| a.of(&[]).is_none()));
    }

    #[test]
    fn names_come_back() {
        for aggregation in ALL {
            assert_eq!(Aggregation::by_name(&aggregation.name()).unwrap(), aggregation);
        }
        for wrong in ["", "max", "window:0", "window:", "window:-1", "Last"] {
            assert!(Aggregation::by_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
