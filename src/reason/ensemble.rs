//! Solutions in words and programs in one vote. The two fail in different places, so that right answers meet more often than wrong
//! ones: MathPrompter (Imani et al., ACL 2023) takes what several forms of a solution agree on, Zhao et al. ("Automatic model
//! selection with large language models for reasoning", EMNLP Findings 2023) have the model choose between these two.

use super::desk::{Desk, all};
use super::strategy::{Running, Steps};
use super::{Ask, FewShot, ProgramAided, Shot, Strategy};
use crate::error::{Error, Result};

/// As many programs as solutions.
#[derive(Debug, Clone)]
pub struct Ensemble {
    /// How programs are made.
    pub program: ProgramAided,
    /// What stands before the question of a solution in words.
    shots: Option<FewShot>,
}

impl Ensemble {
    /// Its name on the command line.
    pub const NAME: &'static str = "ensemble";

    /// Solutions without examples, and one repair of a program.
    pub const PUBLISHED: Self = Self { program: ProgramAided::PUBLISHED, shots: None };

    /// Solutions after these examples.
    pub fn with(shots: Vec<Shot>) -> Self {
        Self { shots: Some(FewShot::new(shots)), ..Self::PUBLISHED }
    }

    /// The ensemble of this [`detail`](Strategy::detail), which a trace has.
    pub fn from_json(detail: &str) -> Result<Self> {
        let shots = serde_json::from_str(detail);
        shots.map(Self::with).map_err(|e| Error::format(format!("the examples of an ensemble: {e}")))
    }
}

impl Strategy for Ensemble {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn about(&self) -> &'static str {
        "Solutions in words and programs that are run here, in one vote (Imani et al. 2023)"
    }

    fn cost(&self) -> &'static str {
        "n lines that vote, every other one a program; 1 call more for each that cannot be run"
    }

    fn detail(&self) -> String {
        self.shots.as_ref().map_or_else(String::new, |few_shot| serde_json::json!(few_shot.shots()).to_string())
    }

    fn steps(&self) -> Option<&dyn Steps> {
        Some(self)
    }
}

impl Steps for Ensemble {
    fn run<'a>(&'a self, desk: Desk<'a>) -> Running<'a> {
        Box::pin(self.go(desk))
    }

    fn says_answers(&self) -> bool {
        false
    }
}

impl Ensemble {
    async fn go(&self, desk: Desk<'_>) -> Result<()> {
        let (setting, n) = (desk.setting(), desk.setting().params().n);
        let program = setting.words("program", &[])?;
        let solution = match &self.shots {
            Some(few_shot) => Ask::messages(few_shot.messages(setting.question())),
            None => Ask::user(setting.words("solve", &[])?),
        }
        .solution();
        desk.expect(n);
        let line = |i: usize| -> Running<'_> {
            // In turns, so that a small budget has of both; a program is the shorter one.
            match i.is_multiple_of(2) {
                true => Box::pin(self.program.line(desk.clone(), program.clone())),
                false => Box::pin(async { desk.solve(&solution).await }),
            }
        };
        all((0..n).map(line).collect()).await.map(drop)
    }
}
