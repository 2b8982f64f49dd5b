//! Searches over a question set: what is kept of each, what the whole comes to, and how that is shown.

mod ballot;
mod chart;
mod log;
mod record;
mod report;
mod samples;
mod statistics;
mod summary;
mod table;

pub use self::log::Log;
pub use self::record::{Key, Record};
pub use self::report::page;
pub use self::samples::Samples;
pub use self::statistics::mcnemar;
pub use self::summary::{Summary, summarise};
pub use self::table::show;
