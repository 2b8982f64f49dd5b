//! One question, put by one strategy: what a search of it needs.

use std::collections::BTreeMap;

use super::Strategy;
use super::conversation::Scribe;
use super::prompt::prompt;
use super::prompts::Prompts;
use super::run::Run;
use super::strategy::Steps;
use super::tools::Toolbox;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::observe::{CancelToken, Observer};
use crate::reward::{Judge, answer};
use crate::search::{Outcome, Search, SearchParams};
use crate::text::{ChatTemplate, TokenId, Tokenizer};

/// What strategies may use beside the model.
#[derive(Debug, Default)]
pub struct Resources {
    /// What methods say to the model.
    pub prompts: Prompts,
    /// What methods may use on the model's behalf.
    pub tools: Toolbox,
    /// What tools said in an earlier run of the same search ([`Outcome::journal`]): it is not asked again.
    pub journal: String,
    /// The search is run again to be compared: tools whose words are kept are not called, whatever the journal lacks.
    pub replayed: bool,
}

/// A question with everything that decides how it is put.
pub struct Inquiry<'a> {
    strategy: &'a dyn Strategy,
    prompt: Vec<TokenId>,
    setting: Setting<'a>,
}

/// What a method of several calls works with.
pub struct Setting<'a> {
    question: &'a str,
    scribe: Scribe<'a>,
    stem: Vec<TokenId>,
    params: &'a SearchParams,
    resources: &'a Resources,
    key: String,
}

impl<'a> Inquiry<'a> {
    /// `question` as `strategy` puts it to the model of this tokenizer and template. Errors: what the template refuses, and
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a template that several calls cannot share.
    pub fn new(
        strategy: &'a dyn Strategy,
        question: &'a str,
        tokenizer: &'a Tokenizer,
        template: Option<&'a ChatTemplate>,
        params: &'a SearchParams,
        resources: &'a Resources,
    ) -> Result<Self> {
        let question = question.trim();
        let scribe = Scribe::new(tokenizer, template);
        let prompt = match strategy.steps() {
            Some(_) => scribe.stem()?,
            None => prompt(strategy, question, tokenizer, template)?,
        };
        let (words, tools) = (resources.prompts.changed(), &resources.tools);
        let key = format!("{} {question:?} {words:?} {tools:?}{}", strategy.name(), strategy.detail());
        if params.grammar.is_some() && strategy.steps().is_some_and(|steps| !steps.says_answers()) {
            let message = format!("answers of {} are computed and cannot be held to a grammar", strategy.name());
            return Err(Error::unsupported(message));
        }
        let setting = Setting { question, scribe, stem: prompt.clone(), params, resources, key };
        Ok(Self { strategy, prompt, setting })
    }

    /// The tokens that the search begins with: the prompt, or what all prompts of a method begin with.
    pub fn prompt(&self) -> &[TokenId] {
        &self.prompt
    }

    /// A search that has not begun, by the method if the strategy is one, else by the algorithm of the parameters.
    pub fn search<'s, 'j, E: Engine + ?Sized>(
        &'s self,
        engine: &'s mut E,
        judge: Option<&'s mut (dyn Judge + 'j)>,
    ) -> Result<Search<'s, 'j, E, Tokenizer>> {
        let Setting { question, scribe, params, .. } = &self.setting;
        let search = Search::new(engine, scribe.tokenizer(), &self.prompt, params, judge, question)?;
        Ok(match self.strategy.steps() {
            Some(steps) => search.with_program(self.program(steps)?),
            None => search,
        })
    }

    /// The best answer found within the budget; see [`search::solve`](crate::search::solve).
    pub fn solve<E: Engine + ?Sized>(
        &self,
        engine: &mut E,
        judge: Option<&mut (dyn Judge + '_)>,
        observer: &mut dyn Observer,
        cancel: &CancelToken,
    ) -> Result<Outcome> {
        let mut search = self.search(engine, judge)?;
        search.advance(u64::MAX, observer, cancel)?;
        Ok(search.finish(observer))
    }

    fn program(&self, steps: &'a dyn Steps) -> Result<Box<Run<'_>>> {
        Ok(Box::new(Run::new(steps, &self.setting)?))
    }
}

impl<'a> Setting<'a> {
    /// The question.
    pub fn question(&self) -> &'a str {
        self.question
    }

    /// How the search was asked for. [`n`](SearchParams::n) is how often a method that votes draws.
    pub fn params(&self) -> &'a SearchParams {
        self.params
    }

    /// What the method may use.
    pub fn resources(&self) -> &'a Resources {
        self.resources
    }

    /// The words of the prompt `name` about the question and what `about` names, for [`Ask::user`](super::Ask::user): the template's
    /// `{{ turn }}` ends a user's message and begins a reply, or the other way round, so that an example stands in turns of its own.
    pub fn words(&self, name: &str, about: &[(&str, &str)]) -> Result<String> {
        let mut values: BTreeMap<&str, &str> = about.iter().copied().collect();
        values.insert("question", self.question);
        self.resources.prompts.words(name, &values)
    }

    /// The answer that a text marks as such: the part that the search's grammar is about, if there is one.
    pub fn answer_in(&self, text: &str) -> Option<String> {
        match &self.params.grammar {
            Some(grammar) => grammar.part(text).map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()),
            None => answer::extract(text).filter(|found| found.marked).map(|found| found.answer.text().to_owned()),
        }
    }

    pub(super) fn scribe(&self) -> Scribe<'a> {
        self.scribe
    }

    pub(super) fn key(&self) -> String {
        self.key.clone()
    }

    /// A conversation's tokens without those that the search itself begins with.
    pub(super) fn below_stem(&self, mut parts: Vec<Vec<TokenId>>) -> Result<Vec<Vec<TokenId>>> {
        let mut stem = self.stem.as_slice();
        for part in &mut parts {
            let common = part.len().min(stem.len());
            let (head, rest) = stem.split_at(common);
            if part.get(..common) != Some(head) {
                return Err(Error::unsupported(
                    "the model's chat template begins this conversation unlike the others: a method's have to begin alike",
                ));
            }
            part.drain(..common);
            stem = rest;
        }
        parts.retain(|part| !part.is_empty());
        if stem.is_empty() && !parts.is_empty() {
            return Ok(parts);
        }
        Err(Error::unsupported("the model's chat template writes nothing behind what all conversations begin with"))
    }
}
