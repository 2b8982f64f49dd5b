use super::testing::tokenizer;
use super::*;
use crate::text::{TokenId, Tokenizer};

/// A number that depends on both, by SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
fn number(seed: u64, step: u64) -> u64 {
    let z = seed.wrapping_shl(32).wrapping_add(step + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A text of tokens drawn blindly among the permitted ones, and whether it came to its end within `most` tokens.
fn blind(tokenizer: &Tokenizer, grammar: &Grammar, seed: u64, most: usize) -> (String, bool) {
    let mut guide = tokenizer.guide(grammar).unwrap();
    let mut tokens = Vec::new();
    while tokens.len() < most {
        let permitted = guide.permitted().unwrap();
        let all: Vec<TokenId> = (0..tokenizer.vocab_len() as TokenId).filter(|&t| permitted.contains(t)).collect();
        assert_eq!(all.iter().any(|&t| tokenizer.is_eog(t)), guide.may_end().unwrap());
        let token = all[number(seed, tokens.len() as u64) as usize % all.len()];
        assert!(token > 1, "neither an unknown word nor a beginning");
        if tokenizer.is_eog(token) {
            return (text(tokenizer, &tokens), true);
        }
        guide.advance(token).unwrap();
        tokens.push(token);
        if guide.is_done() {
            return (text(tokenizer, &tokens), true);
        }
    }
    (text(tokenizer, &tokens), false)
}

fn text(tokenizer: &Tokenizer, tokens: &[TokenId]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|&t| tokenizer.token_bytes(t).unwrap()).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

const PERSON: &str = r#"{"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type":
    "integer", "minimum": 0, "maximum": 150}, "likes": {"type": "array", "items": {"enum": ["tea", "ab/c"]}, "maxItems": 3}},
    "required": ["name", "age"], "additionalProperties": false}"#;

fn is_person(text: &str) -> bool {
    let Ok(Value::Object(person)) = serde_json::from_str::<Value>(text) else { return false };
    let likes = person.get("likes").is_none_or(|likes| likes.as_array().is_some_and(|l| l.len() <= 3));
    let name = person["name"].as_str().is_some_and(|name| name.chars().count() <= 12);
    name && likes && person["age"].as_u64().is_some_and(|age| age <= 150) && !text.contains('\n')
}

