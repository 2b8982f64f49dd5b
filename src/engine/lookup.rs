//! Prompt lookup: a line that repeats itself drafts its own next tokens, and one pass confirms several of them.
//!
//! After Saxena, "Prompt Lookup Decoding" (2023). The draws are those of plain decoding, bit for bit: a row of logits does not
//! depend on what else is in the pass, and a row counts only if every token before it was drawn.

use std::collections::HashMap;

use crate::engine::{Batch, Branch, Engine, Row, Rows, Want};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Interrupt;
use crate::text::TokenId;

/// One line of tokens, prompt and answer, and where each pair of neighbours was last followed by a token.
#[derive(Debug, Clone, Default)]
pub struct Lookup {
    line: Vec<TokenId>,
    /// The position after the latest such pair.
    followers: HashMap<[TokenId; 2], usize>,
}

impl Lookup {
    /// A line that starts with `tokens`.
    pub fn new(tokens: &[TokenId]) -> Self {
        let mut lookup = Self::default();
        tokens.iter().for_each(|&token| lookup.push(token));
        lookup
    }

    /// Appends a token in O(1).
    pub fn push(&mut self, token: TokenId) {
        if let [.., a, b] = self.line[..] {
            self.followers.insert([a, b], self.line.len());
        }
        self.line.push(token);
    }

    /// The line so far.
    pub fn line(&self) -> &[TokenId] {
        &self.line
    }

    /// At most `n` tokens that followed the line's last two tokens when they last stood together earlier in the line.
    pub fn propose(&self, n: usize) -> &[TokenId] {
        let [.., a, b] = self.line[..] else { return &[] };
        let follower = self.followers.get(&[a, b]).and_then(|&at| self.line.get(at..)).unwrap_or_default();
        follower.get(..n).unwrap_or(follower)
    }
}

