//! Search for an answer within a budget.

pub mod answer;
