//! Which way of splitting each published `tokenizer.ggml.pre` name stands for.
//!
//! The names and their meaning are those of llama.cpp (`src/llama-vocab.cpp` and `src/unicode.cpp` as shipped with
//! llama-cpp-python 0.3.36), whose token ids are the reference. What its hand-written splitters do is a pattern here.

use super::stage::Stage::{self, Blanks, Digits, Isolate, Lines, Thousands};

/// How one `tokenizer.ggml.pre` treats a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The passes over the text, in order; each sees only the pieces that the one before left.
    pub stages: &'static [Stage],
    /// A whole piece that is in the vocabulary is one token, whatever the merges say.
    pub ignore_merges: bool,
    /// A beginning-of-text token is added unless the file says otherwise.
    pub add_bos: bool,
}

/// English suffixes in any case, spelt out because `(?i:s)` would also match U+017F.
macro_rules! suffix {
    () => {
        r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
    };
}

/// The lines that most patterns since Llama 3 share; `$digits` is what they disagree on.
macro_rules! modern {
    ($digits:literal) => {
        concat!(suffix!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|", $digits, r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+")
    };
}

/// Words of letters and marks with the suffix attached, as in the o200k family once letter case is ignored.
macro_rules! attached {
    ($digits:literal) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
            suffix!(),
            "?|",
            $digits,
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+"
        )
    };
}

/// Case-aware words: `Upper* Lower+ | Upper+ Lower*`, where a letter outside ASCII counts as both.
macro_rules! cased {
    ($after:expr, $digits:literal) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]*[\p{L}&&[^A-Z]]+",
            $after,
            r"|[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]+[\p{L}&&[^A-Z]]*",
            $after,
            "|",
            $digits,
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+"
        )
    };
}

