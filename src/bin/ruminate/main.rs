//! The command line: a thin user of the public API.

mod adapter_args;
mod ask;
mod backend;
mod budget_args;
mod bundled;
mod calibration;
mod checkpoint;
mod cmd_bench;
mod cmd_calibrate;
mod cmd_chat;
mod cmd_completions;
mod cmd_detokenize;
mod cmd_doctor;
mod cmd_estimate;
mod cmd_eval;
mod cmd_inspect;
mod cmd_learn;
mod cmd_list;
mod cmd_merge;
mod cmd_parity;
mod cmd_perplexity;
mod cmd_pull;
mod cmd_reason;
mod cmd_replay;
mod cmd_rm;
mod cmd_run;
mod cmd_solve;
mod cmd_tokenize;
mod cmd_trace;
mod dataset;
mod eval;
mod exit;
mod generate;
mod grammar_args;
mod input;
mod judge_args;
mod model;
mod output;
mod page;
mod process;
mod provenance;
mod pull;
mod record;
mod search_args;
mod signal;
mod size;
mod source;
mod spent;
mod strategy_args;
mod svg;
mod thinking_args;
mod unveiled;
mod watch;
mod width;

use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand};

use exit::Failure;
use output::Output;

/// Embedded on-device reasoning: search for an answer with a quantized GGUF model, within a budget.
#[derive(Parser)]
#[command(name = "ruminate", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON document on standard output and nothing else.
    #[arg(long, global = true, env = "RUMINATE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
    /// No progress and no notes on standard error.
    #[arg(long, short, global = true, env = "RUMINATE_QUIET", value_parser = FalseyValueParser::new())]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    Solve(cmd_solve::Args),
    Trace(cmd_trace::Args),
    Run(cmd_run::Args),
    Chat(cmd_chat::Args),
    Inspect(cmd_inspect::Args),
    Estimate(cmd_estimate::Args),
    Tokenize(cmd_tokenize::Args),
    Detokenize(cmd_detokenize::Args),
    Perplexity(cmd_perplexity::Args),
    Parity(cmd_parity::Args),
    Eval(cmd_eval::Args),
    Reason(cmd_reason::Args),
    Learn(cmd_learn::Args),
    Merge(cmd_merge::Args),
    Bench(cmd_bench::Args),
    Pull(cmd_pull::Args),
    List(cmd_list::Args),
    Rm(cmd_rm::Args),
    Doctor(cmd_doctor::Args),
    Completions(cmd_completions::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let output = Output::new(cli.json, cli.quiet);
    match signal::install().and_then(|()| run(cli.command, &output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Solve(args) => cmd_solve::run(&args, output),
        Command::Trace(args) => cmd_trace::run(&args, output),
        Command::Run(args) => cmd_run::run(&args, output),
        Command::Chat(args) => cmd_chat::run(&args, output),
        Command::Inspect(args) => cmd_inspect::run(&args, output),
        Command::Estimate(args) => cmd_estimate::run(&args, output),
        Command::Tokenize(args) => cmd_tokenize::run(&args, output),
        Command::Detokenize(args) => cmd_detokenize::run(&args, output),
        Command::Perplexity(args) => cmd_perplexity::run(&args, output),
        Command::Parity(args) => cmd_parity::run(&args, output),
        Command::Eval(args) => cmd_eval::run(&args, output),
        Command::Reason(args) => cmd_reason::run(&args, output),
        Command::Learn(args) => cmd_learn::run(&args, output),
        Command::Merge(args) => cmd_merge::run(&args, output),
        Command::Bench(args) => cmd_bench::run(&args, output),
        Command::Pull(args) => cmd_pull::run(&args, output),
        Command::List(args) => cmd_list::run(&args, output),
        Command::Rm(args) => cmd_rm::run(&args, output),
        Command::Doctor(args) => cmd_doctor::run(&args, output),
        Command::Completions(args) => cmd_completions::run(&args, output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn commands(command: &clap::Command) -> Vec<clap::Command> {
        command.get_subcommands().flat_map(|c| [vec![c.clone()], commands(c)].concat()).collect()
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        let flags = commands(&Cli::command()).into_iter().flat_map(|c| c.get_arguments().cloned().collect::<Vec<_>>());
        let flags: Vec<_> = flags.filter(|a| !a.is_positional() && a.get_id() != "help").collect();
        assert!(!flags.is_empty());
        for flag in flags {
            let variable = flag.get_env().and_then(|v| v.to_str()).unwrap_or_default();
            let name = flag.get_long().unwrap_or_default().to_uppercase().replace('-', "_");
            assert!(
                variable.starts_with("RUMINATE_") && variable.ends_with(&name),
                "--{}: {variable:?}",
                name.to_lowercase()
            );
        }
    }
}
