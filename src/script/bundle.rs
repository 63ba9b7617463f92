//! The models inside the binary, and the cases of benchmarks: a script gets a directory with their files, wherever the binary was installed.

use super::failure::Answer;
use super::tokens::hex;
use crate::artifact::write_atomically;
use crate::error::{At, Error, Result, unknown};
use crate::gpu::memo;
use rhai::plugin::*;
use sha2::{Digest, Sha256};
use std::path::{Component, Path, PathBuf};

macro_rules! file {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../models/", $name)))
    };
    ($name:literal in config) => {
        ($name, include_bytes!(concat!("../../config/", $name)))
    };
}

/// The folder of `config/` that is bundled in the same way.
const BENCHMARKS: &str = "benchmarks";

/// Every file of every bundled model, as `model/file`.
const FILES: &[(&str, &[u8])] = &[
    file!("austen/config.json"),
    file!("austen/model.safetensors"),
    file!("austen/tokenizer.json"),
    file!("austen/tokenizer_config.json"),
    file!("austen/heldout.npy"),
    file!("austen-dba/config.json"),
    file!("austen-dba/model.safetensors"),
    file!("austen-dba/tokenizer.json"),
    file!("austen-dba/tokenizer_config.json"),
    file!("benchmarks/adversarial.yml" in config),
    file!("benchmarks/continuations.jsonl" in config),
    file!("benchmarks/facts.yml" in config),
    file!("benchmarks/prose.yml" in config),
];

/// The directory of the bundled model `name`: unpacked when it is first asked for, under a name that says what is in it, so that another
/// version of caramba neither finds it nor disturbs it.
fn directory(name: &str) -> Result<PathBuf> {
    let files: Vec<(&str, &[u8])> =
        FILES.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(name)?.strip_prefix('/')?, *bytes))).collect();
    if files.is_empty() {
        let folders = FILES.iter().filter_map(|(path, _)| path.split('/').next());
        let mut names: Vec<&str> = folders.filter(|name| *name != BENCHMARKS).collect();
        names.dedup();
        return Err(unknown("bundled model", name, names));
    }
    let mut hasher = Sha256::new();
    for (file, bytes) in &files {
        hasher.update(file.as_bytes());
        hasher.update(bytes);
    }
    let version = &hex(&hasher.finalize())[..12];
    let mut failure = Error::new("there is no directory to unpack the bundled model into");
    // The second one where there is no cache folder, or no writing to it.
    for place in memo::folder().into_iter().chain([std::env::temp_dir().join("caramba")]) {
        let path = place.join(version).join(name);
        match unpack(&path, &files) {
            Ok(()) => return Ok(path),
            Err(error) => failure = error,
        }
    }
    Err(failure.remedy("point the environment variable TMPDIR at a directory that you may write to"))
}

/// What a path of this repository means where there is no repository: `models/austen`, `models/austen/heldout.npy` and
/// `config/benchmarks/adversarial.yml` are inside the binary, and come from there when nothing is at `path`. Every other path is returned as it is.
///
/// # Errors
/// There is no directory to unpack the model into.
pub fn find_model(path: &Path) -> Result<PathBuf> {
    match inside(path) {
        Some((name, file)) if !path.exists() => directory(&name).map(|directory| directory.join(file)),
        _ => Ok(path.to_path_buf()),
    }
}

/// Whether `path` leads into the binary: nothing is there, and it names a bundled model.
pub fn is_bundled(path: &Path) -> bool {
    !path.exists() && inside(path).is_some()
}

/// The model, and the file in it (or nothing), that `models/MODEL/FILE` names.
fn inside(path: &Path) -> Option<(String, PathBuf)> {
    // `./models/austen/` is the same.
    let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    let path = path.strip_prefix("models").or_else(|_| path.strip_prefix("config")).ok().filter(|inside| {
        // Each under its own folder.
        path.starts_with("config") == inside.starts_with(BENCHMARKS)
    })?;
    let name = path.iter().next()?.to_str()?;
    let file = path.strip_prefix(name).ok()?;
    let known = |known: &&str| Path::new(known) == path || (file.as_os_str().is_empty() && known.split('/').next() == Some(name));
    FILES.iter().any(|(file, _)| known(file)).then(|| (name.to_owned(), file.to_path_buf()))
}

fn unpack(path: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    std::fs::create_dir_all(path).at(path.display())?;
    for (file, bytes) in files {
        let target = path.join(file);
        // What somebody else has put there is not trusted, only what has the same bytes.
        if !std::fs::read(&target).is_ok_and(|there| there == *bytes) {
            write_atomically(&target, bytes)?;
        }
    }
    Ok(())
}

#[export_module]
pub(super) mod api {
    /// The directory of a model that is inside the binary: `"austen"`, with its held-out text beside it as `heldout.npy`, and `"austen-dba"`, its
    /// decoupled student. `models/austen` is the same to `load` and `dataset` wherever there is no such directory.
    ///
    /// # Example
    /// ```rhai
    /// let path = bundled("austen");
    /// assert(exists(`${path}/config.json`) && exists(`${path}/heldout.npy`), path);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn bundled(name: &str) -> Answer<String> {
        Ok(directory(name)?.display().to_string())
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
