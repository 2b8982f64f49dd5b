//! What methods say to the model: one small Jinja template each, in one folder, each replaceable by a file of its name.

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::{Environment, UndefinedBehavior, Value};

use super::conversation::CUT;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::storage;
use crate::text::{ChatMessage, Dialect, Template};

/// In the words of a prompt: where a turn ends and the other side's begins.
pub(super) const TURN: char = '\u{1D}';

/// The file name's end.
const EXTENSION: &str = ".txt";

macro_rules! defaults {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../prompts/", $name, ".txt")))),+]
    };
}

/// Every prompt as it is built in, by name.
static DEFAULTS: [(&str, &str); 18] = defaults![
    "plan-questions",
    "plan-step",
    "plan-answer",
    "solve",
    "verify",
    "debate",
    "graph-score",
    "graph-aggregate",
    "graph-refine",
    "react",
    "program",
    "program-mend",
    "refine-feedback",
    "refine-revise",
    "thoughts-propose",
    "thoughts-value",
    "thoughts-vote",
    "thoughts-finish",
];

/// The prompts of all methods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompts {
    changed: BTreeMap<String, String>,
}

impl Prompts {
    /// The built-in prompts but for those that `folder` holds a file `NAME.txt` of. A file of another name is an error that
    /// lists the names, so that a misspelt one is not left unread.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let unread = |e| Error::io(format!("reading the prompts in {}", folder.display()), e);
        let mut changed = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(unread)? {
            let path = entry.map_err(unread)?.path();
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(name) = file.strip_suffix(EXTENSION) else { continue };
            built_in(name).map_err(|e| e.context(path.display()))?;
            let source = read(&path)?;
            check(&source).map_err(|e| failed(name, e).context(path.display()))?;
            changed.insert(name.to_owned(), source);
        }
        Ok(Self { changed })
    }

    /// The built-in prompts but for these; an error names one that there is not, or that is no template.
    pub fn with(changed: BTreeMap<String, String>) -> Result<Self> {
        for (name, source) in &changed {
            built_in(name)?;
            check(source).map_err(|e| failed(name, e))?;
        }
        Ok(Self { changed })
    }

    /// The names of all prompts.
    pub fn names() -> impl Iterator<Item = &'static str> {
        DEFAULTS.iter().map(|(name, _)| *name)
    }

    /// The prompts that are not the built-in ones, by name.
    pub fn changed(&self) -> &BTreeMap<String, String> {
        &self.changed
    }

    /// Every prompt's template by name, replaced or built in.
    pub fn all(&self) -> BTreeMap<&str, &str> {
        let built_in = DEFAULTS.iter().copied();
        built_in.chain(self.changed.iter().map(|(name, source)| (name.as_str(), source.as_str()))).collect()
    }

    /// The words of a prompt: its template with `values` filled in. `{{ cut }}` in it marks where what other prompts say too
    /// ends, `{{ turn }}` where a turn does.
    pub fn words(&self, name: &str, values: &BTreeMap<&str, &str>) -> Result<String> {
        let source = self.changed.get(name).map_or_else(|| built_in(name), |source| Ok(source.as_str()))?;
        // Only a template marks cuts and turns.
        let mut values: BTreeMap<&str, String> =
            values.iter().map(|(&name, value)| (name, value.replace([CUT, TURN], " "))).collect();
        values.insert("cut", CUT.to_string());
        values.insert("turn", TURN.to_string());
        let (items, bytes) = (values.len(), values.values().map(String::len).sum());
        let template = template(source).map_err(|e| failed(name, e))?;
        let rendered = template.render(Value::from_pairs(values), items, bytes).map_err(|e| failed(name, e))?;
        Ok(rendered.trim().to_owned())
    }
}

fn built_in(name: &str) -> Result<&'static str> {
    DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, source)| *source).ok_or_else(|| {
        let names = Prompts::names().collect::<Vec<_>>().join(", ");
        Error::invalid(format!("no prompt is called {name:?}; there are: {names}"))
    })
}

fn read(path: &Path) -> Result<String> {
    let cap = Limits::default().template_source_bytes;
    let bytes = storage::read_capped(path, cap)?;
    String::from_utf8(bytes).map_err(|_| Error::format(format!("{} is not UTF-8", path.display())))
}

/// Prompts are plain Jinja. They come from a user's folder or the header of a trace.
const DIALECT: Dialect = Dialect {
    what: "template",
    rewrite: |source: &str| Ok(source.to_owned()),
    extend: |environment: &mut Environment<'static>| environment.set_undefined_behavior(UndefinedBehavior::Strict),
};

/// Whether a template can be read at all.
fn check(source: &str) -> Result<()> {
    template(source).map(drop)
}

fn template(source: &str) -> Result<Template> {
    Template::new(source, &DIALECT, &Limits::default())
}

fn failed(name: &str, e: Error) -> Error {
    match e.kind() {
        ErrorKind::Format => Error::invalid(format!("the prompt {name:?} is no good template: {e}")).with_source(e),
        _ => e.context(format!("the prompt {name:?}")),
    }
}

