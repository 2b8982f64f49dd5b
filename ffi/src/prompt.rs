//! What a run goes on from: a question, a conversation, a text or tokens.

use std::sync::Arc;

use ruminate::reason::{self, ChainOfThought, Direct, Strategy};
use ruminate::search::SearchParams;
use ruminate::text::{ChatTemplate, EncodeOptions, Thinking, TokenId};

use crate::call::{Call, entry};
use crate::handle::Object;
use crate::method::{Method, rum_method};
use crate::model::Model;
use crate::number::numbers;
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::rum_str;
use crate::tokens::{render, slice};

/// What a `rum_prompt` holds.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_prompt_kind {
    /// `text` is a question: it is put into the words of `strategy` and through the model's chat template, if it has one. Where that
    /// says how the model marks its thinking, a search looks for answers behind it; so it does for `RUM_PROMPT_MESSAGES`.
    RUM_PROMPT_QUESTION = 0,
    /// `text` is a conversation, as for `rum_chat_render`.
    RUM_PROMPT_MESSAGES = 1,
    /// `text` is what the model goes on from, as it is; names of control tokens in it are read as those tokens.
    RUM_PROMPT_TEXT = 2,
    /// `tokens` are what the model goes on from.
    RUM_PROMPT_TOKENS = 3,
}

numbers!(rum_prompt_kind, "kind of prompt": RUM_PROMPT_QUESTION, RUM_PROMPT_MESSAGES, RUM_PROMPT_TEXT, RUM_PROMPT_TOKENS);

/// How a question is put.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_strategy {
    /// The question alone, for models that reason without being told to.
    RUM_STRATEGY_DIRECT = 0,
    /// "Step by step", with the answer on a last line after `####`.
    RUM_STRATEGY_COT = 1,
}

numbers!(rum_strategy, "strategy": RUM_STRATEGY_DIRECT, RUM_STRATEGY_COT);

/// What a run goes on from. Fill it with `rum_prompt_init`. Everything in it is copied when the run starts.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_prompt {
    pub struct_size: usize,
    /// A `rum_prompt_kind`.
    pub kind: u32,
    /// A `rum_strategy`; for a question.
    pub strategy: u32,
    /// The question, conversation or text.
    pub text: rum_str,
    /// The tokens; for `RUM_PROMPT_TOKENS`.
    pub tokens: *const u32,
    /// How many tokens.
    pub n_tokens: usize,
    /// The question as judges are told it; without it, `text` where that is a question. None of a method of several calls.
    pub question: rum_str,
    /// How a question is put, instead of `strategy`; or NULL. One of several calls is for searches alone, and takes the place of the
    /// algorithm.
    pub method: *const rum_method,
}

// SAFETY: `repr(C)`; whole numbers and pointers, without padding.
unsafe impl Struct for rum_prompt {
    const FIRST: usize = 8 + size_of::<[usize; 8]>();

    fn initial() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            kind: 0,
            strategy: 0,
            text: rum_str::NONE,
            tokens: std::ptr::null(),
            n_tokens: 0,
            question: rum_str::NONE,
            method: std::ptr::null(),
        }
    }
}

/// Fills `prompt` with an empty question. `struct_size` is `sizeof *prompt`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_prompt_init(prompt: *mut rum_prompt, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_prompt_init", |_| unsafe { sized::init(prompt, struct_size) })
}

/// A prompt as a run needs it.
pub struct Prompt {
    pub tokens: Vec<TokenId>,
    /// What judges are told.
    pub question: String,
    pub strategy: Option<&'static str>,
    /// What puts the question in several calls; `tokens` are what all of them begin with then.
    pub method: Option<Arc<Object<Method>>>,
    /// Whether a line `#### answer` ends the answer, unless the caller says otherwise.
    pub stop_at_answer: bool,
    /// Whether it is a question or a conversation, which go through the chat template.
    is_chat: bool,
}

impl Prompt {
    /// Reads and tokenizes what `prompt` describes.
    ///
    /// # Safety
    /// `prompt` is NULL or a struct whose pointers can be read.
    pub unsafe fn read_single(call: &Call, model: &Model, prompt: *const rum_prompt) -> Result<Self, Failure> {
        // SAFETY: the caller's promise.
        let prompt = unsafe { Self::read(call, model, prompt) }?;
        match prompt.method.as_ref().map(|method| method.value.strategy().name()) {
            None => Ok(prompt),
            Some(name) => Err(Failure::invalid(format!("{name} is a method of several calls: search with it"))),
        }
    }

