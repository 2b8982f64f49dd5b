//! What a text has to be: the flags that commands share.

use std::path::Path;

use ruminate::Limits;
use ruminate::text::Grammar;

use crate::exit::Failure;

#[derive(clap::Args)]
#[group(id = "grammar", multiple = false)]
pub struct GrammarArgs {
    /// Hold the answer to JSON of this schema: a file, or the schema itself. Without `x-guidance` in the schema it is on one line.
    #[arg(long, env = "RUMINATE_JSON_SCHEMA", value_name = "FILE|TEXT")]
    json_schema: Option<String>,
    /// Hold the answer to a regular expression, which it matches as a whole.
    #[arg(long, env = "RUMINATE_REGEX", value_name = "PATTERN")]
    regex: Option<String>,
    /// Hold the answer to one of these texts.
    #[arg(long, env = "RUMINATE_CHOICE", value_name = "A,B,…", value_delimiter = ',')]
    choice: Vec<String>,
    /// Hold the whole text, with its thinking and the line of its answer, to a context-free grammar in llguidance's Lark: a file, or
    /// the grammar itself.
    #[arg(long, env = "RUMINATE_LARK", value_name = "FILE|TEXT")]
    lark: Option<String>,
}

impl GrammarArgs {
    /// The grammar, if one is asked for, behind `marker`.
    pub fn grammar(&self, marker: &str) -> Result<Option<Grammar>, Failure> {
        let grammar = if let Some(schema) = &self.json_schema {
            Grammar::json_schema(text(schema)?)?
        } else if let Some(pattern) = &self.regex {
            Grammar::regex(pattern)?
        } else if !self.choice.is_empty() {
            Grammar::choice(&self.choice)?
        } else if let Some(source) = &self.lark {
            return Ok(Some(Grammar::lark(text(source)?)?));
        } else {
            return Ok(None);
        };
        Ok(Some(grammar.after(marker)))
    }
}

/// What stands in the file of that name, or the text itself where it cannot be a name. A rule in Lark has a colon, which a name may
/// have too.
fn text(given: &str) -> Result<String, Failure> {
    let path = Path::new(given);
    if given.contains('\n') || given.trim_start().starts_with('{') || (given.contains(':') && !path.exists()) {
        return Ok(given.to_owned());
    }
    let failed = |e| Failure::file(path.display(), &e);
    let cap = Limits::default().grammar_bytes as u64;
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > cap {
        return Err(Failure::data(format!("{given} has {size} bytes, more than a grammar's cap of {cap}")));
    }
    std::fs::read_to_string(path).map_err(failed)
}
