//! What steps are held against, in a world whose errors are known.

use crate::Result;
use crate::engine::toy::{EOG, MARK, NEWLINE, ToyEngine};
use crate::engine::{SamplerParams, Tap};
use crate::learn::*;
use crate::observe::{CancelToken, Interrupt, Silent};
use crate::reward::verify::Number;
use crate::reward::{Features, Judge, Step, StepId};
use crate::search::toy::Words;

/// Four lines of a digit each, then the answer: 7, or 8 once a line held a 9. So the first 9 is the first error, and nothing mends it.
fn nines(path: &[u32]) -> Vec<f32> {
    let drawn = &path[1..];
    let only = |token: u32| (0..16).map(|t| if t == token { 0.0 } else { f32::NEG_INFINITY }).collect::<Vec<f32>>();
    match drawn.len() {
        8 => only(MARK),
        9 => only(if drawn.contains(&9) { 8 } else { 7 }),
        10.. => only(EOG),
        n if n % 2 == 1 => only(NEWLINE),
        // One line in six goes wrong.
        _ => (0..16).map(|t| if t < 5 || t == 9 { 0.0 } else { f32::NEG_INFINITY }).collect(),
    }
}

/// The block of a question in the world of [`nines`], the texts of all solutions step by step, and the tokens that it took.
fn labelled(labels: Labels, n: usize) -> (Block, Vec<Vec<String>>, u64) {
    let verifier = Number::new("7").unwrap();
    let mut engine = ToyEngine::new(64, 8);
    engine.rule = Some(Box::new(nines));
    let mut recorder = Recorder::new(vec![Tap::Final]).unwrap();
    let question = Question { number: 2, text: "?", prompt: &[3], verifier: &verifier };
    let params = CollectParams { search: sampling(n, SamplerParams::default(), 40, 1), labels };
    let cancel = CancelToken::new();
    let block = collect(&mut engine, &Words, &question, &params, &mut recorder, &mut Silent, &cancel);
    let texts = recorder.paths().iter().map(|path| path.iter().map(|step| step.text.clone()).collect()).collect();
    assert_eq!(engine.alive(), 0);
    (block.unwrap().unwrap(), texts, engine.computed)
}

#[test]
fn the_first_error_of_every_wrong_solution_is_found_by_halving() {
    let omega = OmegaParams { rollouts: 16, searches: 100, ..OmegaParams::default() };
    let (block, texts, computed) = labelled(Labels::FirstError(omega), 8);
    let wrong_from = |texts: &[String]| texts.iter().position(|text| text.contains('9')).unwrap_or(usize::MAX);
    let mut at_errors = 0;
    for row in &block.rows {
        let first = wrong_from(&texts[row.sample as usize]);
        let is_right = (row.step as usize) < first;
        assert_eq!(row.right, is_right, "{:?} step {}", texts[row.sample as usize], row.step);
        assert_eq!(row.value > 0.0, is_right);
        at_errors += usize::from(row.step as usize == first);
    }
    assert!(at_errors > 10, "{at_errors}");
    // A sample is labelled whole or not at all, and rollouts from the middle hold their own steps alone.
    let whole = (0..8).filter(|sample| {
        let rows = block.rows.iter().filter(|row| row.sample == *sample).count();
        assert!(rows == 5 || rows == 0, "{rows}");
        rows == 5
    });
    assert!(whole.count() > 3);
    assert!(block.rows.iter().filter(|row| row.sample >= 8).all(|row| row.step > 0));
    let soft = block.rows.iter().filter(|row| row.value > 0.0 && row.value < 1.0).count();
    assert!(soft > 0, "{soft}");
    assert_eq!(labelled(Labels::FirstError(omega), 8).0, block, "the same again");
    // Fewer searches leave steps without a label; none are made up.
    let few = labelled(Labels::FirstError(OmegaParams { searches: 1, ..omega }), 8);
    assert!(
        few.2 < computed
            && few
                .0
                .rows
                .iter()
                .all(|row| row.right == ((row.step as usize) < wrong_from(&few.1[row.sample as usize])))
    );
}

#[test]
fn rollouts_from_every_step_give_its_share() {
    let (block, texts, _) = labelled(Labels::MonteCarlo { rollouts: 64 }, 6);
    assert_eq!(block.rows.len(), 6 * 5);
    for row in &block.rows {
        let before = &texts[row.sample as usize][..=row.step as usize];
        // A line is right with probability 5 in 6, and so are all that are left.
        let left = 3i32.saturating_sub(row.step as i32).max(0);
        let share = if before.iter().any(|text| text.contains('9')) { 0.0 } else { (5.0f64 / 6.0).powi(left) };
        let found = f64::from(row.value);
        assert!((found - share).abs() < 0.2, "{found} for {share}");
        assert_eq!((row.right, found == 0.0), (share > 0.0, share == 0.0));
    }
    // Outcomes blame every step of a wrong solution.
    let (outcome, texts, _) = labelled(Labels::Outcome, 6);
    for row in &outcome.rows {
        assert_eq!(row.right, !texts[row.sample as usize].concat().contains('9'));
    }
}

