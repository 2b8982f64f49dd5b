//! A search whose answers are checked by a function of the program:
//! `cargo run --release --example host_verifier`.
//!
//! The question is a puzzle with an answer that is easy to check, so the program need not know it.

use std::sync::Arc;

use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::gguf::Gguf;
use ruminate::model::Model;
use ruminate::observe::{CancelToken, Event, Observer};
use ruminate::reason::{self, Direct};
use ruminate::reward::verify::{Verifier, VerifierJudge};
use ruminate::search::{Algo, Budget, SearchParams, Vote, solve};
use ruminate::storage::LoadMode;
use ruminate::text::{ChatTemplate, Tokenizer};
use ruminate::{Limits, Result};

const QUESTION: &str = "Leah has $45 and buys 2 toys for $9 each. How many dollars does Leah have left?";

/// What is left and what was spent are all the money.
struct Accounts;

impl Verifier for Accounts {
    fn name(&self) -> &str {
        "accounts"
    }

    fn is_right(&self, answer: &str) -> bool {
        answer.parse::<i64>().is_ok_and(|left| left + 2 * 9 == 45)
    }
}

/// Prints every sample as it ends.
struct Printer;

impl Observer for Printer {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::NodeDone { node, answer, score, .. } = event {
            println!(
                "sample {node}: {}, {}",
                answer.unwrap_or("no answer"),
                if *score == Some(1.0) { "right" } else { "wrong" }
            );
        }
    }
}

fn main() -> Result<()> {
    let limits = Limits::default();
    let path = std::env::args().nth(1).unwrap_or_else(|| "models/abacus-q8_0.gguf".to_owned());
    let gguf = Gguf::open(path.as_ref(), LoadMode::Mmap, &limits)?;
    let tokenizer = Tokenizer::from_gguf(&gguf, &limits)?;
    let template = ChatTemplate::from_gguf(&gguf, &limits)?;
    let mut engine = NativeEngine::new(Arc::new(Model::load(&gguf, &limits)?), &NativeOptions::default())?;
    let prompt = reason::prompt(&Direct, QUESTION, &tokenizer, template.as_ref())?;
    let params = SearchParams {
        algo: Algo::BestOfN,
        n: 8,
        vote: Some(Vote::Best),
        budget: Budget { tokens: Some(2_000), ..Budget::default() },
        ..SearchParams::default()
    };
    let mut judge = VerifierJudge::new(Accounts);
    let cancel = CancelToken::new();
    let outcome = solve(&mut engine, &tokenizer, &prompt, &params, Some(&mut judge), QUESTION, &mut Printer, &cancel)?;
    println!("answer: {}", outcome.answer.as_deref().unwrap_or("none"));
    Ok(())
}
