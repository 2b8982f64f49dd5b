//! `chat`: `run` in turns.

use std::io::{self, BufRead, IsTerminal, Write};

use ruminate::engine::{Branch, Engine};
use ruminate::observe::Interrupt;
use ruminate::text::TokenId;
use serde_json::json;

use crate::exit::Failure;
use crate::generate::{CONTEXT, GenerateArgs, Request, generate};
use crate::model::Loaded;
use crate::output::{Output, Style};
use crate::signal;

/// Talk with a model. One line is one turn; Ctrl-C ends a reply, Ctrl-D the talk, and so does a turn that the context cannot hold.
#[derive(clap::Args)]
pub struct Args {
    /// What the model is told before the talk.
    #[arg(long, env = "RUMINATE_SYSTEM", value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    generate: GenerateArgs,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let mut model = args.generate.model.load()?;
    let mut talk = Talk { messages: Vec::new(), branch: model.engine.root()?, held: Vec::new() };
    talk.messages.extend(args.system.clone().map(|text| ("system", text)));
    let ended = talk.turns(&mut model, args, output);
    // What was said until then does not depend on how the talk ended.
    if output.json {
        let messages = talk.messages.iter().map(|(role, text)| json!({"role": role, "content": text}));
        let model = model.document(&args.generate.model.source.name());
        output.document(&json!({"messages": messages.collect::<Vec<_>>(), "model": model}))?;
    }
    ended
}

struct Talk {
    messages: Vec<(&'static str, String)>,
    branch: Branch,
    /// The tokens that the branch holds.
    held: Vec<TokenId>,
}

impl Talk {
    /// Turns until the input ends, or one of them fails.
    fn turns(&mut self, model: &mut Loaded, args: &Args, output: &Output) -> Result<(), Failure> {
        let mut lines = io::stdin().lock().lines();
        loop {
            if io::stdin().is_terminal() && io::stderr().is_terminal() {
                let mut stderr = io::stderr();
                // The prompt sign is decoration.
                let _ = write!(stderr, "{}", output.paint(Style::Bold, "> ")).and_then(|()| stderr.flush());
            }
            let Some(line) = lines.next() else { return Ok(()) };
            let line = line.map_err(|e| Failure::usage(format!("reading standard input: {e}")))?;
            if !line.trim().is_empty() {
                self.turn(line, model, args, output)?;
            }
        }
    }

    fn turn(&mut self, text: String, model: &mut Loaded, args: &Args, output: &Output) -> Result<(), Failure> {
        self.messages.push(("user", text));
        let messages: Vec<(&str, &str)> = self.messages.iter().map(|(role, text)| (*role, text.as_str())).collect();
        let prompt = model.encode_chat(&messages)?;
        // A template may write earlier turns differently once they are past: only what is equal stays. At least one token has
        // to be decoded again for its logits.
        let shared =
            self.held.iter().zip(&prompt).take_while(|(a, b)| a == b).count().min(prompt.len().saturating_sub(1));
        model.engine.truncate(&mut self.branch, shared)?;
        let interrupt = Interrupt { cancel: signal::token(), deadline: None };
        let mut show = |piece: &str| if output.json { Ok(()) } else { output.stream(piece) };
        let request = Request { prompt: &prompt, guide: None, interrupt: &interrupt };
        let reply = generate(model, &mut self.branch, request, &args.generate, output, &mut show)?;
        if !output.json {
            output.line("")?;
            if reply.stop_reason == CONTEXT {
                output.note(Style::Dim, "the context is full");
            }
        }
        self.held = prompt.into_iter().chain(reply.tokens).take(model.engine.len(&self.branch)).collect();
        self.messages.push(("assistant", reply.text));
        Ok(())
    }
}
