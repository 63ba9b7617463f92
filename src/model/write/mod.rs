//! Writes a model as a directory: `config.json`, `model.safetensors`, the tokenizer. A standard model can be read by `transformers`; a student
//! has an `attention` section in its configuration (see `huggingface/attention.rs`).

mod config;
mod safetensors;

use super::architecture::Architecture;
use super::huggingface;
use super::tensor::{DataType, Tensor};
use super::{Model, parent};
use crate::error::{At, Error, Result};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// How to write a model.
#[derive(Clone, Copy)]
pub struct WriteOptions<'a> {
    /// Of the matrices: `F32`, `F16` or `BF16`. Vectors (norms, biases, gates) are always F32: they are small, and sensitive.
    pub data_type: DataType,
    /// The model whose tokenizer goes with it.
    pub tokenizer: Option<&'a Model>,
    /// Whether a directory that is there may be replaced.
    pub replace: bool,
}

impl Default for WriteOptions<'_> {
    fn default() -> Self {
        Self { data_type: DataType::F16, tokenizer: None, replace: false }
    }
}

/// Writes the model of `architecture` and `tensors` as the directory `path`. The directory appears when all of it is on the disk.
///
/// # Errors
/// Tensors that aren't those of the architecture; an architecture or values that the form can't hold; a directory that is there already
/// or can't be written; Ctrl-C.
pub fn write_directory(path: &Path, architecture: &Architecture, tensors: &BTreeMap<String, Tensor>, options: &WriteOptions) -> Result<()> {
    write(path, architecture, tensors, options).at(path.display())
}

fn write(path: &Path, architecture: &Architecture, tensors: &BTreeMap<String, Tensor>, options: &WriteOptions) -> Result<()> {
    architecture.check()?;
    architecture.check_tensors(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())))?;
    let occupied = match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(error.into()),
    };
    if occupied && !options.replace {
        return Err(Error::new("the directory is there already").remedy("remove it, or choose another"));
    }
    let config = config::of(architecture, options.data_type)?;
    let mut config = serde_json::to_string_pretty(&config).map_err(|error| Error::new(error.to_string()))?;
    config.push('\n');

    let parent = parent(path);
    std::fs::create_dir_all(parent).map_err(Error::from).at(parent.display())?;
    // Temporary directories are private by default; a model is as readable as any directory its owner makes (the umask applies).
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    // Removed when dropped, so that a failure leaves nothing behind.
    let directory = builder.tempdir_in(parent)?;
    safetensors::write(&directory.path().join(huggingface::WEIGHTS), &architecture.tensors(), tensors, options.data_type)?;
    write_file(&directory.path().join(huggingface::CONFIG), config.as_bytes())?;
    if let Some(model) = options.tokenizer {
        tokenizer(directory.path(), model)?;
    }

    // The old directory steps aside first: no system replaces a directory that isn't empty in one step.
    let aside = builder.tempdir_in(parent)?;
    let old = aside.path().join("old");
    let had_old = path.is_dir();
    if had_old {
        std::fs::rename(path, &old)?;
    }
    if let Err(error) = std::fs::rename(directory.path(), path) {
        if had_old {
            // If this fails too, the first failure is what the user must hear of.
            let _ = std::fs::rename(&old, path);
        }
        return Err(error.into());
    }
    // It has its final name now: there is nothing to remove.
    let _ = directory.keep();
    Ok(())
}

/// Files beside a `tokenizer.json` that other programs read.
const COMPANIONS: [&str; 3] = ["tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];

/// The files of the model's tokenizer as they are; for one that came out of a GGUF, a `tokenizer.json` that does the same.
fn tokenizer(directory: &Path, model: &Model) -> Result<()> {
    let Ok(tokenizer) = model.tokenizer() else { return Ok(()) };
    let target = directory.join(huggingface::TOKENIZER);
    let source = model.files.iter().find(|file| file.path.file_name().is_some_and(|name| name == huggingface::TOKENIZER));
    let Some(source) = source.map(|file| &file.path) else {
        let text = |token: Option<u32>| token.and_then(|token| tokenizer.token_text(token));
        // What `transformers` needs beside a tokenizer.json.
        let config = serde_json::json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": text(model.architecture.bos),
            "eos_token": text(model.architecture.eos.first().copied()),
            "clean_up_tokenization_spaces": false,
        });
        write_file(&target, tokenizer.to_json()?.as_bytes())?;
        return write_file(&directory.join(COMPANIONS[0]), config.to_string().as_bytes());
    };
    std::fs::copy(source, target).map_err(Error::from).at(source.display())?;
    for name in COMPANIONS {
        let companion = parent(source).join(name);
        if companion.is_file() {
            std::fs::copy(&companion, directory.join(name)).map_err(Error::from).at(companion.display())?;
        }
    }
    Ok(())
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    Ok(())
}

#[cfg(test)]
mod tests;
