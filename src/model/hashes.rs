//! Which files exactly a result was made with.

use super::Model;
use crate::error::{At, Error, Result};
use crate::interrupt;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// A file of a model, named so that somebody else can find out whether theirs is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHash {
    /// Without its directory.
    pub file: String,
    pub bytes: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Model {
    /// The hash of every file of the model. All of them are read, once: the second call returns what the first one found.
    ///
    /// # Errors
    /// A file that can no longer be read; Ctrl-C.
    pub fn hashes(&self) -> Result<&[FileHash]> {
        if let Some(known) = self.hashes.get() {
            return Ok(known);
        }
        let hashes = self.files.iter().map(|file| hash(file).at(file.display())).collect::<Result<Vec<_>>>()?;
        Ok(self.hashes.get_or_init(|| hashes))
    }
}

fn hash(path: &Path) -> Result<FileHash> {
    let mut file = std::fs::File::open(path)?;
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let mut chunk = vec![0; 1 << 20];
    loop {
        interrupt::check()?;
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => {
                hasher.update(&chunk[..length]);
                bytes += length as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::from(error)),
        }
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(FileHash { file, bytes, sha256 })
}
