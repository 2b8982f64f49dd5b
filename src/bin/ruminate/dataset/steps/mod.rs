//! Sets of solutions whose steps somebody labelled, in the formats in which they are published. They are read line by line, since
//! the whole sets are larger than a question set may be.

mod format;
mod math_shepherd;
mod omega_prm;
mod prm800k;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use ruminate::Limits;
use ruminate::learn::LabelledStep;
use sha2::{Digest, Sha256};

pub use self::format::StepFormat;

use crate::exit::Failure;

/// One row of a set: a question and a tree of labelled steps.
#[derive(Debug, Clone, PartialEq)]
pub struct StepQuestion {
    pub text: String,
    pub steps: Vec<LabelledStep>,
}

/// A set that was read once from beginning to end.
pub struct StepSet {
    pub path: PathBuf,
    pub format: StepFormat,
    /// 64 hex digits that stand for the file.
    pub digest: String,
    /// Rows.
    pub len: usize,
}

impl StepSet {
    /// The set at `path`, if its first row shows one of these formats or `format` says so.
    pub fn open(path: &Path, format: Option<StepFormat>) -> Result<Option<Self>, Failure> {
        // What can be read only once is left to whoever reads question sets.
        if format.is_none() && !std::fs::metadata(path).is_ok_and(|file| file.is_file()) {
            return Ok(None);
        }
        let (mut found, mut len, mut hash) = (format, 0, Sha256::new());
        for line in lines(path)? {
            let line = line?;
            if len == 0 && found.is_none() {
                found = StepFormat::of(&line);
                if found.is_none() {
                    return Ok(None);
                }
            }
            hash.update(&line);
            hash.update("\n");
            len += 1;
        }
        match found {
            Some(_) if len == 0 => Err(Failure::data(format!("{}: the set has no row", path.display()))),
            Some(format) => {
                let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
                Ok(Some(Self { path: path.to_owned(), format, digest, len }))
            }
            None => Ok(None),
        }
    }

    /// All rows with their numbers, counted from 0.
    pub fn rows(&self) -> Result<impl Iterator<Item = Result<(usize, String), Failure>> + use<>, Failure> {
        Ok(lines(&self.path)?.enumerate().map(|(number, line)| Ok((number, line?))))
    }
}

/// The lines of a file that hold something, none longer than a prompt may be.
fn lines(path: &Path) -> Result<impl Iterator<Item = Result<String, Failure>> + use<>, Failure> {
    let cap = Limits::default().prompt_bytes;
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| Failure::file(&name, &e))?;
    let mut input = BufReader::new(file);
    let mut begun = false;
    let next = move || -> Option<Result<String, Failure>> {
        loop {
            let mut line = Vec::new();
            match input.by_ref().take(cap as u64 + 1).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Err(e) => return Some(Err(Failure::file(&name, &e))),
                Ok(n) if n > cap => {
                    return Some(Err(Failure::data(format!("{name}: a row holds more than {cap} bytes"))));
                }
                Ok(_) => {}
            }
            let Ok(text) = String::from_utf8(line) else {
                return Some(Err(Failure::data(format!("{name} is not UTF-8 text"))));
            };
            // Some tools begin a UTF-8 file with a byte order mark.
            let text =
                if std::mem::replace(&mut begun, true) { text.as_str() } else { text.trim_start_matches('\u{feff}') };
            let text = text.trim();
            if !text.is_empty() {
                return Some(Ok(text.to_owned()));
            }
        }
    };
    Ok(std::iter::from_fn(next))
}