/// Appends `feed` to `branch` in one pass and draws, ahead along `draft` for as long as the draws agree with it.
///
/// `draw` gets the row after `feed`, then the row after each drafted token that it drew; `None` ends the drawing. The branch
/// then holds `feed` and the confirmed tokens: all but the last draw. A draft is cut to the context, and dropped when
/// the pass fails with it, so errors are those of `feed` alone and of `draw`.
pub fn pass_ahead<E: Engine + ?Sized>(
    engine: &mut E,
    branch: &mut Branch,
    feed: &[TokenId],
    draft: &[TokenId],
    interrupt: &Interrupt,
    rows: &mut Rows,
    draw: &mut dyn FnMut(Row<'_>) -> Result<Option<TokenId>>,
) -> Result<()> {
    let fed = engine.len(branch) + feed.len();
    let mut draft = &draft[..draft.len().min(engine.info().n_ctx.saturating_sub(fed))];
    loop {
        let mut batch = Batch::new(interrupt);
        batch.extend(branch, feed, Want::Logits);
        draft.iter().for_each(|&token| batch.push(branch, token, Want::Logits));
        match engine.forward(&batch, rows) {
            Ok(()) => break,
            Err(error) if draft.is_empty() || error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(_) => draft = &[],
        }
    }
    let mut confirmed = 0;
    let drawn = loop {
        let row = rows.row(confirmed).ok_or_else(|| Error::new(ErrorKind::Internal, "a pass left out a row of logits"));
        match row.and_then(&mut *draw) {
            Ok(Some(token)) if draft.get(confirmed) == Some(&token) => confirmed += 1,
            Ok(_) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if confirmed < draft.len() {
        engine.truncate(branch, fed + confirmed)?;
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::toy::{EOG, TOKEN_BYTES, ToyEngine};
    use crate::engine::{Sampler, SamplerParams};
    use crate::observe::CancelToken;

    /// What a line came to: its tokens, their log-probabilities, the branch's length, and how the last pass ended.
    type Line = (Vec<TokenId>, Vec<f64>, usize, Option<ErrorKind>);

    /// Greedy decoding until the end of text, `max` tokens, a full context or an error; `draft` sees the line so far.
    fn decode(
        toy: &mut ToyEngine,
        prompt: &[TokenId],
        max: usize,
        params: &SamplerParams,
        draft: &dyn Fn(&Lookup) -> Vec<TokenId>,
    ) -> Line {
        let (mut branch, mut rows, mut open) = (toy.root().unwrap(), Rows::new(), true);
        let mut sampler = Sampler::new(SamplerParams { temperature: 0.0, ..params.clone() }).unwrap();
        let (mut lookup, mut feed) = (Lookup::new(prompt), prompt.to_vec());
        let (mut tokens, mut logprobs, mut error) = (Vec::new(), Vec::new(), None);
        while open && tokens.len() < max && toy.len(&branch) + feed.len() <= toy.info().n_ctx {
            let mut ahead = draft(&lookup);
            ahead.truncate(max - tokens.len() - 1);
            let pass = pass_ahead(toy, &mut branch, &feed, &ahead, &Interrupt::default(), &mut rows, &mut |row| {
                let sampled = sampler.sample_row(row, lookup.line(), 0.0)?;
                lookup.push(sampled.token);
                tokens.push(sampled.token);
                logprobs.push(sampled.logprob);
                open = sampled.token != EOG;
                Ok(open.then_some(sampled.token))
            });
            if let Err(e) = pass {
                error = Some(e.kind());
                break;
            }
            feed = tokens[tokens.len() - 1..].to_vec();
        }
        let len = toy.len(&branch);
        toy.release(branch);
        assert_eq!((toy.alive(), toy.memory().kv), (0, 0));
        (tokens, logprobs, len, error)
    }

    fn prompts() -> [Vec<TokenId>; 4] {
        let loud = [10, 11, 3, 12].repeat(6);
        [vec![1], vec![1, 2, 3, 4, 5, 10, 11, 12], loud, (0..40).map(|i| (i * i + i / 3) % 13).collect()]
    }

    #[test]
    fn a_pair_proposes_what_followed_it_last() {
        let mut lookup = Lookup::new(&[1, 2, 3, 1, 2, 4, 5, 1]);
        assert!(lookup.propose(4).is_empty(), "5 1 is new");
        lookup.push(2);
        assert_eq!(lookup.propose(4), [4, 5, 1, 2]);
        assert_eq!(lookup.propose(2), [4, 5]);
        assert!(lookup.propose(0).is_empty());
        assert_eq!(Lookup::new(&[7, 7, 7]).propose(4), [7]);
        assert!(Lookup::new(&[7, 7]).propose(4).is_empty() && Lookup::default().propose(4).is_empty());
    }

    #[test]
    fn the_line_is_that_of_plain_decoding_at_every_length_and_context() {
        let penalty = SamplerParams { repetition_penalty: 1.3, repetition_window: 5, ..SamplerParams::default() };
        let mut fewer = 0;
        for (endless, params) in [(true, SamplerParams::default()), (false, SamplerParams::default()), (true, penalty)]
        {
            for prompt in prompts() {
                for (max, n_ctx) in (1..40).map(|max| (max, 500)).chain((40..80).map(|n_ctx| (500, n_ctx))) {
                    let run = |draft: &dyn Fn(&Lookup) -> Vec<TokenId>| {
                        let mut toy = ToyEngine::new(n_ctx, 1);
                        toy.faults.endless = endless;
                        (decode(&mut toy, &prompt, max, &params, draft), toy.passes)
                    };
                    let (plain, passes) = run(&|_| Vec::new());
                    let (ahead, ahead_passes) = run(&|lookup| lookup.propose(4).to_vec());
                    assert_eq!(ahead, plain, "{prompt:?}, {max} tokens, context {n_ctx}");
                    fewer += passes - ahead_passes;
                }
            }
        }
        assert!(fewer > 1000, "drafts saved {fewer} passes");
    }

    #[test]
    fn a_draft_of_any_quality_through_the_end_of_text_changes_nothing() {
        for prompt in prompts() {
            let run = |draft: &dyn Fn(&Lookup) -> Vec<TokenId>| {
                let mut toy = ToyEngine::new(500, 1);
                (decode(&mut toy, &prompt, 400, &SamplerParams::default(), draft), toy.passes)
            };
            let (plain, _) = run(&|_| Vec::new());
            assert_eq!(plain.0.last(), Some(&EOG));
            let truth = |lookup: &Lookup| plain.0[lookup.line().len() - prompt.len()..].to_vec();
            // All of the answer at once, and tokens behind its end.
            let (line, passes) = run(&|lookup| [truth(lookup), vec![EOG, 1, 2]].concat());
            assert_eq!((line, passes), (plain.clone(), 1));
            for wrong in 0..5 {
                let draft = |lookup: &Lookup| {
                    let mut draft = truth(lookup);
                    draft.iter_mut().skip(wrong).for_each(|token| *token = (*token + 1) % 16);
                    draft
                };
                assert_eq!(run(&draft).0, plain, "wrong from token {wrong}");
            }
        }
    }

    #[test]
    fn errors_are_those_of_plain_decoding() {
        let twins = [vec![], vec![3, 4, 5, 6]];
        // A draft that does not fit beside the line is dropped: as many tokens as without.
        let full = twins.clone().map(|draft| {
            let mut toy = ToyEngine::new(500, 1);
            toy.faults.endless = true;
            toy.set_kv_limit(20 * TOKEN_BYTES);
            decode(&mut toy, &[1, 2, 3], 100, &SamplerParams::default(), &|_| draft.clone())
        });
        assert_eq!(full[0].3, Some(ErrorKind::Memory));
        assert_eq!(full[0], full[1]);
        for draft in twins {
            let mut toy = ToyEngine::new(500, 1);
            let cancel = CancelToken::new();
            cancel.cancel();
            let (mut branch, interrupt) = (toy.root().unwrap(), Interrupt { cancel, deadline: None });
            let mut never = |_: Row<'_>| -> Result<Option<TokenId>> { Err(Error::invalid("no row was computed")) };
            let pass = pass_ahead(&mut toy, &mut branch, &[1, 2], &draft, &interrupt, &mut Rows::new(), &mut never);
            assert_eq!(pass.map_err(|e| e.kind()), Err(ErrorKind::Cancelled));
            assert_eq!((toy.passes, toy.len(&branch)), (1, 0));
            let calm = Interrupt::default();
            let pass = pass_ahead(&mut toy, &mut branch, &[1, 2], &draft, &calm, &mut Rows::new(), &mut never);
            assert_eq!(pass.map_err(|e| e.kind()), Err(ErrorKind::InvalidArgument));
            assert_eq!(toy.len(&branch), 2, "the draft is cut off when a draw fails");
        }
    }
}
