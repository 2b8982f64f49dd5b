//! Sessions in files: the tokens that one holds, with their keys and values.

use std::ffi::c_char;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use ruminate::engine::Engine;
use ruminate::storage::save_atomic;
use ruminate::text::TokenId;
use ruminate::{Error, ErrorKind};

use crate::call::{clear, entry, hand_out};
use crate::model::{Model, rum_model};
use crate::session::{Session, rum_session, rum_session_options};
use crate::sized;
use crate::status::{Failure, rum_status};
use crate::text;

const MAGIC: &[u8; 8] = b"RUMSESS1";
/// Hexadecimal digits of a fingerprint.
const FINGERPRINT: usize = 32;

/// Writes what the session holds, with its keys and values, to the file at `path`, whole or not at all: a file that was there
/// before stays until the new one is complete.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_session_save(
    session: *mut rum_session,
    path: *const c_char,
    path_len: usize,
) -> rum_status {
    entry("rum_session_save", |call| {
        let session = call.receiver::<Session>(session)?;
        // SAFETY: the caller's promise.
        let path = unsafe { text::read(path, path_len, "the path") }?;
        let (motor, line) = session.value.lend()?;
        let saved = save_atomic(Path::new(path), |out| {
            let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(|e| failed("writing", &e));
            put(MAGIC)?;
            put(motor.engine.info().fingerprint.as_bytes())?;
            put(&(line.tokens.len() as u64).to_le_bytes())?;
            line.tokens.iter().try_for_each(|token| put(&token.to_le_bytes()))?;
            let branches: Vec<_> = line.branch.iter().collect();
            motor.engine.save(&branches, out)
        });
        Ok(saved?)
    })
}

/// A new session that goes on from the file that `rum_session_save` wrote with the same model, context and format of keys and
/// values; `options` may be NULL. The caller frees `out`. `RUM_ERR_FORMAT` for a damaged file, and one of another model or of one
/// with adapters, for which there is `rum_session_restore`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_session_load(
    model: *const rum_model,
    options: *const rum_session_options,
    path: *const c_char,
    path_len: usize,
    out: *mut *mut rum_session,
) -> rum_status {
    entry("rum_session_load", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let model = call.object::<Model>(model)?;
        // SAFETY: the caller's promise.
        let (path, options) =
            unsafe { (text::read(path, path_len, "the path")?, sized::read_or_initial(options, "the options")?) };
        let session = Session::new(model, &options)?;
        load(&session, path).map_err(|failure| failure.context(path))?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(session, out) }
    })
}

/// Has `session` go on from the file that `rum_session_save` wrote with the same model, adapters, context and format of keys and
/// values; what it holds is dropped. On failure nothing has changed. Otherwise as `rum_session_load`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_session_restore(
    session: *mut rum_session,
    path: *const c_char,
    path_len: usize,
) -> rum_status {
    entry("rum_session_restore", |call| {
        let session = call.receiver::<Session>(session)?;
        // SAFETY: the caller's promise.
        let path = unsafe { text::read(path, path_len, "the path") }?;
        load(&session.value, path).map_err(|failure| failure.context(path))
    })
}

fn load(session: &Session, path: &str) -> Result<(), Failure> {
    let (mut motor, mut line) = session.lend()?;
    let mut input = BufReader::new(File::open(path).map_err(|e| failed("opening", &e))?);
    let format = |message: &str| Failure::new(rum_status::RUM_ERR_FORMAT, message);
    let mut head = [0; MAGIC.len() + FINGERPRINT + 8];
    input.read_exact(&mut head).map_err(|e| failed("reading", &e))?;
    let (magic, rest) = head.split_at(MAGIC.len());
    let (fingerprint, count) = rest.split_at(FINGERPRINT);
    if magic != MAGIC {
        return Err(format("this file holds no saved session"));
    }
    let info = motor.engine.info();
    if fingerprint != info.fingerprint.as_bytes() {
        return Err(format("the saved session belongs to another model, or to other adapters"));
    }
    let count = count.iter().rev().fold(0, |n: u64, &byte| n << 8 | u64::from(byte));
    let count = usize::try_from(count).ok().filter(|&count| count <= info.n_ctx);
    let count = count.ok_or_else(|| format("the saved session holds more tokens than the context"))?;
    let mut tokens = Vec::with_capacity(count);
    for _ in 0..count {
        let mut token = [0; 4];
        input.read_exact(&mut token).map_err(|e| failed("reading", &e))?;
        tokens.push(TokenId::from_le_bytes(token));
    }
    if tokens.iter().any(|&token| token as usize >= info.n_vocab) {
        return Err(format("the saved session holds tokens outside the vocabulary"));
    }
    let mut branches = motor.engine.load(&mut input)?;
    let fits = match branches.as_slice() {
        [] => tokens.is_empty(),
        [branch] => motor.engine.len(branch) == tokens.len(),
        _ => false,
    };
    if !fits {
        branches.into_iter().for_each(|branch| motor.engine.release(branch));
        return Err(format("the saved session's tokens are not those of its keys and values"));
    }
    if let Some(old) = line.branch.take() {
        motor.engine.release(old);
    }
    line.branch = branches.pop();
    line.tokens = tokens;
    Ok(())
}

/// Reading past the end of a file means that it was cut short.
fn failed(doing: &str, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => ErrorKind::Format,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("{doing} the session: {error}"))
}
