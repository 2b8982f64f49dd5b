//! How sure an accuracy is.

/// The 97.5th percentile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval of a share of `right` in `n` (Wilson, JASA 1927); all of [0, 1] for none.
pub fn wilson(right: usize, n: usize) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (right, n, z2) = (right as f64, n as f64, Z * Z);
    let middle = right + z2 / 2.0;
    let half = Z * (right * (n - right) / n + z2 / 4.0).sqrt();
    (((middle - half) / (n + z2)).max(0.0), ((middle + half) / (n + z2)).min(1.0))
}

/// McNemar's exact two-sided p for pairs of which `first` and `second` are right in one of the two alone: how often a fair
/// coin is at least as uneven.
pub fn mcnemar(first: usize, second: usize) -> f64 {
    let n = first + second;
    // C(n, j) / 2^n by logarithms: the terms of a large n are too small to start from.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for j in 0..=first.min(second) {
        tail += term.exp();
        term += ((n - j) as f64).ln() - ((j + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// The chance that at least one of `k` samples is right when `right` of `n` were, unbiased for independent samples
/// (Chen et al., 2021, "Evaluating large language models trained on code"). `None` when k is above n.
pub fn pass_at_k(n: usize, right: usize, k: usize) -> Option<f64> {
    let wrong = n.checked_sub(right)?;
    if k > n {
        return None;
    }
    // 1 - C(wrong, k) / C(n, k), factor by factor.
    let none: f64 = (0..k).map(|i| wrong.saturating_sub(i) as f64 / (n - i) as f64).product();
    Some(1.0 - none)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Golden: Newcombe, Statistics in Medicine 1998, table I, method 3.
    #[test]
    fn wilson_gives_the_published_intervals() {
        for (right, n, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let (l, h) = wilson(right, n);
            assert!((l - low).abs() < 5e-5 && (h - high).abs() < 5e-5, "{right} of {n}: {l} {h}");
            let (l, h) = wilson(n - right, n);
            assert!((1.0 - h - low).abs() < 5e-5 && (1.0 - l - high).abs() < 5e-5);
        }
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        assert_eq!(wilson(7, 7).1, 1.0);
    }

    // Golden: exact fractions in Python, min(1, 2 * sum(comb(b + c, j) for j <= min(b, c)) / 2**(b + c)).
    #[test]
    fn mcnemar_is_the_exact_binomial_tail() {
        let golden = [
            (0, 0, 1.0),
            (0, 1, 1.0),
            (1, 1, 1.0),
            (0, 5, 0.0625),
            (1, 6, 0.125),
            (3, 9, 0.14599609375),
            (10, 25, 0.01667384780012071),
            (40, 70, 0.005447429511444482),
            (300, 390, 0.0006926142756793091),
            (2, 200, 6.379835262863242e-57),
        ];
        for (first, second, p) in golden {
            let got = mcnemar(first, second);
            assert!((got - p).abs() <= 1e-10 * p.max(1e-12), "{first} {second}: {got}");
            assert_eq!(got, mcnemar(second, first));
        }
    }

    // Golden: exact fractions in Python, 1 - comb(n - c, k) / comb(n, k).
    #[test]
    fn pass_at_k_is_exact() {
        let golden = [
            (1, 0, 1, 0.0),
            (1, 1, 1, 1.0),
            (8, 3, 1, 0.375),
            (8, 3, 2, 0.6428571428571429),
            (8, 3, 6, 1.0),
            (16, 1, 8, 0.5),
            (200, 17, 10, 0.5974489015799118),
            (1000, 3, 100, 0.2712433876762534),
        ];
        for (n, right, k, p) in golden {
            assert!((pass_at_k(n, right, k).unwrap() - p).abs() < 1e-12, "{n} {right} {k}");
        }
        assert_eq!(pass_at_k(4, 1, 5), None);
        assert_eq!(pass_at_k(4, 5, 1), None);
    }
}
