//! Rows written by hand in the published formats, and their broken forms.

use super::*;

const PRM800K: &str = r#"{"labeler":"a","question":{"problem":" How many legs have 3 cats? ","ground_truth_answer":"12"},"label":{"steps":[
{"completions":[{"text":"A cat has 4 legs.","rating":1,"flagged":false},{"text":"A cat has 3 legs.","rating":-1}],"human_completion":null,"chosen_completion":0},
{"completions":[{"text":"So 4 + 3 = 7.","rating":-1}],"human_completion":{"text":"So 4 * 3 = 12.","rating":null,"source":"human"},"chosen_completion":null},
{"completions":[{"text":"Let me check.","rating":0},{"text":"Done.\n\n\u0023 Answer\n\n12","rating":1}],"human_completion":null,"chosen_completion":1}],
"total_time":1,"finish_reason":"solution"}}"#;
const MATH_SHEPHERD: &str = r#"{"input":"How many legs have 3 cats? Step 1: A cat has 4 legs. ки\nStep 2: So 4 + 3 = 7. The answer is: 7 ки","label":"How many legs have 3 cats? Step 1: A cat has 4 legs. +\nStep 2: So 4 + 3 = 7. The answer is: 7 -","task":"GSM8K"}"#;
const OMEGA_PRM: &str = r#"{"question":"How many legs have 3 cats?","final_answer":"12","reasoning_steps":{"text":"How many legs have 3 cats?","mc_value":0.5,"children":[
{"text":"A cat has 4 legs.","mc_value":0.75,"children":[{"text":"12","mc_value":1.0,"children":[]},{"text":"7","mc_value":0,"children":[]}]},
{"text":"A cat has 3 legs.\n\n9","mc_value":0.0,"children":[]}]},"question_id":"q"}"#;

/// A row on one line, as a file holds it.
fn line(text: &str) -> String {
    text.replace('\n', "")
}

type Seen<'a> = (Option<usize>, &'a str, Option<f32>, bool);

fn seen(question: &StepQuestion) -> Vec<Seen<'_>> {
    question.steps.iter().map(|step| (step.parent, step.text.as_str(), step.value, step.complete)).collect()
}

#[test]
fn every_format_becomes_a_tree_of_labelled_steps() {
    let read = |row: &str| StepFormat::of(&line(row)).unwrap().read(&line(row)).unwrap();
    let prm800k = read(PRM800K);
    assert_eq!(prm800k.text, "How many legs have 3 cats?");
    let expected = [
        (None, "A cat has 4 legs.", Some(1.0), false),
        (None, "A cat has 3 legs.", Some(0.0), false),
        // What people wrote goes on, with no rating of its own.
        (Some(0), "So 4 * 3 = 12.", None, false),
        (Some(0), "So 4 + 3 = 7.", Some(0.0), false),
        (Some(2), "Done.\n\n# Answer\n\n12", Some(1.0), true),
        (Some(2), "Let me check.", Some(1.0), false),
    ];
    assert_eq!(seen(&prm800k), expected);
    let shepherd = read(MATH_SHEPHERD);
    assert_eq!(shepherd.text, "How many legs have 3 cats?");
    let expected = [
        (None, "Step 1: A cat has 4 legs.", Some(1.0), false),
        (Some(0), "Step 2: So 4 + 3 = 7. The answer is: 7", Some(0.0), true),
    ];
    assert_eq!(seen(&shepherd), expected);
    let omega = read(OMEGA_PRM);
    let expected = [
        (None, "A cat has 4 legs.", Some(0.75), false),
        (Some(0), "12", Some(1.0), true),
        (Some(0), "7", Some(0.0), true),
        (None, "A cat has 3 legs.\n\n9", Some(0.0), true),
    ];
    assert_eq!(seen(&omega), expected);
}

#[test]
fn broken_rows_are_named_and_none_is_guessed() {
    for (row, from, to, says) in [
        (PRM800K, "\"rating\":1,", "\"rating\":2,", "none of -1, 0 and 1"),
        (PRM800K, "\"chosen_completion\":1", "\"chosen_completion\":2", "none of them"),
        (PRM800K, "\"steps\":[", "\"stops\":[", "steps"),
        (PRM800K, "\"problem\":\" How many legs have 3 cats? \"", "\"problem\":\" \"", "problem is empty"),
        (PRM800K, "\"text\":\"A cat has 4", "\"txt\":\"A cat has 4", "text is missing"),
        (MATH_SHEPHERD, "legs. +", "legs. ?", "neither + nor -"),
        (MATH_SHEPHERD, "legs. +", "arms. +", "another text"),
        (MATH_SHEPHERD, "7 -", "7 - and more", "another text"),
        (MATH_SHEPHERD, "ки", "-", "no ки"),
        (MATH_SHEPHERD, "Step 1:", "First:", "Step 1:"),
        (OMEGA_PRM, "0.75", "1.75", "mc_value"),
        (OMEGA_PRM, "\"children\":[]", "\"child\":[]", "children"),
        (OMEGA_PRM, "\"text\":\"12\"", "\"text\":\"  \"", "empty"),
    ] {
        let format = StepFormat::of(&line(row)).unwrap();
        let broken = line(row).replacen(from, to, if from == "ки" { 9 } else { 1 });
        assert_ne!(broken, line(row), "{from}");
        let error = format.read(&broken).unwrap_err();
        assert!(error.contains(says), "{from}: {error}");
    }
    // Nesting that would take the stack.
    let deep = format!("{}{}", "{\"question\":\"q\",\"reasoning_steps\":".repeat(100_000), "1");
    assert!(StepFormat::of(&deep).is_none() && StepFormat::OmegaPrm.read(&deep).is_err());
    assert!(StepFormat::of("{\"question\":\"a\",\"answer\":\"#### 1\"}").is_none());
}

#[test]
fn a_set_is_read_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.jsonl");
    let open = |text: &[u8], format| {
        std::fs::write(&path, text).unwrap();
        StepSet::open(&path, format)
    };
    let row = line(OMEGA_PRM);
    let set = open(format!("\u{feff}{row}\n\n  \n{row}\n").as_bytes(), None).unwrap().unwrap();
    assert_eq!((set.format, set.len), (StepFormat::OmegaPrm, 2));
    let rows: Vec<(usize, String)> = set.rows().unwrap().map(Result::unwrap).collect();
    assert_eq!(rows, [(0, row.clone()), (1, row.clone())]);
    let other = open(format!("{row}\n{row} \n{row}").as_bytes(), None).unwrap().unwrap();
    assert!(other.digest != set.digest && other.len == 3);
    // Question sets are left to others.
    assert!(open(b"{\"question\":\"a\",\"answer\":\"#### 1\"}\n", None).unwrap().is_none());
    assert!(open(b"", None).unwrap().is_none() && open(b"\n", Some(StepFormat::Prm800k)).is_err());
    assert!(open(b"\xff\xfe", None).is_err());
    assert!(StepSet::open(&folder.path().join("absent"), None).unwrap().is_none());
}
