//! `run`: plain generation.

use clap::builder::FalseyValueParser;
use ruminate::engine::Engine;
use ruminate::observe::Interrupt;
use serde_json::json;

use crate::exit::{Code, Failure};
use crate::generate::{GenerateArgs, Request, generate};
use crate::grammar_args::GrammarArgs;
use crate::output::{Output, Style};
use crate::unveiled::Unveiled;
use crate::{input, process, signal};

/// Generate text, streamed.
#[derive(clap::Args)]
pub struct Args {
    /// The prompt; `-`, or nothing, reads standard input.
    #[arg(long, short, env = "RUMINATE_PROMPT")]
    prompt: Option<String>,
    /// Give the prompt to the model as it is, without its chat template.
    #[arg(long, env = "RUMINATE_RAW", value_parser = FalseyValueParser::new())]
    raw: bool,
    #[command(flatten)]
    grammar: GrammarArgs,
    /// Leave out the thinking of models that mark it.
    #[arg(long, env = "RUMINATE_HIDE_THINKING", value_parser = FalseyValueParser::new())]
    hide_thinking: bool,
    #[command(flatten)]
    generate: GenerateArgs,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let text = input::text(args.prompt.as_deref(), "--prompt")?;
    let grammar = args.grammar.grammar("")?;
    let mut model = args.generate.model.load()?;
    let guide = grammar.map(|grammar| model.tokenizer.guide(&grammar)).transpose()?;
    let prompt = if args.raw { model.encode_raw(&text)? } else { model.encode_chat(&[("user", &text)])? };
    if prompt.is_empty() {
        return Err(Failure::usage("the prompt has no tokens"));
    }
    let interrupt = Interrupt { cancel: signal::token(), deadline: None };
    let mut branch = model.engine.root()?;
    let thinking = model.thinking().filter(|_| !args.raw);
    let hidden = thinking.as_ref().filter(|_| args.hide_thinking);
    let mut answer = hidden.map(Unveiled::new);
    let mut show = |piece: &str| match &mut answer {
        _ if output.json => Ok(()),
        Some(answer) => output.stream(answer.push(piece)),
        None => output.stream(piece),
    };
    let request = Request { prompt: &prompt, guide, interrupt: &interrupt };
    let done = generate(&mut model, &mut branch, request, &args.generate, output, &mut show)?;
    if let Some(answer) = answer.filter(|_| !output.json) {
        output.stream(answer.finish())?;
    }
    let memory = model.engine.memory();
    if output.json {
        output.document(&json!({
            "text": hidden.map_or(done.text.as_str(), |thinking| thinking.visible(&done.text)),
            "thinking": thinking.as_ref().and_then(|thinking| thinking.thought(&done.text)),
            "tokens": done.tokens,
            "logprobs": done.logprobs,
            "stop_reason": done.stop_reason,
            "usage": {
                "prompt_tokens": prompt.len(),
                "policy_tokens": done.tokens.len(),
                "forward_passes": done.passes,
                "first_token_ms": done.to_first_token.as_secs_f64() * 1e3,
                "wall_ms": done.elapsed.as_secs_f64() * 1e3,
                "kv_peak_bytes": memory.kv_peak,
                "peak_bytes": process::peak_resident_bytes(),
            },
            "model": model.document(&args.generate.model.source.name()),
        }))?;
    } else {
        output.line("")?;
        let rest = done.elapsed.saturating_sub(done.to_first_token).as_secs_f64();
        let rate = done.tokens.len().saturating_sub(1) as f64 / rest.max(1e-9);
        let first = done.to_first_token.as_millis();
        let note = format!(
            "{} prompt tokens, first token after {first} ms, {} tokens at {rate:.1} per second ({})",
            prompt.len(),
            done.tokens.len(),
            done.stop_reason
        );
        output.note(Style::Dim, &note);
    }
    if done.stop_reason == "cancelled" { Err(Failure::quiet(Code::Interrupted)) } else { Ok(()) }
}
