//! Programs obey what algorithms obey: every budget, every schedule, every interruption.

use super::*;
use crate::engine::toy::TOKEN_BYTES;
use crate::observe::Event;
use crate::{Error, ErrorKind};

/// Parts of prompts: what all have in common, two questions, and what is said to a reply.
const COMMON: [TokenId; 3] = [2, 11, 13];
const QUESTIONS: [[TokenId; 2]; 2] = [[4, 12], [5, 10]];
const REMARK: [TokenId; 4] = [13, 8, 11, 13];

/// Puts two questions to the model, three and two times, goes on from each reply to the first, and puts forward all
/// solutions that come of it.
#[derive(Default)]
struct Talk {
    begun: bool,
    told: Vec<Thought>,
    open: usize,
    next_id: u64,
    /// Asks for what cannot be had, when that many thoughts are in.
    fails_after: Option<usize>,
}

impl Talk {
    fn call(&mut self, at: Option<ThoughtId>, prompt: &[&[TokenId]]) -> Request {
        self.next_id += 1;
        self.open += 1;
        let prompt = prompt.iter().map(|part| part.to_vec()).collect();
        let first = at.is_none();
        Request::Think(Call {
            at,
            solves: !first,
            keep: first,
            stop_at_answer: true,
            max_tokens: first.then_some(20),
            ..Call::new(ThoughtId(self.next_id), prompt)
        })
    }
}

impl Program for Talk {
    fn name(&self) -> &str {
        "talk"
    }

    fn next(&mut self, told: Option<Thought>) -> Result<Vec<Request>> {
        let Some(thought) = told else {
            assert!(!std::mem::replace(&mut self.begun, true));
            let first = (0..3).map(|_| self.call(None, &[&COMMON, &QUESTIONS[0]])).collect::<Vec<_>>();
            let second = (0..2).map(|_| self.call(None, &[&COMMON, &QUESTIONS[1]]));
            return Ok(first.into_iter().chain(second).collect());
        };
        self.open -= 1;
        self.told.push(thought.clone());
        if self.fails_after == Some(self.told.len()) {
            return Ok(vec![Request::LetGo(ThoughtId(999))]);
        }
        Ok(match thought.id.0 {
            1..=3 => {
                let at = Some(thought.id);
                vec![self.call(at, &[&REMARK]), self.call(at, &[&REMARK]), Request::LetGo(thought.id)]
            }
            4..=5 => vec![Request::LetGo(thought.id)],
            _ => vec![Request::PutForward(Proposal::of(&thought))],
        })
    }

    fn is_done(&self) -> bool {
        self.begun && self.open == 0
    }
}

/// What a search told of its nodes, by number: parent, tokens and end.
#[derive(Default, Clone, PartialEq, Debug)]
struct Seen(Vec<(u64, u64, Vec<TokenId>, String)>);

impl Observer for Seen {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::NodeDone { node, parent, tokens, end, .. } = *event {
            self.0.push((node, parent, tokens.to_vec(), end.to_owned()));
            self.0.sort();
        }
    }
}

fn talk(toy: &mut ToyEngine, params: &SearchParams, cancel: &CancelToken) -> Result<(Outcome, Seen)> {
    let limit = toy.memory().kv_limit;
    let mut seen = Seen::default();
    let outcome = {
        let mut judge = Checksum::new(&[]);
        let search = Search::new(toy, &Words, &PROMPT, params, Some(&mut judge), "").unwrap();
        let mut search = search.with_program(Box::new(Talk::default()));
        search.advance(u64::MAX, &mut seen, cancel).map(|_| search.finish(&mut seen))
    };
    assert_eq!((toy.alive(), toy.memory().kv, toy.memory().kv_limit), (0, 0, limit));
    let outcome = outcome?;
    assert!(outcome.usage.policy_tokens <= params.budget.tokens.unwrap_or(u64::MAX));
    assert!(outcome.usage.kv_peak_bytes <= params.budget.kv_bytes.unwrap_or(u64::MAX));
    assert_eq!(outcome.answer.as_ref(), outcome.candidates.first().map(|c| &c.answer));
    Ok((outcome, seen))
}

