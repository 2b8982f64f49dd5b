//! Tokens that one branch may hold.

use crate::error::{Error, Result};

/// Where the caller names none: enough for reasoning, and a bound on the KV of a branch that never ends.
const DEFAULT_N_CTX: usize = 4096;

/// What was asked for, or the default, for a model that was trained to hold `n_ctx_train`.
pub(super) fn n_ctx(asked: Option<usize>, n_ctx_train: usize) -> usize {
    asked.unwrap_or(n_ctx_train.min(DEFAULT_N_CTX))
}

/// The same; [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for none, and for more than the model was trained to hold.
pub(super) fn checked_n_ctx(asked: Option<usize>, n_ctx_train: usize) -> Result<usize> {
    let n_ctx = n_ctx(asked, n_ctx_train);
    if n_ctx == 0 || n_ctx > n_ctx_train {
        return Err(Error::invalid(format!("a context of {n_ctx} tokens; the model holds 1 to {n_ctx_train}")));
    }
    Ok(n_ctx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_within_what_the_model_holds() {
        assert_eq!((n_ctx(None, 512), n_ctx(None, 1 << 20), n_ctx(Some(7), 4)), (512, 4096, 7));
        assert_eq!(checked_n_ctx(Some(512), 512).unwrap(), 512);
        assert!(checked_n_ctx(Some(0), 512).is_err() && checked_n_ctx(Some(513), 512).is_err());
        assert!(checked_n_ctx(None, 0).is_err());
    }
}
