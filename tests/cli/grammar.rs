//! Answers held to a grammar, with the built-in model, which would say nothing of the kind.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{assert_fails, document, ruminate};

const QUESTION: &str = "Tom has 3 boxes with 4 pens each. How many pens?";
const SCHEMA: &str = r#"{"type": "object", "properties": {"pens": {"type": "integer", "minimum": 0, "maximum": 999},
    "sure": {"type": "boolean"}}, "required": ["pens", "sure"], "additionalProperties": false}"#;

fn is_pens(text: &str) -> bool {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    value["pens"].as_u64().is_some_and(|pens| pens < 1000) && value["sure"].is_boolean()
}

#[test]
fn run_says_what_the_grammar_lets_it_say_or_that_it_was_cut() {
    let run_with = |args: &[&str]| document(&ruminate(&[&["run", "--json", "-p", QUESTION], args].concat()));
    let run = |args: &[&str]| {
        document(&ruminate(
            &[&["run", "--json", "--temp", "2", "--top-p", "1", "--min-p", "0", "-p", QUESTION], args].concat(),
        ))
    };
    for seed in ["1", "2", "3"] {
        let said = run(&["--json-schema", SCHEMA, "--seed", seed]);
        assert!(is_pens(said["text"].as_str().unwrap()) && said["stop_reason"] == "finished", "{said}");
        let said = run(&["--choice", "red,light blue,green", "--seed", seed]);
        assert!(["red", "light blue", "green"].contains(&said["text"].as_str().unwrap()), "{said}");
        let said = run(&["--regex", "[0-9]{3}-[a-c]{2}", "--seed", seed]);
        assert_eq!(said["text"].as_str().unwrap().len(), 6, "{said}");
    }
    let cut = run(&["--json-schema", SCHEMA, "-n", "3"]);
    assert!(cut["stop_reason"] == "tokens" && !is_pens(cut["text"].as_str().unwrap()), "{cut}");
    let full = run(&["--regex", "[0-9]{400}", "--ctx", "96"]);
    assert!(full["stop_reason"] == "context" && full["tokens"].as_array().unwrap().len() < 96, "{full}");
    for lark in [r#"start: "yes" | "no""#, "start: answer\nanswer: \"yes\" | \"no\""] {
        let said = run(&["--lark", lark]);
        assert!(["yes", "no"].contains(&said["text"].as_str().unwrap()), "{said}");
    }
    let greedy = |draft: &str| run_with(&["--json-schema", SCHEMA, "--temp", "0", "--draft", draft])["tokens"].clone();
    assert_eq!(greedy("0"), greedy("4"), "drafts change nothing");
}

#[test]
fn solve_votes_over_answers_of_the_grammar_and_a_replay_holds_to_it() {
    let folder = TempDir::new().unwrap();
    let (trace, schema) = (folder.path().join("t.jsonl"), folder.path().join("s.json"));
    fs::write(&schema, SCHEMA).unwrap();
    let (trace, schema) = (trace.to_str().unwrap(), schema.to_str().unwrap());
    let args = ["solve", "--json", "--json-schema", schema, "--n", "6", "--early-stop", "never", "--temp", "1.5"];
    for extra in [&["--algo", "best-of-n"][..], &["--algo", "beam"], &["--algo", "budget-forcing"], &["--algo", "mcts"]]
    {
        let solve = |width| {
            let all = [&args[..], extra, &["--strategy", "direct", "--width", width, "--trace", trace, QUESTION]];
            document(&ruminate(&all.concat()))
        };
        let (one, many) = (solve("1"), solve("8"));
        assert_eq!(one["candidates"], many["candidates"]);
        assert!(is_pens(one["answer"].as_str().unwrap()) && one["complete"] == true, "{one}");
        for candidate in one["candidates"].as_array().unwrap() {
            assert!(is_pens(candidate["answer"].as_str().unwrap()), "{candidate}");
        }
        let replayed = document(&ruminate(&["trace", "replay", "--json", "--width", "3", trace]));
        assert_eq!(replayed["identical"], true, "{replayed}");
    }
    // A method says its answer behind a mark.
    let plan =
        ["solve", "--json", "--strategy", "plan", "--n", "2", "--max-tokens", "60", "--choice", "12,13,7", QUESTION];
    let plan = document(&ruminate(&plan));
    assert!(plan["answer"].is_null() || ["12", "13", "7"].contains(&plan["answer"].as_str().unwrap()), "{plan}");
    let short = [
        "solve",
        "--json",
        "--n",
        "1",
        "--json-schema",
        SCHEMA,
        "--strategy",
        "direct",
        "--budget-tokens",
        "3",
        QUESTION,
    ];
    let short = document(&ruminate(&short));
    assert!(short["answer"].is_null() && short["complete"] == false, "{short}");
}

#[test]
fn what_is_no_grammar_is_said_in_one_line() {
    let run = |args: &[&str]| ruminate(&[&["run", "-p", "x"], args].concat());
    assert_fails(&run(&["--regex", "("]), 2, "grammar");
    assert_fails(&run(&["--regex", "a", "--choice", "b"]), 2, "cannot be used");
    assert_fails(&run(&["--json-schema", "{"]), 2, "no JSON");
    assert_fails(&run(&["--json-schema", r#"{"type": "spaceship"}"#]), 2, "grammar");
    assert_fails(&run(&["--json-schema", "/nonexistent/x.json"]), 3, "nonexistent");
    assert_fails(&run(&["--lark", "nonexistent.lark"]), 3, "nonexistent");
    assert_fails(&run(&["--lark", "start: absent"]), 2, "grammar");
    assert_fails(&run(&["--choice", "a,,b"]), 2, "choice");
    let program = ["solve", "--strategy", "program", "--choice", "a,b", QUESTION];
    assert_eq!(ruminate(&program).status.code().map(|code| code > 0), Some(true));
}
