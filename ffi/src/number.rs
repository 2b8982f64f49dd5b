//! Enumerations travel as numbers, which may be anything, and are read here.

/// Gives the enum `$name` a `read` from any number, which calls it a `$what` in its message.
macro_rules! numbers {
    ($name:ident, $what:literal: $($variant:ident),+ $(,)?) => {
        impl $name {
            /// The variant of that number; an error for a number without one.
            pub fn read(number: u32) -> Result<Self, $crate::status::Failure> {
                let known = [$(Self::$variant),+].into_iter().find(|variant| *variant as u32 == number);
                known.ok_or_else(|| $crate::status::Failure::invalid(format!(concat!("there is no ", $what, " {}"), number)))
            }
        }
    };
}

pub(crate) use numbers;
