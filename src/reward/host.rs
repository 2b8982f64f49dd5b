//! [`Host`]: values from a function of the program that embeds the library.

use crate::error::{Error, ErrorKind, Result};
use crate::observe::Interrupt;
use crate::reward::{Judge, Step};

/// Asks a function for the values of steps: a service, a unit test, a person.
pub struct Host<F> {
    name: String,
    ask: F,
}

impl<F> Host<F>
where
    F: FnMut(&[Step<'_>], &Interrupt) -> Result<Vec<f32>> + Send,
{
    /// A judge called `name` that calls `ask` with all steps of a round; it gives one value in `[0, 1]` for each.
    pub fn new(name: impl Into<String>, ask: F) -> Self {
        Self { name: name.into(), ask }
    }
}

impl<F> Judge for Host<F>
where
    F: FnMut(&[Step<'_>], &Interrupt) -> Result<Vec<f32>> + Send,
{
    fn name(&self) -> &str {
        &self.name
    }

    /// Errors: those of the function, [`InvalidArgument`](ErrorKind::InvalidArgument) for another number of values,
    /// [`NonFinite`](ErrorKind::NonFinite) for a value that is no number in `[0, 1]`.
    fn judge(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> Result<Vec<f32>> {
        interrupt.check()?;
        let values = (self.ask)(steps, interrupt)?;
        if values.len() != steps.len() {
            let (given, asked, name) = (values.len(), steps.len(), &self.name);
            return Err(Error::invalid(format!("the judge {name:?} gave {given} values for {asked} steps")));
        }
        match values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            None => Ok(values),
            Some(value) => {
                let name = &self.name;
                Err(Error::new(ErrorKind::NonFinite, format!("the judge {name:?} gave {value}; values are 0 to 1")))
            }
        }
    }

    /// The function is asked about them once more: it may keep something for each step.
    fn recall(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> Result<()> {
        self.judge(steps, interrupt).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::StepId;

    #[test]
    fn values_of_the_host_are_checked() {
        let step = |text| Step {
            id: StepId(1),
            parent: StepId::ROOT,
            text,
            path: text,
            tokens: &[],
            draws: &[],
            features: None,
            complete: true,
        };
        let steps = [step("a"), step("bcd")];
        let judged = |give: fn(&[Step<'_>]) -> Vec<f32>| {
            Host::new("h", move |steps: &[Step<'_>], _: &Interrupt| Ok(give(steps)))
                .judge(&steps, &Interrupt::default())
        };
        let lengths = |steps: &[Step<'_>]| steps.iter().map(|s| s.text.len() as f32 / 4.0).collect();
        assert_eq!(judged(lengths).unwrap(), [0.25, 0.75]);
        assert_eq!(judged(|_| vec![0.5]).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(judged(|_| vec![0.5, 1.5]).unwrap_err().kind(), ErrorKind::NonFinite);
        assert_eq!(judged(|_| vec![0.5, f32::NAN]).unwrap_err().kind(), ErrorKind::NonFinite);
    }
}
