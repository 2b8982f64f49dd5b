//! `--adapter` and `merge` with the built-in model.

use std::fs;

use ruminate::Limits;
use ruminate::gguf::Gguf;
use ruminate::model::{Adapter, Lora, Model, Projection};
use ruminate::storage::LoadMode;
use serde_json::json;
use tempfile::TempDir;

use crate::program::{BUNDLED, assert_fails, document, ruminate, text};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/test.jsonl");
const QUESTION: &str = "Tom has 3 boxes with 4 pens each. He gives away 5 pens. How many pens are left?";

/// An adapter for the built-in model that changes what it says, and one of zeros.
fn adapters(folder: &TempDir) -> (String, String) {
    let limits = Limits::default();
    let model = Model::load(&Gguf::open(BUNDLED.as_ref(), LoadMode::Mmap, &limits).unwrap(), &limits).unwrap();
    let save = |name: &str, size: f32| {
        let mut adapter = Adapter::new(model.config(), 4.0);
        adapter.base_fingerprint = model.fingerprint().to_owned();
        for layer in 0..model.config().n_layer {
            let (n_in, n_out) = Projection::FfnDown.shape(model.config());
            let numbers = |n: usize, by: f32| (0..n).map(|i| by * ((i * 31 % 17) as f32 - 8.0)).collect();
            let lora = Lora { rank: 2, a: numbers(2 * n_in, 0.01), b: numbers(2 * n_out, size) };
            adapter.set(model.config(), layer, Projection::FfnDown, lora).unwrap();
        }
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        adapter.save(path.as_ref()).unwrap();
        path
    };
    (save("a.gguf", 0.05), save("zero.gguf", 0.0))
}

#[test]
fn an_adapter_speaks_as_the_merged_model_does() {
    let folder = TempDir::new().unwrap();
    let (adapter, zero) = adapters(&folder);
    let out = folder.path().join("merged.gguf").to_str().unwrap().to_owned();
    let run =
        |args: &[&str]| document(&ruminate(&[&["run", "--json", "--prompt", QUESTION, "--temp", "0"], args].concat()));
    let (plain, with) = (run(&[]), run(&["--adapter", &adapter]));
    assert_ne!(plain["text"], with["text"]);
    assert_ne!(plain["model"]["fingerprint"], with["model"]["fingerprint"]);
    assert_eq!(plain["model"]["adapters"], json!([]));
    assert_eq!(with["model"]["adapters"], json!([{"file": adapter, "scale": 1.0}]));
    assert_eq!(run(&["--adapter", &zero])["text"], plain["text"]);
    assert_eq!(run(&["--adapter", &format!("{adapter}=0")])["text"], plain["text"]);
    let halves = run(&["--adapter", &format!("{adapter}=0.5"), "--adapter", &format!("{adapter}=0.5")]);
    assert_eq!(halves["text"], with["text"]);
    let merged = document(&ruminate(&["merge", "--json", BUNDLED, "--adapter", &adapter, "--out", &out]));
    assert_eq!(merged["changed"].as_array().unwrap().len(), 1);
    assert_eq!((&merged["changed"][0]["from"], &merged["changed"][0]["to"]), (&"Q8_0".into(), &"F16".into()));
    assert_eq!(run(&["--model", &out])["text"], with["text"]);
    // The merged file is another base than the one that the adapter was made for.
    assert_fails(&ruminate(&["run", "--prompt", "x", "--model", &out, "--adapter", &adapter]), 2, "fingerprint");
    let said = ruminate(&["merge", BUNDLED, "--adapter", &adapter, "--out", &out, "--type", "same"]);
    assert!(said.status.success() && text(&said.stdout).contains("merged.gguf"), "{said:?}");
    let same = document(&ruminate(&["inspect", "--json", &out]));
    assert_ne!(same["fingerprint"], plain["model"]["fingerprint"]);
}

#[test]
fn results_and_traces_stay_with_their_adapters() {
    let folder = TempDir::new().unwrap();
    let (adapter, zero) = adapters(&folder);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (results, rows, trace) = (path("results.jsonl"), path("steps.rows"), path("run.jsonl"));
    let eval = |rows: &str, args: &[&str]| {
        let fixed = ["eval", "--json", DATA, "--algo", "greedy", "--width", "4", "--out", &results, "--rows", rows];
        ruminate(&[&fixed[..], &["--judge", "none"], args].concat())
    };
    document(&eval("0..2", &["--adapter", &adapter]));
    document(&eval("0..3", &["--adapter", &adapter]));
    assert_fails(&eval("0..3", &[]), 3, "results with model");
    assert_fails(&eval("0..3", &["--adapter", &zero]), 3, "results with model");
    assert_fails(&eval("0..3", &["--adapter", &format!("{adapter}=2")]), 3, "results with model");
    let collect = |args: &[&str]| {
        let fixed = ["learn", "collect", "--json", DATA, "--n", "2", "--width", "4", "--rows", "0..2", "--out", &rows];
        ruminate(&[&fixed[..], args].concat())
    };
    document(&collect(&["--adapter", &adapter]));
    assert_fails(&collect(&[]), 2, "fingerprint");
    let solve = ["solve", "--json", "--n", "3", "--width", "2", "--adapter", &adapter, "--trace", &trace, QUESTION];
    document(&ruminate(&solve));
    let verdict = document(&ruminate(&["trace", "replay", "--json", &trace]));
    assert_eq!(verdict["identical"], true);
    fs::copy(&zero, &adapter).unwrap();
    assert_fails(&ruminate(&["trace", "replay", &trace]), 3, "fingerprint");
    fs::remove_file(&adapter).unwrap();
    assert_fails(&ruminate(&["trace", "replay", &trace]), 3, "a.gguf");
}

#[test]
fn what_is_no_adapter_of_the_model_is_said_in_one_line() {
    let folder = TempDir::new().unwrap();
    let (adapter, _) = adapters(&folder);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, cut) = (path("out.gguf"), path("cut.gguf"));
    let whole = fs::read(&adapter).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/adapters/qwen2.gguf");
    let run = |adapter: &str| ruminate(&["run", "--prompt", "x", "--adapter", adapter]);
    let merge = |args: &[&str]| ruminate(&[&["merge", BUNDLED], args].concat());
    for (file, code, says) in [
        (path("absent"), 3, "absent"),
        (cut, 3, "cut.gguf"),
        (BUNDLED.to_owned(), 3, "no adapter"),
        (format!("{adapter}=inf"), 2, "scaled"),
        (tiny.to_owned(), 2, "qwen2"),
    ] {
        assert_fails(&run(&file), code, says);
        assert_fails(&merge(&["--adapter", &file, "--out", &out]), code, says);
    }
    assert_fails(&merge(&["--out", &out]), 2, "--adapter");
    assert_fails(&merge(&["--adapter", &adapter, "--out", BUNDLED]), 2, "merged");
    assert_fails(&merge(&["--adapter", &adapter, "--out", &adapter]), 2, "merged");
    assert_fails(&merge(&["--adapter", &adapter, "--out", &path("no/such/folder")]), 3, "folder");
    assert!(!folder.path().join("out.gguf").exists());
}
