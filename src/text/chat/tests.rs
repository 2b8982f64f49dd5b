use super::*;
use std::time::{Duration, Instant, UNIX_EPOCH};

fn template(source: &str) -> Result<ChatTemplate> {
    ChatTemplate::new(source, "<s>", "</s>", &Limits::default())
}

fn rendered(source: &str) -> Result<String> {
    template(source)?.render(&[ChatMessage::new("user", "Hi")], true)
}

/// Texts from Jinja2, see `make_templates.py`.
#[test]
fn conversations_read_as_jinja2_renders_them() {
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/templates.json")).unwrap();
    let all: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(all["now"].as_u64().unwrap());
    let mut cases = 0;
    for family in all["templates"].as_array().unwrap() {
        let text = |key: &str| family[key].as_str().unwrap();
        let name = text("name");
        let template =
            ChatTemplate::new(text("source"), text("bos_token"), text("eos_token"), &Limits::default()).unwrap();
        for case in family["cases"].as_array().unwrap() {
            let words = |m: &serde_json::Value, key: &str| m[key].as_str().unwrap().to_owned();
            let messages = case["messages"].as_array().unwrap().iter();
            let messages: Vec<_> = messages.map(|m| ChatMessage::new(words(m, "role"), words(m, "content"))).collect();
            let options = ChatOptions {
                add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap(),
                enable_thinking: case.get("enable_thinking").and_then(serde_json::Value::as_bool),
                now: Some(now),
                ..ChatOptions::default()
            };
            let got = template.render_with(&messages, &options);
            match case.get("refusal") {
                None => assert_eq!(got.unwrap(), case["text"].as_str().unwrap(), "{name}: {messages:?}"),
                Some(refusal) => {
                    let e = got.unwrap_err();
                    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
                    assert!(e.to_string().ends_with(refusal.as_str().unwrap()), "{name}: {e}");
                }
            }
            cases += 1;
        }
    }
    assert!(cases >= 60);
}

#[test]
fn variables_of_the_caller_reach_the_template() {
    let options = ChatOptions { variables: vec![("date_string".into(), "today".into())], ..ChatOptions::default() };
    let t = template("{{ date_string }} {{ bos_token }}{{ eos_token }} {{ add_generation_prompt }}").unwrap();
    assert_eq!(t.render_with(&[], &options).unwrap(), "today <s></s> False");
}

#[test]
fn hostile_templates_end_in_an_error_soon() {
    let nested_blocks = format!("{}{}", "{% if true %}".repeat(2500), "{% endif %}".repeat(2500));
    let nested_parens = format!("{{{{ {}1{} }}}}", "(".repeat(30_000), ")".repeat(30_000));
    let nested_lists = format!("{{{{ {}{} }}}}", "[".repeat(30_000), "]".repeat(30_000));
    for source in [
        "{% for i in range(10**9) %}x{% endfor %}",
        "{{ range(1000000000) | list | length }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
        "{{ 'a' * 10**9 }}",
        "{{ ('a' * 10**7) * 100 }}",
        "{% set x = [0] * 10**9 %}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ bos_token }}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x.replace('a', 'aaaa') %}{% endfor %}",
        "{{ 'a'.ljust(10**12) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ 'a' | center(10**10) }}",
        "{{ 'a' | indent(10**10, true) }}",
        "{{ 9**9**9 }}",
        "{% include 'other' %}",
        "{% import 'other' as o %}",
        "{% extends 'other' %}",
        "{{ messages | nosuchfilter }}",
        "{{ nosuchfunction() }}",
        "{{ messages[0].nothing.nothing }}",
        "{{ strftime_now('%Q') }}",
        "{{ raise_exception('no') }}",
        "{% if %}",
        "{{",
        "\u{0}{% for %}",
        &nested_blocks,
        &nested_parens,
        &nested_lists,
    ] {
        let start = Instant::now();
        let got = rendered(source);
        let shown: String = source.chars().take(60).collect();
        assert!(got.is_err(), "{shown}: {:?}", got.map(|text| text.len()));
        assert!(start.elapsed().as_secs() < 60, "{shown}: {:?}", start.elapsed());
    }
}

