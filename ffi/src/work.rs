//! What a run's thread does, and how its end becomes known.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ruminate::observe::CancelToken;

use crate::host::Host;
use crate::outcome::Finished;
use crate::status::Failure;
use crate::text::Text;
use crate::watch::{Listener, Reporter, Watch};
use crate::{log, panic};

/// Everything that a run has the use of until it ends, and what it does with it.
pub trait Work: Send {
    /// Does all of it; what was lent goes back when this returns. Ends early when the reporter's token is cancelled.
    fn perform(self: Box<Self>, reporter: &mut Reporter<'_>) -> Result<Finished, Failure>;
}

/// How a run is ended from outside, and how its events reach the host.
pub struct Channel {
    pub watch: Arc<Watch>,
    pub host: Arc<Host>,
    pub listener: Option<Listener>,
    pub events: u32,
    pub cancel: CancelToken,
}

/// Does `work` and makes its end known: what was lent goes back first, then the listener gets the last event, then what the host gave is
/// let go, then whoever waits is woken.
pub fn run(work: Box<dyn Work>, channel: Channel) {
    let Channel { watch, host, listener, events, cancel } = channel;
    let mut reporter =
        Reporter { watch: &watch, listener: listener.as_ref(), events, cancel: &cancel, afterwards: None };
    log::write(log::rum_log_level::RUM_LOG_INFO, "a run started");
    let done = catch_unwind(AssertUnwindSafe(|| work.perform(&mut reporter)));
    let end = done.unwrap_or_else(|payload| {
        Err(Failure::internal(format!("the library broke its own rule: {}", panic::message(&*payload))))
    });
    match &end {
        Ok(finished) => {
            log::write(log::rum_log_level::RUM_LOG_INFO, &format!("a run ended ({:?})", finished.stop_reason))
        }
        Err(failure) => log::write(log::rum_log_level::RUM_LOG_INFO, &format!("a run failed: {}", failure.message)),
    }
    watch.finish(end.map_err(|failure| (failure.status, Text::new(failure.message))));
    if listener.is_some() {
        reporter.tell(watch.last());
    }
    let afterwards = reporter.afterwards.take();
    drop((listener, host));
    watch.close();
    drop(afterwards);
    // Nothing links to this token any more.
    cancel.cancel();
}
