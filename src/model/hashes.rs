//! Which files exactly a result was made with.

use super::Model;
use super::file::ModelFile;
use crate::error::{At, Result};
use crate::interrupt;
use sha2::{Digest, Sha256};

/// A file of a model, named so that somebody else can find out whether theirs is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHash {
    /// Without its directory.
    pub file: String,
    pub bytes: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

/// Bytes that are hashed between two looks for Ctrl-C.
const CHUNK: usize = 1 << 20;

impl Model {
    /// The hash of every file of the model: of the bytes that were loaded, whatever lies at its path by now. All of them are read, once:
    /// the second call returns what the first one found.
    ///
    /// # Errors
    /// A file that was written to after it had been loaded; Ctrl-C.
    pub fn hashes(&self) -> Result<&[FileHash]> {
        if let Some(known) = self.hashes.get() {
            return Ok(known);
        }
        let hashes = self.files.iter().map(|file| hash(file).at(file.path.display())).collect::<Result<Vec<_>>>()?;
        Ok(self.hashes.get_or_init(|| hashes))
    }
}

fn hash(file: &ModelFile) -> Result<FileHash> {
    let mapped = file.mapped();
    mapped.unchanged()?;
    let mut hasher = Sha256::new();
    for chunk in mapped.bytes().chunks(CHUNK) {
        interrupt::check()?;
        hasher.update(chunk);
    }
    mapped.unchanged()?;
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(FileHash { file: name, bytes: file.length() as u64, sha256 })
}
