//! `ruminate pull`, `list` and `rm` against a hub that misbehaves.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

mod hub;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use hub::{Asked, COMMIT, Hub, is_listing, listing, send, send_file, send_json, sha256};
use serde_json::Value;
use tempfile::TempDir;

const NAME: &str = "tiny-Q4_K_M.gguf";
const MODEL: &str = "org/repo:Q4_K_M";

/// Half a megabyte that does not repeat.
fn data() -> Vec<u8> {
    (0..500_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn ruminate(hub: &str, home: &TempDir, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ruminate"));
    command.env_clear().env("HF_ENDPOINT", hub).env("HF_HOME", home.path()).args(args).output().unwrap()
}

fn pull(hub: &Hub, home: &TempDir) -> Output {
    ruminate(&hub.address, home, &["pull", MODEL])
}

/// The exit code, and the one line on standard error, free of escapes.
#[track_caller]
fn assert_fails(output: &Output, code: i32, says: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains(says), "{stderr:?} does not say {says:?}");
    assert!(stderr.trim_end().lines().count() == 1 && !stderr.contains('\x1b'), "{stderr:?}");
    assert!(output.stdout.is_empty());
}

fn repo(home: &TempDir) -> PathBuf {
    home.path().join("hub/models--org--repo")
}

fn blobs(home: &TempDir) -> Vec<PathBuf> {
    fs::read_dir(repo(home).join("blobs")).map_or(Vec::new(), |d| d.map(|e| e.unwrap().path()).collect())
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() && !p.is_symlink() { files(&p) } else { vec![p] }).collect()
}

fn good_hub() -> Hub {
    Hub::start(|asked, to| match is_listing(asked) {
        true => send_json(to, &listing(&[("README.md", b"x"), (NAME, &data())])),
        false => send_file(asked, to, &data(), usize::MAX),
    })
}

