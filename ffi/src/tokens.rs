//! Text to tokens and back, and conversations to text.

use std::ffi::c_char;

use ruminate::text::{ChatMessage, ChatOptions, EncodeOptions};
use serde_json::Value;

use crate::call::{clear, entry, not_null};
use crate::model::{Model, rum_model};
use crate::status::{Failure, rum_status};
use crate::text::{self, rum_text};

/// Puts the tokens around a text that the model wants there (see `rum_tokenize`).
pub const RUM_TOKENIZE_ADD_SPECIAL: u32 = 1;
/// Reads the names of control tokens, such as `<|im_end|>`, as those tokens. Not for text of unknown origin, which could
/// otherwise speak with the system's voice.
pub const RUM_TOKENIZE_PARSE_SPECIAL: u32 = 2;
/// Spells control tokens out (see `rum_detokenize`).
pub const RUM_DETOKENIZE_RENDER_SPECIAL: u32 = 1;

/// The tokens of `text`. `flags` are `RUM_TOKENIZE_ADD_SPECIAL` and `RUM_TOKENIZE_PARSE_SPECIAL`.
///
/// `tokens` has room for `capacity` of them, and `n_tokens` gets their number. When that is more than `capacity` the call
/// gives `RUM_ERR_BUFFER_TOO_SMALL`, writes `n_tokens` all the same and no token: ask with NULL and 0 first, or with room for
/// the text's bytes and 2 more, which is always enough. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_tokenize(
    model: *const rum_model,
    text: *const c_char,
    text_len: usize,
    flags: u32,
    tokens: *mut u32,
    capacity: usize,
    n_tokens: *mut usize,
) -> rum_status {
    entry("rum_tokenize", |call| {
        let model = call.receiver::<Model>(model)?;
        not_null(n_tokens, "n_tokens")?;
        check_flags(flags, RUM_TOKENIZE_ADD_SPECIAL | RUM_TOKENIZE_PARSE_SPECIAL)?;
        // SAFETY: the caller's promise.
        let text = unsafe { text::read(text, text_len, "the text") }?;
        let options = EncodeOptions {
            add_special: flags & RUM_TOKENIZE_ADD_SPECIAL != 0,
            parse_special: flags & RUM_TOKENIZE_PARSE_SPECIAL != 0,
        };
        let found = model.value.tokenizer.encode(text, options)?;
        if found.len() > capacity {
            // SAFETY: the caller's promise; not NULL.
            unsafe { n_tokens.write(found.len()) };
            let message = format!("{} tokens, and room for {capacity}", found.len());
            return Err(Failure::new(rum_status::RUM_ERR_BUFFER_TOO_SMALL, message));
        }
        if !found.is_empty() {
            not_null(tokens, "tokens")?;
            // SAFETY: the caller's promise: room for `capacity`, which is enough; not NULL.
            unsafe { std::ptr::copy_nonoverlapping(found.as_ptr(), tokens, found.len()) };
        }
        // SAFETY: the caller's promise; not NULL.
        unsafe { n_tokens.write(found.len()) };
        Ok(())
    })
}

/// The text of `n_tokens` tokens; bytes that are not UTF-8 become U+FFFD, and so does a token outside the vocabulary. `flags` is
/// 0 or `RUM_DETOKENIZE_RENDER_SPECIAL`. The caller frees `out`. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_detokenize(
    model: *const rum_model,
    tokens: *const u32,
    n_tokens: usize,
    flags: u32,
    out: *mut *mut rum_text,
) -> rum_status {
    entry("rum_detokenize", |call| {
        let model = call.receiver::<Model>(model)?;
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        check_flags(flags, RUM_DETOKENIZE_RENDER_SPECIAL)?;
        // SAFETY: the caller's promise.
        let tokens = unsafe { slice(tokens, n_tokens, "tokens") }?;
        let bytes = model.value.tokenizer.decode(tokens, flags & RUM_DETOKENIZE_RENDER_SPECIAL != 0);
        // SAFETY: the caller's promise; not NULL.
        unsafe { text::hand_out(String::from_utf8_lossy(&bytes), out) }
    })
}

/// The text of a conversation, by the model's chat template. `messages` is a JSON array of objects with the texts `role` and
/// `content`; with `add_generation_prompt` other than 0 the text ends where the answer begins.
///
/// The caller frees `out`. Errors: `RUM_ERR_UNSUPPORTED` for a model without a template, `RUM_ERR_INVALID_ARGUMENT` for JSON of
/// another form and for a conversation that the template refuses. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_chat_render(
    model: *const rum_model,
    messages: *const c_char,
    messages_len: usize,
    add_generation_prompt: u32,
    out: *mut *mut rum_text,
) -> rum_status {
    entry("rum_chat_render", |call| {
        let model = call.receiver::<Model>(model)?;
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let messages = unsafe { text::read(messages, messages_len, "the messages") }?;
        let rendered = render(&model.value, messages, add_generation_prompt != 0)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { text::hand_out(rendered, out) }
    })
}

/// The text of the conversation in `json`.
pub fn render(model: &Model, json: &str, add_generation_prompt: bool) -> Result<String, Failure> {
    let messages = parse(json)?;
    let Some(template) = &model.template else {
        let message = "the model has no chat template; give the prompt as text";
        return Err(Failure::new(rum_status::RUM_ERR_UNSUPPORTED, message));
    };
    let options = ChatOptions { add_generation_prompt, ..ChatOptions::default() };
    Ok(template.render_with(&messages, &options)?)
}

fn parse(json: &str) -> Result<Vec<ChatMessage>, Failure> {
    let wrong =
        |what: &str| Failure::invalid(format!("the messages are {what}: give [{{\"role\": …, \"content\": …}}, …]"));
    let value: Value = serde_json::from_str(json).map_err(|e| wrong(&format!("no JSON ({e})")))?;
    let list = value.as_array().ok_or_else(|| wrong("no array"))?;
    let message = |value: &Value| {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        Some(ChatMessage::new(text("role")?, text("content")?))
    };
    list.iter().map(|value| message(value).ok_or_else(|| wrong("not all objects with both texts"))).collect()
}

/// Numbers of the host, to be read in this call.
///
/// # Safety
/// `pointer` is NULL or valid for reading `n` numbers as long as the result is used.
pub unsafe fn slice<'a>(pointer: *const u32, n: usize, what: &str) -> Result<&'a [u32], Failure> {
    if n == 0 {
        return Ok(&[]);
    }
    not_null(pointer, what)?;
    if n > isize::MAX as usize / size_of::<u32>() {
        return Err(Failure::invalid(format!("{what}: {n} are more than memory holds")));
    }
    // SAFETY: the caller's promise; neither NULL nor unaligned.
    Ok(unsafe { std::slice::from_raw_parts(pointer, n) })
}

fn check_flags(flags: u32, known: u32) -> Result<(), Failure> {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(Failure::invalid(format!("unknown flags {unknown:#x}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_objects_with_two_texts() {
        let read = parse(r#"[{"role": "user", "content": "hi", "name": "x"}]"#).unwrap();
        assert_eq!(read, [ChatMessage::new("user", "hi")]);
        assert!(parse("[]").unwrap().is_empty());
        for bad in ["", "{", "{}", "[1]", "[{}]", r#"[{"role": "user"}]"#, r#"[{"role": 1, "content": "x"}]"#] {
            assert_eq!(parse(bad).unwrap_err().status, rum_status::RUM_ERR_INVALID_ARGUMENT, "{bad}");
        }
    }
}
