//! Which of a repository's files are the wanted model.

use std::collections::BTreeMap;

use crate::exit::{Code, Failure};
use crate::output::escape_line;
use crate::pull::name::{FileName, Wanted};

/// The quantization that is taken when none is named.
const DEFAULT_QUANT: &str = "Q4_K_M";

/// The files of the wanted model in the order of their names: one, or all parts of a split one.
pub fn choose<'a>(wanted: &Wanted, names: impl Iterator<Item = &'a str>) -> Result<Vec<FileName>, Failure> {
    let models = models(names);
    if models.is_empty() {
        return Err(Failure::new(Code::Failure, format!("{} holds no GGUF model", wanted.repo)));
    }
    let tag = wanted.tag.as_deref();
    let matching: Vec<&Vec<&str>> = match tag {
        None if models.len() == 1 => models.values().collect(),
        Some(file) if file.to_ascii_lowercase().ends_with(".gguf") => {
            models.values().filter(|parts| parts.contains(&file)).collect()
        }
        _ => models.iter().filter(|(m, _)| has_quant(m, tag.unwrap_or(DEFAULT_QUANT))).map(|(_, p)| p).collect(),
    };
    match matching.as_slice() {
        [parts] => parts.iter().map(|name| FileName::parse(name).map_err(Failure::data)).collect(),
        found => {
            let how_many = if found.is_empty() { "no file" } else { "several files" };
            let asked = tag.unwrap_or(DEFAULT_QUANT);
            let listed = if found.is_empty() { models.values().collect() } else { found.to_vec() };
            let list = listed.iter().filter_map(|p| p.first()).take(40).map(|n| escape_line(n)).collect::<Vec<_>>();
            let message = format!(
                "{} has {how_many} for {asked:?}; name one of these as {}:FILE: {}",
                wanted.repo,
                wanted.repo,
                list.join(", ")
            );
            Err(Failure::new(Code::Failure, message))
        }
    }
}

/// GGUF models by name without extension and part number, each with its files in order.
fn models<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut models: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in names {
        let Some((stem, extension)) = name.rsplit_once('.') else { continue };
        // Image projectors accompany a model and are none.
        let is_projector = name.rsplit('/').next().is_some_and(|n| n.starts_with("mmproj"));
        if extension.eq_ignore_ascii_case("gguf") && !is_projector {
            models.entry(without_part(stem)).or_default().push(name);
        }
    }
    models.values_mut().for_each(|parts| parts.sort_unstable());
    models
}

/// `x-00001-of-00003` is a part of `x`.
fn without_part(stem: &str) -> &str {
    let part = |s: &str| s.len() == 5 && s.bytes().all(|b| b.is_ascii_digit());
    let split = stem.rsplit_once("-of-").and_then(|(rest, total)| Some((rest.rsplit_once('-')?, total)));
    match split {
        Some(((whole, number), total)) if part(number) && part(total) => whole,
        _ => stem,
    }
}

/// Whether `quant` stands in `model` as a whole word, in any case: `Q4_K` is not in `x-Q4_K_M`.
fn has_quant(model: &str, quant: &str) -> bool {
    let (model, quant) = (model.to_ascii_uppercase(), quant.to_ascii_uppercase());
    model.match_indices(&quant).any(|(at, _)| {
        let before = model[..at].chars().next_back();
        let after = model[at + quant.len()..].chars().next();
        before.is_none_or(|c| !c.is_ascii_alphanumeric())
            && after.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 8] = [
        "README.md",
        "m-Q4_K_M.gguf",
        "m-Q4_K_S.gguf",
        "m-IQ4_XS.gguf",
        "big/m-Q8_0-00002-of-00002.gguf",
        "big/m-Q8_0-00001-of-00002.gguf",
        "mmproj-Q4_K_M.gguf",
        "m-q5_0.GGUF",
    ];

    fn chosen(wanted: &str, names: &[&str]) -> Result<Vec<String>, String> {
        let found = choose(&wanted.parse().unwrap(), names.iter().copied());
        found.map(|f| f.iter().map(FileName::to_string).collect()).map_err(|f| f.to_string())
    }

    #[test]
    fn a_quantization_is_one_whole_word() {
        assert_eq!(chosen("o/r", &NAMES), Ok(vec!["m-Q4_K_M.gguf".to_owned()]));
        assert_eq!(chosen("o/r:q5_0", &NAMES), Ok(vec!["m-q5_0.GGUF".to_owned()]));
        assert!(chosen("o/r:Q4_K", &NAMES).unwrap_err().contains("no file"));
        assert!(chosen("o/r:Q4_XS", &NAMES).unwrap_err().contains("m-IQ4_XS.gguf"));
    }

    #[test]
    fn a_split_model_is_taken_whole_and_in_order() {
        let parts = ["big/m-Q8_0-00001-of-00002.gguf", "big/m-Q8_0-00002-of-00002.gguf"].map(str::to_owned).to_vec();
        assert_eq!(chosen("o/r:Q8_0", &NAMES), Ok(parts.clone()));
        assert_eq!(chosen("o/r:big/m-Q8_0-00002-of-00002.gguf", &NAMES), Ok(parts));
    }

    #[test]
    fn an_only_model_needs_no_tag_and_two_equals_are_an_error() {
        assert_eq!(chosen("o/r", &["x.gguf", "y.txt"]), Ok(vec!["x.gguf".to_owned()]));
        assert!(chosen("o/r", &["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"]).unwrap_err().contains("several files"));
        assert!(chosen("o/r", &["y.txt"]).unwrap_err().contains("no GGUF"));
        assert!(chosen("o/r", &["../a-Q4_K_M.gguf"]).unwrap_err().contains("refused"));
    }
}
