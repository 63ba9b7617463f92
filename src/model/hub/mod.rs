//! Models by the name that they have on the Hugging Face hub: `hf://ORG/NAME[@REVISION][/FILE]`, or `ORG/NAME` where no such path exists. The cache
//! that the hub's own programs keep on this machine is looked at first; what is not there is fetched into it ([`fetch`]).
//!
//! The cache: `models--ORG--NAME/refs/REVISION` holds a commit, `models--ORG--NAME/snapshots/COMMIT/` its files. Source: the guide "Manage
//! huggingface_hub cache-system", and `huggingface_hub.constants`.

mod fetch;
mod wanted;

use crate::error::Result;
use std::path::{Component, Path, PathBuf};

const SCHEME: &str = "hf:";

/// A repository's name and what of it is meant.
#[derive(Debug, PartialEq)]
struct Name {
    organisation: String,
    repository: String,
    revision: String,
    /// Empty: all of it.
    file: PathBuf,
    /// Whether it was given as `hf://...`, and so can be nothing else.
    explicit: bool,
}

impl Name {
    /// `None`: no name of a repository.
    fn parse(path: &Path) -> Option<Name> {
        let parts: Vec<&str> = path.components().map(|part| part.as_os_str().to_str()).collect::<Option<_>>()?;
        // A manifest's directory may stand before it.
        let start = parts.iter().position(|part| *part == SCHEME);
        let explicit = start.is_some();
        let rest = start.map_or(parts.as_slice(), |start| &parts[start + 1..]);
        let (&[organisation, repository], file) = rest.split_first_chunk::<2>()?;
        if (!explicit && !file.is_empty()) || path.components().any(|part| matches!(part, Component::ParentDir)) {
            return None;
        }
        let (repository, revision) = repository.split_once('@').unwrap_or((repository, "main"));
        let word =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) && !text.starts_with('.');
        let fits = word(organisation) && word(repository) && word(revision);
        fits.then(|| Name {
            organisation: organisation.to_owned(),
            repository: repository.to_owned(),
            revision: revision.to_owned(),
            file: file.iter().collect(),
            explicit,
        })
    }

    /// The directory of its revision in a cache, or the file, if all of it is there.
    fn find(&self, cache: &Path) -> Option<PathBuf> {
        let snapshot = self.snapshot(cache);
        let found = snapshot.join(&self.file);
        let complete = if self.file.as_os_str().is_empty() { wanted::is_complete(&snapshot) } else { found.exists() };
        complete.then_some(found)
    }

    /// Where its revision lies in a cache, or would lie.
    fn snapshot(&self, cache: &Path) -> PathBuf {
        let repository = cache.join(format!("models--{}--{}", self.organisation, self.repository));
        let commit = std::fs::read_to_string(repository.join("refs").join(&self.revision)).ok();
        let commit = commit.as_deref().map_or(self.revision.as_str(), str::trim);
        repository.join("snapshots").join(commit)
    }

    /// As the hub calls it.
    fn id(&self) -> String {
        format!("{}/{}", self.organisation, self.repository)
    }

    /// Whether it looks as much like a path: a directory of the first word is there, or the second ends as a file does.
    fn may_be_a_path(&self) -> bool {
        const FILES: [&str; 11] = ["gguf", "safetensors", "pt", "pth", "bin", "ckpt", "json", "npy", "txt", "yml", "yaml"];
        const DIRECTORIES: [&str; 5] = ["models", "runs", "checkpoints", "data", "artifacts"];
        let extension = Path::new(&self.repository).extension().and_then(|extension| extension.to_str());
        !self.explicit
            && (Path::new(&self.organisation).exists()
                || DIRECTORIES.contains(&self.organisation.as_str())
                || extension.is_some_and(|extension| FILES.contains(&extension)))
    }
}

/// Where the programs of the hub keep what they fetched, the first that the environment names.
pub(crate) fn cache() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("HF_HUB_CACHE")
        .or_else(|| named("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| named("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| named("XDG_CACHE_HOME").map(|cache| cache.join("huggingface/hub")))
        .or_else(|| dirs::home_dir().map(|home| home.join(".cache/huggingface/hub")))
}

