//! Pairs of siblings, in trees that are written down.

use crate::engine::Tap;
use crate::learn::preference::Preference;
use crate::learn::{PairParams, Prompt, Recorder, pairs};
use crate::observe::Interrupt;
use crate::reward::verify::{Number, Verifier};
use crate::reward::{Draw, Features, Judge, Step, StepId};

fn recorder(steps: &[(u64, u64, &str, bool)]) -> Recorder {
    let mut recorder = Recorder::new(vec![Tap::Final]).unwrap();
    let features = Features { last: vec![0.0], sum: vec![0.0], count: 1 };
    for &(id, parent, text, complete) in steps {
        let step = Step {
            id: StepId(id),
            parent: StepId(parent),
            text,
            path: "",
            tokens: if text.is_empty() { &[] } else { &[1] },
            draws: &[Draw::default()],
            features: Some(&features),
            complete,
        };
        recorder.judge(&[step], &Interrupt::default()).unwrap();
    }
    recorder
}

const PROMPT: Prompt<'_> = Prompt { text: "Q", tokens: &[9] };

/// Worth 1 where it ends with this number.
fn by_number(number: &str) -> impl Fn(StepId, &str) -> f64 {
    let number = Number::new(number).unwrap();
    move |_, text| f64::from(u8::from(number.accepts(text)))
}

fn texts(pairs: &[Preference]) -> Vec<(&str, &str, &str)> {
    pairs.iter().map(|p| (p.prompt.as_str(), p.chosen.as_deref().unwrap(), p.rejected.as_deref().unwrap())).collect()
}

#[test]
fn independent_samples_give_pairs_of_whole_solutions() {
    let recorder = recorder(&[
        (1, 0, "a\n", false),
        (2, 0, "b\n", false),
        (3, 1, "#### 7\n", true),
        (4, 2, "#### 8\n", true),
        (5, 0, "#### 7\n", true),
        (6, 0, "c", false),
        // A twin of the first.
        (7, 0, "a\n#### 7\n", true),
    ]);
    let pairs = pairs(&recorder, PROMPT, &by_number("7"), &PairParams::default());
    assert_eq!(texts(&pairs), [("Q", "a\n#### 7", "c"), ("Q", "#### 7", "b\n#### 8")]);
    assert_eq!((pairs[0].chosen_open, pairs[0].rejected_open), (false, true));
    assert_eq!(pairs[0].prompt_tokens, [9]);
    assert!(crate::learn::pairs(&recorder, PROMPT, &by_number("9"), &PairParams::default()).is_empty());
    // Worth by anything else, such as by what a judge said of the last step.
    let late = |step: StepId, _: &str| step.0 as f64 / 10.0;
    let params = PairParams { most: 1, gap: 0.3, ..PairParams::default() };
    let by_judge = crate::learn::pairs(&recorder, PROMPT, &late, &params);
    assert_eq!(texts(&by_judge), [("Q", "a\n#### 7", "c")], "what was cut off is worth nothing");
}

#[test]
fn siblings_of_a_tree_are_ordered_by_what_became_of_them() {
    // Of the first step's three solutions two are right, of the second's one neither.
    let recorder = recorder(&[
        (1, 0, "x\n", false),
        (2, 0, "y\n", false),
        (3, 1, "#### 7\n", true),
        (4, 1, "so #### 7\n", true),
        (5, 1, "#### 6\n", true),
        (6, 2, "#### 1\n", true),
        (7, 2, "#### 2\n", true),
    ]);
    let params = PairParams { by_visits: true, ..PairParams::default() };
    let pairs = pairs(&recorder, PROMPT, &by_number("7"), &params);
    let below_x = ("Qx\n", "#### 7", "#### 6");
    assert_eq!(texts(&pairs), [below_x, ("Qx\n", "so #### 7", "#### 6"), ("Q", "x\n", "y\n")]);
    let top = &pairs[2];
    assert!(top.chosen_open && top.rejected_open);
    assert_eq!((pairs[0].prompt_tokens.as_slice(), top.prompt_tokens.as_slice()), ([9, 1].as_slice(), [9].as_slice()));
    assert!((top.smoothing.unwrap() - (1.0 - 1.0 / (1.0 + 2.0 / 3.0))).abs() < 1e-12);
    assert_eq!(pairs[0].smoothing, Some(0.5));
}

#[test]
fn a_tree_may_be_as_deep_as_it_has_steps() {
    let mut steps = Vec::new();
    // At every step of a long line another one ends.
    for i in 0..100_000 {
        steps.push((2 * i + 1, if i == 0 { 0 } else { 2 * i }, "", false));
        steps.push((2 * i + 2, if i == 0 { 0 } else { 2 * i }, "", false));
    }
    steps.extend([(200_001, 200_000, "#### 7", true), (200_002, 200_000, "#### 8", true)]);
    steps.iter_mut().take(2).for_each(|step| step.2 = "x\n");
    let pairs = pairs(&recorder(&steps), PROMPT, &by_number("7"), &PairParams::default());
    assert_eq!(texts(&pairs), [("Qx\n", "#### 7", "#### 8")]);
}

#[test]
fn solutions_that_share_too_long_a_beginning_give_no_pairs() {
    let long = "x".repeat(1 << 20);
    let tree = |n: u64| {
        let mut steps = vec![(1, 0, long.as_str(), false), (2, 1, "#### 7", true)];
        steps.extend((3..n + 2).map(|id| (id, 1, "#### 8", true)));
        crate::learn::pairs(
            &recorder(&steps),
            PROMPT,
            &|step, _| f64::from(u8::from(step.0 == 2)),
            &PairParams::default(),
        )
    };
    assert_eq!((tree(250).len(), tree(260).len()), (1, 0));
}
