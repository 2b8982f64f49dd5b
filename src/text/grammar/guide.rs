//! A grammar at work: which tokens of one vocabulary may come next.

use std::fmt;
use std::sync::{Arc, OnceLock};

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, SimpleVob, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};

use super::Grammar;
use crate::error::{Error, ErrorKind, Result};
use crate::text::tokenizer::Spelling;
use crate::text::{TokenId, Tokenizer, stack};

/// Holds one text to a grammar. A copy goes on from the same place.
#[derive(Clone)]
pub struct Guide {
    matcher: Matcher,
}

/// Tokens that may come next, as a set of bits.
#[derive(Debug, Clone)]
pub struct Permitted(SimpleVob);

/// What makes guides of one vocabulary, made with the first of them.
#[derive(Default)]
pub(in crate::text) struct Guides {
    factory: OnceLock<Arc<ParserFactory>>,
}

/// Stack for reading a grammar, and more for each of its bytes: brackets in brackets are read by recursion. Address space only.
const STACK: usize = 16 << 20;
const STACK_PER_BYTE: usize = 1 << 10;
/// A longer token is never permitted. The tree of tokens takes 1,024 bytes of one.
const LONGEST: usize = 1_000;
/// Nodes of the tree of tokens, by llguidance's layout of it.
const MOST_NODES: usize = 1 << 22;

impl Guides {
    /// The guide of `grammar` for `tokenizer`, which is the same in every call.
    pub fn guide(&self, tokenizer: &Tokenizer, grammar: &Grammar) -> Result<Guide> {
        let source = grammar.source()?;
        let bytes = STACK.saturating_add(STACK_PER_BYTE.saturating_mul(source.len()));
        stack::deep("grammar", bytes, || {
            let factory = match self.factory.get() {
                Some(factory) => factory,
                None => {
                    let made = Arc::new(factory(tokenizer)?);
                    self.factory.get_or_init(|| made)
                }
            };
            let parser = factory.create_parser(TopLevelGrammar::from_lark(source));
            let matcher = Matcher::new(parser);
            match matcher.get_error() {
                Some(error) => Err(Error::invalid(format!("the grammar cannot be used: {}", first_lines(&error)))),
                None => Ok(Guide { matcher }),
            }
        })?
    }
}

impl fmt::Debug for Guides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guides").finish_non_exhaustive()
    }
}

impl Guide {
    /// The tokens that may come next; tokens that end generation are among them where the text may end. An error when working it
    /// out takes more than the caps allow, and when no token can follow.
    pub fn permitted(&mut self) -> Result<Permitted> {
        let permitted = self.matcher.compute_mask_or_eos();
        permitted.map(Permitted).map_err(|e| failed("the grammar lets nothing be drawn", &e))
    }

    /// Takes the next token, one that was permitted and does not end generation.
    pub fn advance(&mut self, token: TokenId) -> Result<()> {
        self.matcher.consume_token(token).map_err(|e| failed("a token does not fit the grammar", &e))
    }

    /// Whether the text is whole and nothing can follow.
    pub fn is_done(&self) -> bool {
        self.matcher.is_stopped() && !self.matcher.is_error()
    }

    /// Whether the text may end here.
    pub fn may_end(&mut self) -> Result<bool> {
        let done = self.is_done();
        let accepts = self.matcher.is_accepting().map_err(|e| failed("the grammar cannot be followed", &e))?;
        Ok(done || accepts)
    }
}

impl fmt::Debug for Guide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guide").finish_non_exhaustive()
    }
}

impl Permitted {
    /// Token `i` is permitted if bit `i % 32` of word `i / 32` is set; there may be fewer words than the vocabulary needs.
    pub fn words(&self) -> &[u32] {
        self.0.as_slice()
    }

    /// Whether `token` is permitted.
    pub fn contains(&self, token: TokenId) -> bool {
        self.words().get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }
}

fn factory(tokenizer: &Tokenizer) -> Result<ParserFactory> {
    let words: Vec<Vec<u8>> = (0..tokenizer.vocab_len()).map(|id| word(tokenizer, id as TokenId)).collect();
    let nodes = nodes(&words);
    if nodes >= MOST_NODES || words.len() >= 1 << 24 {
        let message = format!("a vocabulary whose tree has {nodes} nodes takes no grammar; below {MOST_NODES} it does");
        return Err(Error::unsupported(message));
    }
    let info = TokRxInfo::new(words.len() as u32, INVALID_TOKEN);
    let trie = TokTrie::from(&info, &words);
    let ends = tokenizer.ends();
    let trie = if ends.is_empty() { trie } else { trie.with_eos_tokens(ends) };
    // The model splits words as it likes: no token is taken for it.
    let env = Arc::new(ApproximateTokEnv::new(trie)) as llguidance::toktrie::TokEnv;
    let slices = llguidance::earley::SlicedBiasComputer::general_slices();
    let factory = ParserFactory::new(&env, InferenceCapabilities::default(), &slices);
    let mut factory = factory.map_err(|e| {
        Error::new(ErrorKind::Internal, format!("the vocabulary takes no grammar: {}", first_lines(&e)))
    })?;
    factory.quiet();
    let limits = factory.limits_mut();
    limits.verbose_errors = false;
    // 1 to 2 KiB each.
    limits.max_lexer_states = 50_000;
    Ok(factory)
}

/// What llguidance knows a token by: its bytes, those of control tokens behind a byte that is in no text.
fn word(tokenizer: &Tokenizer, id: TokenId) -> Vec<u8> {
    const MARK: u8 = TokTrie::SPECIAL_TOKEN_MARKER;
    let word = match tokenizer.spelling(id) {
        Spelling::Text(bytes) if bytes.first() != Some(&MARK) => bytes.to_vec(),
        Spelling::Control(name) if !name.is_empty() => [&[MARK], name].concat(),
        _ => Vec::new(),
    };
    if word.len() <= LONGEST { word } else { Vec::new() }
}

/// Nodes of the tree that these words make; equal words have a node each.
fn nodes(words: &[Vec<u8>]) -> usize {
    let mut sorted: Vec<&[u8]> = words.iter().map(Vec::as_slice).filter(|word| !word.is_empty()).collect();
    sorted.sort_unstable();
    let mut before: &[u8] = &[];
    sorted.iter().fold(1, |nodes, word| {
        let shared = word.iter().zip(before).take_while(|(a, b)| a == b).count();
        before = word;
        nodes + (word.len() - shared).max(1)
    })
}

fn failed(what: &str, error: &dyn fmt::Display) -> Error {
    Error::invalid(format!("{what}: {}", first_lines(error)))
}

/// Without the dumps that llguidance puts behind its messages, and without control characters, since they quote the grammar.
fn first_lines(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.starts_with('<')).take(4);
    let line = lines.collect::<Vec<_>>().join(" ");
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}
