//! [`Countdown`]: reach a number with given ones. The Game of 24 is the one with four numbers, all of them, and 24.

use std::collections::HashSet;

use super::Verifier;
use crate::error::{Error, Result};
use crate::reward::answer::Rational;
use crate::reward::exact::{Token, evaluate, parts};

/// Numbers of one puzzle, at most; six are usual.
const MAX_NUMBERS: usize = 8;
/// Numbers from which every sum is tried, at most: from six there are 20 million, and each further one makes about a hundred times
/// as many.
const MAX_REACHABLE: usize = 6;

/// Right is a sum of `+ - * /` and parentheses with the given numbers that has the target's value, computed exactly.
#[derive(Debug, Clone)]
pub struct Countdown {
    numbers: Vec<i64>,
    target: i64,
    all: bool,
}

impl Countdown {
    /// A puzzle with 1 to 8 numbers. With `all` every number has to be used, as in TinyZero's form; no number may be used
    /// more often than it is given in any case.
    pub fn new(numbers: &[i64], target: i64, all: bool) -> Result<Self> {
        if numbers.is_empty() || numbers.len() > MAX_NUMBERS {
            let n = numbers.len();
            return Err(Error::invalid(format!("a puzzle of {n} numbers; 1 to {MAX_NUMBERS} are possible")));
        }
        Ok(Self { numbers: numbers.to_vec(), target, all })
    }

    /// The Game of 24 with these four numbers.
    pub fn game24(numbers: [i64; 4]) -> Self {
        Self { numbers: numbers.to_vec(), target: 24, all: true }
    }

    /// Whether the puzzle has a solution; errors as [`reachable`].
    pub fn is_solvable(&self) -> Result<bool> {
        let numbers: Vec<Rational> = self.numbers.iter().map(|&n| Rational::from(n)).collect();
        reachable(&numbers, Rational::from(self.target), self.all)
    }

    fn value(&self, tokens: &[Token]) -> Option<Rational> {
        let plain = |t: &Token| !matches!(t, Token::Power | Token::Percent);
        let whole = |t: &Token| match t {
            Token::Number(n) => Some(i64::try_from(n.numerator()).ok().filter(|_| n.is_integer())),
            _ => None,
        };
        let mut left = self.numbers.clone();
        for number in tokens.iter().filter_map(whole) {
            let at = left.iter().position(|&n| Some(n) == number)?;
            left.swap_remove(at);
        }
        let used_up = left.is_empty() || !self.all;
        if used_up && tokens.iter().all(plain) { evaluate(tokens, true) } else { None }
    }
}

impl Verifier for Countdown {
    fn name(&self) -> &str {
        "countdown"
    }

    /// `answer` is the sum, with or without `= target` behind it.
    fn is_right(&self, answer: &str) -> bool {
        let text = answer.replace("\\times", "*").replace("\\cdot", "*").replace("\\div", "/");
        let text = text.replace(['$', '`'], " ");
        let mut sides = text.split('=');
        let sum = sides.next().and_then(parts).and_then(|tokens| self.value(&tokens));
        let target = Rational::from(self.target);
        let others = sides.all(|side| parts(side).and_then(|tokens| evaluate(&tokens, true)) == Some(target));
        others && sum == Some(target)
    }

    /// What stands in `<answer>…</answer>`, else the last `\boxed{…}`, else behind `####` or `Answer:`, else the last line
    /// with a sum in it.
    fn find(&self, solution: &str) -> Option<String> {
        let tag = solution.rsplit_once("<answer>").map(|(_, rest)| rest.split("</answer>").next().unwrap_or(rest));
        let marked = |line: &str| {
            let at = ["####", "Answer:", "answer:"].iter().find_map(|mark| line.rsplit_once(mark));
            at.map(|(_, rest)| rest.trim().to_owned())
        };
        let sum = |line: &str| {
            let first = line.split('=').next().unwrap_or(line);
            parts(first).is_some_and(|tokens| tokens.len() > 1).then(|| line.trim().to_owned())
        };
        tag.map(|text| text.trim().to_owned())
            .or_else(|| crate::reward::answer::last_boxed(solution).map(|(_, text)| text.trim().to_owned()))
            .or_else(|| solution.lines().rev().find_map(marked))
            .or_else(|| solution.lines().rev().find_map(sum))
    }
}

/// Whether `target` can be reached from these numbers by `+ - * /`, each used once; with `all` every one has to be used. The
/// exact oracle of a state of the game. [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for more than 6 numbers.
pub fn reachable(numbers: &[Rational], target: Rational, all: bool) -> Result<bool> {
    if numbers.len() > MAX_REACHABLE {
        let n = numbers.len();
        return Err(Error::invalid(format!("every sum of {n} numbers; at most {MAX_REACHABLE} numbers can be tried")));
    }
    let mut start = numbers.to_vec();
    sort(&mut start);
    let mut seen = HashSet::new();
    // A list of states to visit rather than a recursion: a state is what is left to combine.
    let mut states = vec![start];
    while let Some(state) = states.pop() {
        let done = match state.as_slice() {
            [only] => *only == target,
            many => !all && many.contains(&target),
        };
        if done {
            return Ok(true);
        }
        // Two numbers are combined faster than remembered, and are most of the states.
        if state.len() <= 2 || seen.insert(state.clone()) {
            successors(&state, &mut states);
        }
    }
    Ok(false)
}