/// Deep for the parser without a bracket: whether such a source is refused or rendered, the process has to live.
#[test]
fn long_rows_of_operators_do_not_overflow_the_stack() {
    let row = |start: &str, unit: &str, end: &str| format!("{start}{}{end}", unit.repeat(60_000 / unit.len()));
    for source in [
        row("{{ ", "not ", "1 }}"),
        row("{{ ", "-", "1 }}"),
        row("{{ 1", "+1", " }}"),
        row("{{ 1", "~1", " }}"),
        row("{{ 1", "**1", " }}"),
        row("{{ a", ".a", " }}"),
        row("{{ a", "|a", " }}"),
        row("{{ a", "()", " }}"),
        row("{{ a", "[0]", " }}"),
        row("{{ 1", " if 1 else 1", " }}"),
        row("{% if 1 %}", "{% elif 1 %}", "{% endif %}"),
    ] {
        let start = Instant::now();
        let got = rendered(&source);
        assert!(start.elapsed().as_secs() < 60, "{}: {:?}", &source[..20], start.elapsed());
        if let Err(e) = got {
            assert_eq!(e.kind(), ErrorKind::Format);
        }
    }
}

#[test]
fn values_nested_as_deep_as_the_fuel_allows_do_not_overflow_the_stack() {
    let nest = |name: &str| format!("{{% set ns.{name} = {}ns.{name}{} %}}", "[".repeat(20), "]".repeat(20));
    let after = [
        "",
        "{{ ns.x }}",
        "{{ ns.x == ns.y }}",
        "{{ ns.x | string }}",
        "{{ {ns.x: 1} }}",
        "{{ [ns.x, ns.y] | sort }}",
        "{{ ns.x | tojson }}",
        "{{ ns.x | pprint }}",
        "{{ ns.x in [ns.y] }}",
        "{{ [ns.x, ns.y] | unique | list }}",
    ];
    for after in after {
        for turns in [600, 9_999] {
            let (x, y) = (nest("x"), nest("y"));
            let start = "{% set ns = namespace(x=[], y=[]) %}";
            let loops = format!("{start}{{% for i in range({turns}) %}}{x}{y}{{% endfor %}}{after}");
            let began = Instant::now();
            let t = template(&loops).unwrap();
            // An error or an empty text are both fine: what matters is that the process lives.
            if let Err(e) = t.render(&[], false) {
                assert_eq!(e.kind(), ErrorKind::Format);
            }
            assert!(began.elapsed().as_secs() < 60, "{after} {turns}: {:?}", began.elapsed());
        }
    }
}

#[test]
fn caps_on_source_and_output_hold() {
    let limits = Limits { template_source_bytes: 10, template_output_bytes: 5, ..Limits::default() };
    assert_eq!(ChatTemplate::new("12345678901", "", "", &limits).unwrap_err().kind(), ErrorKind::Format);
    let t = ChatTemplate::new("123456", "", "", &limits).unwrap();
    let e = t.render(&[], false).unwrap_err();
    assert!(e.to_string().contains("cap of 5 bytes"), "{e}");
    assert_eq!(ChatTemplate::new("12345", "", "", &limits).unwrap().render(&[], false).unwrap(), "12345");
}

#[test]
fn long_conversations_have_fuel_enough() {
    let t =
        template("{% for m in messages %}<|{{ m.role }}|>{{ m['content'] | trim + eos_token }}{% endfor %}").unwrap();
    let messages: Vec<_> =
        (0..2000).map(|i| ChatMessage::new("user", format!("message {i} {}", "word ".repeat(300)))).collect();
    assert!(t.render(&messages, true).unwrap().len() > 2000 * 1500);
}
