//! `inspect`: what a GGUF file holds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use ruminate::gguf::{Array, Gguf, Metadata, Value};
use ruminate::storage::LoadMode;
use serde_json::json;

use crate::exit::Failure;
use crate::output::{Output, Style, escape_line};
use crate::{size, source};

/// Characters of a metadata value that the text form shows.
const SHOWN: usize = 100;

/// Show what a GGUF file holds: kind, architecture, tensors by type, tokenizer, template, fingerprint.
#[derive(clap::Args)]
pub struct Args {
    /// The file; of a split model, its first part.
    file: PathBuf,
    /// List every tensor.
    #[arg(long, env = "RUMINATE_TENSORS", value_parser = FalseyValueParser::new())]
    tensors: bool,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    // Reading only the directory touches few of the mapping's pages.
    let gguf = source::open(&args.file, LoadMode::Mmap)?;
    let summary = Summary::of(&gguf)?;
    if output.json { document(args, output, &gguf, &summary) } else { text(args, output, &gguf, &summary) }
}

struct Summary<'a> {
    kind: &'a str,
    architecture: &'a str,
    name: &'a str,
    parameters: u64,
    /// By type: tensors and bytes.
    types: BTreeMap<String, (usize, u64)>,
    tokenizer: &'a str,
    pre_tokenizer: &'a str,
    tokens: usize,
    template_bytes: Option<usize>,
}

impl<'a> Summary<'a> {
    fn of(gguf: &'a Gguf) -> Result<Self, Failure> {
        let metadata = gguf.metadata();
        let text = |key: &str| metadata.str(key).map(Option::unwrap_or_default);
        let mut types: BTreeMap<String, (usize, u64)> = BTreeMap::new();
        for tensor in gguf.tensors() {
            let (count, bytes) = types.entry(format!("{:?}", tensor.ty)).or_default();
            (*count, *bytes) = (*count + 1, bytes.saturating_add(tensor.byte_len() as u64));
        }
        let tokens = match metadata.get("tokenizer.ggml.tokens") {
            Some(Value::Array(Array::Str(tokens))) => tokens.len(),
            _ => 0,
        };
        Ok(Self {
            kind: kind(gguf, text("general.type")?),
            architecture: text("general.architecture")?,
            name: text("general.name")?,
            parameters: gguf.tensors().iter().fold(0, |sum, t| sum.saturating_add(t.elements())),
            types,
            tokenizer: text("tokenizer.ggml.model")?,
            pre_tokenizer: text("tokenizer.ggml.pre")?,
            tokens,
            template_bytes: metadata.str("tokenizer.chat_template")?.map(str::len),
        })
    }
}

/// What the file says it is; a file that does not say is a model if it has token embeddings.
fn kind<'a>(gguf: &Gguf, stated: &'a str) -> &'a str {
    match stated {
        "" if gguf.tensor("token_embd.weight").is_some() => "model",
        "" if gguf.tensors().is_empty() => "vocabulary or metadata only",
        "" => "unknown",
        stated => stated,
    }
}

fn text(args: &Args, output: &Output, gguf: &Gguf, summary: &Summary<'_>) -> Result<(), Failure> {
    let row = |label: &str, value: String| {
        let label = format!("{label:<14}");
        output.line(&format!("{} {value}", output.paint(Style::Bold, &label)))
    };
    let (bytes, version, alignment) = (size::show(gguf.file_len()), gguf.version(), gguf.alignment());
    let parts = match gguf.bytes().len() {
        1 => String::new(),
        n => format!(", {n} files"),
    };
    row("file", escape_line(&args.file.display().to_string()))?;
    row("size", format!("{bytes}{parts}, GGUF version {version}, aligned to {alignment} bytes"))?;
    row("kind", escape_line(summary.kind))?;
    row("architecture", escape_line(summary.architecture))?;
    row("name", escape_line(summary.name))?;
    row("parameters", summary.parameters.to_string())?;
    let types = summary.types.iter().map(|(ty, (count, bytes))| format!("{count} {ty} ({})", size::show(*bytes)));
    row("tensors", format!("{}: {}", gguf.tensors().len(), types.collect::<Vec<_>>().join(", ")))?;
    let pre = if summary.pre_tokenizer.is_empty() { String::new() } else { format!(" ({})", summary.pre_tokenizer) };
    row("tokenizer", escape_line(&format!("{}{pre}, {} tokens", summary.tokenizer, summary.tokens)))?;
    row("chat template", summary.template_bytes.map_or_else(|| "none".to_owned(), |n| format!("{n} bytes")))?;
    row("fingerprint", gguf.fingerprint().to_owned())?;
    output.line("")?;
    for (key, value) in gguf.metadata().iter() {
        output.line(&format!("{} = {}", escape_line(key), shown(value)))?;
    }
    if args.tensors {
        output.line("")?;
        for tensor in gguf.tensors() {
            let shape = tensor.shape().iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
            output.line(&format!("{:<40} {:?} {shape}", escape_line(&tensor.name), tensor.ty))?;
        }
    }
    Ok(())
}

