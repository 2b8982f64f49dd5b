//! `tokenize`: text to token ids.

use clap::builder::FalseyValueParser;
use ruminate::Limits;
use ruminate::text::{EncodeOptions, Tokenizer};
use serde_json::json;

use crate::exit::Failure;
use crate::input;
use crate::output::{Output, escape_line};
use crate::source::SourceArgs;

/// Turn text into token ids.
#[derive(clap::Args)]
pub struct Args {
    /// The text; `-`, or nothing, reads standard input.
    text: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// Do not add the tokens that the model wants around a text.
    #[arg(long, env = "RUMINATE_NO_SPECIAL", value_parser = FalseyValueParser::new())]
    no_special: bool,
    /// Read names of control tokens, such as <|im_end|>, as those tokens.
    #[arg(long, env = "RUMINATE_PARSE_SPECIAL", value_parser = FalseyValueParser::new())]
    parse_special: bool,
    /// Show each token's text beside its id.
    #[arg(long, env = "RUMINATE_PIECES", value_parser = FalseyValueParser::new())]
    pieces: bool,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let tokenizer = Tokenizer::from_gguf(&args.source.open()?, &Limits::default())?;
    let text = input::text(args.text.as_deref(), "the text")?;
    let options = EncodeOptions { add_special: !args.no_special, parse_special: args.parse_special };
    let ids = tokenizer.encode(&text, options)?;
    let piece = |id| String::from_utf8_lossy(tokenizer.token_bytes(id).unwrap_or_default()).into_owned();
    if output.json {
        let pieces: Vec<String> = ids.iter().map(|id| piece(*id)).collect();
        return output.document(&json!({"tokens": ids, "pieces": pieces, "count": ids.len()}));
    }
    if args.pieces {
        return ids.iter().try_for_each(|id| output.line(&format!("{id:>8}  {}", escape_line(&piece(*id)))));
    }
    output.line(&ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))
}