fn free(params: &SearchParams, width: usize) -> (Outcome, Seen) {
    talk(&mut ToyEngine::new(300, width), params, &CancelToken::new()).unwrap()
}

#[test]
fn parts_of_prompts_are_shared_and_nothing_is_computed_twice() {
    let mut toy = ToyEngine::new(300, 8);
    let (outcome, seen) = talk(&mut toy, &base(), &CancelToken::new()).unwrap();
    assert_eq!(outcome.stop_reason, StopReason::Finished);
    let parts: Vec<_> = seen.0.iter().filter(|node| node.3 == "prompt").map(|node| (node.1, node.2.clone())).collect();
    let [common, first, second] = [COMMON.to_vec(), QUESTIONS[0].to_vec(), QUESTIONS[1].to_vec()];
    assert_eq!(parts[..3], [(0, common), (1, first), (1, second)], "the common part once, below it the questions");
    assert_eq!(parts.len(), 3 + 3, "one remark for each of three replies: {parts:?}");
    let told: usize = parts.iter().map(|part| part.1.len()).sum();
    assert_eq!(outcome.usage.prompt_tokens, (PROMPT.len() + told) as u64);
    let all = PROMPT.len() as u64 - 1 + told as u64 + outcome.usage.policy_tokens;
    // A remark behind an end token begins where the reply's own KV ends, one token later than behind any other.
    assert!((all - 3..=all).contains(&toy.computed), "{} {all}", toy.computed);
    assert_eq!(outcome.usage.recomputed_tokens, 0);
    // Two solutions of each of three replies; not every one says a number.
    assert!((4..=6).contains(&outcome.candidates.iter().map(|c| c.votes).sum::<usize>()), "{outcome:?}");
    assert!(toy.widest >= 4, "replies are decoded together: {}", toy.widest);
}

#[test]
fn a_program_gives_the_same_tree_for_every_width_and_token_budget() {
    let mut short = 0;
    for tokens in [None, Some(0), Some(1), Some(7), Some(30), Some(61), Some(130), Some(200)] {
        let params = SearchParams { budget: Budget { tokens, ..Budget::default() }, ..base() };
        let (alone, seen) = free(&params, 1);
        short += usize::from(alone.stop_reason == StopReason::Tokens);
        assert_eq!(alone.is_empty(), tokens == Some(0), "{alone:?}");
        for width in [2, 3, 8, 32] {
            let (together, also_seen) = free(&params, width);
            assert_eq!(essence(&together), essence(&alone), "width {width}, {tokens:?} tokens");
            assert_eq!(together.usage.policy_tokens, alone.usage.policy_tokens);
            assert_eq!(also_seen, seen, "width {width}, {tokens:?} tokens");
        }
    }
    assert!(short >= 3, "the budgets were never short");
}

#[test]
fn a_kv_cap_slows_a_program_down_and_changes_nothing_else() {
    let (whole, seen) = free(&base(), 8);
    let mut recomputed = 0;
    for tokens in [45, 55, 65] {
        let budget = Budget { kv_bytes: Some(tokens * TOKEN_BYTES), ..Budget::default() };
        let (capped, also_seen) = free(&SearchParams { budget, ..base() }, 8);
        assert_eq!((essence(&capped), also_seen), (essence(&whole), seen.clone()), "{tokens} tokens");
        recomputed += capped.usage.recomputed_tokens;
    }
    assert!(recomputed > 0, "the cap was never met");
}

