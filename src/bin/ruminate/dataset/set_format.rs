//! Any format of a set: of questions, or of labelled steps.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::Format;
use super::steps::StepFormat;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetFormat {
    Questions(Format),
    Steps(StepFormat),
}

impl SetFormat {
    /// The format of a question set.
    pub fn questions(self) -> Option<Format> {
        if let Self::Questions(format) = self { Some(format) } else { None }
    }
}

impl ValueEnum for SetFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Questions(Format::Gsm8k),
            Self::Questions(Format::Math),
            Self::Questions(Format::Game24),
            Self::Questions(Format::Countdown),
            Self::Steps(StepFormat::Prm800k),
            Self::Steps(StepFormat::MathShepherd),
            Self::Steps(StepFormat::OmegaPrm),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Questions(format) => format.to_possible_value(),
            Self::Steps(format) => format.to_possible_value(),
        }
    }
}
