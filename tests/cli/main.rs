//! The command line as a script sees it: exit codes, one line per failure, JSON documents, no escapes into pipes.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

mod adapter;
mod eval;
#[cfg(feature = "grammar")]
mod grammar;
mod learn;
mod program;
mod reason;
mod solve;
mod thinking;
mod trace;
mod train;

use std::fs;
use std::path::Path;

use program::{BUNDLED, assert_fails, document, ruminate, ruminate_with, text};
use ruminate::gguf::GgufWriter;
use ruminate::quant::QuantType;
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn what_is_no_gguf_file_is_said_in_one_line() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, data: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, data).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cases = [
        (file("text", b"This is no model."), "not a GGUF file"),
        (file("empty", b""), "empty"),
        (folder.path().join("absent").to_str().unwrap().to_owned(), "absent"),
    ];
    for (path, says) in &cases {
        assert_fails(&ruminate(&["inspect", path]), 3, says);
        assert_fails(&ruminate(&["estimate", path]), 3, says);
        assert_fails(&ruminate(&["run", "--prompt", "x", "--model", path]), 3, says);
        assert_fails(&ruminate(&["tokenize", "x", "--model", path]), 3, says);
        assert_fails(&ruminate(&["solve", "x", "--model", path]), 3, says);
    }
    // A folder is no file at all: the argument is wrong.
    assert_fails(&ruminate(&["inspect", folder.path().to_str().unwrap()]), 2, "folder");
}

#[test]
fn a_truncated_model_is_refused_wherever_it_ends() {
    let whole = fs::read(BUNDLED).unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cut.gguf");
    for len in [3, 4, 12, 24, 100, 10_000, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        for mode in [&[][..], &["--no-mmap"]] {
            let args = [&["run", "--prompt", "x", "--model", path.to_str().unwrap()], mode].concat();
            assert_fails(&ruminate(&args), 3, "cut.gguf");
        }
    }
}

#[test]
fn an_unknown_architecture_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("m.gguf");
    let mut writer = GgufWriter::new();
    writer.set("general.architecture", "abacus\u{1b}[31m9").unwrap();
    writer.set("tokenizer.ggml.model", "gpt2").unwrap();
    writer.tensor("token_embd.weight", &[8, 4], QuantType::F32, vec![0; 128]).unwrap();
    writer.save(&path).unwrap();
    assert_fails(&ruminate(&["estimate", path.to_str().unwrap()]), 3, "abacus");
    assert_fails(&ruminate(&["run", "--prompt", "x", "--model", path.to_str().unwrap()]), 3, "m.gguf");
}

#[test]
fn metadata_cannot_write_to_a_terminal() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("evil.gguf");
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r";
    let mut writer = GgufWriter::new();
    writer.set("general.architecture", evil).unwrap();
    writer.set("general.name", evil).unwrap();
    writer.set("general.type", evil).unwrap();
    writer.set(&format!("key{evil}"), evil).unwrap();
    writer.set("tokenizer.ggml.model", evil).unwrap();
    writer.set("tokenizer.ggml.pre", evil).unwrap();
    writer.tensor(&format!("t{evil}"), &[4], QuantType::F32, vec![0; 16]).unwrap();
    writer.save(&path).unwrap();
    for mode in [&[][..], &["--json"]] {
        let output = ruminate(&[&["inspect", "--tensors", path.to_str().unwrap()], mode].concat());
        assert!(output.status.success(), "{output:?}");
        let stdout = text(&output.stdout);
        assert!(stdout.contains("owned"), "{stdout}");
        let steers = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
        assert_eq!(stdout.chars().find(steers), None, "{stdout:?}");
    }
}

#[test]
fn inspect_tells_what_the_model_is() {
    let document = document(&ruminate(&["inspect", "--json", "--tensors", BUNDLED]));
    assert_eq!((&document["architecture"], &document["kind"]), (&"llama".into(), &"model".into()));
    assert_eq!(document["bytes"], fs::metadata(BUNDLED).unwrap().len());
    assert_eq!(document["tensors"].as_array().unwrap().len(), document["n_tensors"].as_u64().unwrap() as usize);
    assert_eq!(document["tokenizer"]["model"], "gpt2");
    assert_eq!(document["fingerprint"].as_str().unwrap().len(), 32);
}

