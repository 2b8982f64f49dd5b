//! What values the steps of a search: the flag that commands share.

use std::path::Path;
use std::sync::Arc;

use ruminate::Limits;
use ruminate::engine::Engine;
use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::gguf::Gguf;
use ruminate::model::Model;
use ruminate::reward::convention::{Convention, Generative, MathShepherd, QwenPrm, RlhFlow, Skywork, TokenPair};
use ruminate::reward::verify::{Countdown, VerifierJudge};
use ruminate::reward::{Arithmetic, Confidence, ExternalJudge, Head, HeadJudge, Judge, Mix, Product};
use ruminate::storage::LoadMode;
use ruminate::text::{ChatTemplate, Tokenizer};

use crate::exit::Failure;
use crate::model::{Loaded, ModelArgs};
use crate::{bundled, source};

#[derive(clap::Args)]
pub struct JudgeArgs {
    /// What values steps; several are multiplied. `head=FILE`: a reward head on the model's own states; without a file that
    /// of the built-in model. `arithmetic`: whether sums in the text are right. `puzzle=4-9-10-13:24`: whether a solution makes the number
    /// behind the colon of all those before it; `eval` knows each puzzle's numbers itself. `logprob`, `entropy`: how sure the model was. A
    /// reward model of its own: `math-shepherd=FILE`, `rlhflow=FILE`, `token-pair=FILE`, `generative=FILE`, and with a head
    /// beside the model `qwen-prm=FILE,HEAD`, `skywork=FILE,HEAD`. `none`: nothing does. Without the flag `none`, and a search
    /// with the built-in model as it came `head*arithmetic`.
    #[arg(long, env = "RUMINATE_JUDGE", value_name = "NAME[=FILE]", value_delimiter = '*')]
    pub judge: Vec<String>,
}

/// What asks for the rules of a puzzle.
const PUZZLE: &str = "puzzle";
/// What asks for no judge.
const NONE: &str = "none";
/// Values what the built-in model writes in a search, unless a user says otherwise.
const BUNDLED: [&str; 2] = ["head", "arithmetic"];

impl JudgeArgs {
    /// The same, with what stands for an absent flag in a search by `policy`. An adapter changes the states that a head reads.
    pub fn in_search(&self, policy: &ModelArgs) -> Self {
        let as_it_came = policy.source.model.is_none() && policy.adapters.is_empty();
        match self.judge.is_empty() && as_it_came {
            true => Self { judge: BUNDLED.map(str::to_owned).to_vec() },
            false => Self { judge: self.judge.clone() },
        }
    }

    /// Whether solutions are held against the rules of the question's own puzzle.
    pub fn is_own_puzzle(&self) -> bool {
        self.judge == [PUZZLE]
    }

    /// The same without a judge that only the question makes.
    pub fn of_the_model(&self) -> Self {
        if self.is_own_puzzle() { Self { judge: vec![NONE.to_owned()] } } else { Self { judge: self.judge.clone() } }
    }

    /// The judge that the flag asks for, on the policy `model`.
    pub fn load(&self, model: &Loaded) -> Result<Option<Box<dyn Judge>>, Failure> {
        if self.judge == [NONE] {
            return Ok(None);
        }
        let mut judges = self.judge.iter().map(|spec| judge(spec, model)).collect::<Result<Vec<_>, _>>()?;
        match judges.len() {
            0 | 1 => Ok(judges.pop()),
            _ => Ok(Some(Box::new(Product::new(Mix::Product, judges)?))),
        }
    }

    /// The flag's value, files by their whole paths, so that a trace can name the judge; `None` without one.
    pub fn record(&self) -> Option<String> {
        let specs: Vec<String> = self.judge.iter().filter(|spec| *spec != NONE).map(|spec| absolute(spec)).collect();
        (!specs.is_empty()).then(|| specs.join("*"))
    }

    /// The flag as a trace recorded it.
    pub fn recorded(text: &str) -> Self {
        Self { judge: text.split('*').map(str::to_owned).collect() }
    }
}

fn absolute(spec: &str) -> String {
    let Some((name, files)) = spec.split_once('=').filter(|(name, _)| *name != PUZZLE) else { return spec.to_owned() };
    let whole = |file: &str| std::path::absolute(file).map_or_else(|_| file.to_owned(), |p| p.display().to_string());
    format!("{name}={}", files.split(',').map(whole).collect::<Vec<_>>().join(","))
}

