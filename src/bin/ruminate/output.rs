//! Standard output and standard error: JSON or text, colours and progress only on a terminal, control characters escaped.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ruminate::ErrorKind;
use ruminate::observe::{Event, Observer};
use serde_json::Value;

use crate::exit::Failure;

/// Where and how a command prints.
pub struct Output {
    /// One JSON document is wanted.
    pub json: bool,
    /// Standard output is a terminal.
    pub terminal: bool,
    /// Only the result is wanted.
    pub quiet: bool,
    /// Standard error is a terminal that may show what goes on.
    pub live: bool,
    colour: bool,
}

/// How a piece of text is set off on a terminal.
#[derive(Clone, Copy)]
pub enum Style {
    Bold,
    Dim,
    Good,
}

impl Output {
    pub fn new(json: bool, quiet: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let unset = |name| std::env::var_os(name).is_none_or(|v| v.is_empty());
        let colour = terminal && unset("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        Self { json, terminal, quiet, live: !quiet && io::stderr().is_terminal(), colour }
    }

    /// Prints one line of text; what came from a file was [`escaped`](escape) by the caller.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        writeln!(io::stdout(), "{text}").map_err(|e| Failure::stdout(&e))
    }

    /// Prints model text as it grows: escaped on a terminal, as it is into a pipe.
    pub fn stream(&self, text: &str) -> Result<(), Failure> {
        let text = if self.terminal { escape(text) } else { Cow::Borrowed(text) };
        let mut stdout = io::stdout();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|e| Failure::stdout(&e))
    }

    /// Prints the command's one JSON document.
    pub fn document(&self, value: &Value) -> Result<(), Failure> {
        // JSON leaves C1 controls and directional overrides as they are; they can only stand inside strings.
        let text = format!("{value:#}");
        let safe = text.chars().map(|c| if steers(c) { format!("\\u{:04x}", c as u32) } else { c.to_string() });
        writeln!(io::stdout(), "{}", safe.collect::<String>()).map_err(|e| Failure::stdout(&e))
    }

    /// `text` set off on a terminal, unchanged elsewhere.
    pub fn paint<'a>(&self, style: Style, text: &'a str) -> Cow<'a, str> {
        if !self.colour {
            return Cow::Borrowed(text);
        }
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "1;32",
        };
        Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
    }

    /// Prints a remark on standard error, if that is a terminal and `--quiet` was not given.
    pub fn note(&self, style: Style, text: &str) {
        if self.live {
            // Nothing is lost when a remark cannot be written.
            let _ = writeln!(io::stderr(), "{}", self.paint(style, &escape(text)));
        }
    }

    /// A bar on standard error that counts bytes; hidden when notes are.
    pub fn byte_progress(&self, what: &str, total: u64) -> ProgressBar {
        let template = "{msg} {bytes}/{total_bytes} {bar:24} {binary_bytes_per_sec} {eta}";
        self.progress(what, total, template)
    }

    /// A bar on standard error that counts `what`; hidden when notes are.
    pub fn count_progress(&self, what: &str, total: u64) -> ProgressBar {
        self.progress(what, total, "{msg} {pos}/{len} {bar:24} {per_sec} {eta}")
    }

    fn progress(&self, what: &str, total: u64, template: &str) -> ProgressBar {
        let target = if self.live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(escape(what).into_owned());
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        if self.live {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        bar
    }
}

/// A bar that shows how far a piece of work is.
pub struct Bar(pub ProgressBar);

impl Observer for Bar {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Progress { done, total, .. } = *event {
            self.0.set_length(total);
            self.0.set_position(done);
        }
    }
}

/// Writes a file whole or not at all.
pub fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    ruminate::storage::save_atomic(path, |out| {
        out.write_all(text.as_bytes()).map_err(|e| ruminate::Error::new(ErrorKind::Io, format!("writing: {e}")))
    })?;
    Ok(())
}

/// Prints `error: …` as one line on standard error.
pub fn error_line(message: &str) {
    let line = message.split('\n').map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ");
    // There is nowhere left to report a failure of this write.
    let _ = writeln!(io::stderr(), "error: {}", escape(&line));
}

/// `text` with characters that steer a terminal or reverse its direction written as `\u{…}`; line feeds and tabs stay.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{{{:x}}}", c as u32);
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// [`escape`], and on one line.
pub fn escape_line(text: &str) -> String {
    escape(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// C0, DEL and C1 controls, and the Unicode directional overrides (<https://www.unicode.org/reports/tr36/>).
fn steers(c: char) -> bool {
    let direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    direction || (c.is_control() && c != '\n' && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_the_rest_is_not() {
        assert_eq!(escape("plain, 汉字 🙂\n\tnext"), "plain, 汉字 🙂\n\tnext");
        assert_eq!(
            escape("\x1b]0;title\x07 \r \u{9b}31m \u{202e}abc"),
            "\\u{1b}]0;title\\u{7} \\u{d} \\u{9b}31m \\u{202e}abc"
        );
        assert_eq!(escape_line("a\nb\tc"), "a\\nb\\tc");
    }
}
