//! Program-aided reasoning: the model writes the calculation, the machine does it (PAL, Gao et al., ICML 2023; program of
//! thoughts, Chen et al., TMLR 2023). The programs are those of [`calc`](super::calc): sums and names, nothing else.

use super::desk::{Desk, all};
use super::strategy::{Running, Steps};
use super::{Ask, Strategy, calc};
use crate::error::Result;
use crate::search::Proposal;

/// A program for the answer, mended where it cannot be run.
#[derive(Debug, Clone)]
pub struct ProgramAided {
    /// How often the model is told what is wrong with its program.
    pub repairs: usize,
}

/// The name whose value is the answer.
const ANSWER: &str = "answer";

impl ProgramAided {
    /// One repair; the papers have none.
    pub const PUBLISHED: Self = Self { repairs: 1 };
}

impl Strategy for ProgramAided {
    fn name(&self) -> &'static str {
        "program"
    }

    fn about(&self) -> &'static str {
        "Writes the calculation as a small program that is run here (PAL, Gao et al. 2023)"
    }

    fn cost(&self) -> &'static str {
        "n programs that vote; 1 call more for each that cannot be run"
    }

    fn steps(&self) -> Option<&dyn Steps> {
        Some(self)
    }
}

impl Steps for ProgramAided {
    fn run<'a>(&'a self, desk: Desk<'a>) -> Running<'a> {
        Box::pin(self.go(desk))
    }

    fn says_answers(&self) -> bool {
        false
    }
}

impl ProgramAided {
    async fn go(&self, desk: Desk<'_>) -> Result<()> {
        let (words, n) = (desk.setting().words("program", &[])?, desk.setting().params().n);
        desk.expect(n);
        let lines: Vec<_> = (0..n).map(|_| self.line(desk.clone(), words.clone())).collect();
        all(lines).await.map(drop)
    }

    /// One program, put forward with its value.
    pub(super) async fn line(&self, desk: Desk<'_>, words: String) -> Result<()> {
        let mut reply = desk.ask(Ask::user(words).kept()).await?;
        for repair in 0..=self.repairs {
            let fault = match calc::run(&program(reply.text())) {
                Ok(run) => {
                    let value = calc::shown(run.names.get(ANSWER).copied().unwrap_or(run.last));
                    let text = format!("{}\n#### {value}", reply.text());
                    desk.put_forward(Proposal { text, answer: Some(value), complete: true, ..reply.proposal() });
                    return Ok(());
                }
                Err(fault) => fault.to_string(),
            };
            if repair == self.repairs || reply.lacks_room() {
                break;
            }
            let words = desk.setting().words("program-mend", &[("fault", &fault)])?;
            reply = desk.ask(Ask::after(&reply, words).kept()).await?;
        }
        Ok(())
    }
}

/// The program in a reply: what stands in its last fence, else its lines with a `=`.
fn program(text: &str) -> String {
    let fenced: Vec<&str> = text.split("```").collect();
    let inner = match fenced.as_slice() {
        [] | [_] => None,
        // Between the last two marks, or behind one that was never closed.
        parts => parts.iter().skip(1).step_by(2).next_back(),
    };
    match inner {
        Some(inner) => {
            let (first, rest) = inner.split_once('\n').unwrap_or(("", inner));
            // The first line of a fence names a language.
            if first.contains('=') { (*inner).to_owned() } else { rest.to_owned() }
        }
        None => text.lines().filter(|line| line.contains('=')).collect::<Vec<_>>().join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_what_stands_in_the_fence_or_looks_like_one() {
        for (text, read) in [
            ("Here:\n```python\na = 1\nanswer = a\n```\nDone = yes", "a = 1\nanswer = a\n"),
            ("```\na = 1", "a = 1"),
            ("```a = 1\nb = 2```", "a = 1\nb = 2"),
            ("We get\na = 1\nand\nanswer = a * 2\nso.", "a = 1\nanswer = a * 2"),
            ("nothing", ""),
        ] {
            assert_eq!(program(text), read, "{text}");
        }
    }
}
