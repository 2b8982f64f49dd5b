//! Right uses, and tools that mean no good.

use std::path::Path;
use std::time::Instant;

use super::*;

impl Toolbox {
    fn ask(&self, name: &str, input: &str) -> String {
        self.call(name, input, &Interrupt::default())
    }
}

fn toolbox() -> Toolbox {
    let tools = BUILT_IN.iter().map(|make| make()).collect();
    Toolbox::new(tools, ToolLimits::default()).unwrap()
}

fn host(function: impl Fn(&Value) -> Result<Vec<u8>> + Send + Sync + 'static, limits: ToolLimits) -> Toolbox {
    let schema = json!({ "type": "object", "properties": { "q": { "type": "string" } }, "required": ["q"] });
    Toolbox::new(vec![Arc::new(HostTool::new("ask", "Asks.", schema, function))], limits).unwrap()
}

#[test]
fn a_host_function_leaves_a_record_that_says_the_same_of_it_and_cannot_be_called() {
    let schema = json!({ "properties": { "q": { "type": "string", "description": "what" } }, "required": ["q"] });
    let tool = HostTool::new("ask", "Asks \"it\".", schema, |_| Ok(b"said".to_vec()));
    let record = tool.record();
    let recorded = HostTool::recorded(&record).unwrap().unwrap();
    assert_eq!(recorded.record(), record);
    let [then, now] = [tool, recorded].map(|t| Toolbox::new(vec![Arc::new(t)], ToolLimits::default()).unwrap());
    assert_eq!(then.about(), now.about());
    assert_eq!((then.ask("ask", "x"), now.ask("ask", "x")), ("said".into(), "error: its program is not here".into()));
    assert!(HostTool::recorded("calculator").is_none());
    for damaged in ["host=", "host={", "host={}", r#"host={"name": 1, "about": "", "schema": {}}"#] {
        assert!(HostTool::recorded(damaged).unwrap().is_err(), "{damaged}");
    }
}

