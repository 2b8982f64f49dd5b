use super::*;

fn pieces<'t>(pre: &str, text: &'t str) -> Vec<&'t str> {
    let splitter = PreTokenizer::new(pre).unwrap();
    splitter.split(text).unwrap().into_iter().map(|r| &text[r]).collect()
}

#[test]
fn an_unknown_name_is_an_error_that_says_the_name() {
    for name in ["no-such-splitter", "", "GPT-2", "gemma4"] {
        let e = PreTokenizer::new(name).unwrap_err();
        assert_eq!(e.kind(), crate::ErrorKind::Unsupported);
        assert!(e.to_string().contains(&format!("{name:?}")), "{e}");
    }
}

#[test]
fn a_run_of_blanks_leaves_its_last_one_to_the_word() {
    assert_eq!(pieces("gpt-2", "a   b"), ["a", "  ", " b"]);
    assert_eq!(pieces("gpt-2", "a  "), ["a", "  "]);
    assert_eq!(pieces("gpt-2", "\n\na"), ["\n", "\n", "a"]);
    assert_eq!(pieces("qwen2", "a \n  b"), ["a", " \n", " ", " b"]);
    assert_eq!(pieces("qwen2", ""), [""; 0]);
}

#[test]
fn digits_are_grouped_as_each_family_does() {
    assert_eq!(pieces("gpt-2", "x 1234567"), ["x", " 1234567"]);
    assert_eq!(pieces("smollm", "x 123"), ["x", " ", "1", "2", "3"]);
    assert_eq!(pieces("llama-bpe", "1234567"), ["123", "456", "7"]);
    assert_eq!(pieces("superbpe", "a 1234567"), ["a ", "1", "234", "567"]);
}

#[test]
fn letters_of_later_unicode_versions_are_no_letters() {
    // U+1C89 came with Unicode 16.
    assert_eq!(pieces("qwen2", "a\u{1c89}b"), ["a", "\u{1c89}b"]);
}

/// Cuts of llama.cpp's own code, see `make_splits.py`.
#[test]
fn cuts_equal_those_of_llama_cpp_for_every_name() {
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/splits.json")).unwrap();
    let all: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let texts: Vec<&str> = all["texts"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    let block = all["block"].as_u64().unwrap() as usize;
    let names = all["names"].as_object().unwrap();
    assert!(names.len() > 80 && texts.len() >= 500);
    // Names of one rule are cut once.
    let mut seen: Vec<(table::Rule, u64)> = Vec::new();
    for (name, cuts) in names {
        let rule = table::rule(name).unwrap_or_else(|| panic!("{name} is not known"));
        let cuts = cuts.as_u64().unwrap();
        if seen.contains(&(rule, cuts)) {
            continue;
        }
        seen.push((rule, cuts));
        let splitter = PreTokenizer::new(name).unwrap();
        for (at, (texts, want)) in texts.chunks(block).zip(all["cuts"][cuts as usize].as_array().unwrap()).enumerate() {
            let mut digest = Fnv(0xcbf2_9ce4_8422_2325);
            for text in texts {
                splitter.split(text).unwrap().iter().for_each(|range| digest.add(range.end as u32));
                digest.add(u32::MAX);
            }
            assert_eq!(format!("{:016x}", digest.0), *want.as_str().unwrap(), "{name}, block {at}: {texts:?}");
        }
    }
}

/// FNV-1a of 64 bits.
struct Fnv(u64);

impl Fnv {
    fn add(&mut self, n: u32) {
        for byte in n.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

#[test]
fn splitting_takes_linear_work_on_every_kind_of_run() {
    for name in
        ["gpt-2", "qwen2", "tekken", "gpt-4o", "deepseek-llm", "deepseek-v3", "exaone-moe", "superbpe", "default"]
    {
        let splitter = PreTokenizer::new(name).unwrap();
        for unit in ["a", "A", "é", " ", "\n", "1", "!", "\u{301}", "漢", "'", "aA", " a", "é \n", "1 a", "a b "] {
            let text = unit.repeat((1 << 18) / unit.len());
            let start = std::time::Instant::now();
            let last = splitter.split(&text).unwrap().last().cloned().unwrap();
            assert_eq!(last.end, text.len());
            // Quadratic work on 256 KiB would take minutes.
            assert!(start.elapsed().as_secs() < 20, "{name} on {unit:?}: {:?}", start.elapsed());
        }
    }
}
