//! Thinking that is marked: held to its budget in every format, and always followed by an answer.

use super::*;
use crate::engine::toy::{EOG, MARK, NEWLINE};
use crate::observe::{Event, Observer};
use crate::text::Thinking;

const SO: TokenId = 10;
const EGGS: TokenId = 11;
const PLUS: TokenId = 12;

/// Marks of the toy's words: one of one token, one of two, one with an answer's mark of its own.
fn formats() -> [Thinking; 3] {
    let thinking = |open: &str, close: &str, answer: &str| Thinking {
        open: open.into(),
        close: close.into(),
        answer: answer.into(),
        ..Thinking::default()
    };
    [thinking(" so", " +", ""), thinking(" so", " + +", ""), thinking(" so", " +", " eggs eggs")]
}

/// Begins to think, ends it after `length` words of it unless something is put off, and answers 7.
fn thinker(thinking: &Thinking, length: usize, endless: bool) -> ToyEngine {
    let marks = thinking.close.matches('+').count();
    let answer = !thinking.answer.is_empty();
    let rule = move |path: &[TokenId]| {
        let said = &path[PROMPT.len().min(path.len())..];
        let closes = said.windows(marks).position(|window| window.iter().all(|&t| t == PLUS)).map(|at| at + marks);
        let next = match closes {
            None if said.is_empty() => SO,
            None if said.last() == Some(&PLUS) => PLUS,
            None => {
                // What is put off counts anew.
                let since = said.iter().rev().position(|&t| t == SO).unwrap_or(said.len());
                if since < length || endless { 1 } else { PLUS }
            }
            Some(at) => match said[at..] {
                [] | [EGGS] if answer => EGGS,
                [] => NEWLINE,
                [.., MARK] => 7,
                [.., 7] => EOG,
                _ => MARK,
            },
        };
        let mut logits = vec![0.0; 16];
        logits[next as usize] = 5.0;
        logits
    };
    ToyEngine::ruled(400, 2, 16, Box::new(rule))
}

#[derive(Default)]
struct Texts(Vec<String>);

impl Observer for Texts {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::NodeDone { text, .. } = *event {
            self.0.push(text.to_owned());
        }
    }
}

fn think(thinking: &Thinking, length: usize, endless: bool, params: &SearchParams) -> (Outcome, Vec<String>) {
    let params = SearchParams { algo: Algo::BudgetForcing, thinking: Some(thinking.clone()), ..params.clone() };
    let (mut toy, mut texts) = (thinker(thinking, length, endless), Texts::default());
    let outcome = solve(&mut toy, &Words, &PROMPT, &params, None, "", &mut texts, &CancelToken::new()).unwrap();
    assert_eq!((toy.alive(), toy.memory().kv), (0, 0));
    (outcome, texts.0)
}

fn forcing(params: BudgetForcingParams) -> SearchParams {
    SearchParams { budget_forcing: params, max_tokens: 200, ..base() }
}

#[test]
fn thinking_ends_by_itself_and_its_mark_stands_once() {
    for thinking in formats() {
        let params = forcing(BudgetForcingParams { waits: 0, ..BudgetForcingParams::default() });
        let (outcome, _) = think(&thinking, 5, false, &params);
        assert_eq!((outcome.answer.as_deref(), outcome.stop_reason), (Some("7"), StopReason::Finished), "{outcome:?}");
        assert_eq!(outcome.text.matches(&thinking.close).count(), 1, "{outcome:?}");
        assert!(thinking.visible(&outcome.text).contains("#### 7"), "{outcome:?}");
        assert_eq!(thinking.thought(&outcome.text), Some("11111"));
    }
}

#[test]
fn an_end_is_put_off_as_often_as_said_and_its_mark_is_taken_off() {
    for thinking in formats() {
        for waits in [1, 3] {
            let params = forcing(BudgetForcingParams { waits, ..BudgetForcingParams::default() });
            let (outcome, _) = think(&thinking, 3, false, &params);
            let thought = thinking.thought(&outcome.text).unwrap();
            assert_eq!(thought, ["111"].repeat(waits + 1).join(" so"), "{outcome:?}");
            assert_eq!(outcome.answer.as_deref(), Some("7"));
        }
        let enough = BudgetForcingParams { waits: 3, min_thinking: 7, ..BudgetForcingParams::default() };
        let thought = think(&thinking, 3, false, &forcing(enough)).0.text;
        assert_eq!(thinking.thought(&thought), Some("111 so111"), "enough after the first");
    }
}

