//! Grammars: each node that is held to one has a state of its own, worked out from the tokens that stand before it, so that nodes
//! that begin alike can go different ways and a saved search needs no more than its tokens.

use super::Search;
use crate::engine::Engine;
use crate::error::Result;
use crate::search::algo::{Extend, Hold};
use crate::search::node::NodeId;
use crate::search::vocabulary::Vocabulary;
use crate::text::{Grammar, Guide, TokenId};

impl<E: Engine + ?Sized, V: Vocabulary> Search<'_, '_, E, V> {
    /// What holds the next token of `node`, which `extend` asked for.
    pub(super) fn guide_at(&mut self, node: NodeId, extend: &Extend) -> Result<Option<Guide>> {
        let grammar = match &extend.hold {
            Hold::Free => None,
            Hold::Own(grammar) => Some(grammar.clone()),
            Hold::Text => self.params.grammar.clone(),
            Hold::Rest => self.params.grammar.clone().map(|grammar| grammar.after("")),
        };
        let Some(grammar) = grammar else { return Ok(None) };
        let own = self.tree.node(node);
        let drawn = own.tokens.get(own.forced..).unwrap_or_default().iter().copied();
        let tokens: Vec<TokenId> = match extend.hold {
            Hold::Text => self.tree.text_tokens(extend.at).into_iter().chain(own.tokens.iter().copied()).collect(),
            _ => drawn.collect(),
        };
        let mut guide = self.guide(grammar)?;
        tokens.into_iter().try_for_each(|token| guide.advance(token))?;
        Ok(Some(guide))
    }

    /// The beginning of a text of `grammar`, which is read once.
    fn guide(&mut self, grammar: Grammar) -> Result<Guide> {
        if let Some(guide) = self.guides.get(&grammar) {
            return Ok(guide.clone());
        }
        let guide = self.vocabulary.guide(&grammar)?;
        self.guides.insert(grammar, guide.clone());
        Ok(guide)
    }
}