#[test]
fn blind_draws_make_texts_of_the_grammar_or_are_not_at_their_end() {
    let tokenizer = tokenizer();
    let pattern = fancy_regex::Regex::new(r"^[a-f]{2,5}/\d{1,3}(é|漢)?$").unwrap();
    let choices = ["yes", "no", "yes, but (a|b)"];
    type Check<'a> = &'a dyn Fn(&str) -> bool;
    let cases: [(Grammar, Check<'_>); 4] = [
        (Grammar::json_schema(PERSON).unwrap(), &is_person),
        (Grammar::regex(r"[a-f]{2,5}/\d{1,3}(é|漢)?").unwrap(), &|text| pattern.is_match(text).unwrap()),
        (Grammar::choice(choices).unwrap(), &|text| choices.contains(&text)),
        (
            Grammar::lark("start: sum\nsum: NUMBER | \"(\" sum \"+\" sum \")\"\nNUMBER: /[0-9]{1,2}/").unwrap(),
            &|text| {
                text.matches('(').count() == text.matches('+').count()
                    && text.matches('(').count() == text.matches(')').count()
            },
        ),
    ];
    for (grammar, fits) in cases {
        let mut ended = 0;
        for seed in 0..60 {
            let (text, end) = blind(&tokenizer, &grammar, seed, 80);
            assert!(!end || fits(&text), "{grammar:?}: {text:?}");
            ended += usize::from(end);
        }
        assert!(ended > 20, "{grammar:?}: {ended}");
    }
    // What is cut short does not parse.
    let (cut, end) = blind(&tokenizer, &Grammar::json_schema(PERSON).unwrap(), 1, 3);
    assert!(!end && !is_person(&cut));
}

#[test]
fn a_copy_goes_on_from_the_same_place_and_both_go_their_ways() {
    let tokenizer = tokenizer();
    let grammar = Grammar::choice(["yes", "yesyes", "no"]).unwrap();
    let mut guide = tokenizer.guide(&grammar).unwrap();
    let yes = tokenizer.find("yes").unwrap();
    guide.advance(yes).unwrap();
    let mut copy = guide.clone();
    assert_eq!(guide.permitted().unwrap().words(), copy.permitted().unwrap().words());
    copy.advance(yes).unwrap();
    assert!(copy.is_done() && copy.may_end().unwrap());
    assert!(!guide.is_done() && guide.may_end().unwrap(), "`yes` may be all or go on");
    assert!(guide.permitted().unwrap().contains(yes) && guide.permitted().unwrap().contains(2));
    assert!(guide.permitted().unwrap().contains(3), "every token that ends generation");
    assert!(guide.clone().advance(tokenizer.find("no").unwrap()).is_err());
    // Rebuilt from its tokens it is the same.
    let mut again = tokenizer.guide(&grammar).unwrap();
    again.advance(yes).unwrap();
    assert_eq!(guide.permitted().unwrap().words(), again.permitted().unwrap().words());
}

#[test]
fn behind_a_marker_the_grammar_begins_and_before_it_nothing_ends() {
    let tokenizer = tokenizer();
    let grammar = Grammar::choice(["yes", "no"]).unwrap().after("####");
    let ids = |texts: &[&str]| texts.iter().map(|t| tokenizer.find(t).unwrap()).collect::<Vec<_>>();
    for (before, next, not) in [
        (&[][..], &["name", "no", "▁"][..], &["</s>"][..]),
        (&["name", "12"], &["name", "####"], &["</s>"]),
        (&["name", "####"], &["yes", "no", "▁yes", "▁"], &["name", "</s>", "{\""]),
        (&["▁####▁"], &["yes", "no"], &["▁yes", "▁", "</s>"]),
    ] {
        let mut guide = tokenizer.guide(&grammar).unwrap();
        ids(before).into_iter().for_each(|t| guide.advance(t).unwrap());
        let permitted = guide.permitted().unwrap();
        for token in next {
            assert!(permitted.contains(ids(&[token])[0]), "{before:?} {token}");
        }
        for token in not {
            assert!(!permitted.contains(ids(&[token])[0]), "{before:?} {token}");
        }
    }
    assert_eq!(grammar.part("so 1 #### yes"), Some("yes"));
    assert_eq!(grammar.part("so yes"), None);
    let schema = Grammar::json_schema(PERSON).unwrap().after("####");
    let mut guide = tokenizer.guide(&schema).unwrap();
    ids(&["name", "####", "▁", "{\"", "name"]).into_iter().for_each(|t| guide.advance(t).unwrap());
    assert!(Grammar::lark("start: \"a\"").unwrap().after("x").source().is_err());
}

#[test]
fn json_means_the_same_in_any_order_and_spacing() {
    let grammar = Grammar::json_schema("{}").unwrap();
    let same = [r#"{"b": [1, {"d": 2, "c": 3}], "a": "x"}"#, "{\"a\":\"x\",\n\"b\":[1,{\"c\":3,\"d\":2}]}"];
    assert_eq!(grammar.meaning(same[0]), grammar.meaning(same[1]));
    assert_ne!(grammar.meaning("[1, 2]"), grammar.meaning("[2, 1]"));
    assert_eq!(Grammar::regex(".*").unwrap().meaning("{ }"), "{ }");
}

#[test]
fn what_is_no_grammar_is_refused_in_words() {
    let tokenizer = tokenizer();
    let deep = |open: &str, close: &str, n: usize| open.repeat(n) + &close.repeat(n);
    let wrong = [
        Grammar::json_schema("{"),
        Grammar::json_schema("[]"),
        Grammar::json_schema(r#"{"type": "spaceship"}"#),
        Grammar::json_schema(r##"{"$ref": "https://example.com/x"}"##),
        Grammar::json_schema(r##"{"$ref": "#/nowhere"}"##),
        Grammar::json_schema(deep("[", "]", 100_000)),
        Grammar::json_schema(deep("{\"not\":", "}", 60_000)),
        Grammar::json_schema(r#"{"type": "string", "x-guidance": {"whitespace_flexible": 7}}"#),
        Grammar::regex("(a"),
        Grammar::regex("a{2,1}"),
        Grammar::regex(deep("(", ")", 50_000)),
        Grammar::regex(r"(?=a)b"),
        Grammar::regex("x".repeat(300 << 10)),
        Grammar::choice(Vec::<String>::new()),
        Grammar::choice(["a", " "]),
        Grammar::lark(""),
        Grammar::lark("start: nothing"),
        Grammar::lark(format!("start: {}", deep("(", ")", 50_000))),
        Grammar::lark("start: %json {\"type\": 3}"),
        // What terminals act on is not handed on to one.
        Grammar::lark("as\u{b}tart: \"a\u{1b}[31m | /[b-d]+/"),
    ];
    for (i, grammar) in wrong.into_iter().enumerate() {
        let error = grammar.and_then(|grammar| tokenizer.guide(&grammar)).expect_err(&format!("case {i}"));
        let text = error.to_string();
        assert!(!text.is_empty() && text.len() < 600 && !text.contains("backtrace"), "{i}: {text}");
        assert!(!text.chars().any(char::is_control), "{i}: {text:?}");
    }
}

#[test]
fn hostile_grammars_end_within_their_caps() {
    let tokenizer = tokenizer();
    let begun = std::time::Instant::now();
    let any_of = |n: usize| {
        let one = |i: usize| format!(r#"{{"type": "object", "properties": {{"k{i}": {{"type": "string"}}}}}}"#);
        (0..n).map(one).collect::<Vec<_>>().join(",")
    };
    for grammar in [
        Grammar::regex("(a|aa|aaa)*b(a|b)*c{0,200}"),
        Grammar::regex("(.*a){18}"),
        Grammar::regex("(x+x+)+y"),
        Grammar::regex("a{1000}{1000}{1000}"),
        Grammar::regex(".*".repeat(400)),
        Grammar::regex(r"[\p{L}\p{N}]{1,500}"),
        Grammar::json_schema(format!(r#"{{"allOf": [{}]}}"#, any_of(200))),
        Grammar::json_schema(format!(r#"{{"allOf": [{{"anyOf": [{0}]}}, {{"anyOf": [{0}]}}]}}"#, any_of(40))),
        Grammar::json_schema(r##"{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}"##),
        Grammar::json_schema(r#"{"type": "string", "maxLength": 1000000}"#),
        Grammar::json_schema(r#"{"type": "array", "minItems": 100000}"#),
        Grammar::lark("start: a\na: a a | \"x\" | \"\""),
        Grammar::lark("start: a\na: b | \"x\"\nb: a | \"x\""),
    ] {
        let grammar = grammar.unwrap();
        // An error is as good as a guide, as long as it comes.
        if let Ok(mut guide) = tokenizer.guide(&grammar) {
            for _ in 0..6 {
                let Ok(permitted) = guide.permitted() else { break };
                let next =
                    (0..tokenizer.vocab_len() as TokenId).find(|&t| permitted.contains(t) && !tokenizer.is_eog(t));
                let Some(next) = next else { break };
                if guide.advance(next).is_err() {
                    break;
                }
            }
        }
        assert!(begun.elapsed().as_secs() < 60, "{grammar:?}");
    }
}
