use super::*;
use crate::ErrorKind;
use crate::gguf::StrArray;

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };
const FULL: EncodeOptions = EncodeOptions { add_special: true, parse_special: true };

/// All bytes, a few merges, two control tokens.
fn bpe() -> VocabSource {
    let mut tokens: Vec<String> = (0..=255u8).map(|b| super::super::byte_map::char_of(b).to_string()).collect();
    tokens.extend(["<|begin|>", "<|im_end|>", "he", "ll", "hell", "hello", "Ġw"].map(String::from));
    VocabSource {
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        token_type: Some((0..tokens.len()).map(|id| if matches!(id, 256 | 257) { 3 } else { 1 }).collect()),
        tokens: StrArray::from_strs(tokens).unwrap(),
        merges: StrArray::from_strs(["h e", "l l", "he ll", "hell o", "Ġ w"]).unwrap(),
        bos_token_id: Some(256),
        eos_token_id: Some(257),
        add_bos_token: Some(true),
        ..VocabSource::default()
    }
}

/// Byte tokens and a few pieces with scores.
fn spm() -> VocabSource {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    tokens.extend((0..=255u8).map(|b| format!("<0x{b:02X}>")));
    let pieces = [("▁", -1.0), ("h", -2.0), ("i", -2.5), ("hi", -0.5), ("▁hi", -0.1), ("▁h", -0.7)];
    let mut scores = vec![0.0; tokens.len()];
    let mut types = [vec![2, 3, 3], vec![6; 256]].concat();
    for (text, score) in pieces {
        tokens.push(text.into());
        scores.push(score);
        types.push(1);
    }
    VocabSource {
        model: "llama".into(),
        tokens: StrArray::from_strs(tokens).unwrap(),
        scores: Some(scores),
        token_type: Some(types),
        ..VocabSource::default()
    }
}

fn edit(list: &mut StrArray, change: impl FnOnce(&mut Vec<String>)) {
    let mut texts = list.iter().map(String::from).collect();
    change(&mut texts);
    *list = StrArray::from_strs(texts).unwrap();
}

fn build(source: &VocabSource) -> Tokenizer {
    Tokenizer::new(source, &Limits::default()).unwrap()
}

fn texts(tokenizer: &Tokenizer, text: &str, options: EncodeOptions) -> Vec<String> {
    let ids = tokenizer.encode(text, options).unwrap();
    ids.iter().map(|&id| tokenizer.token_text(id).unwrap().to_owned()).collect()
}

fn refused(change: impl FnOnce(&mut VocabSource), mut source: VocabSource, kind: ErrorKind, says: &str) {
    change(&mut source);
    let e = Tokenizer::new(&source, &Limits::default()).unwrap_err();
    assert_eq!(e.kind(), kind, "{e}");
    assert!(e.to_string().contains(says), "{e} does not say {says:?}");
}

#[test]
fn bpe_merges_by_rank_and_keeps_every_byte() {
    let t = build(&bpe());
    assert_eq!(texts(&t, "hello world", PLAIN), ["hello", "Ġw", "o", "r", "l", "d"]);
    assert_eq!(texts(&t, "hello", FULL), ["<|begin|>", "hello"]);
    for text in ["", " ", "héllo 漢字 😀\u{0}\r\n", "<|im_end|> is text"] {
        assert_eq!(t.decode(&t.encode(text, PLAIN).unwrap(), false), text.as_bytes());
    }
    assert_eq!(texts(&t, "he<|im_end|>", FULL), ["<|begin|>", "he", "<|im_end|>"]);
    assert!(t.is_eog(257) && t.is_control(257) && !t.is_eog(256) && t.is_control(256));
    assert_eq!((t.eos(), t.eot(), t.bos(), t.vocab_len()), (Some(257), Some(257), Some(256), 263));
}

#[test]
fn control_tokens_are_written_only_on_request() {
    let t = build(&bpe());
    let ids = t.encode("he<|im_end|>", FULL).unwrap();
    assert_eq!(t.decode(&ids, false), b"he");
    assert_eq!(t.decode(&ids, true), b"<|begin|>he<|im_end|>");
    assert_eq!(t.decode(&[999_999], true), "\u{FFFD}".as_bytes());
    assert_eq!(t.token_bytes(262), Some(&b" w"[..]));
    assert_eq!((t.token_bytes(263), t.token_text(263), t.find("no such token")), (None, None, None));
    assert!(!t.is_control(263) && !t.is_eog(TokenId::MAX));
}

#[test]
fn a_merge_without_a_token_is_spelled_by_its_ascii_bytes() {
    let mut source = bpe();
    source.merges = StrArray::from_strs(["h i", "é x"]).unwrap();
    let t = build(&source);
    assert_eq!(texts(&t, "hi", PLAIN), ["h", "i"]);
}