#[test]
fn a_model_is_fetched_once_then_found_offline_listed_and_removed() {
    let (hub, home) = (good_hub(), TempDir::new().unwrap());
    let first = pull(&hub, &home);
    assert!(first.status.success(), "{first:?}");
    assert!(first.stderr.is_empty(), "no progress into a pipe");
    let path = String::from_utf8(first.stdout).unwrap();
    let path = Path::new(path.trim_end());
    assert_eq!(path, repo(&home).join("snapshots").join(COMMIT).join(NAME));
    assert_eq!(fs::read(path).unwrap(), data());
    assert_eq!(blobs(&home), [repo(&home).join("blobs").join(sha256(&data()))]);
    assert_eq!(fs::read_to_string(repo(&home).join("refs/main")).unwrap(), COMMIT);
    #[cfg(unix)]
    assert_eq!(fs::read_link(path).unwrap(), Path::new("../../blobs").join(sha256(&data())));

    assert!(pull(&hub, &home).status.success());
    assert_eq!(hub.asked_for_files().len(), 1, "the second pull fetched the file again");

    let offline = ruminate("http://127.0.0.1:9", &home, &["pull", MODEL, "--offline", "--json"]);
    let document: Value = serde_json::from_slice(&offline.stdout).unwrap();
    assert_eq!(Path::new(document["path"].as_str().unwrap()), path);
    assert_eq!((&document["revision"], &document["files"][0]["bytes"]), (&COMMIT.into(), &data().len().into()));

    let listed = ruminate("", &home, &["list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&listed[0]["repo"], &listed[0]["name"]), (&"org/repo".into(), &NAME.into()));

    assert!(ruminate("", &home, &["rm", MODEL]).status.success());
    assert_eq!(files(home.path()).iter().filter(|f| f.extension().is_none_or(|e| e != "lock")).count(), 0);
    assert_fails(&ruminate("", &home, &["rm", MODEL]), 3, "not in the cache");
}

#[test]
fn removal_keeps_what_is_not_a_model() {
    let (hub, home) = (good_hub(), TempDir::new().unwrap());
    assert!(pull(&hub, &home).status.success());
    let other = repo(&home).join("snapshots").join(COMMIT).join("config.json");
    fs::write(&other, "{}").unwrap();
    assert!(ruminate("", &home, &["rm", "org/repo"]).status.success());
    assert!(other.exists() && repo(&home).join("refs/main").exists() && blobs(&home).is_empty());
}

#[test]
fn offline_without_the_file_says_so() {
    let home = TempDir::new().unwrap();
    assert_fails(&ruminate("", &home, &["pull", MODEL, "--offline"]), 3, "not in the cache");
    assert!(pull(&good_hub(), &home).status.success());
    assert_fails(&ruminate("", &home, &["pull", "org/repo:Q8_0", "--offline"]), 3, "not in the cache");
}

#[test]
fn a_wrong_digest_leaves_nothing_behind() {
    let hub = Hub::start(|asked, to| match is_listing(asked) {
        true => send_json(to, &listing(&[(NAME, &data())])),
        false => send_file(asked, to, &data().iter().map(|b| b ^ 1).collect::<Vec<_>>(), usize::MAX),
    });
    let home = TempDir::new().unwrap();
    assert_fails(&pull(&hub, &home), 3, "SHA-256");
    assert!(blobs(&home).is_empty() && !repo(&home).join("refs").exists() && !repo(&home).join("snapshots").exists());
}

#[test]
fn a_cut_connection_is_resumed_at_once() {
    let requests = AtomicUsize::new(0);
    let hub = Hub::start(move |asked, to| match is_listing(asked) {
        true => send_json(to, &listing(&[(NAME, &data())])),
        false => send_file(
            asked,
            to,
            &data(),
            if requests.fetch_add(1, Ordering::Relaxed) < 2 { 200_000 } else { usize::MAX },
        ),
    });
    let home = TempDir::new().unwrap();
    let output = pull(&hub, &home);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read(&blobs(&home)[0]).unwrap(), data());
    let froms: Vec<usize> = hub.asked_for_files().iter().map(|a| a.from).collect();
    assert_eq!(froms, [0, 200_000, 400_000]);
}

#[test]
fn a_file_that_never_ends_in_time_is_kept_and_resumed_by_the_next_run() {
    let cut = |asked: &Asked, to: &mut _| match (is_listing(asked), asked.from) {
        (true, _) => send_json(to, &listing(&[(NAME, &data())])),
        (false, 0) => send_file(asked, to, &data(), 300_000),
        (false, _) => send_file(asked, to, &data(), 0),
    };
    let home = TempDir::new().unwrap();
    assert_fails(&pull(&Hub::start(cut), &home), 1, "300000 of 500000 bytes are kept");
    let partial = blobs(&home);
    assert_eq!(partial.len(), 1);
    assert_eq!(partial[0].extension().unwrap(), "incomplete");

    let hub = good_hub();
    assert!(pull(&hub, &home).status.success());
    assert_eq!(hub.asked_for_files()[0].from, 300_000);
    assert_eq!(fs::read(&blobs(&home)[0]).unwrap(), data());
}

#[test]
fn a_server_that_cannot_resume_starts_over() {
    let requests = AtomicUsize::new(0);
    let hub = Hub::start(move |asked, to| match (is_listing(asked), requests.fetch_add(1, Ordering::Relaxed)) {
        (true, _) => send_json(to, &listing(&[(NAME, &data())])),
        (false, 1) => send_file(asked, to, &data(), 200_000),
        (false, _) => send(to, "200 OK", "", &data()),
    });
    let home = TempDir::new().unwrap();
    assert!(pull(&hub, &home).status.success());
    assert_eq!(fs::read(&blobs(&home)[0]).unwrap(), data());
}

#[test]
fn an_answer_with_other_bytes_than_asked_for_is_refused() {
    let requests = AtomicUsize::new(0);
    let hub = Hub::start(move |asked, to| match (is_listing(asked), requests.fetch_add(1, Ordering::Relaxed)) {
        (true, _) => send_json(to, &listing(&[(NAME, &data())])),
        (false, 1) => send_file(asked, to, &data(), 200_000),
        (false, _) => send(to, "206 Partial Content", "Content-Range: bytes 0-299999/500000\r\n", &data()[..300_000]),
    });
    assert_fails(&pull(&hub, &TempDir::new().unwrap()), 1, "other bytes");
}

#[test]
fn a_body_that_exceeds_its_announced_size_is_refused() {
    let endless = |asked: &Asked, to: &mut std::net::TcpStream| {
        if is_listing(asked) {
            return send_json(to, &listing(&[(NAME, &data())]));
        }
        to.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        loop {
            to.write_all(&data())?;
        }
    };
    let home = TempDir::new().unwrap();
    assert_fails(&pull(&Hub::start(endless), &home), 3, "more bytes");
    assert!(blobs(&home).is_empty());

    let longer = Hub::start(|asked, to| match is_listing(asked) {
        true => send_json(to, &listing(&[(NAME, &data())])),
        false => send(to, "200 OK", "", &[data(), data()].concat()),
    });
    assert_fails(&pull(&longer, &home), 3, "another number of bytes");
    assert!(blobs(&home).is_empty());
}

#[test]
fn a_file_over_the_size_limit_is_not_even_asked_for() {
    let (hub, home) = (good_hub(), TempDir::new().unwrap());
    let output = ruminate(&hub.address, &home, &["pull", MODEL, "--max-file-size", "400KiB"]);
    assert_fails(&output, 3, "--max-file-size");
    assert!(hub.asked_for_files().is_empty());
}

#[test]
fn names_that_leave_the_cache_are_refused() {
    let tricks = [
        "../../../evil-Q4_K_M.gguf",
        "/tmp/evil-Q4_K_M.gguf",
        "a/../../../evil-Q4_K_M.gguf",
        "C:\\evil-Q4_K_M.gguf",
        "..\\evil-Q4_K_M.gguf",
        "evil\u{0}-Q4_K_M.gguf",
        "\u{1b}]0;evil\u{7}-Q4_K_M.gguf",
        "evil\u{202e}-Q4_K_M.gguf",
        "nul.Q4_K_M.gguf",
    ];
    for trick in tricks {
        let hub = Hub::start(move |asked, to| match is_listing(asked) {
            true => send_json(to, &listing(&[(trick, &data())])),
            false => send_file(asked, to, &data(), usize::MAX),
        });
        let home = TempDir::new().unwrap();
        assert_fails(&pull(&hub, &home), 3, "refused");
        assert!(hub.asked_for_files().is_empty() && files(home.path()).is_empty(), "{trick:?}");
    }
}

#[test]
fn digests_and_commits_that_are_no_digests_are_refused() {
    for digest in ["../../../../evil".to_owned(), "a".repeat(63), "A".repeat(64), "a".repeat(65), String::new()] {
        let hub = Hub::start(move |_, to| {
            let mut listing = listing(&[(NAME, &data())]);
            listing["siblings"][0]["lfs"]["sha256"] = digest.clone().into();
            send_json(to, &listing)
        });
        let home = TempDir::new().unwrap();
        assert_fails(&pull(&hub, &home), 3, "no valid size and SHA-256");
        assert!(files(home.path()).is_empty());
    }
    let hub = Hub::start(|_, to| {
        let mut listing = listing(&[(NAME, &data())]);
        listing["sha"] = "../../../evil".into();
        send_json(to, &listing)
    });
    assert_fails(&pull(&hub, &TempDir::new().unwrap()), 1, "not in the hub's form");
}

#[test]
fn a_redirect_is_followed_without_the_token_and_never_to_a_file() {
    let store = Hub::start(|asked, to| send_file(asked, to, &data(), usize::MAX));
    let target = format!("{}/blob", store.address);
    let redirect = |target: String| {
        Hub::start(move |asked, to| match is_listing(asked) {
            true => send_json(to, &listing(&[(NAME, &data())])),
            false => send(to, "302 Found", &format!("Location: {target}\r\n"), b""),
        })
    };
    let (hub, home) = (redirect(target), TempDir::new().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_ruminate"));
    command.env_clear().env("HF_ENDPOINT", &hub.address).env("HF_HOME", home.path()).env("HF_TOKEN", "canary");
    assert!(command.args(["pull", MODEL]).output().unwrap().status.success());
    assert!(hub.asked().iter().all(|a| a.token.as_deref() == Some("Bearer canary")));
    assert_eq!(store.asked().iter().map(|a| a.token.clone()).collect::<Vec<_>>(), [None]);

    for target in ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher:x", ""] {
        assert_fails(&pull(&redirect(target.to_owned()), &TempDir::new().unwrap()), 1, "not followed");
    }
    let circle = Hub::start(|asked, to| match is_listing(asked) {
        true => send_json(to, &listing(&[(NAME, &data())])),
        false => send(to, "302 Found", "Location: /again\r\n", b""),
    });
    assert_fails(&pull(&circle, &TempDir::new().unwrap()), 1, "not followed");
    assert!(circle.asked().len() < 20);
}

#[test]
fn what_does_not_exist_is_said_plainly() {
    let nothing = Hub::start(|_, to| send(to, "404 Not Found", "", b"{}"));
    assert_fails(&pull(&nothing, &TempDir::new().unwrap()), 1, "org/repo does not exist");
    let closed = Hub::start(|_, to| send(to, "401 Unauthorized", "", b"{}"));
    assert_fails(&pull(&closed, &TempDir::new().unwrap()), 1, "HF_TOKEN");
    let file_gone = Hub::start(|asked, to| match is_listing(asked) {
        true => send_json(to, &listing(&[(NAME, &data())])),
        false => send(to, "404 Not Found", "", b""),
    });
    assert_fails(&pull(&file_gone, &TempDir::new().unwrap()), 1, "does not have this file");
    let output = ruminate(&good_hub().address, &TempDir::new().unwrap(), &["pull", "org/repo:Q2_K"]);
    assert_fails(&output, 1, NAME);
    let home = TempDir::new().unwrap();
    assert_fails(&ruminate("http://127.0.0.1:9", &home, &["pull", MODEL]), 1, "cannot be reached");
}

#[test]
fn a_listing_that_is_endless_or_no_listing_is_refused() {
    let endless = Hub::start(|_, to| {
        to.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        loop {
            to.write_all(&[b' '; 65536])?;
        }
    });
    assert_fails(&pull(&endless, &TempDir::new().unwrap()), 1, "does not end");
    let nonsense = Hub::start(|_, to| send(to, "200 OK", "", b"<html>"));
    assert_fails(&pull(&nonsense, &TempDir::new().unwrap()), 1, "not in the hub's form");
}

#[test]
fn names_that_are_none_are_usage_errors() {
    for bad in ["repo", "../../x", "org/..", "org/repo/x", "C:/x", "org/repo:../x.gguf", "org/repo:", "org/\u{1b}[2J"] {
        let output = ruminate("http://127.0.0.1:9", &TempDir::new().unwrap(), &["pull", bad]);
        assert_fails(&output, 2, "--help");
    }
}
