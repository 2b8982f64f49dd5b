//! [`Arithmetic`]: recomputes the sums that a step claims.

mod claims;

use self::claims::claims;
use crate::error::Result;
use crate::observe::Interrupt;
use crate::reward::{Aggregation, Judge, NEUTRAL, Step};

/// Values a step by the sums in it: 0 when one is wrong, 1 when there are some and all are right, [`NEUTRAL`] when there
/// are none.
///
/// A claim is `a = b` where both sides are numbers or sums of numbers and at least one is a sum; chains `a = b = c` are a
/// claim for each `=`. Sums are computed exactly. A number with decimals may be the rounded value, one after `≈` also when
/// it has none, and with `%` in a claim either reading of it may make the claim right. Read are `+ - * / ^ × · ÷ x`, the words
/// plus, minus and times, parentheses, `\times`, `\cdot`, `\div` and `\frac`, thousands separators, currency signs, `%` and
/// `% of`, GSM8K's `<<3*4=12>>`; units behind numbers are passed over. What holds a variable or cannot be read is no claim.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arithmetic;

/// What [`check`] found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Claims that hold.
    pub right: usize,
    /// Claims that do not.
    pub wrong: usize,
}

/// Recomputes every claim of `text`.
pub fn check(text: &str) -> Sums {
    let mut sums = Sums::default();
    for holds in claims(text) {
        if holds {
            sums.right += 1;
        } else {
            sums.wrong += 1;
        }
    }
    sums
}

impl Judge for Arithmetic {
    fn name(&self) -> &str {
        "arithmetic"
    }

    /// The least: one wrong sum spoils the text.
    fn aggregation(&self) -> Aggregation {
        Aggregation::Min
    }

    fn judge(&mut self, steps: &[Step<'_>], _: &Interrupt) -> Result<Vec<f32>> {
        let value = |step: &Step<'_>| match check(step.text) {
            Sums { wrong: 0, right: 0 } => NEUTRAL,
            Sums { wrong: 0, .. } => 1.0,
            _ => 0.0,
        };
        Ok(steps.iter().map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(text: &str) -> (usize, usize) {
        let sums = check(text);
        (sums.right, sums.wrong)
    }

    #[test]
    fn right_claims_are_found() {
        for (text, right) in [
            ("She has 16 - 3 - 4 = 9 eggs.", 1),
            ("She makes 9 * 2 = $<<9*2=18>>18 every day.", 2),
            ("so 3+4=7, then 7 × 2 = 14 and 14÷7=2", 3),
            ("2 x 3 = 6", 1),
            ("5 * 4 = 20 = 10 + 10 = 40 / 2", 3),
            ("1,200 + 300 = 1,500", 1),
            ("$1.50 * 4 = $6", 1),
            ("20% of 50 = 10", 1),
            ("10 / 40 = 25%", 1),
            ("100 * 10 / 40 = 25%", 1),
            ("10 / 3 = 3.33", 1),
            ("2/3 = 0.67", 1),
            ("10 / 3 ≈ 3", 1),
            ("10 / 3 \\approx 3.3", 1),
            ("3 eggs + 4 eggs = 7 eggs", 1),
            ("$20/hour * 3 hours = $60", 1),
            ("(2 + 3) * 4 = 20", 1),
            ("\\frac{1}{2} + \\frac{1}{4} = \\frac{3}{4}", 1),
            ("\\( 3 \\times 4 = 12 \\)", 1),
            ("$3 \\cdot 4 = 12$", 1),
            ("2^3 = 8", 1),
            ("- 3 + 4 = 7", 1),
            ("* 3 * 4 = 12", 1),
            ("1. 3 + 4 = 7", 1),
            ("Step 2: 3 + 4 = 7.", 1),
            ("3 times 4 = 12", 1),
            ("2 hours * 60 minutes/hour = 120 minutes", 1),
            ("-3 + 5 = 2", 1),
            ("5 - 8 = -3", 1),
            ("**3 + 4 = 7**", 1),
            ("11/18*162 = 99.00000000000001", 1),
            ("The sum of these 3 numbers is -48+21+-3 = -30.", 1),
            ("25 / 1/3 = 75, and 12/3/2 = 2", 2),
            ("Total: 12 + 8 = 20\nLeft: 20 - 5 = 15", 2),
        ] {
            assert_eq!(sums(text), (right, 0), "{text}");
        }
    }

    #[test]
    fn wrong_claims_are_found() {
        for text in [
            "16 - 3 - 4 = 8",
            "<<9*2=17>>17",
            "3 + 4 = 7 = 8 - 2",
            "1,200 + 300 = 1,400",
            "10 / 3 = 3",
            "10 / 3 = 3.34",
            "20% of 50 = 20",
            "2 x 3 = 7",
            "3 eggs + 4 eggs = 8 eggs",
            "\\frac{1}{2} + \\frac{1}{4} = \\frac{2}{6}",
            "0.1 + 0.2 = 0.4",
        ] {
            assert!(sums(text).1 == 1, "{text}: {:?}", sums(text));
        }
    }

    #[test]
    fn what_is_no_claim_is_left_alone() {
        for text in [
            "",
            "no numbers",
            "x = 5",
            "2x + 3 = 7",
            "2x - 3 = 7",
            "x + 3 = 7",
            "3n = 12",
            "Day 2 = 2*4",
            "3 shirts = 3 * 20",
            "The cost of 3 = 60",
            "5 = 5",
            "a <= 3 + 4",
            "3 + 4 != 8",
            "f(3) = 9",
            "1/0 = 5",
            "2 dozen + 3 = 27",
            "3 + 4 = x",
            "sqrt(9) + 1 = 4",
            "\\sqrt{9} + 1 = 4",
            "3 + = 4",
            "10 mod 3 = 1",
            "5! = 120",
            "17 / 3 = 5 and 2/3",
            "$1 / 2 = 50 cents",
            "He left at 6:00 + 30 = 6:30",
            "0900 - 0130 = 0730",
            "20 / 240 * 100 = 8.333...%",
        ] {
            assert_eq!(sums(text), (0, 0), "{text}");
        }
    }

    #[test]
    fn a_step_is_worth_what_its_sums_are() {
        let step = |text| Step {
            id: crate::reward::StepId(1),
            parent: crate::reward::StepId::ROOT,
            text,
            path: "1 + 1 = 3",
            tokens: &[],
            draws: &[],
            features: None,
            complete: false,
        };
        let steps = ["1 + 1 = 2", "1 + 1 = 2 and 1 + 2 = 4", "so"].map(step);
        assert_eq!(Arithmetic.judge(&steps, &Interrupt::default()).unwrap(), [1.0, 0.0, NEUTRAL]);
    }

    #[test]
    fn any_text_is_read_in_time_linear_in_its_length() {
        for part in ["1 + ", "= ", "<<", "1 = ", "(", "\\frac{", "3 words ", "%", "é", "1,000 "] {
            check(&part.repeat(50_000));
        }
    }
}
