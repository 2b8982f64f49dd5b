//! Minimising a smooth convex function: L-BFGS (Nocedal and Wright, "Numerical Optimization", algorithms 7.4 and 7.5) with a
//! backtracking line search.

use std::collections::VecDeque;

use crate::error::Result;

/// Pairs of steps and gradient changes that it remembers.
const MEMORY: usize = 10;
/// Armijo's share of the slope that a step must win.
const SUFFICIENT: f64 = 1e-4;
const HALVINGS: usize = 30;

/// Where `function` is least, from `start` on. The function gives its value and writes its gradient. Ends when no entry of
/// the gradient is above `tolerance`, when no step wins any more, or after `most` iterations.
pub(super) fn minimise(
    start: Vec<f64>,
    most: usize,
    tolerance: f64,
    mut function: impl FnMut(&[f64], &mut [f64]) -> Result<f64>,
) -> Result<Vec<f64>> {
    let mut x = start;
    let mut gradient = vec![0.0; x.len()];
    let mut value = function(&x, &mut gradient)?;
    let mut pairs: VecDeque<Pair> = VecDeque::new();
    for _ in 0..most {
        if gradient.iter().all(|g| g.abs() <= tolerance) {
            break;
        }
        let mut direction = descent(&gradient, &pairs);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = dot(&direction, &gradient);
        }
        // Without a memory the scale of a step is unknown.
        let mut rate = if pairs.is_empty() { 1.0 / slope.abs().sqrt().max(1.0) } else { 1.0 };
        let mut next = None;
        for _ in 0..HALVINGS {
            let there: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + rate * d).collect();
            let mut slopes = vec![0.0; x.len()];
            let found = function(&there, &mut slopes)?;
            if found <= value + SUFFICIENT * rate * slope {
                next = Some((there, slopes, found));
                break;
            }
            rate /= 2.0;
        }
        let Some((there, slopes, found)) = next else { break };
        let step: Vec<f64> = there.iter().zip(&x).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = slopes.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&step, &change);
        if curvature > 1e-12 * dot(&change, &change) {
            if pairs.len() == MEMORY {
                pairs.pop_front();
            }
            pairs.push_back(Pair { step, change, curvature });
        }
        (x, gradient, value) = (there, slopes, found);
    }
    Ok(x)
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// Their scalar product, above 0.
    curvature: f64,
}

/// The direction that a quadratic with the remembered curvature would be minimised along.
fn descent(gradient: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let share = dot(&pair.step, &direction) / pair.curvature;
        direction.iter_mut().zip(&pair.change).for_each(|(d, y)| *d -= share * y);
        shares.push(share);
    }
    if let Some(last) = pairs.back() {
        let scale = last.curvature / dot(&last.change, &last.change);
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (pair, share) in pairs.iter().zip(shares.into_iter().rev()) {
        let other = dot(&pair.change, &direction) / pair.curvature;
        direction.iter_mut().zip(&pair.step).for_each(|(d, s)| *d += (share - other) * s);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uneven_quadratic_is_minimised_exactly() {
        let scales = [1.0, 400.0, 0.02];
        let found = minimise(vec![5.0, -3.0, 40.0], 200, 1e-10, |x, gradient| {
            let mut value = 0.0;
            for ((x, g), (i, scale)) in x.iter().zip(gradient).zip(scales.iter().enumerate()) {
                let away = x - i as f64;
                *g = scale * away;
                value += 0.5 * scale * away * away;
            }
            Ok(value)
        });
        for (i, x) in found.unwrap().iter().enumerate() {
            assert!((x - i as f64).abs() < 1e-7, "{i}: {x}");
        }
    }
}
