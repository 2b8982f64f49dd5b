//! How a run ends: exit codes and the one line on standard error.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use ruminate::{Error, ErrorKind};

use crate::output;

/// The exit codes, which scripts depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Whoever read standard output went away: not a failure of ours.
    Ok = 0,
    Failure = 1,
    /// The request cannot be served as it was made: a wrong argument, a prompt longer than the context.
    Usage = 2,
    /// A model or data file is missing, broken or not supported.
    Data = 3,
    /// The budget ran out before there was any answer.
    Nothing = 4,
    Memory = 5,
    Interrupted = 130,
}

/// Why a command did not succeed.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    pub fn new(code: Code, message: impl Display) -> Self {
        Self { code, message: message.to_string() }
    }

    pub fn usage(message: impl Display) -> Self {
        Self::new(Code::Usage, message)
    }

    pub fn data(message: impl Display) -> Self {
        Self::new(Code::Data, message)
    }

    /// The failure of a file operation on a model or data file.
    pub fn file(doing: impl Display, error: &io::Error) -> Self {
        Self::new(Code::Data, format!("{doing}: {error}"))
    }

    /// A code alone: what there is to say was said.
    pub fn quiet(code: Code) -> Self {
        Self { code, message: String::new() }
    }

    /// The same failure, its message led by what was being done.
    pub fn context(self, doing: impl Display) -> Self {
        Self { message: format!("{doing}: {}", self.message), ..self }
    }

    /// Writes the one line and gives the exit code.
    pub fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            output::error_line(&self.message);
        }
        ExitCode::from(self.code as u8)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(code(error.kind()), error)
    }
}

impl Failure {
    /// Standard output could not be written. A closed pipe ends the program quietly.
    pub fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::quiet(Code::Ok);
        }
        Self::new(Code::Failure, format!("writing to standard output: {error}"))
    }
}

/// Prints what clap has to say: help as it is, an error as one line.
pub fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    if matches!(error.kind(), DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand) {
        return match error.print() {
            Ok(()) => ExitCode::from(error.exit_code().try_into().unwrap_or(Code::Usage as u8)),
            Err(e) => Failure::stdout(&e).report(),
        };
    }
    let text = error.to_string();
    let lines = text.lines().take_while(|l| !l.starts_with("Usage:")).map(str::trim).filter(|l| !l.is_empty());
    let line = lines.collect::<Vec<_>>().join("; ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    let line = line.trim_end_matches("For more information, try '--help'.").trim_end_matches("; ");
    output::error_line(&format!("{line}; `--help` lists what there is"));
    ExitCode::from(Code::Usage as u8)
}

fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Io | ErrorKind::Format | ErrorKind::Unsupported | ErrorKind::NonFinite | ErrorKind::FileChanged => {
            Code::Data
        }
        ErrorKind::InvalidArgument | ErrorKind::ContextLength => Code::Usage,
        ErrorKind::Memory => Code::Memory,
        ErrorKind::Cancelled => Code::Interrupted,
        _ => Code::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_error_have_the_documented_codes() {
        let cases = [
            (ErrorKind::Io, 3),
            (ErrorKind::Format, 3),
            (ErrorKind::Unsupported, 3),
            (ErrorKind::NonFinite, 3),
            (ErrorKind::FileChanged, 3),
            (ErrorKind::InvalidArgument, 2),
            (ErrorKind::ContextLength, 2),
            (ErrorKind::Memory, 5),
            (ErrorKind::Cancelled, 130),
            (ErrorKind::Internal, 1),
        ];
        for (kind, expected) in cases {
            assert_eq!(Failure::from(Error::new(kind, "x")).code as u8, expected, "{kind:?}");
        }
    }
}
