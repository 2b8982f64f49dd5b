//! From a `rum_search` to the parameters of a search.

use std::time::Duration;

use ruminate::engine::SamplerParams;
use ruminate::reward::Aggregation;
use ruminate::search::{Budget, EarlyStop, SearchParams, StepRule, Vote};
use ruminate::text::Thinking;
use serde_json::Value;

use crate::algo::{algorithm, rum_algo};
use crate::search::{rum_aggregation, rum_early_stop, rum_search, rum_stop_at_answer, rum_vote};
use crate::sized;
use crate::status::Failure;

/// The parameters that `search` describes, checked; `stop_at_answer` and `thinking` where it leaves them open.
///
/// # Safety
/// `search` is NULL, for the defaults, or a struct whose pointers can be read.
pub unsafe fn params(
    search: *const rum_search,
    stop_at_answer: bool,
    thinking: Option<Thinking>,
) -> Result<SearchParams, Failure> {
    // SAFETY: the caller's promise.
    let search = unsafe { sized::read_or_initial(search, "the search") }?;
    // SAFETY: the caller's promise.
    let (separator, more) = unsafe { (search.step_separator.read("step_separator")?, search.more.read("more")?) };
    let params = SearchParams { thinking, ..fields(&search, separator, stop_at_answer)? };
    let params = if more.is_empty() { params } else { with_more(&params, more)? };
    params.validate()?;
    Ok(params)
}

fn fields(search: &rum_search, separator: &str, stop_at_answer: bool) -> Result<SearchParams, Failure> {
    let some = |limit: u64| (limit > 0).then_some(limit);
    if !(search.budget_joules >= 0.0 && search.budget_joules.is_finite()) {
        return Err(Failure::invalid(format!(
            "budget_joules is {}: give a number of at least 0",
            search.budget_joules
        )));
    }
    Ok(SearchParams {
        algo: algorithm(rum_algo::read(search.algo)?),
        n: usize::try_from(search.n).unwrap_or(usize::MAX),
        vote: match rum_vote::read(search.vote)? {
            rum_vote::RUM_VOTE_DEFAULT => None,
            rum_vote::RUM_VOTE_MAJORITY => Some(Vote::Majority),
            rum_vote::RUM_VOTE_WEIGHTED => Some(Vote::Weighted),
            rum_vote::RUM_VOTE_BEST => Some(Vote::Best),
        },
        early_stop: match rum_early_stop::read(search.early_stop)? {
            rum_early_stop::RUM_EARLY_STOP_NEVER => EarlyStop::Never,
            rum_early_stop::RUM_EARLY_STOP_BETA => EarlyStop::Beta(search.early_stop_value),
            // NaN becomes 0, which is refused with the other parameters.
            rum_early_stop::RUM_EARLY_STOP_WINDOW => EarlyStop::Window(search.early_stop_value as usize),
        },
        sampler: SamplerParams {
            temperature: search.temperature,
            top_k: search.top_k as usize,
            top_p: search.top_p,
            min_p: search.min_p,
            repetition_penalty: search.repetition_penalty,
            repetition_window: search.repetition_window as usize,
        },
        max_tokens: search.max_tokens,
        step: StepRule {
            separator: if separator.is_empty() { StepRule::default().separator } else { separator.to_owned() },
            max_tokens: search.step_tokens.into(),
            max_steps: search.max_steps as usize,
        },
        aggregation: match rum_aggregation::read(search.aggregation)? {
            rum_aggregation::RUM_AGGREGATION_DEFAULT => None,
            rum_aggregation::RUM_AGGREGATION_LAST => Some(Aggregation::Last),
            rum_aggregation::RUM_AGGREGATION_MIN => Some(Aggregation::Min),
            rum_aggregation::RUM_AGGREGATION_PRODUCT => Some(Aggregation::Product),
            rum_aggregation::RUM_AGGREGATION_MEAN => Some(Aggregation::Mean),
            rum_aggregation::RUM_AGGREGATION_WINDOW => match search.aggregation_window {
                0 => return Err(Failure::invalid("aggregation_window is 0: give at least 1")),
                size => Some(Aggregation::Window(size as usize)),
            },
        },
        beam_width: search.beam_width as usize,
        lookahead: search.lookahead as usize,
        stop_at_answer: match rum_stop_at_answer::read(search.stop_at_answer)? {
            rum_stop_at_answer::RUM_STOP_AT_ANSWER_DEFAULT => stop_at_answer,
            rum_stop_at_answer::RUM_STOP_AT_ANSWER_YES => true,
            rum_stop_at_answer::RUM_STOP_AT_ANSWER_NO => false,
        },
        seed: search.seed,
        budget: Budget {
            tokens: some(search.budget_tokens),
            wall: some(search.budget_ms).map(Duration::from_millis),
            kv_bytes: some(search.budget_kv_bytes),
            bytes: some(search.budget_bytes),
            joules: (search.budget_joules > 0.0).then_some(search.budget_joules),
            power: None,
        },
        ..SearchParams::default()
    })
}

/// `params` with the values of the JSON object `more`; objects are merged, so that `{"mcts": {"parallel": 4}}` leaves the other
/// constants as they are.
fn with_more(params: &SearchParams, more: &str) -> Result<SearchParams, Failure> {
    let wrong = |e: serde_json::Error| Failure::invalid(format!("more: {e}"));
    let more: Value = serde_json::from_str(more).map_err(wrong)?;
    if !more.is_object() {
        return Err(Failure::invalid("more is no JSON object"));
    }
    let mut all = serde_json::to_value(params).map_err(wrong)?;
    merge(&mut all, &more, 0);
    let made: SearchParams = serde_json::from_value(all).map_err(wrong)?;
    // A name that nothing took is not among what was made of it.
    match unknown(&more, &serde_json::to_value(&made).map_err(wrong)?) {
        None => Ok(made),
        Some(path) => Err(Failure::invalid(format!("more: there is no search parameter {path:?}"))),
    }
}

