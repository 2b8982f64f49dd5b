//! `learn dpo` and `learn improve` with the built-in model.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{assert_fails, command, document, ruminate};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/test.jsonl");

/// Pairs of the built-in model's own samples, and the folder that they lie in.
fn pairs() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (rows, pairs) = (path("rows"), path("pairs.jsonl"));
    let collect = |rows_of: &str| {
        let args = ["learn", "collect", "--json", DATA, "--n", "8", "--width", "8", "--rows", rows_of, "--out", &rows];
        document(&ruminate(&[&args[..], &["--pairs", &pairs]].concat()))
    };
    let first = collect("0..8");
    let found = fs::read_to_string(&pairs).unwrap();
    assert_eq!(found.lines().count() as u64, first["pairs"].as_u64().unwrap());
    // What a stopped run had begun is taken out and comes again.
    let stray: Value = serde_json::from_str(found.lines().next().unwrap()).unwrap();
    let mut stray = stray.as_object().unwrap().clone();
    stray["source"]["question"] = 11.into();
    fs::write(&pairs, format!("{found}{}\n{{\"prompt\": \"cut o", Value::from(stray))).unwrap();
    let second = collect("0..20");
    let all = fs::read_to_string(&pairs).unwrap();
    let n = first["pairs"].as_u64().unwrap() + second["pairs"].as_u64().unwrap();
    assert!(all.starts_with(&found) && all.lines().count() as u64 == n && n > 10, "{n}");
    (folder, pairs)
}

#[test]
fn an_adapter_is_trained_stopped_and_gone_on_with() {
    let (folder, pairs) = pairs();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let dpo = |out: &str, args: &[&str]| {
        let fixed = ["learn", "dpo", "--json", &pairs, "--batch", "4", "--rank", "4", "--threads", "1", "--out", out];
        document(&ruminate(&[&fixed[..], args].concat()))
    };
    let whole = dpo(&path("whole.gguf"), &["--test", &pairs, "--log", &path("log"), "--lr", "1e-3", "--sft", "0"]);
    assert_eq!((&whole["stopped"], &whole["steps"]), (&"finished".into(), &whole["steps_of_run"]));
    let (before, after) = (&whole["test_before"], &whole["test_after"]);
    assert!((before["loss"].as_f64().unwrap() - std::f64::consts::LN_2).abs() < 1e-12, "{before}");
    assert!(after["loss"].as_f64() < before["loss"].as_f64() && after["margin"].as_f64() > Some(0.0), "{after}");
    let log = fs::read_to_string(path("log")).unwrap();
    assert_eq!(log.lines().count() as u64, whole["steps"].as_u64().unwrap());
    // In two goes: the first stops after a step's tokens.
    let args = ["--lr", "1e-3", "--sft", "0"];
    let first = dpo(&path("goes.gguf"), &[&args[..], &["--budget-tokens", "1"]].concat());
    assert_eq!((&first["stopped"], &first["steps"]), (&"tokens".into(), &1.into()));
    let second = dpo(&path("goes.gguf"), &args);
    assert_eq!((&second["stopped"], &second["steps"]), (&"finished".into(), &whole["steps"]));
    assert!(fs::read(path("whole.gguf")).unwrap() == fs::read(path("goes.gguf")).unwrap());
    assert!(!folder.path().join("goes.gguf.state").exists());
    // The model takes it.
    let said = ruminate(&["run", "--temp", "0", "--adapter", &path("whole.gguf"), "--prompt", "Tom has 3 pens."]);
    assert!(said.status.success() && !said.stdout.is_empty(), "{said:?}");
}

#[test]
fn a_killed_run_goes_on_and_its_files_are_whole() {
    let (folder, pairs) = pairs();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let args = |out: &str| {
        let fixed =
            ["learn", "dpo", &pairs, "--batch", "1", "--epochs", "3", "--rank", "2", "--threads", "1", "-q", "--out"];
        let own = [out.to_owned(), "--log".to_owned(), format!("{out}.log")];
        fixed.iter().map(|arg| (*arg).to_owned()).chain(own).collect::<Vec<String>>()
    };
    let run = |out: &str| ruminate(&args(out).iter().map(String::as_str).collect::<Vec<_>>());
    assert!(run(&path("whole.gguf")).status.success());
    let state = folder.path().join("killed.gguf.state");
    let mut child = command().args(args(&path("killed.gguf"))).spawn().unwrap();
    let start = Instant::now();
    // Killed as soon as it has saved once, wherever it stands then.
    while !state.exists() && child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it was killed before its end");
    assert!(run(&path("killed.gguf")).status.success());
    assert!(fs::read(path("whole.gguf")).unwrap() == fs::read(path("killed.gguf")).unwrap());
    // Steps behind the last save were done twice and stand in the log once.
    let log = fs::read_to_string(path("killed.gguf.log")).unwrap();
    let steps = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap());
    let steps: Vec<u64> = steps.collect();
    assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
    assert_eq!(fs::read_to_string(path("whole.gguf.log")).unwrap().lines().count(), steps.len());
}

