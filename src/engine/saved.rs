//! What saved KV begins with: whose it is.

use std::io::{Read, Write};

use crate::error::{Error, Result};
use crate::model::Rope;
use crate::storage::wire::{get_text, get_u64, put_text, put_u64};

/// Bytes of a fingerprint in a file, at most; ours have 32.
const MAX_FINGERPRINT: u64 = 128;

/// Writes the [fingerprint](crate::engine::ModelInfo::fingerprint), and `shape`: what else has to be alike.
pub(super) fn put_owner(out: &mut dyn Write, fingerprint: &str, shape: &[u64]) -> Result<()> {
    put_text(out, fingerprint)?;
    shape.iter().try_for_each(|&n| put_u64(out, n))
}

/// Reads what [`put_owner`] wrote; an error unless all of it is alike.
pub(super) fn check_owner(input: &mut dyn Read, fingerprint: &str, shape: &[u64]) -> Result<()> {
    if get_text(input, MAX_FINGERPRINT, "the saved KV's model")? != fingerprint {
        return Err(Error::format("the saved KV belongs to another model, or to other adapters"));
    }
    for &expected in shape {
        if get_u64(input)? != expected {
            return Err(Error::format(
                "the saved KV belongs to another backend or version, to another --kv format, or to a context of a length for \
                 which the model rotates keys otherwise",
            ));
        }
    }
    Ok(())
}

/// Which rotations a context of `n_ctx` tokens has, since saved keys are rotated: 1 where they are not those of a short one (LongRoPE).
pub(super) fn rotations(rope: &Rope, n_ctx: usize) -> u64 {
    u64::from(rope.frequencies(n_ctx) != rope.frequencies(1))
}
