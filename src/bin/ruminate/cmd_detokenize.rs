//! `detokenize`: token ids to text.

use std::io::{self, Write};

use clap::builder::FalseyValueParser;
use ruminate::Limits;
use ruminate::text::{TokenId, Tokenizer};
use serde_json::json;

use crate::exit::Failure;
use crate::input;
use crate::output::Output;
use crate::source::SourceArgs;

/// Turn token ids into text.
#[derive(clap::Args)]
pub struct Args {
    /// The ids; nothing, or `-`, reads them from standard input, separated by blanks or commas.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// Spell control tokens out.
    #[arg(long, env = "RUMINATE_SPECIAL", value_parser = FalseyValueParser::new())]
    special: bool,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let tokenizer = Tokenizer::from_gguf(&args.source.open()?, &Limits::default())?;
    let given = args.ids.join(" ");
    let text = input::text(Some(given.as_str()).filter(|t| !t.is_empty()), "the list of ids")?;
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']')).filter(|w| !w.is_empty());
    let ids = words.map(|word| id(word, tokenizer.vocab_len())).collect::<Result<Vec<_>, _>>()?;
    let bytes = tokenizer.decode(&ids, args.special);
    if output.json {
        return output.document(&json!({"text": String::from_utf8_lossy(&bytes)}));
    }
    if output.terminal {
        return output.line(&crate::output::escape(&String::from_utf8_lossy(&bytes)));
    }
    // Into a pipe go the very bytes, whether or not they are whole code points.
    let mut stdout = io::stdout();
    stdout.write_all(&bytes).and_then(|()| stdout.write_all(b"\n")).map_err(|e| Failure::stdout(&e))
}

fn id(word: &str, vocab: usize) -> Result<TokenId, Failure> {
    match word.parse::<TokenId>() {
        Ok(id) if (id as usize) < vocab => Ok(id),
        _ => Err(Failure::usage(format!("{word:?} is no token id; ids are numbers below {vocab}"))),
    }
}
