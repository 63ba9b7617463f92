//! What a dataset of token ids holds, for `caramba inspect`.

use super::columns::facts;
use crate::artifact::number;
use crate::error::Result;
use crate::script::{Dtype, TokenDataset, find_model, is_pattern};
use crate::terminal;
use serde_json::json;
use std::path::Path;

/// Whether a path is meant as a dataset: by its name's ending, as a pattern, or as a directory of token ids and no model.
pub fn is_dataset(path: &Path) -> bool {
    let ends = |path: &Path, endings: &[&str]| {
        path.extension().is_some_and(|found| endings.iter().any(|ending| found.eq_ignore_ascii_case(ending)))
    };
    if is_pattern(path) || ends(path, &["npy", "npz"]) {
        return true;
    }
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    let names: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    names.iter().any(|name| ends(name, &["npy", "npz"])) && !names.iter().any(|name| ends(name, &["gguf", "safetensors", "pt"]))
}

/// The dataset at `path` in words, or as JSON.
///
/// # Errors
/// It is none, or damaged.
pub fn described(path: &Path, dtype: Option<&str>, as_json: bool) -> Result<String> {
    let dataset = TokenDataset::open(&find_model(path)?, Dtype { given: None, otherwise: dtype })?;
    dataset.notes().iter().for_each(|note| terminal::warn(note));
    let (least, most) = dataset.range()?;
    let sidecar = dataset.sidecar()?.unwrap_or_default();
    let (files, tokens) = (dataset.files().len(), dataset.count());
    if as_json {
        let tokenizer = (!sidecar.tokenizer.is_empty()).then_some(&sidecar.tokenizer);
        let files: Vec<String> = dataset.files().map(|file| file.display().to_string()).collect();
        let value = json!({
            "files": files, "tokens": tokens, "stored_as": dataset.stored_type(), "smallest_id": least, "largest_id": most,
            "tokenizer": tokenizer, "model": sidecar.model, "separator": sidecar.separator, "sha256": dataset.hash()?,
        });
        return Ok(format!("{value}\n"));
    }
    let tokenizer = match (sidecar.tokenizer.get(..12), sidecar.model.as_str()) {
        (None, _) => "not said: no dataset.npy.json stands beside it".to_owned(),
        (Some(hash), "") => format!("{hash}..."),
        (Some(hash), model) => format!("that of {model} ({hash}...)"),
    };
    let separator = sidecar.separator.map_or_else(|| "nothing that is known".to_owned(), |id| format!("token {id}"));
    Ok(format!(
        "{}\n{}",
        dataset.path().display(),
        facts(&[
            ("files", files.to_string()),
            ("tokens", number::integer(tokens as i64)),
            ("stored as", dataset.stored_type()),
            ("ids", format!("from {least} to {most}")),
            ("tokenizer", tokenizer),
            ("between", separator),
            ("sha256", dataset.hash()?),
        ])
    ))
}