    /// As [`read_single`](Self::read_single), for a search, which methods of several calls can make.
    ///
    /// # Safety
    /// As there.
    pub unsafe fn read(call: &Call, model: &Model, prompt: *const rum_prompt) -> Result<Self, Failure> {
        // SAFETY: the caller's promise.
        let prompt = unsafe { sized::read(prompt, "the prompt") }?;
        // SAFETY: the caller's promise.
        let (text, question) =
            unsafe { (prompt.text.read("the prompt's text")?, prompt.question.read("the question")?) };
        let method = call.optional::<Method>(prompt.method)?;
        let mut made = Self {
            tokens: Vec::new(),
            question: question.to_owned(),
            strategy: None,
            method: None,
            stop_at_answer: false,
            is_chat: false,
        };
        let parse_special = EncodeOptions { add_special: false, parse_special: true };
        match rum_prompt_kind::read(prompt.kind)? {
            rum_prompt_kind::RUM_PROMPT_QUESTION => {
                let asked = text.trim();
                if asked.is_empty() {
                    return Err(Failure::invalid("the question is empty"));
                }
                if question.is_empty() {
                    made.question = asked.to_owned();
                }
                let strategy = match &method {
                    Some(method) => method.value.strategy(),
                    None => strategy(prompt.strategy)?,
                };
                made.is_chat = true;
                made.strategy = Some(strategy.name());
                made.stop_at_answer = strategy.stop_at_answer();
                match method.as_ref().filter(|_| strategy.steps().is_some()) {
                    None => {
                        made.tokens = reason::prompt(strategy, asked, &model.tokenizer, model.template.as_ref())?;
                    }
                    Some(_) if !question.is_empty() => {
                        return Err(Failure::invalid("a method of several calls has no question beside the text"));
                    }
                    Some(method) => {
                        let params = SearchParams::default();
                        made.tokens = method.value.inquiry(asked, model, &params)?.prompt().to_vec();
                        made.method = Some(Arc::clone(method));
                    }
                }
            }
            _ if method.is_some() => return Err(Failure::invalid("a method puts a question, and this prompt is none")),
            rum_prompt_kind::RUM_PROMPT_MESSAGES => {
                let text = render(model, text, true)?;
                made.is_chat = true;
                made.tokens = model.tokenizer.encode(&text, parse_special)?;
                // Some templates write the token that begins a text themselves; it has to stand there once.
                let tokenizer = &model.tokenizer;
                if let Some(bos) = tokenizer.bos().filter(|b| tokenizer.add_bos() && made.tokens.first() != Some(b)) {
                    made.tokens.insert(0, bos);
                }
            }
            rum_prompt_kind::RUM_PROMPT_TEXT => {
                made.tokens = model.tokenizer.encode(text, EncodeOptions { add_special: true, ..parse_special })?;
            }
            rum_prompt_kind::RUM_PROMPT_TOKENS => {
                // SAFETY: the caller's promise.
                made.tokens = unsafe { slice(prompt.tokens, prompt.n_tokens, "the prompt's tokens") }?.to_vec();
                let n_vocab = model.info.n_vocab;
                if let Some(token) = made.tokens.iter().find(|&&token| token as usize >= n_vocab) {
                    return Err(Failure::invalid(format!("token {token} is outside the vocabulary of {n_vocab}")));
                }
            }
        }
        if made.tokens.is_empty() {
            return Err(Failure::invalid("the prompt holds no token"));
        }
        Ok(made)
    }

    /// How the model marks its thinking behind this prompt, as its chat template says; `None` behind what no template wrote.
    pub fn thinking(&self, model: &Model) -> Option<Thinking> {
        let thinking = model.template.as_ref().filter(|_| self.is_chat).and_then(ChatTemplate::thinking)?;
        if self.method.is_some() {
            // The tokens are only what all its calls begin with.
            return Some(thinking);
        }
        let prompt = model.tokenizer.decode(&self.tokens, true);
        thinking.after_prompt(&String::from_utf8_lossy(&prompt))
    }
}

/// The strategy of that number.
pub fn strategy(number: u32) -> Result<&'static dyn Strategy, Failure> {
    Ok(match rum_strategy::read(number)? {
        rum_strategy::RUM_STRATEGY_DIRECT => &Direct,
        rum_strategy::RUM_STRATEGY_COT => &ChainOfThought,
    })
}

#[cfg(test)]
mod tests {
    use ruminate::Limits;
    use ruminate::engine::{Backend, Network};
    use ruminate::gguf::Gguf;
    use ruminate::storage::LoadMode;
    use ruminate::text::Tokenizer;

    use super::*;
    use crate::model::Weights;
    use crate::runtime::Runtime;

    /// The bundled model with this chat template.
    fn model(template: &str) -> Model {
        let limits = Limits::default();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/abacus-q8_0.gguf");
        let gguf = Gguf::open(&path, LoadMode::Mmap, &limits).unwrap();
        let (backend, memory) = (Backend::Native, Runtime::initial().budget().reserve(0, "x").unwrap());
        let weights = Weights { network: Network::load(&gguf, None, &backend).unwrap(), backend, memory };
        let template = ChatTemplate::new(template, "", "", &limits).unwrap();
        Model::new(&gguf, weights, Tokenizer::from_gguf(&gguf, &limits).unwrap(), Some(template), 1, None).unwrap()
    }

    #[test]
    fn thinking_is_marked_behind_what_the_template_wrote_alone() {
        let ends = "{% if messages[0].role == 'system' %}</think>{% endif %}";
        let model =
            model(&format!("{{% for message in messages %}}{{{{ message.content }}}}{{% endfor %}}\n<think>{ends}"));
        let begun = |kind: rum_prompt_kind, text: &str| {
            let text = rum_str { ptr: text.as_ptr().cast(), len: text.len() };
            let prompt = rum_prompt { kind: kind as u32, text, ..rum_prompt::initial() };
            // SAFETY: a whole struct whose text lives on.
            let prompt = unsafe { Prompt::read(&Call::default(), &model, &prompt) }.unwrap();
            prompt.thinking(&model).map(|thinking| thinking.begun)
        };
        use rum_prompt_kind::*;
        assert_eq!(begun(RUM_PROMPT_QUESTION, "1 + 1?"), Some(true));
        assert_eq!(begun(RUM_PROMPT_MESSAGES, r#"[{"role": "user", "content": "1 + 1?"}]"#), Some(true));
        let told_not_to = r#"[{"role": "system", "content": "Be short."}, {"role": "user", "content": "1 + 1?"}]"#;
        assert_eq!(begun(RUM_PROMPT_MESSAGES, told_not_to), None);
        assert_eq!(begun(RUM_PROMPT_TEXT, "1 + 1?\n<think>"), None);
    }
}