fn document(args: &Args, output: &Output, gguf: &Gguf, summary: &Summary<'_>) -> Result<(), Failure> {
    let types = summary.types.iter().map(|(ty, (count, bytes))| json!({"type": ty, "count": count, "bytes": bytes}));
    let id = |key: &str| gguf.metadata().u32(key);
    let mut document = json!({
        "file": args.file,
        "bytes": gguf.file_len(),
        "files": gguf.bytes().len(),
        "version": gguf.version(),
        "alignment": gguf.alignment(),
        "kind": summary.kind,
        "architecture": summary.architecture,
        "name": summary.name,
        "parameters": summary.parameters,
        "n_tensors": gguf.tensors().len(),
        "tensor_types": types.collect::<Vec<_>>(),
        "tokenizer": {
            "model": summary.tokenizer,
            "pre": summary.pre_tokenizer,
            "n_tokens": summary.tokens,
            "bos": id("tokenizer.ggml.bos_token_id")?,
            "eos": id("tokenizer.ggml.eos_token_id")?,
        },
        "chat_template_bytes": summary.template_bytes,
        "fingerprint": gguf.fingerprint(),
        "metadata": metadata(gguf.metadata()),
    });
    if args.tensors {
        let tensors = gguf
            .tensors()
            .iter()
            .map(|t| json!({"name": t.name, "type": format!("{:?}", t.ty), "shape": t.shape(), "bytes": t.byte_len()}));
        document["tensors"] = tensors.collect::<Vec<_>>().into();
    }
    output.document(&document)
}

/// Scalars as they are; of an array, its type and length.
fn metadata(metadata: &Metadata) -> serde_json::Value {
    let entries = metadata.iter().map(|(key, value)| {
        let value = match value {
            Value::Array(a) => json!({"type": a.type_name(), "len": a.len()}),
            Value::Bool(b) => json!(b),
            Value::U64(n) => json!(n),
            Value::I64(n) => json!(n),
            Value::U8(n) => json!(n),
            Value::I8(n) => json!(n),
            Value::U16(n) => json!(n),
            Value::I16(n) => json!(n),
            Value::U32(n) => json!(n),
            Value::I32(n) => json!(n),
            // JSON has no NaN and no infinity: those become null.
            Value::F32(n) => json!(n),
            Value::F64(n) => json!(n),
            Value::Str(s) => json!(s),
            other => json!({"type": other.type_name()}),
        };
        (key.to_owned(), value)
    });
    entries.collect::<serde_json::Map<_, _>>().into()
}

/// A value on one line, cut and escaped.
fn shown(value: &Value) -> String {
    match value {
        Value::Str(s) => {
            let cut: String = s.chars().take(SHOWN).collect();
            let dots = if cut.len() < s.len() { "…" } else { "" };
            format!("\"{}\"{dots}", escape_line(&cut))
        }
        Value::Array(a) => format!("{} of length {}", a.type_name(), a.len()),
        other => other.scalar_text().unwrap_or_else(|| other.type_name().to_owned()),
    }
}
