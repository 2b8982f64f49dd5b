//! Recording a search: the flags that commands share, and the file.

use std::fs::File;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use ruminate::observe::Observer;
use ruminate::search::{Outcome, SearchParams};
use ruminate::text::TokenId;
use ruminate::trace::{AdapterRecord, Header, PromptRecord, TraceWriter};

use crate::adapter_args::AdapterArg;
use crate::exit::Failure;
use crate::model::{Loaded, ModelArgs};

#[derive(clap::Args)]
pub struct RecordArgs {
    /// Write what the search does to this file, as JSON lines, for `trace view`, `trace replay` and `trace export`.
    #[arg(long, env = "RUMINATE_TRACE", value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write text as it grows too, so that the trace of a search that was killed has it.
    #[arg(long, env = "RUMINATE_TRACE_TEXT", requires = "trace", value_parser = FalseyValueParser::new())]
    pub trace_text: bool,
}

impl RecordArgs {
    /// Runs `search` under an observer that records it, if that is wanted, and passes everything on to `inner`. The second
    /// value tells whether the trace could be written: what the search found does not depend on it.
    pub fn around(
        &self,
        header: &Header,
        inner: &mut dyn Observer,
        search: impl FnOnce(&mut dyn Observer) -> ruminate::Result<Outcome>,
    ) -> Result<(ruminate::Result<Outcome>, Result<(), Failure>), Failure> {
        let Some(path) = &self.trace else { return Ok((search(inner), Ok(()))) };
        let file = File::create(path).map_err(|e| Failure::file(path.display(), &e))?;
        let mut writer = TraceWriter::new(file, header, inner).with_text(self.trace_text);
        let outcome = search(&mut writer);
        let written = writer.finish(&outcome).map(drop).map_err(|e| Failure::from(e).context(path.display()));
        Ok((outcome, written))
    }
}

/// Everything that a replay needs to know.
pub fn header(
    model: &Loaded,
    args: &ModelArgs,
    question: &str,
    strategy: &str,
    prompt: &[TokenId],
    params: &SearchParams,
) -> Header {
    let text = String::from_utf8_lossy(&model.tokenizer.decode(prompt, true)).into_owned();
    let mut header = Header::new(&model.engine, PromptRecord { text, tokens: prompt.to_vec() }, params);
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string();
    header.model.path = args.source.model.as_ref().map(absolute);
    let adapter = |a: &AdapterArg| AdapterRecord { path: absolute(&a.file), scale: a.scale };
    header.model.adapters = args.adapters.iter().map(adapter).collect();
    header.model.backend = model.other_backend().map(str::to_owned);
    header.model.kv_type = Some(model.options.kv_type.name().to_owned());
    header.question = question.to_owned();
    header.strategy = Some(strategy.to_owned());
    header
}