#[test]
fn cancelling_a_program_at_any_pass_gives_the_best_so_far() {
    let mut whole = ToyEngine::new(300, 4);
    talk(&mut whole, &base(), &CancelToken::new()).unwrap();
    for at in 0..whole.passes {
        let mut toy = ToyEngine::new(300, 4);
        let cancel = CancelToken::new();
        toy.faults.cancel_at = Some((at, cancel.clone()));
        let (outcome, _) = talk(&mut toy, &base(), &cancel).unwrap();
        assert_eq!((outcome.stop_reason, toy.passes), (StopReason::Cancelled, at + 1));
        assert_eq!(outcome.is_empty(), outcome.usage.policy_tokens == 0, "{outcome:?}");
    }
}

#[test]
fn a_deadline_ends_a_program_too() {
    let mut toy = ToyEngine::new(20_000, 4);
    (toy.faults.endless, toy.faults.pace) = (true, std::time::Duration::from_millis(2));
    let budget = Budget { wall: Some(std::time::Duration::from_millis(40)), ..Budget::default() };
    let (outcome, _) = talk(&mut toy, &SearchParams { budget, ..base() }, &CancelToken::new()).unwrap();
    assert_eq!(outcome.stop_reason, StopReason::Deadline);
    assert!(!outcome.text.is_empty() && toy.passes <= 21, "{}", toy.passes);
}

/// Cancels when a given node is done.
struct CancelAt(u64, CancelToken);

impl Observer for CancelAt {
    fn event(&mut self, event: &Event<'_>) {
        if matches!(event, Event::NodeDone { node, .. } if *node == self.0) {
            self.1.cancel();
        }
    }
}

#[test]
fn a_program_can_be_stopped_saved_and_gone_on_with() {
    let (whole, seen) = free(&base(), 4);
    let resumed = |bytes: &[u8], seen: &mut Seen| -> Result<Outcome> {
        let mut toy = ToyEngine::new(300, 3);
        let mut judge = Checksum { anew: true, ..Checksum::new(&[]) };
        let outcome = {
            let mut input = bytes;
            let params = base();
            let search = Search::new(&mut toy, &Words, &PROMPT, &params, Some(&mut judge), "")?;
            let mut search = search.with_program(Box::new(Talk::default())).load(&mut input)?;
            search.advance(u64::MAX, seen, &CancelToken::new())?;
            search.finish(seen)
        };
        assert_eq!((toy.memory().kv, toy.alive()), (0, 0));
        Ok(outcome)
    };
    let saved = |passes: u64, node: u64| {
        let (mut bytes, cancel) = (Vec::new(), CancelToken::new());
        let mut toy = ToyEngine::new(300, 4);
        let mut judge = Checksum::new(&[]);
        let params = base();
        let search = Search::new(&mut toy, &Words, &PROMPT, &params, Some(&mut judge), "").unwrap();
        let mut search = search.with_program(Box::new(Talk::default()));
        search.advance(passes, &mut CancelAt(node, cancel.clone()), &cancel).unwrap();
        search.save(&mut bytes).unwrap();
        bytes
    };
    let by_passes = (1..whole.usage.forward_passes).map(|passes| saved(passes, u64::MAX));
    // In the middle of a prompt, too: the next part is interrupted before its first pass.
    let by_nodes = (1..=seen.0.len() as u64).map(|node| saved(u64::MAX, node));
    for bytes in by_passes.chain(by_nodes) {
        let outcome = resumed(&bytes, &mut Seen::default()).unwrap();
        assert_eq!(essence(&outcome), essence(&whole));
        assert_eq!(outcome.usage.policy_tokens, whole.usage.policy_tokens);
        assert_eq!(outcome.usage.prompt_tokens, whole.usage.prompt_tokens);
        assert_eq!(outcome.usage.recomputed_tokens, 0, "KV was in the file");
    }
}