/// Where a model that is called as on the hub lies: what `path` names if it exists, or is no such name. What is not on this machine is fetched.
///
/// # Errors
/// It is in no cache, and can't be fetched.
pub fn locate(path: &Path) -> Result<PathBuf> {
    let name = match find_in(path, cache().as_deref()) {
        Ok(found) => return Ok(found),
        Err(name) => name,
    };
    if name.may_be_a_path() {
        return Ok(path.to_owned());
    }
    fetch::fetch(&name, cache().as_deref(), path)
}

/// What a model is called that is named as on the hub: by its repository, or by its file there.
pub(crate) fn name_of(path: &Path) -> Option<String> {
    let name = Name::parse(path).filter(|name| name.explicit && !path.exists())?;
    let file = name.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Some(file.unwrap_or(name.repository))
}

/// Whether opening `path` would fetch something.
pub(crate) fn would_fetch(path: &Path) -> bool {
    find_in(path, cache().as_deref()).is_err_and(|name| !name.may_be_a_path())
}

/// Whether `path` names a model on the hub, written so that it can be nothing else or found in the cache.
pub fn is_hub_name(path: &Path) -> bool {
    !path.exists() && Name::parse(path).is_some_and(|name| name.explicit || cache().is_some_and(|cache| name.find(&cache).is_some()))
}

/// What `path` names if that exists, or is no name on the hub, or is in the cache; else the name to fetch.
fn find_in(path: &Path, cache: Option<&Path>) -> std::result::Result<PathBuf, Name> {
    if path.exists() {
        return Ok(path.to_owned());
    }
    let Some(name) = Name::parse(path) else { return Ok(path.to_owned()) };
    cache.and_then(|cache| name.find(cache)).ok_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_paths() {
        let name = |path: &str| Name::parse(Path::new(path));
        let plain = name("org/name").unwrap();
        assert!(!plain.explicit && plain.repository == "name" && plain.revision == "main");
        let full = name("runs/hf://org/name@v1.0/sub/model.gguf").unwrap();
        assert_eq!((full.organisation.as_str(), full.revision.as_str(), full.file.as_path()), ("org", "v1.0", Path::new("sub/model.gguf")));
        for path in ["model.gguf", "a/b/c", "../org/name", "hf://org", "hf://org/../../etc", "org/na me", "org/.hidden"] {
            assert_eq!(name(path), None, "{path}");
        }
    }

    #[test]
    fn models_are_found_in_the_cache() {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--org--name");
        for (reference, commit) in [("main", "c0ffee"), ("v2", "c0de")] {
            std::fs::create_dir_all(repository.join("snapshots").join(commit)).unwrap();
            std::fs::create_dir_all(repository.join("refs")).unwrap();
            std::fs::write(repository.join("refs").join(reference), commit).unwrap();
            std::fs::write(repository.join("snapshots").join(commit).join("model.gguf"), "x").unwrap();
        }
        let found = |path: &str| find_in(Path::new(path), Some(cache.path()));
        assert_eq!(found("hf://org/name").unwrap(), repository.join("snapshots/c0ffee"));
        assert_eq!(found("org/name").unwrap(), repository.join("snapshots/c0ffee"));
        assert_eq!(found("hf://org/name@v2/model.gguf").unwrap(), repository.join("snapshots/c0de/model.gguf"));
        assert_eq!(found("hf://org/name@c0de").unwrap(), repository.join("snapshots/c0de"));
        // A part of a model is not the model: its weights are to be fetched yet.
        std::fs::write(repository.join("snapshots/c0ffee/config.json"), "{}").unwrap();
        std::fs::remove_file(repository.join("snapshots/c0ffee/model.gguf")).unwrap();
        assert!(found("org/name").is_err() && found("hf://org/name").is_err());
    }

    #[test]
    fn paths_are_not_asked_for_on_the_hub() {
        let path = |path: &str| Name::parse(Path::new(path)).unwrap().may_be_a_path();
        assert!(path("models/autsen") && path("runs/student") && path("weights/student.pt") && path("src/nothing"));
        assert!(!path("HuggingFaceTB/SmolLM2-135M") && !path("hf://models/x") && !path("org/llama-3.2"));
    }
}
