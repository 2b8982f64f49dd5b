//! Parts of pages that need no network.

use std::fmt::Write;

use crate::output::escape;

const HEAD: &str = include_str!("page_head.html");

/// A page up to where its body begins.
pub fn head(title: &str) -> String {
    HEAD.replace("{title}", &html(title))
}

/// Text as it is to be read in a page or an attribute, without what would be markup or steer a reader.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escape(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Writing to a string cannot fail.
pub fn push(page: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(page, "{line}");
}
