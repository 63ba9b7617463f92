//! A context and what may follow it, as tokens: what choices by log-probability are scored on.

use super::failure::Answer;
use super::model::Model;
use super::model_file::ModelFile;
use super::tokens::Tokens;
use crate::error::{Error, Result};
use crate::model;
use rhai::Map;
use rhai::plugin::*;

/// The rule of lm-evaluation-harness (`TemplateLM._encode_pair`, version 0.4.13): spaces at the end of the context belong to the continuation, both are
/// tokenised in one piece, and the continuation is what comes after as many tokens as the context has by itself. Without a context, the token
/// that begins (or ends) a text stands in its place.
fn encode(model: &model::Model, context: &str, continuation: &str) -> Result<[Vec<u32>; 2]> {
    let tokenizer = model.tokenizer()?;
    let architecture = &model.architecture;
    let (before, after) = if context.is_empty() {
        let tokens = tokenizer.encode(continuation, false)?;
        let Some(first) = architecture.bos.or(architecture.eos.first().copied()) else {
            let error = Error::new(format!("{} has no token that begins or ends a text, and the context is empty", model.name));
            return Err(error.remedy("give a context"));
        };
        if tokens.first() == Some(&first) { (vec![first], tokens[1..].to_vec()) } else { (vec![first], tokens) }
    } else {
        let (kept, spaces) = context.split_at(context.trim_end().len());
        let whole = tokenizer.encode(&format!("{kept}{spaces}{continuation}"), true)?;
        let mut before = tokenizer.encode(kept, true)?;
        // What merges over the seam may be shorter than the context alone.
        before.truncate(whole.len());
        let after = whole[before.len()..].to_vec();
        (before, after)
    };
    if before.is_empty() || after.is_empty() {
        let error = Error::new(format!("the continuation {continuation:?} adds no token to its context"));
        return Err(error.remedy("give a longer continuation"));
    }
    Ok([before, after])
}

fn as_map([context, continuation]: [Vec<u32>; 2]) -> Map {
    Map::from_iter([
        ("context".into(), Dynamic::from(Tokens::from(context))),
        ("continuation".into(), Dynamic::from(Tokens::from(continuation))),
    ])
}

#[export_module]
pub(super) mod api {
    /// A context and its continuation as tokens: `context` and `continuation`. They are tokenised in one piece and parted where the context alone
    /// ends, and spaces at the context's end go to the continuation, as lm-evaluation-harness does it.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model = load("models/SmolLM2-135M");
    /// let pair = model.encode_pair("The capital of France is", " Paris");
    /// let session = model.session();
    /// session.prefill(pair.context);
    /// print(session.score(pair.continuation).sum());
    /// ```
    #[rhai_fn(name = "encode_pair", pure, return_raw)]
    pub fn encode_pair(model: &mut Model, context: &str, continuation: &str) -> Answer<Map> {
        Ok(super::as_map(super::encode(model.network.model(), context, continuation)?))
    }

    /// Whether it has a chat template: base models have none.
    #[rhai_fn(get = "has_chat_template", pure)]
    pub fn has_chat_template_of_file(file: &mut ModelFile) -> bool {
        file.model.chat_template().is_ok()
    }

    /// As that of a loaded model.
    #[rhai_fn(name = "encode_pair", pure, return_raw)]
    pub fn encode_pair_of_file(file: &mut ModelFile, context: &str, continuation: &str) -> Answer<Map> {
        Ok(super::as_map(super::encode(&file.model, context, continuation)?))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