#[cfg(unix)]
#[test]
fn an_interruption_of_the_last_measurement_costs_its_figures_alone() {
    let (folder, pairs) = pairs();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // Long enough to be interrupted in.
    fs::write(path("test.jsonl"), fs::read_to_string(&pairs).unwrap().repeat(20)).unwrap();
    let mut cut = command();
    cut.args(["learn", "dpo", "--json", &pairs, "--rank", "2", "--budget-tokens", "1", "--threads", "1"]);
    cut.args(["--test", &path("test.jsonl"), "--out", &path("cut.gguf")]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (state, start) = (folder.path().join("cut.gguf.state"), Instant::now());
    let mut child = cut.spawn().unwrap();
    // The run is saved between its only step and the measurement.
    while !state.exists() && child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["stopped"], &said["steps"]), (&"cancelled".into(), &1.into()));
    assert!(said["test_before"].is_object() && said["test_after"].is_null(), "{said}");
    assert!(state.exists() && folder.path().join("cut.gguf").exists());
}

#[test]
fn a_run_stops_at_its_joules_and_its_log_becomes_a_page() {
    let (folder, pairs) = pairs();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, log) = (path("out.gguf"), path("run.jsonl"));
    let dpo = |args: &[&str]| {
        let fixed = ["learn", "dpo", "--json", &pairs, "--batch", "2", "--rank", "2", "--out", &out, "--log", &log];
        document(&ruminate(&[&fixed[..], args].concat()))
    };
    let first = dpo(&["--budget-joules", "0.001", "--watts-per-core", "5"]);
    assert_eq!((&first["stopped"], &first["steps"]), (&"joules".into(), &1.into()));
    assert!(first["joules"].as_f64() >= Some(0.001), "{first}");
    assert_eq!(dpo(&[])["stopped"], "finished");
    let drawn = document(&ruminate(&["learn", "report", "--json", &log]));
    assert_eq!(drawn["steps"].as_u64().unwrap(), fs::read_to_string(&log).unwrap().lines().count() as u64);
    let page = fs::read_to_string(path("run.html")).unwrap();
    assert!(page.matches("<svg").count() == 8 && page.contains("run.jsonl") && !page.contains("http:"), "{page}");
    let report = |args: &[&str]| ruminate(&[&["learn", "report"], args].concat());
    assert!(report(&[&log, "--out", &path("other.html")]).status.success());
    assert_fails(&report(&[&log, "--out", &log]), 2, "the log itself");
    assert_fails(&report(&[&pairs]), 3, "no log of a training run");
    fs::write(path("empty"), "").unwrap();
    assert_fails(&report(&[&path("empty")]), 3, "no step");
    // A log of something else is not written over.
    assert_fails(&ruminate(&["learn", "dpo", &pairs, "--out", &out, "--log", &pairs]), 3, "no log of a training run");
}

/// Runs the program with files no longer than `blocks` of 512 bytes: what comes behind that fails as on a full disk.
#[cfg(unix)]
fn with_little_disk(blocks: usize, args: &[&str]) -> std::process::Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut shell = std::process::Command::new("sh");
    shell.env_clear().env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).stdin(std::process::Stdio::null());
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_ruminate")]).args(args).output().unwrap()
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_old_files_and_says_so() {
    let (folder, pairs) = pairs();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let old = "what was there before";
    let leftovers = || {
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().contains(".partial")).count()
    };
    // A run that cannot save itself keeps the state that it went on from.
    let (out, state) = (path("out.gguf"), path("out.gguf.state"));
    let dpo = ["learn", "dpo", &pairs, "--batch", "4", "--rank", "4", "--threads", "1", "-q", "--out", &out];
    let first = ruminate(&[&dpo[..], &["--budget-tokens", "1"]].concat());
    assert!(first.status.success(), "{first:?}");
    let saved = fs::read(&state).unwrap();
    fs::write(&out, old).unwrap();
    assert_fails(&with_little_disk(8, &dpo), 3, "out.gguf.state");
    assert!(fs::read(&state).unwrap() == saved && fs::read_to_string(&out).unwrap() == old);
    // One whose state fits saves that, and keeps the adapter that was there: it is some thirds of a state.
    let whole = ruminate(&dpo);
    assert!(whole.status.success() && fs::read(&out).unwrap() != old.as_bytes());
    // A head.
    let head = path("head.gguf");
    fs::write(&head, old).unwrap();
    let rows = path("rows");
    let fit = ["learn", "head", "--kind", "linear", "--out", &head, &rows];
    assert_fails(&with_little_disk(1, &fit), 3, "head.gguf");
    assert_eq!(fs::read_to_string(&head).unwrap(), old);
    assert!(ruminate(&fit).status.success() && fs::read(&head).unwrap() != old.as_bytes());
    // Labelled steps: what is whole stays, and the next run goes on behind it.
    let steps = path("steps");
    let collect = ["learn", "collect", DATA, "--n", "2", "--width", "2", "--rows", "0..4", "--out", &steps];
    assert_fails(&with_little_disk(16, &collect), 3, "steps");
    assert!(ruminate(&collect).status.success());
    let other = path("other");
    assert!(ruminate(&[&collect[..9], &["--out", &other]].concat()).status.success());
    assert!(fs::read(&steps).unwrap() == fs::read(&other).unwrap());
    assert_eq!(leftovers(), 0);
}

