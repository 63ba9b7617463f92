//! What was learnt about a device and is worth keeping: one small file per adapter and driver in the user's cache folder.
//!
//! Facts are only ever about speed. A file of our own that cannot be read or written costs time, never a result, and is no error; one that a user names is.

use super::AdapterSummary;
use super::kernel::SHADERS;
use crate::error::{At, Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Facts by name.
pub struct Memo {
    path: Option<PathBuf>,
    facts: Mutex<Map<String, Value>>,
}

/// Where such files are: `$CARAMBA_CACHE`, else `caramba` in the user's cache folder. `None` where there is none, or the variable is empty.
pub fn folder() -> Option<PathBuf> {
    match std::env::var_os("CARAMBA_CACHE") {
        Some(folder) if folder.is_empty() => None,
        Some(folder) => Some(folder.into()),
        None => Some(dirs::cache_dir()?.join("caramba")),
    }
}

/// The file for an adapter: its name for people, and a digest of all that may change what is fastest.
pub fn file(adapter: &AdapterSummary, extension: &str) -> Option<PathBuf> {
    let words: String =
        adapter.name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' }).collect();
    let name = words.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    let name: String = name.chars().take(40).collect();
    let mut all = Sha256::new();
    all.update(format!("{adapter:?} {}", env!("CARGO_PKG_VERSION")));
    // What was fastest of other kernels says nothing of these.
    SHADERS.iter().for_each(|(name, source)| all.update(format!("{name}\n{source}")));
    let digest: String = all.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Some(folder()?.join(format!("{name}-{}-{digest}.{extension}", adapter.backend)))
}

impl Memo {
    /// The facts in a file, none if it cannot be read.
    pub fn open(path: Option<PathBuf>) -> Memo {
        let facts = path.as_deref().map(read).unwrap_or_default();
        Memo { path, facts: Mutex::new(facts) }
    }

    /// The facts in a file that somebody has named.
    ///
    /// # Errors
    /// It cannot be read, or is no JSON object.
    pub fn given(path: &Path) -> Result<Memo> {
        const REMEDY: &str = "give a file that `caramba devices` names, or auto, rule or measure";
        if !path.is_file() {
            return Err(Error::new("there is no such file of kernel forms").remedy(REMEDY).at(path.display()));
        }
        let text = std::fs::read(path).at(path.display())?;
        let facts = serde_json::from_slice(&text)
            .map_err(|error| Error::new(format!("this is no file of kernel forms: {error}")).remedy(REMEDY).at(path.display()))?;
        Ok(Memo { path: Some(path.to_owned()), facts: Mutex::new(facts) })
    }

    /// As [`Memo::open`], but what the file has is not recalled, only replaced fact by fact.
    pub fn renewed(path: Option<PathBuf>) -> Memo {
        Memo { path, facts: Mutex::default() }
    }

    /// One that forgets at the end of the process.
    pub fn fleeting() -> Memo {
        Memo::open(None)
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The fact of that name, if there is one and it makes sense.
    pub fn recall<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        T::deserialize(facts.get(name)?).ok()
    }

    /// Keeps a fact, on disk too.
    pub fn remember(&self, name: &str, fact: &impl Serialize) {
        let Ok(value) = serde_json::to_value(fact) else { return };
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts.insert(name.to_owned(), value);
        if let Some(path) = &self.path {
            // What another process has learnt meanwhile stays.
            for (name, value) in read(path) {
                facts.entry(name).or_insert(value);
            }
            facts.sort_keys();
            if let Ok(text) = serde_json::to_vec_pretty(&*facts) {
                write(path, &text);
            }
        }
    }

    /// All facts whose names begin with `start`.
    pub fn all<T: DeserializeOwned>(&self, start: &str) -> Vec<(String, T)> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = facts.iter().filter(|(name, _)| name.starts_with(start));
        chosen.filter_map(|(name, value)| Some((name.clone(), T::deserialize(value).ok()?))).collect()
    }
}

fn read(path: &Path) -> Map<String, Value> {
    std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Whole or not at all: a reader never sees half a file.
pub(super) fn write(path: &Path, bytes: &[u8]) {
    let attempt = || -> Option<()> {
        let folder = path.parent()?;
        std::fs::create_dir_all(folder).ok()?;
        let mut file = tempfile::NamedTempFile::new_in(folder).ok()?;
        file.write_all(bytes).ok()?;
        file.persist(path).ok()?;
        Some(())
    };
    // A read-only home only means that this is learnt again.
    let _ = attempt();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_outlive_their_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/facts.json");
        let (first, second) = (Memo::open(Some(path.clone())), Memo::open(Some(path.clone())));
        first.remember("product a", &1);
        second.remember("product b", &2);
        second.remember("other", &"three");
        let third = Memo::open(Some(path.clone()));
        assert_eq!(third.all::<u32>("product"), [("product a".to_owned(), 1), ("product b".to_owned(), 2)]);
        assert_eq!(third.recall::<String>("other").as_deref(), Some("three"));
        assert_eq!(third.recall::<u32>("other"), None);
        std::fs::write(&path, "{\"half\": ").unwrap();
        assert_eq!(Memo::open(Some(path)).all::<Value>("").len(), 0);
    }

    #[test]
    fn without_a_file_facts_are_fleeting() {
        let memo = Memo::fleeting();
        memo.remember("a", &1);
        assert_eq!((memo.recall("a"), memo.path()), (Some(1), None));
    }
}
