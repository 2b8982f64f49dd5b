//! `reason`: how a question can be put.

use ruminate::reason::{ALL, FewShot, Memory, Strategy};
use serde_json::json;

use crate::cmd_calibrate;
use crate::exit::Failure;
use crate::output::{Output, Style};

/// Ways to put a question to a model.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// List the strategies with what they do and what they cost in calls of the model.
    List,
    /// Measure every strategy on a question set under equal token budgets, for `--strategy auto`.
    Calibrate(Box<cmd_calibrate::Args>),
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    if let What::Calibrate(args) = &args.what {
        return cmd_calibrate::run(args, output);
    }
    let (few_shot, memory) = (FewShot::new(Vec::new()), Memory::new(Vec::new(), 0));
    let all: Vec<&dyn Strategy> = ALL.into_iter().chain([&few_shot as &dyn Strategy, &memory]).collect();
    if output.json {
        let documents = all.iter().map(|strategy| {
            json!({
                "name": strategy.name(),
                "about": strategy.about(),
                "cost": strategy.cost(),
                "kind": if strategy.steps().is_some() { "method" } else { "prompt" },
            })
        });
        return output.document(&documents.collect());
    }
    for strategy in all {
        output.line(&format!("{:<24} {}", output.paint(Style::Bold, strategy.name()), strategy.about()))?;
        output.line(&format!("{:<24} {}", "", output.paint(Style::Dim, strategy.cost())))?;
    }
    Ok(())
}
