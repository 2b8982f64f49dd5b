//! The functions of expressions, exact wherever a fraction can be.

use super::{Said, TOO_LARGE, cut};
use crate::reward::answer::Rational;

/// The function of that name.
pub(super) fn function(name: &str, values: &[Rational]) -> Said<Rational> {
    let less = |a: &Rational, b: &Rational| a.checked_sub(*b).is_some_and(|d| d.numerator() < 0);
    let one = |then: fn(Rational) -> Option<Rational>| match values {
        [value] => then(*value).ok_or_else(|| TOO_LARGE.to_owned()),
        _ => Err(format!("{name} takes one value")),
    };
    let fold = |join: fn(Rational, Rational) -> Option<Rational>| {
        let mut rest = values.iter().copied();
        let first = rest.next().ok_or_else(|| format!("{name} takes values"))?;
        rest.try_fold(first, join).ok_or_else(|| format!("{name} of these values is too large or not a whole number"))
    };
    match name {
        "min" => {
            Ok(values.iter().copied().reduce(|a, b| if less(&b, &a) { b } else { a }).unwrap_or(Rational::from(0)))
        }
        "max" => {
            Ok(values.iter().copied().reduce(|a, b| if less(&a, &b) { b } else { a }).unwrap_or(Rational::from(0)))
        }
        "sum" => fold(Rational::checked_add),
        "gcd" => fold(|a, b| (a.is_integer() && b.is_integer()).then(|| gcd(a, b)).flatten()),
        "lcm" => fold(|a, b| {
            let both = a.is_integer() && b.is_integer();
            both.then(|| a.checked_mul(b)?.checked_abs()?.checked_div(gcd(a, b)?)).flatten()
        }),
        "abs" => one(Rational::checked_abs),
        "floor" => one(|value| Some(floor(value))),
        "ceil" => one(|value| floor(value.checked_neg()?).checked_neg()),
        "sqrt" => one(root),
        "round" => match values {
            [value] => rounded(*value, 0),
            [value, places] if places.is_integer() && (0..=12).contains(&places.numerator()) => {
                rounded(*value, places.numerator() as u32)
            }
            _ => Err("round takes a value and at most 12 places".into()),
        },
        _ => Err(format!("there is no function {:?}", cut(name))),
    }
}

/// The next whole number below.
pub(super) fn floor(value: Rational) -> Rational {
    whole(value.numerator().div_euclid(value.denominator()))
}

fn whole(value: i128) -> Rational {
    // A whole number is reduced already.
    Rational::new(value, 1).unwrap_or(Rational::from(0))
}

/// To the nearest, halves away from zero as people do it.
fn rounded(value: Rational, places: u32) -> Said<Rational> {
    let scale = whole(10i128.pow(places));
    let half = Rational::new(if value.numerator() < 0 { -1 } else { 1 }, 2);
    let nearest = || {
        let shifted = value.checked_mul(scale)?.checked_add(half?)?;
        whole(shifted.numerator() / shifted.denominator()).checked_div(scale)
    };
    nearest().ok_or_else(|| TOO_LARGE.into())
}

fn gcd(a: Rational, b: Rational) -> Option<Rational> {
    let (mut a, mut b) = (a.numerator().checked_abs()?, b.numerator().checked_abs()?);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Some(whole(a))
}

/// Exact where the root is a fraction, else to twelve places.
fn root(value: Rational) -> Option<Rational> {
    let exact = |n: i128| u128::try_from(n).ok().map(u128::isqrt).and_then(|root| i128::try_from(root).ok());
    let (above, below) = (exact(value.numerator())?, exact(value.denominator())?);
    let found = Rational::new(above, below)?;
    if found.checked_mul(found) == Some(value) {
        return Some(found);
    }
    let places = 1_000_000_000_000i128;
    let scaled = value.to_f64().sqrt() * places as f64;
    (scaled.is_finite() && scaled < 1e30).then(|| Rational::new(scaled.round() as i128, places)).flatten()
}
