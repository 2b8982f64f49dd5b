//! Units of measure.

use serde_json::{Value, json};

use super::{Tool, text};
use crate::error::{Error, Result};
use crate::reason::calc;
use crate::reward::answer::Rational;

/// Converts between units of the same kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Units;

/// Kind, names, and how many of the kind's first unit it is, as an exact fraction. Inches, pounds and US gallons by their legal
/// definitions (1 in = 0.0254 m, 1 lb = 0.45359237 kg, 1 gal = 231 in³).
const UNITS: [(&str, &[&str], (i64, i64)); 31] = [
    ("length", &["m", "meter", "metre"], (1, 1)),
    ("length", &["km", "kilometer", "kilometre"], (1_000, 1)),
    ("length", &["cm", "centimeter", "centimetre"], (1, 100)),
    ("length", &["mm", "millimeter", "millimetre"], (1, 1_000)),
    ("length", &["in", "inch", "inches"], (254, 10_000)),
    ("length", &["ft", "foot", "feet"], (3_048, 10_000)),
    ("length", &["yd", "yard"], (9_144, 10_000)),
    ("length", &["mi", "mile"], (1_609_344, 1_000)),
    ("mass", &["kg", "kilogram"], (1, 1)),
    ("mass", &["g", "gram"], (1, 1_000)),
    ("mass", &["mg", "milligram"], (1, 1_000_000)),
    ("mass", &["t", "tonne"], (1_000, 1)),
    ("mass", &["lb", "lbs", "pound"], (45_359_237, 100_000_000)),
    ("mass", &["oz", "ounce"], (45_359_237, 1_600_000_000)),
    ("time", &["s", "sec", "second"], (1, 1)),
    ("time", &["ms", "millisecond"], (1, 1_000)),
    ("time", &["min", "minute"], (60, 1)),
    ("time", &["h", "hr", "hour"], (3_600, 1)),
    ("time", &["d", "day"], (86_400, 1)),
    ("time", &["wk", "week"], (604_800, 1)),
    ("volume", &["l", "liter", "litre"], (1, 1)),
    ("volume", &["ml", "milliliter", "millilitre"], (1, 1_000)),
    ("volume", &["m3", "m^3"], (1_000, 1)),
    ("volume", &["gal", "gallon"], (3_785_411_784, 1_000_000_000)),
    ("volume", &["qt", "quart"], (946_352_946, 1_000_000_000)),
    ("volume", &["pt", "pint"], (473_176_473, 1_000_000_000)),
    ("volume", &["cup"], (2_365_882_365, 10_000_000_000)),
    ("area", &["m2", "m^2"], (1, 1)),
    ("area", &["ha", "hectare"], (10_000, 1)),
    ("number", &["one", "piece"], (1, 1)),
    ("number", &["dozen"], (12, 1)),
];

impl Tool for Units {
    fn name(&self) -> &str {
        "units"
    }

    fn about(&self) -> &str {
        "Converts a value from one unit to another."
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "value": { "type": "string", "description": "a number or expression" },
                "from": { "type": "string", "description": "its unit, such as km, lb, hour, gallon" },
                "to": { "type": "string", "description": "the unit wanted" },
            },
            "required": ["value", "from", "to"],
        })
    }

    fn call(&self, arguments: &Value) -> Result<Vec<u8>> {
        let value = calc::run(text(arguments, "value"))?.last;
        let (from, to) = (unit(text(arguments, "from"))?, unit(text(arguments, "to"))?);
        if from.0 != to.0 {
            return Err(Error::invalid(format!("{} is no {}", from.0, to.0)));
        }
        let ratio = |(above, below): (i64, i64)| Rational::new(above.into(), below.into());
        let converted = || value.checked_mul(ratio(from.1)?)?.checked_div(ratio(to.1)?);
        let converted = converted().ok_or_else(|| Error::invalid("a number becomes too large"))?;
        Ok(format!("{} {}", calc::shown(converted), text(arguments, "to")).into_bytes())
    }

    fn is_repeatable(&self) -> bool {
        true
    }
}

fn unit(name: &str) -> Result<(&'static str, (i64, i64))> {
    let lower = name.trim().to_lowercase();
    let singular = lower.strip_suffix('s').unwrap_or(&lower);
    // The name as it stands comes first: `ms` is no plural of `m`.
    let found = [lower.as_str(), singular]
        .into_iter()
        .find_map(|name| UNITS.iter().find(|(_, names, _)| names.contains(&name)));
    let known = || UNITS.iter().filter_map(|(_, names, _)| names.first().copied()).collect::<Vec<_>>().join(", ");
    let (kind, _, ratio) =
        found.ok_or_else(|| Error::invalid(format!("no unit {name:?} is known; there are: {}", known())))?;
    Ok((kind, *ratio))
}
