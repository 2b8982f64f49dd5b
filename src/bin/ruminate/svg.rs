//! Drawings inside a page: scales, axes and curves.

use crate::page::{html, push};

pub const WIDTH: f64 = 640.0;
pub const HEIGHT: f64 = 360.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Told apart on light and on dark ground.
const COLOURS: [&str; 8] = ["#2f6fdb", "#d07a14", "#0a9268", "#d13c3c", "#8350d6", "#0d8ca6", "#c13a86", "#6b8a1e"];

/// The colour of the `i`th curve.
pub fn colour(i: usize) -> &'static str {
    COLOURS.get(i % COLOURS.len()).copied().unwrap_or("#888888")
}

/// An `svg` element up to where its content begins.
pub fn open(label: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n", html(label))
}

/// Lines and numbers of both axes, the vertical ones as `text` writes them, and what lies on the horizontal one.
pub fn axes(svg: &mut String, x: &Scale, y: &Scale, label: &str, text: impl Fn(f64) -> String) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for tick in y.ticks() {
        let (at, text) = (y.place(tick), text(tick));
        push(svg, format_args!("<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"));
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
    let label = html(label);
    push(svg, format_args!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", HEIGHT - 8.0));
}

/// A line through these places on the drawing; nothing for fewer than two.
pub fn line(svg: &mut String, places: impl Iterator<Item = (f64, f64)>, colour: &str) {
    let points: Vec<String> = places.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    if points.len() > 1 {
        let points = points.join(" ");
        let style = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"");
        push(svg, format_args!("<polyline {style} points=\"{points}\"/>"));
    }
}

/// From values to places on the drawing.
#[derive(Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    /// The horizontal axis; `None` for an end that is no number.
    pub fn horizontal(low: f64, high: f64, is_log: bool) -> Option<Self> {
        Self { low, high, is_log, from: LEFT, to: WIDTH - RIGHT }.sound()
    }

    /// The vertical axis; `None` for an end that is no number.
    pub fn vertical(low: f64, high: f64) -> Option<Self> {
        Self { low, high, is_log: false, from: HEIGHT - BOTTOM, to: TOP }.sound()
    }

    /// An axis has a length, also where all values are the same.
    fn sound(self) -> Option<Self> {
        let high = if self.high > self.low { self.high } else { self.low + self.low.abs().max(1.0) };
        (self.low.is_finite() && (high - self.low).is_finite()).then_some(Self { high, ..self })
    }

    pub fn place(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    /// Round values: 1, 2 and 5 of every power of ten, or steps of one of them.
    pub fn ticks(&self) -> Vec<f64> {
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