#[test]
fn endless_thinking_is_cut_and_answered_under_every_budget() {
    for thinking in formats() {
        for (max_thinking, max_tokens, tokens) in
            [(10, 200, None), (32_000, 40, None), (32_000, 200, Some(30)), (32_000, 200, Some(12)), (1, 200, Some(4))]
        {
            let params = SearchParams {
                max_tokens,
                budget: Budget { tokens, ..Budget::default() },
                ..forcing(BudgetForcingParams { max_thinking, ..BudgetForcingParams::default() })
            };
            let (outcome, _) = think(&thinking, 3, true, &params);
            assert_eq!(outcome.answer.as_deref(), Some("7"), "{max_thinking} {max_tokens} {tokens:?}: {outcome:?}");
            assert!(outcome.usage.policy_tokens <= tokens.unwrap_or(max_tokens));
            assert_eq!(outcome.text.matches(&thinking.close).count(), 1, "{outcome:?}");
        }
    }
}

#[test]
fn a_sure_answer_ends_thinking_early() {
    for thinking in formats() {
        let exit = |early_exit| {
            let params =
                BudgetForcingParams { early_exit, probe_tokens: 6, waits: 0, ..BudgetForcingParams::default() };
            think(&thinking, 60, false, &forcing(params))
        };
        let (whole, _) = exit(None);
        let (early, texts) = exit(Some(0.9));
        assert_eq!((early.answer.as_deref(), early.stop_reason), (Some("7"), StopReason::Finished));
        assert!(early.usage.policy_tokens < 12 && whole.usage.policy_tokens > 60, "{early:?}");
        assert_eq!(texts.len(), 2);
        // Never sure enough: it is asked again and again, and goes on.
        let (never, texts) = exit(Some(0.95));
        assert_eq!(never.answer.as_deref(), Some("7"));
        assert_eq!(thinking.thought(&never.text), thinking.thought(&whole.text));
        assert!(texts.len() > 15, "{texts:?}");
    }
}

#[test]
fn forced_thinking_goes_on_from_a_file_wherever_it_stopped() {
    for thinking in formats() {
        let budget_forcing =
            BudgetForcingParams { waits: 2, early_exit: Some(1.0), probe_tokens: 4, ..BudgetForcingParams::default() };
        let params =
            SearchParams { algo: Algo::BudgetForcing, thinking: Some(thinking.clone()), ..forcing(budget_forcing) };
        let whole = think(&thinking, 7, false, &params).0;
        for stop in 1..whole.usage.forward_passes - 1 {
            let mut bytes = Vec::new();
            let mut toy = thinker(&thinking, 7, false);
            let mut search = Search::new(&mut toy, &Words, &PROMPT, &params, None, "").unwrap();
            search.advance(stop, &mut Silent, &CancelToken::new()).unwrap();
            search.save(&mut bytes).unwrap();
            drop(search);
            let mut toy = thinker(&thinking, 7, false);
            let mut input = bytes.as_slice();
            let mut search =
                Search::new(&mut toy, &Words, &PROMPT, &params, None, "").unwrap().load(&mut input).unwrap();
            search.advance(u64::MAX, &mut Silent, &CancelToken::new()).unwrap();
            assert_eq!(essence(&search.finish(&mut Silent)), essence(&whole), "after {stop}");
        }
    }
}

#[test]
fn answers_in_thinking_do_not_count() {
    let thinking = formats()[0].clone();
    let mut tree = super::super::tree::Tree::new(1, Aggregation::Last).reading(None, Some(thinking));
    let id = tree.add(tree.root());
    let node = tree.node_mut(id);
    (node.text, node.end) = (" so #### 3\n + eggs: 8".into(), Some(super::super::node::End::Eog));
    let answer = super::super::algo::verdict::ballot(&tree, id);
    assert_eq!(answer.map(|answer| answer.text().to_owned()).as_deref(), Some("8"));
}
