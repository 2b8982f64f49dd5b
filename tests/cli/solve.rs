//! `solve` with the built-in model.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{BUNDLED, assert_fails, command, document, ruminate, text};

const QUESTION: &str = "Tom has 3 boxes with 4 pens each. He gives away 5 pens. How many pens are left?";

#[test]
fn the_document_has_its_fields_and_does_not_depend_on_threads() {
    let solve = |threads: &str| {
        let mut document =
            document(&ruminate(&["solve", "--json", "--width", "8", "--seed", "3", "--threads", threads, QUESTION]));
        let usage = document["usage"].as_object_mut().unwrap();
        for field in
            ["prompt_tokens", "policy_tokens", "reward_tokens", "forward_passes", "kv_peak_bytes", "peak_bytes"]
        {
            assert!(usage[field].is_u64(), "{field}");
        }
        assert!(usage.remove("wall_ms").unwrap().as_f64().unwrap() > 0.0);
        for field in ["peak_bytes", "joules", "reward_ms"] {
            assert!(usage.remove(field).is_some(), "{field}");
        }
        document
    };
    let one = solve("1");
    assert_eq!(one, solve("2"));
    assert_eq!((&one["free_width"], &one["free_width_source"]), (&8.into(), &"given".into()));
    for field in ["answer", "text", "algo", "strategy"] {
        assert!(one[field].is_string(), "{field}");
    }
    assert_eq!((&one["stop_reason"], &one["seed"]), (&"finished".into(), &3.into()));
    let candidates = one["candidates"].as_array().unwrap();
    let votes: Vec<u64> = candidates.iter().map(|c| c["votes"].as_u64().unwrap()).collect();
    assert!(!votes.is_empty() && votes.iter().sum::<u64>() <= 8 && votes.is_sorted_by(|a, b| a >= b));
    assert_eq!(candidates[0]["answer"], one["answer"]);
    assert_eq!(one["model"]["architecture"], "llama");
}

#[test]
fn branches_vote_and_answer_are_plain_lines_in_a_pipe() {
    let output = ruminate(&["solve", "--n", "5", "--early-stop", "never", QUESTION]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let stdout = text(&output.stdout);
    assert!(!stdout.contains('\x1b') && !stdout.contains('\r'));
    assert_eq!(stdout.lines().filter(|l| l.starts_with("branch ")).count(), 5, "{stdout}");
    assert!(stdout.contains(" vote") && stdout.lines().any(|l| l.starts_with("answer: ")), "{stdout}");
    let quiet = ruminate(&["solve", "--n", "5", "--early-stop", "never", "--quiet", QUESTION]);
    let answer = stdout.lines().find_map(|l| l.strip_prefix("answer: ")).unwrap();
    assert_eq!(text(&quiet.stdout).trim_end(), answer);
}

#[test]
fn a_spent_token_budget_still_answers() {
    let args = ["solve", "--json", "--n", "64", "--early-stop", "never", "--budget-tokens", "200", QUESTION];
    let document = document(&ruminate(&args));
    assert_eq!(document["stop_reason"], "tokens");
    assert!(document["usage"]["policy_tokens"].as_u64().unwrap() <= 200);
    assert!(!document["text"].as_str().unwrap().is_empty());
}

#[test]
fn no_time_at_all_gives_nothing_and_says_so() {
    let output = ruminate(&["solve", "--budget-ms", "0", QUESTION]);
    assert_fails(&output, 4, "within the budget");
}

#[test]
fn a_memory_budget_below_the_prompt_is_refused_and_a_small_one_is_kept() {
    assert_fails(&ruminate(&["solve", "--budget-mem", "1KiB", QUESTION]), 5, "");
    let args = ["solve", "--json", "--n", "8", "--early-stop", "never", "--seed", "3", QUESTION];
    let free = document(&ruminate(&args));
    let peak = free["usage"]["kv_peak_bytes"].as_u64().unwrap();
    let half = (peak / 2).to_string();
    let tight = document(&ruminate(&[&args[..], &["--budget-mem", &half]].concat()));
    assert!(tight["usage"]["kv_peak_bytes"].as_u64().unwrap() <= peak / 2);
    assert_eq!((&tight["answer"], &tight["candidates"]), (&free["answer"], &free["candidates"]));
}

#[test]
fn a_spent_energy_budget_still_answers() {
    let flags = ["--n", "4096", "--early-stop", "never", "--budget-joules", "0.5", "--watts-per-core", "1000"];
    let document = document(&ruminate(&[&["solve", "--json", QUESTION], &flags[..]].concat()));
    assert_eq!(document["stop_reason"], "energy");
    assert!(!document["text"].as_str().unwrap().is_empty());
    assert!(document["usage"]["joules"].as_f64().unwrap() >= 0.5);
    assert!(["measured", "estimated"].contains(&document["usage"]["joules_source"].as_str().unwrap()));
}

#[test]
fn bad_parameters_are_usage_errors() {
    let cases: [(&[&str], &str); 10] = [
        (&["--strategy", "tea-leaves"], "tea-leaves"),
        (&["--n", "0"], "n is 0"),
        (&["--algo", "tea-leaves"], "tea-leaves"),
        (&["--temp=-1"], "temp"),
        (&["--max-tokens", "0"], "max_tokens"),
        (&["--early-stop", "soon"], "soon"),
        (&["--vote", "loud"], "loud"),
        (&["--aggregation", "window:0"], "window"),
        (&["--beam-width", "0"], "beam_width"),
        (&["--budget-joules", "0"], "above 0"),
    ];
    for (args, says) in cases {
        assert_fails(&ruminate(&[&["solve", QUESTION], args].concat()), 2, says);
    }
    assert_fails(&ruminate(&["solve", "  "]), 2, "empty");
}

#[test]
#[cfg(unix)]
fn ctrl_c_prints_the_best_so_far() {
    let args = ["solve", "--n", "4096", "--early-stop", "never", "--temp", "1", QUESTION];
    let mut child = command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Once the first branch is done there is something to print.
    let mut first = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut first).unwrap();
    assert!(first.starts_with("branch "), "{first}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let start = Instant::now();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(rest.lines().any(|l| l.starts_with("answer: ")), "{rest}");
}

#[test]
#[cfg(unix)]
fn an_interrupted_search_goes_on_where_it_stood() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("search.bin");
    let flags = ["--algo", "rebase", "--n", "600", "--max-tokens", "120", "--judge", "arithmetic", "--width", "8"];
    let args = [&["solve", QUESTION][..], &flags].concat();
    let whole = document(&command().args(&args).arg("--json").output().unwrap());
    let interrupted = |file: &Path| {
        let mut interrupted = command();
        interrupted.args(&args).arg("--checkpoint").arg(file).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = interrupted.spawn().unwrap();
        let mut said = String::new();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut said).unwrap();
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        std::io::Read::read_to_string(&mut stdout, &mut said).unwrap();
        (child.wait_with_output().unwrap(), said)
    };
    // A file that cannot be written costs the search, and not what it found.
    let (output, said) = interrupted(&folder.path().join("absent").join("search.bin"));
    assert_fails(&output, 3, "search.bin");
    assert!(said.lines().any(|line| line.starts_with("answer: ")), "{said}");
    let (output, _) = interrupted(&file);
    assert_eq!(output.status.code(), Some(130), "it ended before it could be interrupted");
    assert!(file.is_file());
    let other = command().args(["solve", QUESTION, "--checkpoint"]).arg(&file).output().unwrap();
    assert_fails(&other, 3, "parameters");
    let resumed = document(
        &command().args(&args).args(["--json", "--threads", "1", "--checkpoint"]).arg(&file).output().unwrap(),
    );
    for field in ["answer", "text", "score", "candidates", "stop_reason"] {
        assert_eq!(resumed[field], whole[field], "{field}");
    }
    assert_eq!(resumed["usage"]["recomputed_tokens"], 0);
    assert!(!file.exists(), "a search that ended leaves no file");
}