/// Every state that two numbers of `state` combined lead to.
fn successors(state: &[Rational], states: &mut Vec<Vec<Rational>>) {
    for (i, &a) in state.iter().enumerate() {
        for (j, &b) in state.iter().enumerate().filter(|&(j, _)| j != i) {
            let rest = || state.iter().enumerate().filter(|&(k, _)| k != i && k != j).map(|(_, &n)| n);
            let both = if i < j { [a.checked_add(b), a.checked_mul(b)] } else { [None, None] };
            for value in both.into_iter().chain([a.checked_sub(b), a.checked_div(b)]).flatten() {
                let mut next: Vec<Rational> = rest().chain([value]).collect();
                sort(&mut next);
                states.push(next);
            }
        }
    }
}

/// Any fixed order: equal states are equal lists.
fn sort(state: &mut [Rational]) {
    state.sort_by_key(|n| (n.numerator(), n.denominator()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_that_use_each_number_once_and_reach_24_are_right() {
        let game = Countdown::game24([4, 5, 6, 10]);
        for right in ["(5 * (10 - 4)) - 6", "5*(10-4)-6 = 24", "$5 \\times (10 - 4) - 6 = 24$", "10 × 5 − (4 × 5 + 6)"]
        {
            assert_eq!(game.is_right(right), right != "10 × 5 − (4 × 5 + 6)", "{right}");
        }
        for wrong in [
            "",
            "24",
            "4 + 5 + 6 + 10",
            "5*(10-4) = 30",
            "5*(10-4)-6 = 25",
            "4*6",
            "4*6 + 10 - 5 - 5",
            "5*(10-4)-6+0",
            "24 + 0*(4+5+6+10)",
            "5*(10-4)-(6",
            "2 * 12",
        ] {
            assert!(!game.is_right(wrong), "{wrong}");
        }
        assert!(Countdown::game24([3, 3, 8, 8]).is_right("8 / (3 - 8/3)"));
        assert!(!Countdown::game24([2, 2, 3, 2]).is_right("(2^3) * 3"), "powers are none of the game");
    }

    #[test]
    fn countdown_may_leave_numbers_out_unless_it_wants_all() {
        let some = Countdown::new(&[25, 50, 3, 7], 78, false).unwrap();
        assert!(some.is_right("25 + 50 + 3") && !some.is_right("25 * 3 + 3"));
        let all = Countdown::new(&[25, 50, 3, 7], 78, true).unwrap();
        assert!(!all.is_right("25 + 50 + 3"));
        assert!(Countdown::new(&[], 1, true).is_err() && Countdown::new(&[1; 9], 1, true).is_err());
    }

    #[test]
    fn the_oracle_knows_what_can_be_reached() {
        for (numbers, solvable) in [
            ([3, 3, 8, 8], true),
            ([1, 5, 5, 5], true),
            ([1, 1, 1, 1], false),
            ([13, 13, 13, 13], false),
            ([0, 0, 0, 24], true),
        ] {
            assert_eq!(Countdown::game24(numbers).is_solvable().unwrap(), solvable, "{numbers:?}");
        }
        assert!(Countdown::new(&[1, 2, 3, 4, 25, 100], 957, false).unwrap().is_solvable().unwrap());
        let eight = Countdown::new(&[2, 3, 5, 7, 11, 13, 17, 19], 1_000_003, true).unwrap();
        assert!(eight.is_solvable().unwrap_err().to_string().contains("at most 6"));
        // All 1,820 hands of cards 1 to 13: 1,362 have a solution, as many as the published list of puzzles.
        let mut solvable = 0;
        for a in 1..=13 {
            for b in a..=13 {
                for c in b..=13 {
                    solvable += (c..=13).filter(|&d| Countdown::game24([a, b, c, d]).is_solvable().unwrap()).count();
                }
            }
        }
        assert_eq!(solvable, 1362);
    }

    #[test]
    fn the_answer_is_found_where_people_put_it() {
        let game = Countdown::game24([4, 5, 6, 10]);
        for text in [
            "10 - 4 = 6 (left: 5 6 6)\nAnswer: 5*(10-4)-6 = 24",
            "so <answer> 5*(10-4)-6 </answer> done",
            "It is \\boxed{5*(10-4)-6}.",
            "10 - 4 = 6\n5*(10-4)-6 = 24\nDone.",
            "x\n#### 5*(10-4)-6",
        ] {
            assert!(game.find(text).is_some_and(|answer| game.is_right(&answer)), "{text}");
        }
        assert_eq!(game.find("no idea"), None);
    }
}