#[test]
fn ignore_merges_takes_a_whole_word_that_merging_could_not_reach() {
    let mut source = bpe();
    edit(&mut source.merges, |merges| merges.retain(|m| m != "hell o"));
    assert_eq!(texts(&build(&source), "hello", PLAIN), ["hell", "o"]);
    source.pre = Some("llama-bpe".into());
    assert_eq!(texts(&build(&source), "hello", PLAIN), ["hello"]);
}

#[test]
fn spm_merges_by_score_with_byte_fallback_and_a_leading_blank() {
    let t = build(&spm());
    assert_eq!(texts(&t, "hi", FULL), ["<s>", "▁hi"]);
    assert_eq!(texts(&t, "hi hi", PLAIN), ["▁hi", "▁hi"]);
    assert_eq!(texts(&t, "é", PLAIN), ["▁", "<0xC3>", "<0xA9>"]);
    assert_eq!(texts(&t, "hi</s>hi", FULL), ["<s>", "▁hi", "</s>", "▁hi"]);
    assert_eq!(texts(&t, "", FULL), ["<s>"]);
    for text in ["hi", " hi", "hi  hi\n", "漢字 😀", ""] {
        assert_eq!(t.decode(&t.encode(text, FULL).unwrap(), false), text.as_bytes(), "{text:?}");
    }
    let mut source = spm();
    source.add_space_prefix = Some(false);
    let t = build(&source);
    assert_eq!(texts(&t, "hi hi", PLAIN), ["hi", "▁hi"]);
    assert_eq!(t.decode(&t.encode(" hi", PLAIN).unwrap(), false), b" hi");
}

#[test]
fn spm_without_byte_tokens_falls_back_to_unknown_or_says_so() {
    let source = |special: &[&str]| VocabSource {
        model: "llama".into(),
        tokens: StrArray::from_strs(special.iter().chain(&["a", "▁"])).unwrap(),
        add_space_prefix: Some(false),
        ..VocabSource::default()
    };
    assert_eq!(texts(&build(&source(&["<unk>"])), "aé", PLAIN), ["a", "<unk>", "<unk>"]);
    let mut none = source(&[]);
    edit(&mut none.tokens, |tokens| tokens.truncate(1));
    let t = build(&none);
    assert_eq!(t.encode("a", PLAIN).unwrap(), [0]);
    // One token: the trainer's numbers 1 and 2 do not exist here, 0 does.
    assert_eq!((t.bos(), t.eos(), t.add_bos()), (None, None, false));
}

#[test]
fn hostile_vocabularies_are_refused_with_the_reason() {
    use ErrorKind::{Format, Unsupported};
    refused(|s| s.tokens = StrArray::default(), bpe(), Format, "empty");
    refused(
        |s| edit(&mut s.tokens, |tokens| tokens[3] = "hello".into()),
        bpe(),
        Format,
        "tokens 3 and 261 have the same text",
    );
    refused(|s| s.token_type = Some(vec![1; 5]), bpe(), Format, "token_type has 5 entries");
    refused(|s| s.scores = Some(vec![0.0]), spm(), Format, "scores has 1 entries");
    refused(|s| s.scores.as_mut().unwrap()[9] = f32::NAN, spm(), Format, "token 9");
    refused(|s| s.merges = StrArray::default(), bpe(), Format, "no merges");
    refused(|s| s.merges.push("nopair").unwrap(), bpe(), Format, "merge 5");
    refused(|s| edit(&mut s.tokens, |tokens| tokens[5] = "<0x-1>".into()), spm(), Format, "token 5");
    refused(|s| edit(&mut s.tokens, |tokens| tokens[5] = "<0x+1>".into()), spm(), Format, "token 5");
    refused(|s| edit(&mut s.tokens, |tokens| tokens[5] = "<0x".into()), spm(), Format, "token 5");
    refused(|s| edit(&mut s.tokens, |tokens| tokens[5] = "<0x€>".into()), spm(), Format, "token 5");
    refused(|s| s.bos_token_id = Some(1 << 20), bpe(), Format, "bos_token_id is 1048576");
    refused(|s| s.eos_token_id = Some(u32::MAX), bpe(), Format, "eos_token_id");
    refused(|s| s.fim_pad_token_id = Some(263), bpe(), Format, "fim_pad_token_id");
    refused(|s| s.unknown_token_id = Some(263), bpe(), Format, "unknown_token_id");
    refused(|s| s.bos_token_id = None, bpe(), Format, "add_bos_token");
    refused(|s| s.pre = None, bpe(), Unsupported, "tokenizer.ggml.pre");
    refused(|s| s.pre = Some("mystery".into()), bpe(), Unsupported, "mystery");
    for model in ["gemma4", "bert", "t5", "rwkv", ""] {
        refused(|s| s.model = model.into(), bpe(), Unsupported, model);
    }
    let limits = Limits { vocab_tokens: 10, ..Limits::default() };
    assert_eq!(Tokenizer::new(&bpe(), &limits).unwrap_err().kind(), Format);
    let limits = Limits { token_bytes: 4, ..Limits::default() };
    assert_eq!(Tokenizer::new(&bpe(), &limits).unwrap_err().kind(), Format);
}

