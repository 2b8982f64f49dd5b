//! The first record of a trace: everything that decides what a search does.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::search::SearchParams;
use crate::text::TokenId;

/// The version of the format that this library writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What was asked, of which model, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format; see [`FORMAT`].
    pub format: u32,
    /// The version of the library that wrote the trace.
    pub version: String,
    /// When the search began, in milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub created_unix_ms: u64,
    /// The model.
    pub model: ModelRecord,
    /// The question as it was asked.
    #[serde(default)]
    pub question: String,
    /// How the question became a prompt, by name.
    #[serde(default)]
    pub strategy: Option<String>,
    /// What beside its name decides what a method does (`Strategy::detail` in `reason`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub strategy_detail: String,
    /// What a method said to the model in other words than the built-in ones, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<String, String>,
    /// Tools that a method could use, as whoever made the search can make them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// The prompt; of a method what all its prompts begin with.
    pub prompt: PromptRecord,
    /// How to search.
    #[serde(default)]
    pub params: SearchParams,
    /// What scored the nodes.
    #[serde(default)]
    pub judge: Option<JudgeRecord>,
    /// Branches decoded at once, at most.
    #[serde(default)]
    pub free_width: usize,
}

/// The model of a trace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelRecord {
    /// Its file; `None` for one that is part of a program.
    pub path: Option<String>,
    /// `general.name`.
    pub name: String,
    /// `general.architecture`.
    pub architecture: String,
    /// See [`ModelInfo::fingerprint`](crate::engine::ModelInfo::fingerprint).
    pub fingerprint: String,
    /// What stood beside its matrices; the fingerprint names these too.
    pub adapters: Vec<AdapterRecord>,
    /// Tokens that one branch could hold.
    pub n_ctx: usize,
    /// How keys and values were kept, where the engine has a choice.
    pub kv_type: Option<String>,
    /// What computed; `None` for this library's own engine.
    pub backend: Option<String>,
}

/// An adapter of a trace's model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdapterRecord {
    /// Its file.
    pub path: String,
    /// How often it counted.
    pub scale: f32,
}

/// The prompt of a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromptRecord {
    /// For a person; control tokens by their names.
    pub text: String,
    /// What the search goes on from.
    pub tokens: Vec<TokenId>,
}

/// The judge of a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JudgeRecord {
    /// Its name and files, as whoever made the search can make it again.
    pub name: String,
}

impl Header {
    /// The header of a search by `engine` that begins now. What the engine cannot know (paths, the question, the strategy,
    /// the judge) is empty.
    pub fn new<E: Engine + ?Sized>(engine: &E, prompt: PromptRecord, params: &SearchParams) -> Self {
        let info = engine.info();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            created_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or_default(),
            model: ModelRecord {
                path: None,
                name: info.name.clone(),
                architecture: info.architecture.clone(),
                fingerprint: info.fingerprint.clone(),
                adapters: Vec::new(),
                n_ctx: info.n_ctx,
                kv_type: None,
                backend: None,
            },
            question: String::new(),
            strategy: None,
            strategy_detail: String::new(),
            prompts: BTreeMap::new(),
            tools: Vec::new(),
            prompt,
            params: params.clone(),
            judge: None,
            free_width: info.free_width,
        }
    }
}