#[test]
fn estimate_prices_what_fits() {
    let price = |budget: &str| document(&ruminate(&["estimate", "--json", BUNDLED, "--budget-mem", budget]));
    let (small, large) = (price("64MiB"), price("128MiB"));
    assert_eq!(small["weights_bytes"], fs::metadata(BUNDLED).unwrap().len());
    // Keys and values of 5 layers, 2 heads of 64 numbers, two bytes each.
    assert_eq!(small["kv_bytes_per_token"], 2 * 5 * 2 * 64 * 2);
    let widest = |d: &Value| d["widest"].as_u64().unwrap();
    assert!(widest(&large) > widest(&small) && widest(&small) > 1);
    assert_eq!(widest(&price("1KiB")), 0);
    // The budget is that of `solve`, for keys and values alone.
    let n = |name: &str| small[name].as_u64().unwrap();
    let prompt = n("prompt_tokens").div_ceil(n("page_tokens")) * n("kv_page_bytes");
    assert_eq!(widest(&small), ((64 << 20) - prompt) / n("kv_bytes_per_branch"));
    assert_fails(&ruminate(&["estimate", BUNDLED, "--ctx", "100000"]), 2, "context");
}

#[test]
fn text_goes_to_ids_and_back() {
    let sample = "Tom has 3 boxes,\n\n  12 pens & 汉字 🙂.";
    let encoded = document(&ruminate(&["tokenize", "--json", "--no-special", sample]));
    let ids: Vec<String> = encoded["tokens"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(encoded["count"], ids.len());
    let decoded = ruminate_with(&["detokenize"], &ids.join(" "));
    assert_eq!(text(&decoded.stdout), format!("{sample}\n"));
    let plain = ruminate_with(&["tokenize", "--no-special"], sample);
    assert_eq!(text(&plain.stdout).trim_end(), ids.join(" "));
    assert_fails(&ruminate(&["detokenize", "7", "99999999"]), 2, "99999999");
    assert_fails(&ruminate(&["detokenize", "x"]), 2, "no token id");
}

#[test]
fn run_generates_the_same_text_for_the_same_seed() {
    let args = ["run", "--json", "--prompt", "Ann has 3 apples and buys 4 more. How many apples does she have?"];
    let first = document(&ruminate(&[&args[..], &["--seed", "5"]].concat()));
    let second = document(&ruminate(&[&args[..], &["--seed", "5", "--threads", "1"]].concat()));
    assert_eq!(
        (&first["text"], &first["tokens"], &first["logprobs"]),
        (&second["text"], &second["tokens"], &second["logprobs"])
    );
    let n = first["tokens"].as_array().unwrap().len();
    assert_eq!(first["logprobs"].as_array().unwrap().len(), n);
    assert_eq!(first["usage"]["policy_tokens"], n);
    assert_eq!(first["stop_reason"], "finished");
    assert!(first["text"].as_str().unwrap().contains("####"), "{first}");
    let cut = document(&ruminate(&[&args[..], &["--seed", "5", "--max-tokens", "3"]].concat()));
    assert_eq!((&cut["stop_reason"], cut["tokens"].as_array().unwrap().len()), (&"tokens".into(), 3));
}

#[test]
fn drafts_change_neither_tokens_nor_log_probabilities() {
    let calm = "Ann has 3 apples and buys 4 more. How many apples does she have?";
    let loud = "Tom has 5 pens. ".repeat(12);
    let mut saved = 0;
    for (prompt, n, extra) in [
        (calm, "200", &[][..]),
        (&loud, "200", &[]),
        (&loud, "1", &[]),
        (&loud, "2", &[]),
        (&loud, "7", &[]),
        (&loud, "200", &["--ctx", "96", "--raw"]),
        (&loud, "200", &["--raw"]),
        (&loud, "60", &["--raw", "--repetition-penalty", "1.2"]),
    ] {
        let run = |draft: &str| {
            let args = ["run", "--json", "--temp", "0", "--prompt", prompt, "-n", n, "--draft", draft];
            document(&ruminate(&[&args[..], extra].concat()))
        };
        let plain = run("0");
        for draft in ["1", "4", "64"] {
            let ahead = run(draft);
            for field in ["text", "tokens", "logprobs", "stop_reason"] {
                assert_eq!(ahead[field], plain[field], "{prompt}, {n} tokens, {extra:?}, drafts of {draft}");
            }
            let passes = [&plain, &ahead].map(|run| run["usage"]["forward_passes"].as_u64().unwrap());
            saved += passes[0].checked_sub(passes[1]).unwrap();
        }
    }
    assert!(saved > 20, "drafts saved {saved} passes");
    let talk = |draft: &str| {
        let turns = format!("{calm}\n{calm}\n{loud}\n");
        let output = ruminate_with(&["chat", "--json", "--temp", "0", "-n", "40", "--draft", draft], &turns);
        document(&output)["messages"].clone()
    };
    assert_eq!(talk("4"), talk("0"));
    assert_fails(&ruminate(&["run", "--prompt", "x", "--draft", "65"]), 2, "0 to 64");
}

#[test]
fn run_streams_plain_text_into_a_pipe() {
    let output = ruminate_with(&["run", "--temp", "0", "--max-tokens", "8"], "Ann has 3 apples.");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(!output.stdout.is_empty() && !output.stdout.contains(&0x1b));
}

#[test]
fn a_prompt_longer_than_the_context_is_a_usage_error() {
    let long = "pens and apples ".repeat(400);
    assert_fails(&ruminate(&["run", "--prompt", &long]), 2, "context");
    assert_fails(
        &ruminate(&["run", "--ctx", "16", "--prompt", "How many apples does Ann have? ".repeat(3).as_str()]),
        2,
        "context",
    );
    assert_fails(&ruminate(&["solve", &long]), 2, "context");
    assert_fails(&ruminate(&["run", "--ctx", "100000", "--prompt", "x"]), 2, "context");
}

#[test]
fn chat_keeps_its_turns() {
    let turns = "Ann has 3 apples and buys 4 more. How many apples?\nTom has 5 pens. How many pens?\n";
    let document = document(&ruminate_with(&["chat", "--json", "--temp", "0", "--max-tokens", "40"], turns));
    let roles: Vec<&str> =
        document["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
}

#[test]
fn a_talk_that_the_context_cannot_hold_is_kept_as_far_as_it_came() {
    let turns = "Ann has 3 apples and buys 4 more. How many apples?\n".repeat(9);
    let output = ruminate_with(&["chat", "--json", "--temp", "0", "--max-tokens", "20", "--ctx", "128"], &turns);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("the context holds 128"), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let messages = document["messages"].as_array().unwrap();
    assert!(messages.len() > 2 && messages[1]["role"] == "assistant", "{document}");
    assert_eq!(messages.last().unwrap()["role"], "user", "the turn that failed has no reply");
}

#[test]
fn perplexity_scores_text() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("text");
    fs::write(&path, "Tom has 3 boxes with 4 pens each. He gives away 5 pens. How many pens are left? ".repeat(20))
        .unwrap();
    let path = path.to_str().unwrap();
    let document = document(&ruminate(&["perplexity", "--json", "--file", path, "--ctx", "64"]));
    assert!(document["perplexity"].as_f64().unwrap() > 1.0, "{document}");
    let chunks = document["tokens"].as_u64().unwrap() / 64;
    assert_eq!((&document["chunks"], &document["scored_tokens"]), (&chunks.into(), &(chunks * 31).into()));
    assert_fails(&ruminate(&["perplexity", "--file", path, "--ctx", "512"]), 2, "chunks");
    assert_fails(&ruminate(&["perplexity", "--file", "absent"]), 3, "absent");
}

#[test]
fn bench_measures_every_width() {
    let args = ["bench", "decode", "--json", "--prompt", "16", "--gen", "4", "--branches", "1,3"];
    let rows = document(&ruminate(&args));
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.iter().map(|r| r["branches"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3]);
    for row in rows {
        assert!(row["prefill_tok_s"].as_f64().unwrap() > 0.0 && row["decode_tok_s"].as_f64().unwrap() > 0.0);
    }
    assert!(rows[1]["kv_bytes"].as_u64() > rows[0]["kv_bytes"].as_u64());
    assert_fails(&ruminate(&["bench", "decode", "--gen", "0"]), 2, "--gen");
}

#[test]
fn the_instruction_set_can_be_named() {
    let document = document(&ruminate(&["doctor", "--json", "--isa", "scalar"]));
    assert_eq!(document["kernels"], "scalar");
    // What there is instead is listed.
    assert_fails(&ruminate(&["doctor", "--isa", "mmx"]), 2, "scalar");
}

#[test]
fn doctor_reports_the_machine() {
    let document = document(&ruminate(&["doctor", "--json"]));
    assert!(document["cores"].as_u64().unwrap() >= 1);
    assert!(document["read_gib_s_all_cores"].as_f64().unwrap() > 0.0);
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = ruminate(&["completions", shell]);
        assert!(output.status.success() && text(&output.stdout).contains("perplexity"), "{shell}");
    }
}