#[test]
fn the_free_width_is_kept_and_a_damaged_cache_is_measured_anew_or_done_without() {
    let cache = TempDir::new().unwrap();
    let run =
        |cache: &Path, args: &[&str]| document(&command().env("XDG_CACHE_HOME", cache).args(args).output().unwrap());
    let solve = |cache: &Path| run(cache, &["solve", "--json", "--n", "2", QUESTION]);
    let measured = run(cache.path(), &["doctor", "--json"]);
    let width = measured["free_width"].as_u64().unwrap();
    assert!(measured["decode"].as_array().unwrap().iter().any(|w| w["branches"] == width));
    let solved = solve(cache.path());
    assert_eq!((&solved["free_width"], &solved["free_width_source"]), (&width.into(), &"cached".into()));

    let folder = cache.path().join("ruminate").join("free-width");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    for damage in [&b""[..], b"{\"free_width\": 9999}", &[0xff; 100_000]] {
        fs::write(file, damage).unwrap();
        let solved = solve(cache.path());
        assert_ne!(solved["free_width_source"], "cached");
        assert!((1..=64).contains(&solved["free_width"].as_u64().unwrap()));
    }
    // A file stands where the cache folder should.
    assert_ne!(solve(file)["free_width_source"], "cached");
}

#[test]
fn the_built_in_model_brings_its_own_judges() {
    let solve = |args: &[&str]| {
        let fixed = ["solve", "--json", "--strategy", "direct", "--n", "4", "--early-stop", "never", QUESTION];
        document(&ruminate(&[&fixed[..], args].concat()))
    };
    let [own, named, none] = [&[][..], &["--judge", "head*arithmetic"], &["--judge", "none"]].map(solve);
    assert_eq!(own["candidates"], named["candidates"]);
    assert_ne!(own["candidates"], none["candidates"]);
    // The same samples, weighed by something else.
    let texts = |document: &Value| document["usage"]["policy_tokens"].clone();
    assert_eq!(texts(&own), texts(&none));
    // The same file as a model of one's own is judged by nothing, unless its head is asked for.
    let file = solve(&["--model", BUNDLED]);
    assert_eq!(file["candidates"], none["candidates"]);
    assert_eq!(solve(&["--model", BUNDLED, "--judge", "head*arithmetic"])["candidates"], own["candidates"]);
    let actor = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/actor/actor.gguf");
    assert_fails(&ruminate(&["solve", "--model", actor, "--judge", "head", QUESTION]), 2, "--judge head=FILE");
    assert_fails(&ruminate(&["solve", "--judge", "none*arithmetic", QUESTION]), 2, "none alone");
}
