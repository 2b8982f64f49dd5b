//! Ctrl-C: the first one cancels what runs, the next one ends the program.

use std::sync::{Mutex, PoisonError};

use ruminate::observe::CancelToken;

use crate::exit::{Code, Failure};

/// The token of the work that runs.
static CURRENT: Mutex<Option<CancelToken>> = Mutex::new(None);

/// Installs the handler. Called once.
pub fn install() -> Result<(), Failure> {
    let handler = || {
        let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some(token) if !token.is_cancelled() => token.cancel(),
            _ => std::process::exit(Code::Interrupted as i32),
        }
    };
    ctrlc::set_handler(handler).map_err(|e| Failure::new(Code::Failure, format!("handling Ctrl-C: {e}")))
}

/// A token that the next Ctrl-C cancels, in place of the one before it.
pub fn token() -> CancelToken {
    let token = CancelToken::new();
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
    token
}
