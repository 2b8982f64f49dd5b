//! What fewer samples would have voted for, by the rules of the search itself, but that an answer which a text marked before it was
//! cut off counts as any other of such a text.

use ruminate::search::answer::Answer;

use super::record::Sample;

/// What the winning answer has most of.
#[derive(Debug, Clone, Copy)]
pub enum By {
    /// Votes.
    Votes,
    /// Score, summed up over its texts.
    Sum,
    /// Score of its best text.
    Best,
}

struct Class {
    answer: Answer,
    votes: f64,
    sum: f64,
    /// The best value of its texts: the judge's, else the model's confidence.
    best: f64,
    correct: bool,
}

/// Whether the samples' vote is right. Texts that came to their end vote, the others when there is none; a tie goes to the
/// answer of the best text, then to the earliest.
pub fn is_right(samples: &[Sample], by: By) -> bool {
    let ended = samples.iter().any(|sample| sample.complete && sample.answer.is_some());
    let mut classes: Vec<Class> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.complete || !ended) {
        let Some(answer) = sample.answer.as_deref().and_then(Answer::parse) else { continue };
        let value = sample.score.unwrap_or(sample.confidence);
        match classes.iter_mut().find(|class| class.answer == answer) {
            Some(class) => {
                class.votes += 1.0;
                class.sum += value;
                class.best = class.best.max(value);
            }
            None => {
                let correct = sample.correct;
                classes.push(Class { answer, votes: 1.0, sum: value, best: value, correct });
            }
        }
    }
    let weight = |class: &Class| match by {
        By::Votes => class.votes,
        By::Sum => class.sum,
        By::Best => class.best,
    };
    let rank = |class: &Class| (weight(class), class.best);
    let winner = classes.iter().reduce(|first, next| if rank(next) > rank(first) { next } else { first });
    winner.is_some_and(|winner| winner.correct)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(answer: &str, complete: bool, confidence: f64, score: f64) -> Sample {
        let correct = answer == "r";
        let answer = (answer != "-").then(|| answer.to_owned());
        Sample { answer, correct, complete, tokens: 1, confidence, score: Some(score) }
    }

    #[test]
    fn each_rule_has_its_winner() {
        let samples = [
            sample("-", true, 0.99, 0.99),
            sample("w", true, 0.5, 0.9),
            sample("r", true, 0.4, 0.6),
            sample("r", true, 0.3, 0.6),
            sample("v", true, 0.2, 0.1),
            sample("v", true, 0.2, 0.1),
            sample("v", true, 0.2, 0.1),
            sample("r", false, 0.9, 1.0),
        ];
        let right = |n: usize| [By::Votes, By::Sum, By::Best].map(|by| is_right(&samples[..n], by));
        assert_eq!(right(1), [false; 3]);
        assert_eq!(right(2), [false; 3]);
        // One vote each: the better text wins.
        assert_eq!(right(3), [false; 3]);
        assert_eq!(right(4), [true, true, false]);
        assert_eq!(right(7), [false, true, false]);
        assert_eq!(right(8), [false, true, false], "what was cut off has no vote");
        assert!(is_right(&samples[7..], By::Votes), "unless there is nothing else");
        assert!(!is_right(&[], By::Best));
    }
}