const EACH_DIGIT: Stage = Isolate(r"\p{N}");
const THREE_DIGITS: Stage = Isolate(r"\p{N}{1,3}");
const EACH_LINE: Stage = Isolate(r"[^\n]+|\n+");
const GPT2: Stage = Blanks(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+");
const LLAMA3: Stage = Lines(modern!(r"\p{N}{1,3}"));
const QWEN2: Stage = Lines(modern!(r"\p{N}"));
const QWEN35: Stage =
    Lines(concat!(suffix!(), r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"));
const TEKKEN: Stage = Lines(cased!("", r"\p{N}"));
const GPT4O: Stage = Lines(cased!(r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?", r"\p{N}{1,3}"));
const SEED_CODER: Stage =
    Lines(concat!(suffix!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+"));
const BAILING: Stage =
    Lines(concat!(suffix!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+"));
const EXAONE_MOE: Stage = Lines(concat!(
    suffix!(),
    r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+"
));
const UFAKZEKA: Stage = Lines(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+");
const KIMI_K2: Stage = Lines(concat!(
    r"[{han}]+|[^\r\n\p{L}\p{N}{han}]?[\p{L}&&[^{han}]]+",
    suffix!(),
    r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
));

/// Without blanks, which llama.cpp's engine folds into ASCII before it looks at ranges.
const CJK: Stage = Isolate(r"[\u{800}-\u{9FA5}\u{AC00}-\u{D7FF}&&\S]+");
const CHINESE_JAPANESE: Stage = Isolate(r"[\u{4E00}-\u{9FA5}\u{3040}-\u{30FF}]+");
const DEEPSEEK_LLM_LETTERS: Stage = Isolate(concat!(
    r"\s?[",
    r"A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}\u{295}-\u{2AF}",
    r"\u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1}",
    r"\u{3A3}-\u{3F5}\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\u{13A0}-\u{13F5}",
    r"\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}\u{1D6B}-\u{1D77}\u{1D79}-\u{1D9A}",
    r"\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B}",
    r"\u{1F5D}\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC}",
    r"\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}",
    r"\u{210A}-\u{2113}\u{2115}\u{2119}-\u{211D}\u{2124}\u{2126}\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}\u{2139}",
    r"\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4}",
    r"\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}\u{A680}-\u{A69B}\u{A722}-\u{A76F}\u{A771}-\u{A787}",
    r"\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}",
    r"\u{10400}-\u{1044F}\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}",
    r"\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}",
    r"]+"
));
const DEEPSEEK_V3_WORDS: Stage = Lines(concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##,
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+"
));
const SPARK_WORDS: Stage = Blanks(concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##,
    r"| ?[\p{P}\p{S}]+|[\r\n]|\s+"
));
const SENTENCE_MARKS: Stage = Isolate(r" ?[^(\s|.,!?\u{2026}\u{3002}\u{FF0C}\u{3001}\u{964}\u{6D4}\u{60C})]+");
const YOUTU_SCRIPTS: Stage = Isolate(concat!(
    r"[\u{AC00}-\u{D7A3}\u{3131}-\u{318E}]+",
    r"|[\u{FF01}\u{2026}\u{201C}\u{201D}\u{2018}\u{2019}\u{2014}\u{FF1A}\u{FF1B}\u{FF0C}\u{3001}-\u{303F}\u{FE30}-\u{FE4F}]+",
    r"|[\u{3105}-\u{312F}]+|[\u{4E00}-\u{9FA5}\u{3040}-\u{30FF}]+"
));
/// From U+8C48 on and not from U+F900, as llama.cpp has it.
const AFMOE_SCRIPTS: Stage = Isolate(concat!(
    r"[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{8C48}-\u{FAFF}\u{3040}-\u{30FF}\u{FF65}-\u{FF9F}\u{2F00}-\u{2FDF}",
    r"\u{E40}-\u{EFF}\u{1780}-\u{17FF}\u{1000}-\u{109F}\u{AA60}-\u{AA7F}\u{A9E0}-\u{A9FF}\u{1100}-\u{11FF}]+"
));

/// The rule behind `tokenizer.ggml.pre`, or `None` for a name that nothing is known of.
pub(crate) fn rule(pre: &str) -> Option<Rule> {
    let plain = |stages| Some(Rule { stages, ignore_merges: false, add_bos: false });
    let whole = |stages| Some(Rule { stages, ignore_merges: true, add_bos: false });
    let whole_bos = |stages| Some(Rule { stages, ignore_merges: true, add_bos: true });
    match pre {
        "default" => plain(&[Isolate(r"[\p{P}\$\+<=>\^~\|]+"), GPT2, Isolate(r"\p{N}+"), Isolate("[0-9][0-9][0-9]")]),
        "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "jina-v2-es" | "jina-v2-de" | "jina-v1-en" | "jina-v2-code"
        | "roberta-bpe" | "gigachat" | "a.x-4.0" | "mellum" | "modern-bert" | "mpt" | "olmo" | "jais" | "trillion"
        | "granite-docling" | "exaone4" => plain(&[GPT2]),
        "starcoder" | "refact" | "command-r" | "smollm" | "codeshell" | "exaone" | "minerva-7b" | "mellum2" => {
            plain(&[EACH_DIGIT, GPT2])
        }
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0" | "lfm2"
        | "jina-v5-nano" => whole_bos(&[LLAMA3]),
        "dbrx" | "smaug-bpe" | "chatglm-bpe" => plain(&[LLAMA3]),
        "glm4" | "glm5" => whole(&[LLAMA3]),
        "qwen2" | "deepseek-r1-qwen" | "kormo" | "f2llmv2" | "megrez" | "stablelm2" | "hunyuan" | "solar-open"
        | "grok-2" => plain(&[QWEN2]),
        "qwen35" => plain(&[QWEN35]),
        "laguna" => plain(&[EACH_LINE, QWEN2]),
        "ufakzeka" => plain(&[UFAKZEKA]),
        "seed-coder" => plain(&[SEED_CODER]),
        "bailingmoe" | "bailingmoe2" | "llada-moe" => plain(&[BAILING]),
        "exaone-moe" => plain(&[EXAONE_MOE]),
        "minicpm5" => whole(&[THREE_DIGITS, Lines(modern!(r"\p{N}+"))]),
        "tekken" => whole_bos(&[TEKKEN]),
        "gpt-4o" | "llama4" | "kanana2" | "talkie" | "minimax-m2" => plain(&[GPT4O]),
        "tiny_aya" | "cohere2moe" => plain(&[Digits, Lines(attached!(r"\p{N}{1,3}"))]),
        "youtu" => whole(&[YOUTU_SCRIPTS, Lines(attached!(r"\p{N}"))]),
        "kimi-k2" => plain(&[KIMI_K2]),
        "deepseek-llm" => plain(&[
            Isolate(r"[\r\n]"),
            DEEPSEEK_LLM_LETTERS,
            Isolate(r"\s?[!-/:-~\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}\u{2018}-\u{201F}\u{3001}\u{3002}]+"),
            Isolate(r"\s+\z"),
            CJK,
            Isolate(r"\p{N}+"),
        ]),
        "deepseek-coder" => plain(&[Isolate(r"[\r\n]"), Isolate(r"\s?\p{L}+"), Isolate(r"\s?\p{P}+"), CJK, EACH_DIGIT]),
        "deepseek-v3" | "hunyuan-dense" | "joyai-llm" | "hy_v4" => {
            plain(&[THREE_DIGITS, CHINESE_JAPANESE, DEEPSEEK_V3_WORDS])
        }
        "spark2_5" => plain(&[THREE_DIGITS, CHINESE_JAPANESE, SPARK_WORDS, EACH_DIGIT]),
        "falcon" => plain(&[Isolate(r"[\p{P}\$\+<=>\^~\|`]+"), GPT2, Isolate("[0-9][0-9][0-9]")]),
        "poro-chat" | "bloom" | "gpt3-finnish" => plain(&[SENTENCE_MARKS]),
        "viking" => plain(&[SENTENCE_MARKS, EACH_DIGIT]),
        "chameleon" => Some(Rule {
            stages: &[
                Isolate("<sentinel:[0-9]+>"),
                Isolate("IMGIMG[A-I]{1,4}Z"),
                Isolate(r"[\t\n]|    |  "),
                EACH_DIGIT,
                Isolate(r"[\p{P}!-/:-@\[-`{-~]"),
                GPT2,
            ],
            ignore_merges: false,
            add_bos: true,
        }),
        "superbpe" => plain(&[Isolate(r"\p{N}+"), Thousands]),
        "afmoe" => plain(&[Digits, AFMOE_SCRIPTS, DEEPSEEK_V3_WORDS]),
        _ => None,
    }
}
