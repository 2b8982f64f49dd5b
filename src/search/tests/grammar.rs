//! Solutions that are held to a grammar, by a model that says anything.

use super::*;
use crate::ErrorKind;
use crate::observe::{Event, Observer};
use crate::text::grammar::testing::tokenizer;
use crate::text::{Grammar, Tokenizer};

const SCHEMA: &str = r#"{"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}, "age": {"type":
    "integer", "minimum": 0, "maximum": 120}}, "required": ["name", "age"], "additionalProperties": false}"#;

/// A model whose logits are noise.
fn noise(width: usize) -> ToyEngine {
    let n_vocab = tokenizer().vocab_len() + 3;
    let rule = move |path: &[TokenId]| {
        let seed =
            path.iter().fold(path.len() as u64, |sum, &t| (sum ^ u64::from(t)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let noise = crate::engine::Stream::new(seed);
        (0..n_vocab as u64).map(|i| (noise.uniform(i) * 6.0) as f32).collect()
    };
    ToyEngine::ruled(400, width, n_vocab, Box::new(rule))
}

/// Every text that ended, with its end.
#[derive(Default)]
struct Ends(Vec<(u64, u64, String, String, Option<String>)>);

impl Observer for Ends {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::NodeDone { node, parent, text, end, answer, .. } = *event {
            self.0.push((node, parent, text.to_owned(), end.to_owned(), answer.map(str::to_owned)));
            self.0.sort();
        }
    }
}

fn is_person(text: &str) -> bool {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    value["name"].as_str().is_some_and(|n| n.chars().count() <= 5) && value["age"].as_u64().is_some_and(|a| a <= 120)
}

fn go(tokenizer: &Tokenizer, params: &SearchParams, width: usize) -> (Outcome, Ends) {
    let (mut toy, mut ends) = (noise(width), Ends::default());
    let outcome = solve(&mut toy, tokenizer, &[1, 7], params, None, "", &mut ends, &CancelToken::new()).unwrap();
    assert_eq!((toy.alive(), toy.memory().kv), (0, 0));
    (outcome, ends)
}

#[test]
fn under_every_algorithm_an_answer_is_of_the_grammar_and_the_same_for_every_width() {
    let tokenizer = tokenizer();
    let grammar = Grammar::json_schema(SCHEMA).unwrap();
    for (i, params) in algorithms().into_iter().enumerate() {
        let sampler = match i % 3 {
            0 => SamplerParams { temperature: 1.5, ..SamplerParams::default() },
            1 => SamplerParams { top_p: 0.7, temperature: 2.0, ..SamplerParams::default() },
            _ => SamplerParams { min_p: 0.3, top_k: 60, repetition_penalty: 1.2, ..SamplerParams::default() },
        };
        let params = SearchParams { grammar: Some(grammar.clone()), sampler, max_tokens: 90, ..params };
        let (outcome, ends) = go(&tokenizer, &params, 3);
        for candidate in &outcome.candidates {
            assert!(is_person(&candidate.answer), "{params:?}: {candidate:?}");
        }
        let parts: Vec<_> = ends.0.iter().filter_map(|end| end.4.as_deref()).collect();
        assert!(parts.iter().all(|part| is_person(part)), "{parts:?}");
        assert_eq!(outcome.complete, outcome.answer.is_some(), "{outcome:?}");
        if params.n > 8 && params.algo != Algo::DeepConf {
            assert!(outcome.answer.is_some(), "{params:?}: {outcome:?}");
        }
        for width in [1, 8] {
            let (other, other_ends) = go(&tokenizer, &params, width);
            assert_eq!(essence(&other), essence(&outcome), "{params:?}");
            if params.early_stop == EarlyStop::Never {
                assert_eq!(other_ends.0, ends.0, "{params:?}");
            }
        }
    }
}

#[test]
fn a_text_that_the_budget_cuts_has_no_answer_and_says_so() {
    let tokenizer = tokenizer();
    let grammar = Some(Grammar::json_schema(SCHEMA).unwrap());
    for tokens in [0, 1, 5, 20] {
        let budget = Budget { tokens: Some(tokens), ..Budget::default() };
        let params = SearchParams { grammar: grammar.clone(), n: 1, budget, ..base() };
        let (outcome, _) = go(&tokenizer, &params, 2);
        assert!(!outcome.complete && outcome.answer.is_none() && outcome.candidates.is_empty(), "{outcome:?}");
        assert_eq!(outcome.text.is_empty(), tokens == 0);
        assert!(!is_person(&outcome.text));
    }
}

#[test]
fn a_search_held_to_a_grammar_goes_on_from_a_file_as_if_it_had_not_stopped() {
    let tokenizer = tokenizer();
    let grammar = Grammar::choice(["yes, name", "no", "yes"]).unwrap().after("####");
    for params in trees().into_iter().chain(samplers()) {
        let params = SearchParams { grammar: Some(grammar.clone()), early_stop: EarlyStop::Never, ..params };
        let whole = go(&tokenizer, &params, 4).0;
        let passes = whole.usage.forward_passes;
        for stop in [1, passes / 3, passes / 2, passes - 1] {
            let mut bytes = Vec::new();
            let mut toy = noise(4);
            let mut search = Search::new(&mut toy, &tokenizer, &[1, 7], &params, None, "").unwrap();
            search.advance(stop, &mut Silent, &CancelToken::new()).unwrap();
            search.save(&mut bytes).unwrap();
            drop(search);
            let mut toy = noise(3);
            let mut input = bytes.as_slice();
            let mut search =
                Search::new(&mut toy, &tokenizer, &[1, 7], &params, None, "").unwrap().load(&mut input).unwrap();
            search.advance(u64::MAX, &mut Silent, &CancelToken::new()).unwrap();
            assert_eq!(essence(&search.finish(&mut Silent)), essence(&whole), "{stop} {params:?}");
        }
    }
}

#[test]
fn votes_are_for_what_json_means_and_choices_are_exact() {
    let tokenizer = tokenizer();
    let grammar = Grammar::choice(["yes", "no", "yes %", "no 12"]).unwrap();
    let sampler = SamplerParams { temperature: 50.0, ..SamplerParams::default() };
    let params = SearchParams { grammar: Some(grammar), n: 300, early_stop: EarlyStop::Never, sampler, ..base() };
    let (outcome, _) = go(&tokenizer, &params, 8);
    let votes: usize = outcome.candidates.iter().map(|c| c.votes).sum();
    assert_eq!((votes, outcome.complete), (300, true));
    let mut answers: Vec<_> = outcome.candidates.iter().map(|c| c.answer.as_str()).collect();
    answers.sort_unstable();
    assert_eq!(answers, ["no", "no 12", "yes", "yes %"], "no unit is taken off");
}

#[test]
fn a_grammar_that_cannot_be_used_refuses_the_search() {
    let tokenizer = tokenizer();
    let params = SearchParams { grammar: Some(Grammar::regex("(").unwrap()), ..base() };
    let error = Search::new(&mut noise(1), &tokenizer, &[1], &params, None, "").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let refused = Search::new(&mut ToyEngine::new(9, 1), &Words, &PROMPT, &params, None, "").err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}
