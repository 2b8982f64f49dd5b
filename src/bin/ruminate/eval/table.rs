//! Summaries as a table of text.

use super::summary::{Subset, Summary};
use crate::exit::Failure;
use crate::output::{Output, Style};
use crate::size;

pub fn show(output: &Output, summaries: &[Summary]) -> Result<(), Failure> {
    let rows: Vec<Vec<String>> = std::iter::once(head()).chain(summaries.iter().map(row)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(|c| width(c).unwrap_or(0)).collect();
    for (at, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, figures to the right.
            line += &if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        output.line(&if at == 0 { output.paint(Style::Bold, &line).into_owned() } else { line })?;
    }
    for summary in summaries {
        for (name, shares) in by_samples(summary) {
            let cells: Vec<String> = shares.iter().map(|(k, share)| format!("@{k} {}", percent(*share))).collect();
            output.line(&format!("{}: {name:<9} {}", summary.config, cells.join("  ")))?;
        }
    }
    Ok(())
}

/// By the number of samples, what each way to choose among them comes to; nothing where that is not known.
pub(super) fn by_samples(summary: &Summary) -> Vec<(&'static str, Vec<(usize, f64)>)> {
    let list = |of: fn(&Subset) -> Option<f64>| {
        summary.subsets.iter().map(|s| Some((s.k, of(s)?))).collect::<Option<Vec<_>>>()
    };
    let all = [
        ("any right", list(|s| Some(s.pass))),
        ("majority", list(|s| Some(s.majority))),
        ("weighted", list(|s| s.weighted)),
        ("best", list(|s| s.best)),
    ];
    all.into_iter().filter_map(|(name, shares)| Some((name, shares.filter(|shares| !shares.is_empty())?))).collect()
}

fn head() -> Vec<String> {
    let names = [
        "setting", "n", "right", "accuracy", "95 %", "to first", "p", "oracle", "tokens", "reward", "prompt", "s",
        "passes", "KV", "J",
    ];
    names.map(str::to_owned).to_vec()
}

fn row(s: &Summary) -> Vec<String> {
    let versus = |of: &dyn Fn(&super::summary::Versus) -> String| s.versus_first.as_ref().map_or_else(String::new, of);
    let joules = s.mean_joules.map_or_else(
        || "?".to_owned(),
        |joules| {
            let estimated = s.joules_source.as_deref() != Some("measured");
            format!("{}{joules:.1}", if estimated { "~" } else { "" })
        },
    );
    vec![
        s.config.clone(),
        s.n.to_string(),
        s.correct.to_string(),
        percent(s.accuracy),
        format!("{:.1}..{:.1}", 100.0 * s.ci95.0, 100.0 * s.ci95.1),
        versus(&|v| format!("{:+.1}", 100.0 * v.difference)),
        versus(&|v| format!("{:.3}", v.p)),
        percent(s.oracle),
        format!("{:.1}", s.mean_policy_tokens),
        format!("{:.1}", s.mean_reward_tokens),
        format!("{:.1}", s.mean_prompt_tokens),
        format!("{:.3}", s.mean_wall_ms / 1e3),
        format!("{:.1}", s.mean_forward_passes),
        size::show(s.kv_peak_bytes),
        joules,
    ]
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