#[test]
fn a_round_of_improvement_leaves_its_files_and_decides_by_held_out_questions() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let args = ["learn", "improve", "--json", DATA, "--held-out", DATA, "--rows", "0..12", "--held-out-rows", "20..30"];
    let args = [&args[..], &["--n", "8", "--max-tokens", "96", "--rank", "2", "--out", out.to_str().unwrap()]].concat();
    let report = document(&ruminate(&args));
    let round = &report["rounds"][0];
    let share = |at: &str| round.pointer(at).and_then(Value::as_f64).unwrap();
    for at in ["/before/greedy", "/after/greedy", "/before/majority", "/after/majority", "/p", "/samples_right"] {
        assert!((0.0..=1.0).contains(&share(at)), "{at}: {round}");
    }
    assert!(round["pairs"].as_u64() > Some(0));
    assert_eq!(round["kept"].as_bool().unwrap(), out.join("adapter.gguf").exists());
    for file in ["improve.json", "round-1/steps.rows", "round-1/pairs.jsonl", "round-1/adapter.gguf"] {
        assert!(out.join(file).exists(), "{file}");
    }
    // A second go finds everything done.
    let again = document(&ruminate(&args));
    assert_eq!(again["rounds"][0]["after"], round["after"]);
    // Other settings do not get the old adapter.
    let other: Vec<&str> = args.iter().copied().filter(|arg| *arg != "--json").chain(["--lr", "1e-3"]).collect();
    assert_fails(&ruminate(&other), 2, "train");
}

#[test]
fn rounds_go_on_from_what_was_kept_and_a_bad_one_is_rolled_back() {
    let folder = TempDir::new().unwrap();
    let improve = |name: &str, args: &[&str]| {
        let out = folder.path().join(name);
        let fixed =
            ["learn", "improve", "--json", DATA, "--held-out", DATA, "--rows", "0..8", "--held-out-rows", "20..32"];
        let fixed = [&fixed[..], &["--n", "8", "--max-tokens", "96", "--rank", "2"]].concat();
        (document(&ruminate(&[&fixed[..], &["--out", out.to_str().unwrap()], args].concat())), out)
    };
    let right = |accuracy: &Value| accuracy["greedy"].as_f64().unwrap();
    // Two rounds: the second begins with what the first one left.
    let (two, out) = improve("two", &["--rounds", "2"]);
    let rounds = two["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    let standing = if rounds[0]["kept"] == true { &rounds[0]["after"] } else { &rounds[0]["before"] };
    assert_eq!(&rounds[1]["before"], standing);
    assert!(out.join("round-2/adapter.gguf").exists());
    let last_kept = rounds.iter().rposition(|round| round["kept"] == true);
    if let Some(kept) = last_kept {
        let kept = out.join(format!("round-{}/adapter.gguf", kept + 1));
        assert!(fs::read(out.join("adapter.gguf")).unwrap() == fs::read(kept).unwrap());
    }
    // Steps that are far too long break the model, and the round is undone.
    let (bad, out) = improve("bad", &["--lr", "0.3", "--batch", "2"]);
    let round = &bad["rounds"][0];
    assert!(right(&round["before"]) > right(&round["after"]), "{round}");
    assert_eq!(round["kept"], false);
    assert!(!out.join("adapter.gguf").exists() && out.join("round-1/adapter.gguf").exists());
}

#[test]
fn what_cannot_be_trained_on_is_said_in_one_line() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, good) = (path("out.gguf"), path("good"));
    fs::write(&good, "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}\n").unwrap();
    fs::write(path("bad"), "{\"prompt\":\"a\",\"chosen\":\"b\"}\n").unwrap();
    let dpo = |args: &[&str]| ruminate(&[&["learn", "dpo", "--out", &out], args].concat());
    assert_fails(&dpo(&[&path("bad")]), 3, "row 1");
    assert_fails(&dpo(&[&path("absent")]), 3, "absent");
    assert_fails(&dpo(&[&good, "--loss", "ppo"]), 2, "no loss");
    assert_fails(&dpo(&[&good, "--loss", "kto"]), 2, "single completions");
    assert_fails(&dpo(&[&good, "--projections", "attn_x"]), 2, "attn_x");
    assert_fails(&dpo(&[&good, "--rank", "0"]), 2, "rank");
    assert_fails(&dpo(&[&good, "--max-pair-tokens", "2"]), 2, "no example");
    assert_fails(&dpo(&[&good, "--from", &good]), 3, "good");
    fs::write(path("out.gguf.state"), "RUMTRAN1").unwrap();
    assert_fails(&dpo(&[&good]), 3, "too early");
}
