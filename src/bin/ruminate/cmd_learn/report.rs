//! `learn report`: a training run as one page.

use std::path::PathBuf;

use serde_json::json;

use super::training_log::{Line, TrainingLog};
use crate::exit::Failure;
use crate::output::{Output, escape_line, write_file};
use crate::page::{head, html, push};
use crate::svg::{self, Scale};

/// Points of one curve, at most; more steps are drawn as means of several.
const POINTS: usize = 600;

/// Draw the log of a training run as one HTML page that needs no network.
#[derive(clap::Args)]
pub struct ReportArgs {
    /// The log that `learn dpo --log` wrote, or a round's `training.jsonl` of `learn improve`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The page; without it, the log's name with the ending `.html`.
    #[arg(long, short, env = "RUMINATE_OUT", value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What is drawn of a step.
struct Chart {
    title: &'static str,
    curves: &'static [Curve],
}

struct Curve {
    name: &'static str,
    of: fn(&Line) -> Option<f64>,
}

const CHARTS: [Chart; 8] = [
    Chart { title: "loss", curves: &[Curve { name: "loss", of: |line| Some(line.report.measured.loss) }] },
    Chart {
        title: "share of preferences that the adapted model shares",
        curves: &[Curve { name: "accuracy", of: |line| Some(line.report.measured.accuracy) }],
    },
    Chart {
        title: "margin of the rewards",
        curves: &[Curve { name: "margin", of: |line| Some(line.report.measured.margin) }],
    },
    Chart {
        title: "log-probability of completions",
        curves: &[
            Curve { name: "chosen", of: |line| Some(line.report.measured.chosen_logprob) },
            Curve { name: "rejected", of: |line| Some(line.report.measured.rejected_logprob) },
        ],
    },
    Chart {
        title: "distance from the base: log-ratio per token",
        curves: &[Curve { name: "log-ratio", of: |line| Some(line.report.measured.log_ratio) }],
    },
    Chart {
        title: "length of the gradient before it was cut",
        curves: &[Curve { name: "gradient", of: |line| Some(line.report.grad_norm) }],
    },
    Chart {
        title: "tokens per second",
        curves: &[Curve {
            name: "tokens per second",
            of: |line| Some(line.report.measured.tokens as f64 / line.report.seconds.max(1e-9)),
        }],
    },
    Chart { title: "joules of a step", curves: &[Curve { name: "joules", of: |line| line.joules }] },
];

pub fn run(args: &ReportArgs, output: &Output) -> Result<(), Failure> {
    let out = args.out.clone().unwrap_or_else(|| args.file.with_extension("html"));
    if out == args.file {
        return Err(Failure::usage("--out names the log itself"));
    }
    let lines = TrainingLog::read(&args.file)?;
    if lines.is_empty() {
        return Err(Failure::data(format!("{}: the log has no step", args.file.display())));
    }
    let name = args.file.file_name().unwrap_or(args.file.as_os_str()).to_string_lossy();
    write_file(&out, &page(&name, &lines))?;
    if output.json {
        return output.document(&json!({ "file": out.display().to_string(), "steps": lines.len() }));
    }
    output.line(&escape_line(&out.display().to_string()))
}

/// The page. Everything from outside is escaped.
fn page(name: &str, lines: &[Line]) -> String {
    let mut page = head("ruminate training");
    push(&mut page, format_args!("<h1>{}</h1>", html(name)));
    if let Some(last) = lines.last() {
        let (step, steps) = (last.report.step, last.report.steps);
        let seconds: f64 = lines.iter().map(|line| line.report.seconds).sum();
        let tokens: f64 = lines.iter().map(|line| line.report.measured.tokens as f64).sum();
        let per_second = tokens / seconds.max(1e-9);
        let facts =
            format!("step {step} of {steps} · {seconds:.1} s · {per_second:.0} tokens per second{}", energy(lines));
        push(&mut page, format_args!("<p>{}</p>", html(&facts)));
        if step < steps {
            push(&mut page, format_args!("<p><strong>The run was stopped before its end.</strong></p>"));
        }
    }
    page += "<div class=\"charts\">\n";
    for drawn in &CHARTS {
        if let Some(svg) = chart(drawn, lines) {
            push(&mut page, format_args!("<figure><h2>{}</h2>{}{svg}</figure>", drawn.title, legend(drawn)));
        }
    }
    page += "</div>\n";
    table(&mut page, lines);
    page + "</body>\n</html>\n"
}

/// The energy of all steps, as far as they say.
fn energy(lines: &[Line]) -> String {
    let joules: Vec<f64> = lines.iter().filter_map(|line| line.joules).collect();
    let source = lines.iter().find_map(|line| line.joules_source.as_deref()).unwrap_or_default();
    if joules.is_empty() { String::new() } else { format!(" · {:.1} J {source}", joules.iter().sum::<f64>()) }
}

fn legend(drawn: &Chart) -> String {
    if drawn.curves.len() < 2 {
        return String::new();
    }
    let entry =
        |(i, curve): (usize, &Curve)| format!("<span style=\"color:{}\">●</span> {}", svg::colour(i), curve.name);
    format!(
        "<p class=\"legend\">{}</p>",
        drawn.curves.iter().enumerate().map(entry).collect::<Vec<_>>().join(" &nbsp; ")
    )
}

/// One `svg` element; `None` where no step has these numbers.
fn chart(drawn: &Chart, lines: &[Line]) -> Option<String> {
    let curves: Vec<Vec<(f64, f64)>> = drawn.curves.iter().map(|curve| points(curve, lines)).collect();
    let all = || curves.iter().flatten();
    let (first, last) = (all().map(|p| p.0).reduce(f64::min)?, all().map(|p| p.0).reduce(f64::max)?);
    let (low, high) = (all().map(|p| p.1).reduce(f64::min)?, all().map(|p| p.1).reduce(f64::max)?);
    let margin = 0.05 * (high - low);
    let (x, y) = (Scale::horizontal(first, last, false)?, Scale::vertical(low - margin, high + margin)?);
    let mut svg = svg::open(&format!("{} over steps", drawn.title));
    svg::axes(&mut svg, &x, &y, "step", number);
    for (i, points) in curves.iter().enumerate() {
        svg::line(&mut svg, points.iter().map(|&(step, value)| (x.place(step), y.place(value))), svg::colour(i));
    }
    Some(svg + "</svg>\n")
}

/// Steps and values, means where there are many.
fn points(curve: &Curve, lines: &[Line]) -> Vec<(f64, f64)> {
    let known = lines.iter().filter_map(|line| Some((line.report.step as f64, (curve.of)(line)?)));
    let known: Vec<(f64, f64)> = known.collect();
    let mean = |points: &[(f64, f64)]| {
        let n = points.len() as f64;
        let (steps, values) = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (steps / n, values / n)
    };
    known.chunks(known.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

fn table(page: &mut String, lines: &[Line]) {
    let row = |cells: Vec<String>, cell: &str| {
        cells.iter().map(|text| format!("<{cell}>{text}</{cell}>")).collect::<String>()
    };
    let curves = || CHARTS.iter().flat_map(|chart| chart.curves);
    let names = std::iter::once("steps").chain(curves().map(|curve| curve.name)).map(str::to_owned).collect();
    push(
        page,
        format_args!("<h2>Means</h2><div class=\"wide\"><table><thead><tr>{}</tr></thead><tbody>", row(names, "th")),
    );
    for part in lines.chunks(lines.len().div_ceil(10).max(1)) {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
        let mean = |curve: &Curve| {
            let values: Vec<f64> = part.iter().filter_map(curve.of).collect();
            if values.is_empty() { String::new() } else { number(values.iter().sum::<f64>() / values.len() as f64) }
        };
        let steps = format!("{} to {}", first.report.step, last.report.step);
        let cells = std::iter::once(steps).chain(curves().map(mean)).collect();
        push(page, format_args!("<tr>{}</tr>", row(cells, "td")));
    }
    page.push_str("</tbody></table></div>\n");
}

/// Four digits of a number.
fn number(value: f64) -> String {
    let whole = value.abs().max(1e-9).log10().floor();
    let digits = (3.0 - whole).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruminate::learn::preference::{Measured, StepReport};

    fn line(step: u64) -> Line {
        let loss = 0.7 / step as f64;
        let measured = Measured {
            loss,
            accuracy: 0.5,
            tokens: 100,
            chosen_logprob: -3.0,
            rejected_logprob: -4.0,
            ..Measured::default()
        };
        let report = StepReport { step, steps: 3000, measured, grad_norm: 1.0, lr: 1e-4, seconds: 0.5 };
        Line { report, joules: (step > 1).then_some(3.0), joules_source: Some("<b>".to_owned()) }
    }

    #[test]
    fn a_run_of_any_length_is_one_page_without_a_network() {
        for steps in [1, 2, 50, 2500] {
            let lines: Vec<Line> = (1..=steps).map(line).collect();
            let page = page("</script><img src=x>&", &lines);
            assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
            for piece in ["<img", "<b>", "NaN", "inf", "http:", "https:", "<script"] {
                assert!(!page.contains(piece), "{steps} steps: {piece}");
            }
            // The energy of the first step alone is not known.
            assert_eq!(page.matches("<svg").count(), if steps > 1 { 8 } else { 7 });
            let longest =
                page.lines().filter(|line| line.contains("<polyline")).map(|line| line.matches(',').count()).max();
            assert!(longest.unwrap_or(0) <= POINTS);
            assert!(page.contains("stopped before its end"));
        }
    }

    #[test]
    fn numbers_have_four_digits() {
        let cases = [(0.512349, "0.5123"), (-12.3456, "-12.35"), (1234.6, "1235"), (0.0, "0"), (2.5e-5, "0.000025")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(f64::MAX).len(), 309);
    }
}
