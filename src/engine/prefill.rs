//! A prompt in parts.

use crate::engine::{Batch, Branch, Engine, Rows, Want};
use crate::error::Result;
use crate::observe::{Event, Interrupt, Observer};
use crate::text::TokenId;

/// Tokens of a prompt in one pass: between passes the clock is checked and progress shown.
pub(crate) const PREFILL_CHUNK: usize = 256;

/// Appends to `branch`, which holds the beginning of `prompt`, the rest of it but for a last part that one pass can take: that pass
/// then gives the first row of logits. Returns the passes made.
///
/// The observer is told how many of the prompt's tokens are computed. What is computed when an error or the interrupt ends it stays in
/// the branch. Errors are those of [`Engine::forward`].
pub fn prefill<E: Engine + ?Sized>(
    engine: &mut E,
    branch: &Branch,
    prompt: &[TokenId],
    interrupt: &Interrupt,
    rows: &mut Rows,
    observer: &mut dyn Observer,
) -> Result<u64> {
    let mut passes = 0;
    while let Some((part, [_, ..])) =
        prompt.get(engine.len(branch)..).and_then(|rest| rest.split_at_checked(PREFILL_CHUNK))
    {
        interrupt.check()?;
        let mut batch = Batch::new(interrupt);
        batch.extend(branch, part, Want::None);
        engine.forward(&batch, rows)?;
        passes += 1;
        let (done, total) = (engine.len(branch) as u64, prompt.len() as u64);
        observer.event(&Event::Progress { what: "prompt", done, total });
    }
    Ok(passes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::toy::ToyEngine;
    use crate::error::ErrorKind;
    use crate::observe::CancelToken;

    #[derive(Default)]
    struct Told(Vec<(u64, u64)>);

    impl Observer for Told {
        fn event(&mut self, event: &Event<'_>) {
            if let Event::Progress { done, total, .. } = *event {
                self.0.push((done, total));
            }
        }
    }

    #[test]
    fn a_long_prompt_is_computed_part_by_part_but_for_the_last() {
        for (n, held, parts) in
            [(600, 0, vec![256, 512]), (512, 0, vec![256]), (513, 200, vec![456]), (256, 0, vec![]), (0, 0, vec![])]
        {
            let mut toy = ToyEngine::new(1000, 1);
            let (branch, prompt, mut told) = (toy.root().unwrap(), vec![3; n], Told::default());
            let mut batch = Batch::default();
            batch.extend(&branch, &prompt[..held], Want::None);
            toy.forward(&batch, &mut Rows::new()).unwrap();
            let passes =
                prefill(&mut toy, &branch, &prompt, &Interrupt::default(), &mut Rows::new(), &mut told).unwrap();
            assert_eq!(
                (passes, toy.len(&branch) as u64),
                (parts.len() as u64, parts.last().copied().unwrap_or(held as u64))
            );
            assert_eq!(told.0, parts.into_iter().map(|done| (done, n as u64)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_was_computed_before_a_cancellation_stays() {
        let mut toy = ToyEngine::new(1000, 1);
        toy.faults.cancel_at = Some((1, CancelToken::new()));
        let branch = toy.root().unwrap();
        let cancel = toy.faults.cancel_at.as_ref().unwrap().1.clone();
        let interrupt = Interrupt { cancel, deadline: None };
        let done = prefill(&mut toy, &branch, &[3; 600], &interrupt, &mut Rows::new(), &mut Told::default());
        assert_eq!(done.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(toy.len(&branch), 256);
    }
}