fn judge(spec: &str, model: &Loaded) -> Result<Box<dyn Judge>, Failure> {
    let (name, files) = spec.split_once('=').unwrap_or((spec, ""));
    let files: Vec<&Path> = files.split(',').filter(|file| !file.is_empty()).map(Path::new).collect();
    let needs = |what: &str| Failure::usage(format!("--judge {name} takes {what}, as in `--judge {name}=FILE`"));
    match (name, files.as_slice()) {
        ("arithmetic", []) => Ok(Box::new(Arithmetic)),
        (PUZZLE, []) => Err(Failure::usage(
            "--judge puzzle stands alone, in `eval` of puzzles; elsewhere it takes the numbers: puzzle=4-9-10-13:24",
        )),
        (PUZZLE, [rule]) => Ok(Box::new(VerifierJudge::new(puzzle(&rule.to_string_lossy())?))),
        ("logprob", []) => Ok(Box::new(Confidence::Logprob)),
        ("entropy", []) => Ok(Box::new(Confidence::Entropy)),
        ("head", []) => bundled_head(model),
        ("head", [file]) => Ok(Box::new(HeadJudge::new(head(file)?, model.engine.info())?)),
        ("head", _) => Err(needs("one reward-head file")),
        ("math-shepherd" | "rlhflow" | "token-pair" | "generative", [file]) => external(name, file, None, model),
        ("qwen-prm" | "skywork", [file, head]) => external(name, file, Some(head), model),
        ("math-shepherd" | "rlhflow" | "token-pair" | "generative", _) => Err(needs("one model file")),
        ("qwen-prm" | "skywork", _) => Err(needs("a model file and a head file")),
        _ => Err(Failure::usage(format!(
            "no judge is called {name:?} here; there are: none alone, head, arithmetic, puzzle, logprob, entropy, math-shepherd, rlhflow, token-pair, \
             generative, qwen-prm, skywork"
        ))),
    }
}

/// A puzzle written as `4-9-10-13:24`.
fn puzzle(rule: &str) -> Result<Countdown, Failure> {
    let whole = |text: &str| text.trim().parse::<i64>().ok();
    let parts = rule.split_once(':').and_then(|(numbers, target)| {
        Some((numbers.split('-').map(whole).collect::<Option<Vec<_>>>()?, whole(target)?))
    });
    let (numbers, target) = parts
        .ok_or_else(|| Failure::usage("--judge puzzle takes numbers and what they make, as in puzzle=4-9-10-13:24"))?;
    Ok(Countdown::new(&numbers, target, true)?)
}

fn bundled_head(policy: &Loaded) -> Result<Box<dyn Judge>, Failure> {
    let head = Head::from_gguf(&Gguf::parse(bundled::head(), &Limits::default())?, &Limits::default())?;
    match head.check_base(policy.engine.info()) {
        Ok(()) => Ok(Box::new(HeadJudge::new(head, policy.engine.info())?)),
        Err(_) => Err(Failure::usage(
            "--judge head without a file is the head of the built-in model; give this model's own, as in `--judge head=FILE`",
        )),
    }
}

fn head(file: &Path) -> Result<Head, Failure> {
    Head::open(file, &Limits::default()).map_err(|e| Failure::from(e.context(file.display())))
}

/// A reward model in an engine of its own, with the policy's options and its context as far as the reward model has one.
fn external(name: &str, file: &Path, beside: Option<&Path>, policy: &Loaded) -> Result<Box<dyn Judge>, Failure> {
    let limits = Limits::default();
    let gguf = source::open(file, LoadMode::Mmap)?;
    let naming = |e: ruminate::Error| Failure::from(e.context(file.display()));
    let tokenizer = Arc::new(Tokenizer::from_gguf(&gguf, &limits).map_err(naming)?);
    let template = ChatTemplate::from_gguf(&gguf, &limits).map_err(naming)?;
    let model = Arc::new(Model::load(&gguf, &limits).map_err(naming)?);
    let mut options = NativeOptions::default();
    (options.threads, options.isa, options.kv_type) =
        (policy.options.threads, policy.options.isa, policy.options.kv_type);
    options.n_ctx = policy.options.n_ctx.map(|n_ctx| n_ctx.min(model.config().n_ctx_train));
    let engine = NativeEngine::new(model, &options).map_err(naming)?;
    let chat = || template.as_ref().ok_or_else(|| Failure::data(format!("{} has no chat template", file.display())));
    let beside =
        || beside.ok_or_else(|| Failure::usage(format!("--judge {name} takes a head file too"))).and_then(head);
    let convention: Box<dyn Convention> = match name {
        "math-shepherd" => Box::new(MathShepherd::new(&tokenizer)?),
        "rlhflow" => Box::new(RlhFlow::new(&tokenizer, chat()?)?),
        "token-pair" => Box::new(TokenPair::new(&tokenizer, "\n\n", "+", "-")?),
        "qwen-prm" => Box::new(QwenPrm::new(&tokenizer, chat()?, beside()?)?),
        "skywork" => Box::new(Skywork::new(&tokenizer, beside()?)?),
        _ => Box::new(Generative::new(&tokenizer, chat()?)?),
    };
    Ok(Box::new(ExternalJudge::new(engine, tokenizer, convention)?))
}