#[test]
fn a_trees_values_go_up_to_one_along_right_solutions() {
    let (block, texts, _) = labelled(Labels::TreeValue(OmegaParams::default()), 8);
    assert!(block.rows.len() > 40);
    for row in &block.rows {
        let text = texts[row.sample as usize][..=row.step as usize].concat();
        if row.right {
            // Five steps in all, each a fifth of the way.
            let expected = (row.step + 1) as f32 / 5.0;
            assert!((row.value - expected).abs() < 1e-4 && !text.contains('9'), "{text:?}: {}", row.value);
        }
    }
    assert!(block.rows.iter().any(|row| !row.right && row.value < 0.2));
}

#[test]
fn values_are_those_of_the_published_program() {
    // THUDM/ReST-MCTS, MCTS/base.py, get_full_value_samples_vm, on this tree: number, parent, end and whether it is right, value.
    let tree = [
        (1, 0, false, false, 1.0 / 3.0),
        (2, 1, false, false, 2.0 / 3.0),
        (3, 2, true, true, 1.0),
        (4, 1, false, false, 1.0 / 9.0),
        (5, 4, true, false, 0.0),
        (6, 2, true, false, 0.5),
        (7, 0, true, false, 0.0),
    ];
    let mut recorder = Recorder::new(vec![Tap::Final]).unwrap();
    let mut grown = super::super::grow::Grown::default();
    for (id, parent, ends, right, _) in tree {
        let features = Features { last: vec![0.0], sum: vec![0.0], count: 1 };
        let step = Step {
            id: StepId(id),
            parent: StepId(parent),
            text: "x\n",
            path: "",
            tokens: &[1],
            draws: &[],
            features: Some(&features),
            complete: ends,
        };
        recorder.judge(&[step], &Interrupt::default()).unwrap();
        if ends {
            let steps = vec![StepId(id)];
            grown.solutions.push(super::super::grow::Solution { from: StepId::ROOT, steps, right, searched: false });
        }
    }
    let labels = super::super::tree_value::labels(&recorder, &grown);
    for (id, .., value) in tree {
        let label = labels[&StepId(id)];
        assert!((f64::from(label.value) - value).abs() < 1e-6, "step {id}: {}", label.value);
        assert_eq!(label.right, id <= 3);
    }
    grown.solutions.iter_mut().for_each(|solution| solution.right = false);
    assert!(super::super::tree_value::labels(&recorder, &grown).is_empty());
}

#[test]
fn a_judge_orders_pairs_by_what_it_kept() {
    let (_, texts, _) = labelled(Labels::Outcome, 6);
    let verifier = Number::new("7").unwrap();
    let mut engine = ToyEngine::new(64, 8);
    engine.rule = Some(Box::new(nines));
    let mut recorder = Recorder::new(vec![Tap::Layer(0), Tap::Final]).unwrap().with_entropy();
    let question = Question { number: 2, text: "?", prompt: &[3], verifier: &verifier };
    let params = CollectParams { search: sampling(6, SamplerParams::default(), 40, 1), labels: Labels::Outcome };
    let cancel = CancelToken::new();
    collect(&mut engine, &Words, &question, &params, &mut recorder, &mut Silent, &cancel).unwrap().unwrap();
    // A judge of texts: 0 for a step with a 9.
    let mut judge = crate::reward::Host::new("nines", |steps: &[Step<'_>], _: &Interrupt| {
        Ok(steps.iter().map(|step| if step.path.contains('9') { 0.1 } else { 0.9 }).collect())
    });
    let judged = Judged::of(&recorder, &mut judge, "?", &Interrupt::default()).unwrap();
    for (leaf, texts) in recorder.leaves().into_iter().zip(&texts) {
        let expected = if texts.concat().contains('9') { 0.1 } else { 0.9 };
        assert!((judged.worth(leaf) - expected).abs() < 1e-6);
    }
    let prompt = Prompt { text: "Q", tokens: &[3] };
    let found = pairs(&recorder, prompt, &|last, _| judged.worth(last), &PairParams::default());
    assert!(!found.is_empty());
    for pair in &found {
        assert!(!pair.chosen.as_ref().unwrap().contains('9') && pair.rejected.as_ref().unwrap().contains('9'));
    }
    // The model's own certainty, which needs the entropies that were asked for.
    for mut own in [crate::reward::Confidence::Logprob, crate::reward::Confidence::Entropy] {
        let judged = Judged::of(&recorder, &mut own, "?", &Interrupt::default()).unwrap();
        assert!(recorder.leaves().iter().all(|&leaf| judged.worth(leaf) > 0.2 && judged.worth(leaf) < 1.0));
    }
    // Hidden states that were not kept are named.
    struct Deep;
    impl Judge for Deep {
        fn name(&self) -> &str {
            "deep"
        }
        fn taps(&self) -> &[Tap] {
            &[Tap::Layer(1)]
        }
        fn judge(&mut self, steps: &[Step<'_>], _: &Interrupt) -> Result<Vec<f32>> {
            Ok(vec![0.5; steps.len()])
        }
    }
    let error = Judged::of(&recorder, &mut Deep, "?", &Interrupt::default()).unwrap_err();
    assert!(error.to_string().contains("Layer(1)"), "{error}");
}
