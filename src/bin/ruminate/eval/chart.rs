//! Accuracy over cost, as a drawing inside a page.

use super::summary::Summary;
use crate::page::{html, push};
use crate::svg::{self, Scale};

/// What lies on the horizontal axis.
pub struct Cost {
    pub label: &'static str,
    pub of: fn(&Summary) -> f64,
}

/// A name for all settings that differ in their budget alone: the points of one curve.
pub fn series(summary: &Summary) -> String {
    let is_budget = |word: &&str| word.starts_with("tokens=") || word.starts_with("ms=");
    summary.config.split(' ').filter(|word| !is_budget(word)).collect::<Vec<_>>().join(" ")
}

/// Every curve's name once, in the order of the settings.
pub fn all_series(summaries: &[Summary]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in summaries.iter().map(series) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// One `svg` element: accuracies with their intervals, joined where only the budget differs. Settings without a result or a
/// cost are left out.
pub fn chart(summaries: &[Summary], cost: &Cost) -> String {
    let drawn: Vec<&Summary> = summaries.iter().filter(|s| s.n > 0 && (cost.of)(s) > 0.0).collect();
    let (Some(x), Some(y)) = (of_costs(&drawn, cost), of_shares(&drawn)) else {
        return "<p>No setting has a result yet.</p>".to_owned();
    };
    let mut svg = svg::open(&format!("accuracy over {}", cost.label));
    svg::axes(&mut svg, &x, &y, cost.label, |share| format!("{:.0} %", share * 100.0));
    for (i, name) in all_series(summaries).iter().enumerate() {
        let mut points: Vec<&Summary> = drawn.iter().copied().filter(|s| series(s) == *name).collect();
        points.sort_by(|a, b| (cost.of)(a).total_cmp(&(cost.of)(b)));
        curve(&mut svg, &points, &x, &y, cost, svg::colour(i));
    }
    svg + "</svg>\n"
}

fn curve(svg: &mut String, points: &[&Summary], x: &Scale, y: &Scale, cost: &Cost, colour: &str) {
    let place = |s: &Summary| (x.place((cost.of)(s)), y.place(s.accuracy));
    svg::line(svg, points.iter().map(|s| place(s)), colour);
    for s in points {
        let (cx, cy) = place(s);
        let (low, high) = (y.place(s.ci95.0), y.place(s.ci95.1));
        let title = format!("{}: {:.1} % of {}", s.config, 100.0 * s.accuracy, s.n);
        push(svg, format_args!("<g stroke=\"{colour}\" fill=\"{colour}\"><title>{}</title>", html(&title)));
        push(svg, format_args!("<line x1=\"{cx:.1}\" x2=\"{cx:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\"/>"));
        for end in [low, high] {
            let (a, b) = (cx - 4.0, cx + 4.0);
            push(svg, format_args!("<line x1=\"{a:.1}\" x2=\"{b:.1}\" y1=\"{end:.1}\" y2=\"{end:.1}\"/>"));
        }
        push(svg, format_args!("<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\"/></g>"));
    }
}

/// By powers of ten once costs differ by more than a factor of 4.
fn of_costs(drawn: &[&Summary], cost: &Cost) -> Option<Scale> {
    let costs = || drawn.iter().map(|s| (cost.of)(s));
    let (low, high) = (costs().reduce(f64::min)?, costs().reduce(f64::max)?);
    let is_log = high > 4.0 * low;
    let (low, high) = if is_log { (low / 1.3, high * 1.3) } else { (0.0, high * 1.1) };
    Scale::horizontal(low, high, is_log)
}

/// Tens of per cent around all intervals.
fn of_shares(drawn: &[&Summary]) -> Option<Scale> {
    let low = drawn.iter().map(|s| s.ci95.0).reduce(f64::min)?;
    let high = drawn.iter().map(|s| s.ci95.1).reduce(f64::max)?;
    Scale::vertical((low * 10.0).floor() / 10.0, (high * 10.0).ceil() / 10.0)
}