/// Puts the values of `more` into `place`, which is `depth` names deep.
fn merge(place: &mut Value, more: &Value, depth: usize) {
    match (place, more) {
        // An object of one entry is a choice, such as {"beta": 0.95}: another one takes its place.
        (Value::Object(place), Value::Object(more)) if depth < 2 && (depth == 0 || place.len() > 1) => {
            for (name, value) in more {
                merge(place.entry(name.as_str()).or_insert(Value::Null), value, depth + 1);
            }
        }
        (place, more) => more.clone_into(place),
    }
}

/// The path of the first name in `more` that `made` lacks; what is null or an empty text may be left out there.
fn unknown(more: &Value, made: &Value) -> Option<String> {
    let mut given = more.as_object()?.iter().filter(|(_, value)| !value.is_null() && **value != "");
    given.find_map(|(name, value)| match made.get(name) {
        None => Some(name.clone()),
        Some(made) => unknown(value, made).map(|path| format!("{name}.{path}")),
    })
}

#[cfg(test)]
mod tests {
    use ruminate::search::Selection;
    use ruminate::text::Grammar;

    use super::*;
    use crate::sized::Struct;
    use crate::status::rum_status;
    use crate::text::rum_str;

    fn made(change: impl FnOnce(&mut rum_search)) -> Result<SearchParams, Failure> {
        let mut search = rum_search::initial();
        change(&mut search);
        // SAFETY: a whole struct with texts that live on.
        unsafe { params(&search, true, None) }
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        assert_eq!(made(|_| ()).unwrap(), SearchParams::default());
        // SAFETY: NULL means the defaults.
        let made = unsafe { params(std::ptr::null(), false, Thinking::of_template("</think>")) }.unwrap();
        assert!(!made.stop_at_answer && made.thinking.is_some());
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let bad: [fn(&mut rum_search); 12] = [
            |s| s.algo = 14,
            |s| s.vote = 4,
            |s| s.early_stop = 3,
            |s| s.aggregation = 6,
            |s| s.stop_at_answer = 3,
            |s| s.n = 0,
            |s| s.n = u64::MAX,
            |s| s.max_tokens = 0,
            |s| s.temperature = f32::NAN,
            |s| s.early_stop_value = f64::NAN,
            |s| s.budget_joules = -1.0,
            |s| s.step_tokens = 0,
        ];
        for change in bad {
            assert_eq!(made(change).unwrap_err().status, rum_status::RUM_ERR_INVALID_ARGUMENT);
        }
    }

    fn more(text: &str) -> Result<SearchParams, Failure> {
        made(|s| s.more = rum_str { ptr: text.as_ptr().cast(), len: text.len() })
    }

    #[test]
    fn more_parameters_come_as_json() {
        let params = more(r#"{"mcts": {"parallel": 3, "selection": {"uct": 1.0}}, "n": 2}"#).unwrap();
        let mut expected = SearchParams { n: 2, ..SearchParams::default() };
        (expected.mcts.parallel, expected.mcts.selection) = (3, Selection::Uct(1.0));
        assert_eq!(params, expected);
        assert_eq!(more(r#"{"early_stop": {"window": 3}}"#).unwrap().early_stop, EarlyStop::Window(3));
        assert_eq!(more(r#"{"early_stop": "never", "grammar": null}"#).unwrap().early_stop, EarlyStop::Never);
        for bad in ["{", "[]", r#"{"nn": 1}"#, r#"{"n": "x"}"#, r#"{"mcts": {"parallel": 0}}"#] {
            assert_eq!(more(bad).unwrap_err().status, rum_status::RUM_ERR_INVALID_ARGUMENT, "{bad}");
        }
    }

    #[test]
    fn names_that_nothing_takes_are_refused_with_their_path() {
        for (bad, path) in [
            (r#"{"budget": {"token": 1000}}"#, "budget.token"),
            (
                r#"{"mcts": {"selection": {"puct": {"base": 1.0, "init": 1.0, "initial": 2}}}}"#,
                "mcts.selection.puct.initial",
            ),
            (r#"{"grammar": {"form": {"regex": "a"}, "behind": "x"}}"#, "grammar.behind"),
        ] {
            let failure = more(bad).unwrap_err();
            assert_eq!(failure.status, rum_status::RUM_ERR_INVALID_ARGUMENT);
            assert!(failure.message.contains(&format!("{path:?}")), "{}", failure.message);
        }
    }

    #[test]
    fn what_the_defaults_lack_can_be_given() {
        let grammar = Grammar::regex("[0-9]+").unwrap().after("so:");
        let held = more(r#"{"grammar": {"form": {"regex": "[0-9]+"}, "after": "so:"}}"#).unwrap();
        assert_eq!(held.grammar, Some(grammar));
        let thinking = more(r#"{"thinking": {"open": "<a>", "close": "</a>"}}"#).unwrap().thinking.unwrap();
        assert_eq!((thinking.open.as_str(), thinking.close.as_str(), thinking.begun), ("<a>", "</a>", false));
        let mut search = rum_search::initial();
        let text = r#"{"thinking": null, "budget": {"wall": {"secs": 1, "nanos": 0}}}"#;
        search.more = rum_str { ptr: text.as_ptr().cast(), len: text.len() };
        // SAFETY: a whole struct with texts that live on.
        let params = unsafe { params(&search, true, Thinking::of_template("</think>")) }.unwrap();
        assert_eq!((params.thinking, params.budget.wall), (None, Some(Duration::from_secs(1))));
    }
}
