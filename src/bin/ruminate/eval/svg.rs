//! Accuracy over cost, as a drawing inside a page.

use std::fmt::Write;

use super::report::html;
use super::summary::Summary;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Told apart on light and on dark ground.
const COLOURS: [&str; 8] = ["#2f6fdb", "#d07a14", "#0a9268", "#d13c3c", "#8350d6", "#0d8ca6", "#c13a86", "#6b8a1e"];

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

/// The colour of the `i`th curve.
pub fn colour(i: usize) -> &'static str {
    COLOURS.get(i % COLOURS.len()).copied().unwrap_or("#888888")
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
    let (Some(x), Some(y)) = (Scale::of_costs(&drawn, cost), Scale::of_shares(&drawn)) else {
        return "<p>No setting has a result yet.</p>".to_owned();
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"accuracy over {}\">\n",
        html(cost.label)
    );
    axes(&mut svg, &x, &y, cost);
    for (i, name) in all_series(summaries).iter().enumerate() {
        let mut points: Vec<&Summary> = drawn.iter().copied().filter(|s| series(s) == *name).collect();
        points.sort_by(|a, b| (cost.of)(a).total_cmp(&(cost.of)(b)));
        curve(&mut svg, &points, &x, &y, cost, colour(i));
    }
    svg + "</svg>\n"
}

fn axes(svg: &mut String, x: &Scale, y: &Scale, cost: &Cost) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for tick in y.ticks() {
        let at = y.place(tick);
        push(svg, format_args!("<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"));
        let text = format_args!("{:.0} %", tick * 100.0);
        push(
            svg,
            format_args!("<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 6.0, at + 4.0),
        );
    }
    for tick in x.ticks() {
        let at = x.place(tick);
        push(svg, format_args!("<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"));
        push(svg, format_args!("<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>", bottom + 16.0));
    }
    let middle = (LEFT + right) / 2.0;
    let label = html(cost.label);
    push(svg, format_args!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", HEIGHT - 8.0));
}

fn curve(svg: &mut String, points: &[&Summary], x: &Scale, y: &Scale, cost: &Cost, colour: &str) {
    let place = |s: &Summary| (x.place((cost.of)(s)), y.place(s.accuracy));
    let line: Vec<String> = points.iter().map(|s| place(s)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    if line.len() > 1 {
        push(
            svg,
            format_args!(
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
                line.join(" ")
            ),
        );
    }
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

/// Writing to a string cannot fail.
fn push(svg: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(svg, "{line}");
}

/// From values to places on the drawing.
struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    /// By powers of ten once costs differ by more than a factor of 4.
    fn of_costs(drawn: &[&Summary], cost: &Cost) -> Option<Self> {
        let costs = || drawn.iter().map(|s| (cost.of)(s));
        let (low, high) = (costs().reduce(f64::min)?, costs().reduce(f64::max)?);
        let is_log = high > 4.0 * low;
        let (low, high) = if is_log { (low / 1.3, high * 1.3) } else { (0.0, high * 1.1) };
        (low.is_finite() && high.is_finite()).then_some(Self { low, high, is_log, from: LEFT, to: WIDTH - RIGHT })
    }

    /// Tens of per cent around all intervals.
    fn of_shares(drawn: &[&Summary]) -> Option<Self> {
        let low = drawn.iter().map(|s| s.ci95.0).reduce(f64::min)?;
        let high = drawn.iter().map(|s| s.ci95.1).reduce(f64::max)?;
        let (low, high) = ((low * 10.0).floor() / 10.0, (high * 10.0).ceil() / 10.0);
        Some(Self { low, high, is_log: false, from: HEIGHT - BOTTOM, to: TOP })
    }

    fn place(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    /// Round values: 1, 2 and 5 of every power of ten, or steps of one of them.
    fn ticks(&self) -> Vec<f64> {
        let round = |power: i32| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power));
        let inside = |tick: &f64| *tick >= self.low * (1.0 - 1e-9) && *tick <= self.high * (1.0 + 1e-9);
        let powers = |value: f64| value.log10().floor() as i32;
        if self.is_log {
            return (powers(self.low)..=powers(self.high)).flat_map(round).filter(inside).collect();
        }
        let span = self.high - self.low;
        let steps = (powers(span) - 1..=powers(span)).flat_map(round);
        let step = steps.into_iter().find(|step| span / step <= 8.0).unwrap_or(span);
        let first = (self.low / step).ceil() as i64;
        // Divided by a whole number where the step is below 1, so that a tick reads 0.3 and not 0.30000000000000004.
        let tick = |i: i64| if step < 1.0 { i as f64 / (1.0 / step).round() } else { i as f64 * step };
        (first..first + 10).map(tick).filter(inside).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(low: f64, high: f64, is_log: bool) -> Scale {
        Scale { low, high, is_log, from: 0.0, to: 100.0 }
    }

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        assert_eq!(scale(0.2, 0.7, false).ticks(), [0.2, 0.3, 0.4, 0.5, 0.6, 0.7]);
        assert_eq!(scale(0.0, 1.0, false).ticks(), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(scale(0.0, 340.0, false).ticks(), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0]);
        assert_eq!(scale(30.0, 600.0, true).ticks(), [50.0, 100.0, 200.0, 500.0]);
        assert_eq!(scale(0.004, 0.06, true).ticks(), [0.005, 0.01, 0.02, 0.05]);
    }

    #[test]
    fn places_grow_with_values() {
        assert_eq!(scale(0.0, 200.0, false).place(50.0), 25.0);
        assert!((scale(1.0, 10_000.0, true).place(100.0) - 50.0).abs() < 1e-9);
        assert_eq!(scale(0.0, 1.0, false).place(7.0), 100.0);
    }
}