#[test]
fn wrong_usage_is_one_line_and_exit_code_2() {
    let cases: [(&[&str], &str); 8] = [
        (&["bogus"], "bogus"),
        (&["solve"], "QUESTION"),
        (&["run", "--bogus"], "--bogus"),
        (&["run", "--prompt", "x", "--threads", "0"], "--threads"),
        (&["run", "--prompt", "x", "--temp", "hot"], "--temp"),
        (&["run", "--prompt", "x", "--top-p", "0"], "top_p"),
        (&["run", "--prompt", "x", "--backend", "abacus"], "abacus"),
        (&["estimate", BUNDLED, "--budget-mem", "2XB"], "XB"),
    ];
    for (args, says) in cases {
        assert_fails(&ruminate(args), 2, says);
    }
    assert!(ruminate(&["--help"]).status.success() && ruminate(&["solve", "--help"]).status.success());
}

#[test]
fn a_flag_can_come_from_the_environment() {
    let mut command = program::command();
    command.env("RUMINATE_MODEL", "/absent/model.gguf").args(["tokenize", "x"]);
    assert_fails(&command.output().unwrap(), 3, "absent");
    let mut command = program::command();
    command.env("RUMINATE_JSON", "1").args(["tokenize", "x"]);
    assert!(document(&command.output().unwrap())["tokens"].is_array());
    assert!(Path::new(BUNDLED).exists());
}

#[test]
fn parity_compares_two_engines_layer_by_layer() {
    let same = document(&ruminate(&["parity", "--json", "--against", "native"]));
    let layers = same["layers"].as_array().unwrap();
    assert_eq!((layers.len(), &layers[5]["layer"]), (6, &"final".into()));
    assert!(layers.iter().all(|layer| layer["difference"] == 0.0 && layer["cosine"].as_f64().unwrap() > 0.999_999));
    assert_eq!((&same["logits"]["same_choice"], &same["first_layer_beyond"]), (&1.0.into(), &Value::Null));
    let shown = ruminate(&["parity", "--against", "native", "--prompt", "Ann has 2 pens."]);
    assert!(shown.status.success() && text(&shown.stdout).contains("final"), "{shown:?}");
    assert_fails(&ruminate(&["parity"]), 2, "--against");
    assert_fails(&ruminate(&["parity", "--against", "abacus"]), 2, "no backend is called");
    assert_fails(&ruminate(&["parity", "--against", "native", "--prompt", ""]), 2, "no tokens");
    // llama.cpp is not there, or reads files alone.
    assert_fails(&ruminate(&["parity", "--against", "llama"]), 2, "llama.cpp");
}
