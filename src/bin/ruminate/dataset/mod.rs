//! Question sets with known answers, in the formats in which they are published.

mod format;
mod gold;
mod rows;
mod set_format;
pub mod steps;

use std::path::Path;

use ruminate::reason::Shot;

pub use self::format::Format;
pub use self::gold::Gold;
pub use self::rows::{rows, within};
pub use self::set_format::SetFormat;

use crate::exit::Failure;
use crate::input;

/// One question of a set.
#[derive(Debug, Clone)]
pub struct Question {
    pub text: String,
    /// What an answer is held against.
    pub gold: Gold,
    /// The worked answer, where the set has one.
    pub worked: Option<String>,
}

/// A question set, its rows in the file's order.
#[derive(Debug)]
pub struct Dataset {
    pub format: Format,
    pub questions: Vec<Question>,
}

impl Dataset {
    /// Reads `text`, in the given format or in the one that its first row shows.
    pub fn parse(text: &str, format: Option<Format>) -> Result<Self, String> {
        // Some tools begin a UTF-8 file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let format = match format {
            Some(format) => format,
            None => Format::of(text)?,
        };
        let questions = format.read(text)?;
        if questions.is_empty() {
            return Err("the question set has no row".to_owned());
        }
        Ok(Self { format, questions })
    }

    pub fn load(path: &Path, format: Option<Format>) -> Result<Self, Failure> {
        let text = input::file(path)?;
        Self::parse(&text, format).map_err(|e| Failure::data(format!("{}: {e}", path.display())))
    }
}

/// The worked examples of a question set, of which there have to be `n`.
pub fn shots(path: &Path, n: usize) -> Result<Vec<Shot>, Failure> {
    let set = Dataset::load(path, None)?;
    let worked = set.questions.into_iter().filter_map(|q| Some(Shot { question: q.text, answer: q.worked? }));
    let shots: Vec<Shot> = worked.collect();
    if shots.len() < n {
        let message = format!("{} holds {} worked answers, --n-shots asks for {n}", path.display(), shots.len());
        return Err(Failure::data(message));
    }
    Ok(shots)
}

#[cfg(test)]
mod tests;
