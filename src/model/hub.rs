//! Models by the name that they have on the Hugging Face hub: `hf://ORG/NAME[@REVISION][/FILE]`, found in the cache that the hub's own programs
//! keep on this machine. Nothing is fetched.
//!
//! The cache: `models--ORG--NAME/refs/REVISION` holds a commit, `models--ORG--NAME/snapshots/COMMIT/` its files. Source: the guide "Manage
//! huggingface_hub cache-system", and `huggingface_hub.constants`.

use crate::error::{Error, Result};
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

    /// The directory of its revision in a cache, or the file.
    fn find(&self, cache: &Path) -> Option<PathBuf> {
        let repository = cache.join(format!("models--{}--{}", self.organisation, self.repository));
        let commit = std::fs::read_to_string(repository.join("refs").join(&self.revision)).ok();
        let commit = commit.as_deref().map_or(self.revision.as_str(), str::trim);
        Some(repository.join("snapshots").join(commit).join(&self.file)).filter(|path| path.exists())
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

/// Where a model that is called as on the hub lies: what `path` names if it exists, or is no such name.
///
/// # Errors
/// It is given as `hf://...` and isn't in the cache.
pub fn locate(path: &Path) -> Result<PathBuf> {
    locate_in(path, cache().as_deref())
}

fn locate_in(path: &Path, cache: Option<&Path>) -> Result<PathBuf> {
    if path.exists() {
        return Ok(path.to_owned());
    }
    let Some(name) = Name::parse(path) else { return Ok(path.to_owned()) };
    match cache.and_then(|cache| name.find(cache)) {
        Some(found) => Ok(found),
        None if name.explicit => {
            let Name { organisation, repository, revision, .. } = &name;
            let place = cache.map_or_else(String::new, |cache| format!(" ({})", cache.display()));
            let revision = if revision == "main" { String::new() } else { format!(" --revision {revision}") };
            Err(Error::new(format!("it is not in the cache of the hub on this machine{place}")).at(path.display()).remedy(format!(
                "fetch it with `hf download {organisation}/{repository}{revision}`, of the Python package huggingface_hub"
            )))
        }
        None => Ok(path.to_owned()),
    }
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
        }
        std::fs::write(repository.join("snapshots/c0de/model.gguf"), "x").unwrap();
        let found = |path: &str| locate_in(Path::new(path), Some(cache.path()));
        assert_eq!(found("hf://org/name").unwrap(), repository.join("snapshots/c0ffee"));
        assert_eq!(found("org/name").unwrap(), repository.join("snapshots/c0ffee"));
        assert_eq!(found("hf://org/name@v2/model.gguf").unwrap(), repository.join("snapshots/c0de/model.gguf"));
        assert_eq!(found("hf://org/name@c0de").unwrap(), repository.join("snapshots/c0de"));
        assert_eq!(found("org/other").unwrap(), Path::new("org/other"));
        let message = found("hf://org/other").unwrap_err().to_string();
        assert!(message.contains("hf download org/other"), "{message}");
    }
}