#[test]
fn a_damaged_or_foreign_file_is_no_program_s_search() {
    let (params, mut bytes) = (base(), Vec::new());
    {
        let mut toy = ToyEngine::new(300, 4);
        let search = Search::new(&mut toy, &Words, &PROMPT, &params, None, "").unwrap();
        let mut search = search.with_program(Box::new(Talk::default()));
        assert_eq!(search.advance(20, &mut Silent, &CancelToken::new()).unwrap(), None);
        search.save(&mut bytes).unwrap();
    }
    let load = |mut bytes: &[u8], program: bool| {
        let mut toy = ToyEngine::new(300, 4);
        let search = Search::new(&mut toy, &Words, &PROMPT, &params, None, "").unwrap();
        let search = if program { search.with_program(Box::new(Talk::default())) } else { search };
        let loaded = search.load(&mut bytes).map(drop);
        assert_eq!((toy.memory().kv, toy.alive()), (0, 0));
        loaded
    };
    assert!(load(&bytes, true).is_ok());
    assert!(load(&bytes, false).unwrap_err().to_string().contains("parameters"), "an algorithm is another search");
    for end in (0..bytes.len()).step_by(3) {
        assert!(load(&bytes[..end], true).is_err(), "cut at {end}");
    }
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x91;
        // Damage that cannot be told from another number is a search like any other: it must not crash.
        let _ = load(&bytes, true);
    }
}

#[test]
fn a_program_that_asks_for_what_there_is_not_fails_the_search() {
    let mut toy = ToyEngine::new(300, 4);
    let params = base();
    let search = Search::new(&mut toy, &Words, &PROMPT, &params, None, "").unwrap();
    let mut search = search.with_program(Box::new(Talk { fails_after: Some(2), ..Talk::default() }));
    let error: Error = search.advance(u64::MAX, &mut Silent, &CancelToken::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("999"), "{error}");
    drop(search);
    assert_eq!((toy.alive(), toy.memory().kv), (0, 0));
}

#[test]
fn a_prompt_that_outgrows_the_context_leaves_its_replies_without_room() {
    let params = base();
    let mut toy = ToyEngine::new(PROMPT.len() + COMMON.len() + 1, 4);
    let (outcome, seen) = talk(&mut toy, &params, &CancelToken::new()).unwrap();
    assert!(outcome.is_empty() && outcome.stop_reason == StopReason::Finished, "{outcome:?}");
    assert!(seen.0.iter().skip(1).all(|node| node.3 == "context"), "{seen:?}");
}

#[test]
fn what_was_put_forward_decides_and_an_answer_may_be_given() {
    struct Votes(bool);
    impl Program for Votes {
        fn name(&self) -> &str {
            "votes"
        }
        fn next(&mut self, _: Option<Thought>) -> Result<Vec<Request>> {
            self.0 = true;
            let proposal = |text: &str, answer: Option<&str>, weight| {
                let answer = answer.map(str::to_owned);
                Request::PutForward(Proposal { text: text.to_owned(), answer, weight, complete: true })
            };
            let kept = [proposal("so 3", None, 0.2), proposal("#### 3", None, 0.3), proposal("9", Some("4"), 0.9)];
            Ok([vec![proposal("#### 8", None, 1.0), Request::Withdraw], kept.to_vec()].concat())
        }
        fn is_done(&self) -> bool {
            self.0
        }
    }
    for (vote, answer, text) in [(Vote::Majority, "3", "#### 3"), (Vote::Weighted, "4", "9")] {
        let params = SearchParams { vote: Some(vote), ..base() };
        let mut toy = ToyEngine::new(300, 4);
        let search = Search::new(&mut toy, &Words, &PROMPT, &params, None, "").unwrap();
        let mut search = search.with_program(Box::new(Votes(false)));
        search.advance(u64::MAX, &mut Silent, &CancelToken::new()).unwrap();
        let outcome = search.finish(&mut Silent);
        assert_eq!((outcome.answer.as_deref(), outcome.text.as_str()), (Some(answer), text));
        assert_eq!(outcome.candidates.len(), 2);
    }
}
