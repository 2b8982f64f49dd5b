//! A trace, or two side by side, as one HTML page that needs nothing else: no server, no network.
//!
//! What the page shows comes from a model and is hostile. It stands in the page as JSON in which nothing can end the element
//! around it, the script only ever sets text, and the page's content security policy runs that one script and nothing else
//! ([CSP level 3](https://www.w3.org/TR/CSP3/), `script-src` with a digest).

use serde::Serialize;

use super::{ErrorRecord, Header, OutcomeRecord, Trace};
use crate::error::{Error, ErrorKind, Result};

const HTML: &str = include_str!("view.html");
const STYLE: &str = include_str!("view.css");
/// What can be computed without a page, and what draws it.
const SCRIPT: &str =
    concat!(include_str!("layout.js"), include_str!("parts.js"), include_str!("panel.js"), include_str!("view.js"));

/// SHA-256 of `STYLE` and of `SCRIPT` in base64; a test holds them to the files.
const STYLE_DIGEST: &str = "T+uOa5XGQ5o8de+yyTmmsLafllruqveazzJEi8il6zo=";
const SCRIPT_DIGEST: &str = "tJLTchxR1ln7oDJlqmbl1xFOfVWfAh3hcKOF8+kaPOE=";

/// The page for one trace or more, each with a name (its file's, say).
pub fn page(runs: &[(&str, &Trace)]) -> Result<String> {
    let runs: Vec<Run<'_>> = runs.iter().map(|(name, trace)| Run::new(name, trace)).collect();
    let data = serde_json::to_string(&runs)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the data of the page: {e}")))?;
    let mut page = String::with_capacity(HTML.len() + STYLE.len() + SCRIPT.len() + data.len());
    // Each mark is looked for in what follows the one before it, so that no data is taken for a mark.
    let mut rest = HTML;
    for (mark, content) in [
        ("%STYLE_DIGEST%", STYLE_DIGEST),
        ("%SCRIPT_DIGEST%", SCRIPT_DIGEST),
        ("%STYLE%", STYLE),
        ("%DATA%", &inert(&data)),
        ("%SCRIPT%", SCRIPT),
    ] {
        let (before, after) = rest
            .split_once(mark)
            .ok_or_else(|| Error::new(ErrorKind::Internal, format!("the page has no place for {mark}")))?;
        page.push_str(before);
        page.push_str(content);
        rest = after;
    }
    page.push_str(rest);
    Ok(page)
}

/// JSON in which nothing means anything to an HTML parser: in a `script` element only `<` could.
fn inert(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

#[derive(Serialize)]
struct Run<'a> {
    name: &'a str,
    header: &'a Header,
    /// As text: a script's numbers hold 53 bits.
    seed: String,
    nodes: Vec<Node<'a>>,
    outcome: &'a Option<OutcomeRecord>,
    error: &'a Option<ErrorRecord>,
    broke_off: bool,
}

#[derive(Serialize)]
struct Node<'a> {
    number: u64,
    parent: u64,
    greedy: bool,
    started_ms: f64,
    done_ms: Option<f64>,
    closed_ms: Option<f64>,
    text: &'a str,
    tokens: &'a [u32],
    logprob: Option<f64>,
    score: Option<f32>,
    end: Option<&'a str>,
    answer: Option<&'a str>,
    policy_tokens: Option<u64>,
}

impl<'a> Run<'a> {
    fn new(name: &'a str, trace: &'a Trace) -> Self {
        let nodes = trace.nodes.iter().map(|node| {
            let done = node.done.as_ref();
            Node {
                number: node.number,
                parent: node.parent,
                greedy: node.greedy,
                started_ms: node.started_ms,
                done_ms: done.map(|done| done.ms),
                closed_ms: node.closed_ms,
                text: &node.text,
                tokens: done.map_or(&[], |done| &done.tokens),
                logprob: done.and_then(|done| done.logprob),
                score: done.and_then(|done| done.score),
                end: done.map(|done| done.end.as_str()),
                answer: done.and_then(|done| done.answer.as_deref()),
                policy_tokens: done.map(|done| done.policy_tokens),
            }
        });
        Self {
            name,
            header: &trace.header,
            seed: trace.header.params.seed.to_string(),
            nodes: nodes.collect(),
            outcome: &trace.outcome,
            error: &trace.error,
            broke_off: trace.broke_off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use sha2::{Digest, Sha256};

    #[test]
    fn the_policy_names_the_files_as_they_are() {
        assert_eq!(STYLE_DIGEST, base64(&Sha256::digest(STYLE)), "STYLE_DIGEST: view.css has changed");
        assert_eq!(SCRIPT_DIGEST, base64(&Sha256::digest(SCRIPT)), "SCRIPT_DIGEST: a script has changed");
        // A parser hands scripts and styles on with other line ends than these, which would change their digests.
        assert!(!SCRIPT.contains('\r') && !STYLE.contains('\r'));
        // Nothing in them ends the element around them.
        assert!(!SCRIPT.contains("</script") && !SCRIPT.contains("<!--") && !STYLE.contains("</style"));
    }

    #[test]
    fn the_page_names_no_other_resource_and_makes_no_markup_from_text() {
        for bad in
            ["http://", "https://", "src=", "@import", "url(", "innerHTML", "outerHTML", "insertAdjacent", "eval("]
        {
            for (name, file) in [("view.html", HTML), ("view.css", STYLE), ("script", SCRIPT)] {
                assert!(!file.contains(bad), "{name} holds {bad:?}");
            }
        }
    }

    #[test]
    fn data_cannot_leave_its_element() {
        let hostile = serde_json::to_string("</script><script>alert(1)</script><!-- ]]> & %SCRIPT% \u{2028}").unwrap();
        let inert = inert(&hostile);
        assert!(!inert.contains(['<', '>', '&']), "{inert}");
        assert_eq!(serde_json::from_str::<String>(&inert).unwrap(), serde_json::from_str::<String>(&hostile).unwrap());
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let groups = bytes.chunks(3).map(|group| {
            let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
            let digit = |i: usize| char::from(DIGITS[(bits >> (18 - 6 * i)) as usize & 63]);
            (0..4).map(|i| if i <= group.len() { digit(i) } else { '=' }).collect::<String>()
        });
        groups.collect()
    }

    #[test]
    fn digests_are_written_as_rfc_4648_has_them() {
        for (bytes, written) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), written);
        }
    }
}