/// Golden: Python's datetime, and the legal definitions of units.
#[test]
fn the_built_in_tools_are_right() {
    let toolbox = toolbox();
    for (name, input, said) in [
        ("calculator", "3 * (4 + 5)", "27"),
        ("calculator", r#"{"expression": "1/8"}"#, "0.125"),
        ("calculator", "$1,200 × 2 =", "2400"),
        ("calculator", "max(3,4) + (1,200,000)", "1200004"),
        ("calculator", "gcd(12,18)", "6"),
        ("calculator", "round(10/3,2)", "3.33"),
        ("calculator", "max(1,200, 3)", "200"),
        ("dates", "2024-02-28", "2024-02-28, Wednesday"),
        ("dates", r#"{"date": "2024-02-28", "days": 2}"#, "2024-03-01, Friday"),
        ("dates", r#"{"date": "1999-12-31", "days": -36523}"#, "1900-01-01, Monday"),
        ("dates", r#"{"date": "2000-01-01", "until": "2024-12-25"}"#, "9125 days"),
        ("units", r#"{"value": "26.2", "from": "miles", "to": "km"}"#, "42.1648128 km"),
        ("units", r#"{"value": "3/4", "from": "hours", "to": "minutes"}"#, "45 minutes"),
        ("units", r#"{"value": "1", "from": "gal", "to": "l"}"#, "3.785411784 l"),
        ("units", r#"{"value": "2", "from": "feet", "to": "inches"}"#, "24 inches"),
        ("units", r#"{"value": "250", "from": "ms", "to": "s"}"#, "0.25 s"),
        ("notes", r#"{"name": "a", "text": "7"}"#, "kept"),
        ("notes", "a", "7"),
    ] {
        assert_eq!(toolbox.ask(name, input), said, "{name} {input}");
    }
    assert!(toolbox.fresh().ask("notes", "a").starts_with("error"), "another question has no notes");
}

#[test]
fn what_is_wrong_is_said_to_the_model() {
    let toolbox = toolbox();
    for (name, input, says) in [
        ("calculators", "1", "calculator, dates"),
        ("calculator", "1 +", "missing"),
        ("calculator", "1,20 + 3", "cannot be read"),
        ("calculator", "sqrt(1,600)", "between values"),
        ("calculator", "", "empty"),
        ("calculator", r#"{"sum": "1"}"#, "expression"),
        ("calculator", r#"{"expression": "1", "more": 2}"#, "more"),
        ("calculator", r#"{"expression": 7}"#, "string"),
        ("dates", "2023-02-29", "no date"),
        ("dates", "today", "no date"),
        ("dates", r#"{"date": "2023-02-02", "days": 99999999999}"#, "days"),
        ("dates", r#"{"date": "2023-02-02", "days": -9223372036854775808}"#, "days"),
        ("units", r#"{"value": "1", "from": "kg", "to": "m"}"#, "mass is no length"),
        ("units", r#"{"value": "1", "from": "cubits", "to": "m"}"#, "cubits"),
        ("notes", "none", "no such note"),
    ] {
        let said = toolbox.ask(name, input);
        assert!(said.starts_with("error: ") && said.contains(says), "{name} {input}: {said}");
    }
    assert!(toolbox.ask("notes", &json!({ "name": "a", "text": "x".repeat(2_000) }).to_string()).starts_with("error"));
}

#[test]
fn hostile_tools_are_bounded() {
    let limits = ToolLimits { output_bytes: 50, wall: Duration::from_millis(50) };
    let huge = host(|_| Ok("é".repeat(1 << 20).into_bytes()), limits.clone()).ask("ask", "x");
    assert!(huge.len() <= 50 && huge.ends_with("é […]"), "{huge}");
    let broken = host(|_| Ok(b"a\xff\xfe\x1b[2J\0b".to_vec()), limits.clone()).ask("ask", "x");
    assert_eq!(broken, "a\u{FFFD}\u{FFFD} [2J b");
    let start = Instant::now();
    let endless = host(
        |_| loop {
            thread::sleep(Duration::from_secs(1));
        },
        limits.clone(),
    );
    assert!(endless.ask("ask", "x").contains("given up"));
    assert!(start.elapsed() < Duration::from_millis(900), "it was waited for");
    let failing = host(|_| Err(Error::invalid("not today")), limits.clone());
    assert_eq!(failing.ask("ask", "x"), "error: not today");
    let names = ["calculator", "calculator"].map(|name| Toolbox::built_in(name).unwrap());
    assert!(Toolbox::new(names.to_vec(), limits).is_err());
}

#[test]
fn a_panic_of_a_host_function_is_said_to_the_model() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let said = host(|_| panic!("oh"), ToolLimits::default()).ask("ask", "x");
    std::panic::set_hook(hook);
    assert_eq!(said, "error: ask broke down");
}

#[test]
fn passages_are_found_by_their_rare_words_and_nothing_outside_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let put = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
    put(&folder.path().join("a.txt"), "The tower is tall.\n\nThe river is long and the river is cold.");
    put(&folder.path().join("b.md"), "The bridge crosses the river.");
    put(&folder.path().join("c.bin"), "The tower of secrets.");
    put(&outside.path().join("d.txt"), "The treasure is under the tower.");
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    let tools: Vec<Arc<dyn Tool>> = vec![Arc::new(Folder::open(folder.path()).unwrap())];
    let toolbox = Toolbox::new(tools, ToolLimits::default()).unwrap();
    assert_eq!(toolbox.ask("search", "towers"), "[a.txt] The tower is tall.");
    let said = toolbox.ask("search", "a cold river");
    assert!(said.starts_with("[a.txt] The river is long"), "{said}");
    assert!(said.contains("[b.md]"));
    assert!(toolbox.ask("search", "treasure secrets").starts_with("error"));
    put(&folder.path().join("e.txt"), &"x ".repeat(1 << 20));
    assert!(Folder::open(folder.path()).is_err());
}