#[test]
fn odd_vocabularies_still_work() {
    // Types of unknown numbers, an empty token, infinite scores, merges of texts that no token has.
    let mut source = bpe();
    edit(&mut source.tokens, |tokens| tokens.extend(["", "odd"].map(String::from)));
    source.token_type = Some((0..source.tokens.len()).map(|i| if i < 256 { 1 } else { i as i32 * 1000 }).collect());
    edit(&mut source.merges, |merges| merges.extend(["zz yy", "  b", "h e"].map(String::from)));
    let t = build(&source);
    assert_eq!(t.decode(&t.encode("hello odd  b", PLAIN).unwrap(), true).len(), "odd  b".len() + 1);
    let mut source = spm();
    source.scores = Some(vec![f32::NEG_INFINITY; source.tokens.len()]);
    let t = build(&source);
    assert_eq!(t.decode(&t.encode("hi hi", PLAIN).unwrap(), false), b"hi hi");
}

#[test]
fn a_table_that_is_not_wanted_any_more_is_not_finished() {
    let fired = Interrupt::default();
    assert!(Tokenizer::build(&bpe(), &Limits::default(), &fired).is_ok());
    fired.cancel.cancel();
    for source in [bpe(), spm()] {
        let refused = Tokenizer::build(&source, &Limits::default(), &fired).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Cancelled);
    }
}

#[test]
fn a_text_above_the_cap_is_an_error() {
    let limits = Limits { prompt_bytes: 8, ..Limits::default() };
    let t = Tokenizer::new(&bpe(), &limits).unwrap();
    assert_eq!(t.encode("12345678", PLAIN).unwrap().len(), 8);
    assert_eq!(t.encode("123456789", PLAIN).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn phi3_files_type_end_as_end_of_generation() {
    let mut source = spm();
    edit(&mut source.tokens, |tokens| tokens.extend(["<|end|>", "<|endoftext|>", "<|return|>"].map(String::from)));
    source.token_type.as_mut().unwrap().extend([4, 3, 1]);
    source.scores.as_mut().unwrap().extend([0.0; 3]);
    let t = build(&source);
    let id = |text: &str| t.find(text).unwrap();
    assert!(
        t.is_eog(id("<|end|>")) && t.is_control(id("<|end|>")) && t.is_eog(id("<|endoftext|>")) && t.is_eog(id("</s>"))
    );
    // With the calls of the harmony format, `<|end|>` only ends a message.
    source.tokens.push("<|call|>").unwrap();
    source.token_type.as_mut().unwrap().push(3);
    source.scores.as_mut().unwrap().push(0.0);
    let t = build(&source);
    assert!(!t.is_eog(t.find("<|end|>").unwrap()) && t.is_eog(t.find("<|call|>").unwrap()));
}

#[test]
fn harmony_is_written_but_read_only_on_request() {
    // Files type these tokens in every way.
    for kind in [1, 3, 4] {
        let mut source = bpe();
        let parts = ["<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>"];
        edit(&mut source.tokens, |tokens| {
            tokens.extend(parts.iter().chain(&["<|call|>", "<|return|>"]).map(ToString::to_string));
        });
        source.token_type.as_mut().unwrap().extend([kind; 7]);
        let t = build(&source);
        let said = "<|start|>he<|channel|>he<|message|>he<|end|><|constrain|>";
        let ids = t.encode(said, EncodeOptions { parse_special: true, ..PLAIN }).unwrap();
        assert_eq!(ids.iter().filter(|&&id| parts.contains(&t.token_text(id).unwrap())).count(), 5);
        assert_eq!(t.decode(&ids, false), said.as_bytes());
        assert!(ids.iter().all(|&id| !t.is_eog(id)));
        let foreign = t.encode(said, PLAIN).unwrap();
        assert!(foreign.iter().all(|id| !ids.contains(id) || *id == t.find("he").unwrap()), "{kind}: {foreign:?}");
        assert_eq!(t.decode(&foreign, false), said.as_bytes());
    }
}

#[test]
fn one_word_of_eight_mebibytes_takes_seconds() {
    for (name, source) in [("bpe", bpe()), ("spm", spm())] {
        let t = build(&source);
        for unit in ["hello", "x", "hi"] {
            let word = unit.repeat((8 << 20) / unit.len());
            let start = std::time::Instant::now();
            let ids = t.encode(&word, PLAIN).unwrap();
            println!("{name}: 8 MiB of {unit:?} to {} tokens in {:?}", ids.len(), start.elapsed());
            assert!(ids.len() >= word.len() / 5);
            // Quadratic work would take days; the bound only allows for a slow, busy machine.
            assert!(start.elapsed().as_secs() < 120);
        }
    }
}
