//! An engine and a vocabulary under a stopwatch.

use std::time::{Duration, Instant};

use ruminate::Result;
use ruminate::engine::{Batch, Branch, Engine, Rows};
use ruminate::search::Vocabulary;
use ruminate::text::{TokenId, Tokenizer};

/// Passes everything on and adds up the time of forward passes.
pub struct Timed<'a, E> {
    engine: &'a mut E,
    /// Before the first fork: the prompt's share.
    pub prefill: Duration,
    /// From the first fork on.
    pub decode: Duration,
    forked: bool,
}

impl<'a, E: Engine> Timed<'a, E> {
    pub fn new(engine: &'a mut E) -> Self {
        Self { engine, prefill: Duration::ZERO, decode: Duration::ZERO, forked: false }
    }
}

impl<E: Engine> Engine for Timed<'_, E> {
    ruminate::delegate_engine!(|timed| timed.engine;
        info root len truncate release save load memory scratch_of set_kv_limit set_adapters set_free_width);

    fn fork(&mut self, at: &Branch) -> Result<Branch> {
        self.forked = true;
        self.engine.fork(at)
    }

    fn forward(&mut self, batch: &Batch<'_>, rows: &mut Rows) -> Result<()> {
        let start = Instant::now();
        let done = self.engine.forward(batch, rows);
        *(if self.forked { &mut self.decode } else { &mut self.prefill }) += start.elapsed();
        done
    }
}

/// A tokenizer that may be made deaf to the end of a text, so that every text goes on to its cap.
pub struct Words<'a> {
    pub tokenizer: &'a Tokenizer,
    pub endless: bool,
}

impl Vocabulary for Words<'_> {
    type Stream = <Tokenizer as Vocabulary>::Stream;

    fn stream(&self) -> Self::Stream {
        self.tokenizer.stream()
    }

    fn append(&self, stream: &mut Self::Stream, token: TokenId, text: &mut String) {
        self.tokenizer.append(stream, token, text);
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        Vocabulary::encode(self.tokenizer, text)
    }

    fn is_eog(&self, token: TokenId) -> bool {
        !self.endless && self.tokenizer.is_eog(token)
    }
}
