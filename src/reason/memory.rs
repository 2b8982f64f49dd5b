//! Memory: the worked solutions of a local file that resemble the question most, put before it as examples (retrieved
//! demonstrations, Liu et al., "What makes good in-context examples for GPT-3?", DeeLIO 2022; by words instead of embeddings).

use std::collections::BTreeMap;

use super::tools::words;
use super::{FewShot, Shot, Strategy};
use crate::text::ChatMessage;

/// Words are counted in that many places: those that meet in one count as the same.
const PLACES: u64 = 1 << 16;

/// Solved questions, found again by the words that they share with a new one.
#[derive(Debug, Clone)]
pub struct Memory {
    solved: Vec<(Shot, Features)>,
    /// In how many questions a word's place is taken.
    spread: BTreeMap<u64, usize>,
    /// Examples before a question.
    examples: usize,
}

/// Words by place, with how often they stand there.
type Features = BTreeMap<u64, f64>;

impl Memory {
    /// Its name on the command line; it is not among [`ALL`](super::ALL), because it is made of a file.
    pub const NAME: &'static str = "memory";

    /// With these solved questions, of which the `examples` that resemble a question most stand before it.
    pub fn new(solved: Vec<Shot>, examples: usize) -> Self {
        let solved: Vec<(Shot, Features)> =
            solved.into_iter().map(|shot| (shot.clone(), features(&shot.question))).collect();
        let mut spread: BTreeMap<u64, usize> = BTreeMap::new();
        for place in solved.iter().flat_map(|(_, features)| features.keys()) {
            *spread.entry(*place).or_default() += 1;
        }
        Self { solved, spread, examples }
    }

    /// The examples for `question`, the one that resembles it most last, next to it. The question itself is none of them.
    pub fn like(&self, question: &str) -> Vec<Shot> {
        let own = self.weighed(&features(question));
        let of = |(shot, features): &(Shot, Features)| (cosine(&own, &self.weighed(features)), shot.clone());
        let mut ranked: Vec<(f64, Shot)> =
            self.solved.iter().filter(|(shot, _)| shot.question.trim() != question.trim()).map(of).collect();
        // Of equals the earlier first.
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut best: Vec<Shot> = ranked.into_iter().take(self.examples).map(|(_, shot)| shot).collect();
        best.reverse();
        best
    }

    /// Rare words count more.
    fn weighed(&self, features: &Features) -> Features {
        let n = self.solved.len() as f64;
        let weight =
            |place: &u64| ((n + 1.0) / (self.spread.get(place).copied().unwrap_or_default() as f64 + 1.0)).ln() + 1.0;
        features.iter().map(|(place, often)| (*place, often * weight(place))).collect()
    }
}

impl Strategy for Memory {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn about(&self) -> &'static str {
        "The worked solutions of a file that resemble the question, as examples before it (Liu et al. 2022)"
    }

    fn cost(&self) -> &'static str {
        "1 prompt with the examples; n solutions or what the search algorithm draws"
    }

    fn messages(&self, question: &str) -> Vec<ChatMessage> {
        FewShot::new(self.like(question)).messages(question)
    }

    fn plain(&self, question: &str) -> String {
        FewShot::new(self.like(question)).plain(question)
    }
}

fn features(text: &str) -> Features {
    let mut features = Features::new();
    // Numbers make no question like another.
    for word in words(text).filter(|word| !word.chars().all(|c| c.is_ascii_digit())) {
        *features.entry(hash(&word) % PLACES).or_default() += 1.0;
    }
    features
}

/// FNV-1a, 64 bits: the same on every machine.
fn hash(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn cosine(a: &Features, b: &Features) -> f64 {
    let product: f64 = a.iter().filter_map(|(place, x)| b.get(place).map(|y| x * y)).sum();
    let length = |features: &Features| features.values().map(|x| x * x).sum::<f64>().sqrt();
    let lengths = length(a) * length(b);
    if lengths > 0.0 { product / lengths } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shot(question: &str) -> Shot {
        Shot { question: question.into(), answer: format!("{question} is\n#### 1") }
    }

    #[test]
    fn what_shares_rare_words_stands_next_to_the_question() {
        let questions = [
            "How many apples are in the basket?",
            "How many trains leave the station?",
            "How many apples does the train carry from the station?",
            "What is the area of the garden?",
        ];
        let memory = Memory::new(questions.map(shot).to_vec(), 2);
        let like = |question: &str| memory.like(question).into_iter().map(|shot| shot.question).collect::<Vec<_>>();
        assert_eq!(like("Which train leaves this station?"), [questions[2], questions[1]]);
        assert_eq!(like("The garden's area?").last().map(String::as_str), Some(questions[3]));
        assert!(!like(questions[3]).contains(&questions[3].to_owned()), "the question itself is no example");
        let messages = memory.messages("Apples?");
        assert_eq!((messages.len(), messages[4].content.as_str()), (5, "Apples?"));
        assert_eq!(Memory::new(Vec::new(), 4).messages("x").len(), 1);
    }

    /// Golden: the published test vectors of FNV-1a.
    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!((hash(""), hash("a"), hash("foobar")), (0xcbf29ce484222325, 0xaf63dc4c8601ec8c, 0x85944171f73967e8));
    }
}