/// The messages of a prompt, the user's first.
pub(super) fn turns(words: &str) -> Vec<ChatMessage> {
    let roles = ["user", "assistant"].into_iter().cycle();
    words.split(TURN).zip(roles).map(|(words, role)| ChatMessage::new(role, words.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> BTreeMap<&'static str, &'static str> {
        let names = ["question", "solved", "step", "steps", "choices", "n", "solutions", "tools", "example", "fault"];
        names.into_iter().map(|name| (name, "<<it>>")).collect()
    }

    #[test]
    fn every_prompt_is_a_template_about_the_values_that_it_gets() {
        for name in Prompts::names() {
            let words = Prompts::default().words(name, &values()).unwrap();
            assert!(!words.is_empty() && !words.contains("{{"), "{name}: {words}");
        }
        let error = Prompts::default().words("plan", &values()).unwrap_err();
        assert!(error.to_string().contains("plan-questions"), "{error}");
        let error = Prompts::default().words("plan-step", &BTreeMap::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn react_shows_its_example_only_where_there_is_one() {
        let words = |example: &str| {
            let values = BTreeMap::from([("question", "Why?"), ("tools", "- x\n"), ("example", example)]);
            Prompts::default().words("react", &values).unwrap()
        };
        let with = turns(&words("calculator {}"));
        assert_eq!(with.len(), 3);
        assert!(
            with[0].content.contains("after ####.\n\nA shop has 13 boxes") && with[1].content.contains("calculator {}")
        );
        let without = turns(&words(""));
        assert!(without.len() == 1 && without[0].content.ends_with("after ####.\n\nWhy?"), "{without:?}");
    }

    #[test]
    fn examples_stand_in_turns_of_their_own_in_every_prompt() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("verify.txt"), "1 + 1 = 3?\n{{ turn }}\nno\n{{ turn }}\n{{ question }}?")
            .unwrap();
        let words = Prompts::from_folder(folder.path()).unwrap().words("verify", &values()).unwrap();
        let said: Vec<(String, String)> = turns(&words).into_iter().map(|m| (m.role, m.content)).collect();
        let expected = [("user", "1 + 1 = 3?"), ("assistant", "no"), ("user", "<<it>>?")];
        assert_eq!(said, expected.map(|(role, text)| (role.to_owned(), text.to_owned())));
        // Words of a question end no turn.
        let sly = BTreeMap::from([("question", "a\u{1D}b")]);
        assert_eq!(turns(&Prompts::default().words("solve", &sly).unwrap()).len(), 1);
    }

    #[test]
    fn the_examples_of_the_repository_are_prompts() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/game24");
        let prompts = Prompts::from_folder(&folder).unwrap();
        assert_eq!(prompts.changed().len(), 3);
        for name in prompts.changed().keys() {
            assert!(
                turns(&prompts.words(name, &values()).unwrap()).len() % 2 == 1,
                "{name} ends with the model's turn"
            );
        }
    }

    #[test]
    fn a_folder_replaces_prompts_by_name_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &[u8]| std::fs::write(folder.path().join(file), text).unwrap();
        put("README.md", b"not a prompt");
        put("plan-step.txt", b"Solve {{ step }}{{ cut }} now\n");
        let prompts = Prompts::from_folder(folder.path()).unwrap();
        assert_eq!(prompts.words("plan-step", &values()).unwrap(), format!("Solve <<it>>{CUT} now"));
        assert_eq!(prompts.changed().len(), 1);
        let marked = BTreeMap::from([("step", "a\u{1E}b")]);
        assert_eq!(prompts.words("plan-step", &marked).unwrap(), format!("Solve a b{CUT} now"));
        for (file, text) in [("plan-stepp.txt", &b"x"[..]), ("plan-step.txt", b"{{ step"), ("plan-step.txt", b"\xff")] {
            put(file, text);
            assert!(Prompts::from_folder(folder.path()).is_err(), "{file}");
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
        put("plan-step.txt", b"{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}");
        let endless = Prompts::from_folder(folder.path()).unwrap();
        assert!(endless.words("plan-step", &values()).is_err());
    }

    #[test]
    fn hostile_prompts_end_in_an_error_soon() {
        let said =
            |source: &str| Prompts::with(BTreeMap::from([("solve".into(), source.into())]))?.words("solve", &values());
        let start = std::time::Instant::now();
        for source in [
            format!("{{{{ {}1 }}}}", "-".repeat(5_000_000)),
            format!("{{{{ {}1 }}}}", "-".repeat(60_000)),
            format!("{{{{ {}1{} }}}}", "(".repeat(30_000), ")".repeat(30_000)),
            "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}".into(),
            "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}".into(),
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ question }}{% endfor %}{% endfor %}".into(),
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(),
            "{{ 'a' * 10**9 }}".into(),
        ] {
            let shown: String = source.chars().take(60).collect();
            let error = said(&source).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{shown}: {error}");
        }
        assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
        let long = said(&" ".repeat(1 << 20)).unwrap_err();
        assert!(long.to_string().contains("cap of 65536"), "{long}");
    }
}
