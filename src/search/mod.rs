//! Search for an answer within a budget.
