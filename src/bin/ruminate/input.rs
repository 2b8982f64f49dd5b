//! Text from an argument, a file or standard input.

use std::io::{self, IsTerminal, Read};
use std::path::Path;

use ruminate::Limits;

use crate::exit::{Code, Failure};

/// The argument itself, or standard input where it is `-` or missing.
pub fn text(argument: Option<&str>, what: &str) -> Result<String, Failure> {
    match argument {
        Some(text) if text != "-" => Ok(text.to_owned()),
        None if io::stdin().is_terminal() => {
            Err(Failure::usage(format!("{what} is missing; give it, or `-` to read it")))
        }
        _ => read(io::stdin().lock(), "standard input"),
    }
}

/// The whole of a text file, or of standard input for `-`.
pub fn file(path: &Path) -> Result<String, Failure> {
    if path.as_os_str() == "-" {
        return read(io::stdin().lock(), "standard input");
    }
    let file = std::fs::File::open(path).map_err(|e| Failure::file(path.display(), &e))?;
    read(file, &path.display().to_string())
}

/// At most as much text as the tokenizer takes.
fn read(from: impl Read, name: &str) -> Result<String, Failure> {
    let cap = Limits::default().prompt_bytes;
    let mut text = String::new();
    match from.take(cap as u64 + 1).read_to_string(&mut text) {
        Ok(n) if n > cap => Err(Failure::usage(format!("{name} holds more than {cap} bytes"))),
        Ok(_) => Ok(text),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(Failure::data(format!("{name} is not UTF-8 text"))),
        Err(e) => Err(Failure::new(Code::Data, format!("reading {name}: {e}"))),
    }
}
