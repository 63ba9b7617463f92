//! Files that are whole or not there.

use crate::error::{At, Error, Result};
use std::io::Write;
use std::path::Path;

/// Writes a file under a temporary name beside `path`, and renames it when all of it is on the disk. A file of that name is replaced.
///
/// # Errors
/// The directory is missing, unwritable or full; `path` is a directory.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        let error = Error::new(format!("there is no directory {}", directory.display())).remedy("make it first, or write elsewhere");
        return Err(error.at(path.display()));
    }
    let attempt = || -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".writing-");
        // Temporary files are private by default; an artifact is as readable as any file its owner makes (the umask applies).
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(directory)?;
        file.write_all(bytes)?;
        sync(file.as_file())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    attempt().map_err(plain).at(path.display())
}

/// What the system says, without the temporary file's name: nobody has heard of that file.
fn plain(error: std::io::Error) -> Error {
    let text = error.to_string();
    let sentence = text.split(" at path \"").next().unwrap_or(&text);
    match Error::from(error).help() {
        Some(help) => Error::new(sentence).remedy(help),
        None => Error::new(sentence),
    }
}

/// Puts what was written onto the disk: after a driver has taken the machine down, the rows are still there.
pub(super) fn sync(file: &std::fs::File) -> std::io::Result<()> {
    match file.sync_data() {
        // Pipes, devices and some network file systems have nothing to synchronise.
        Err(error) if matches!(error.kind(), std::io::ErrorKind::Unsupported | std::io::ErrorKind::InvalidInput) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        write(&path, b"first, and longer").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_it_as_they_may_any_file() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (ours, plain) = (directory.path().join("a"), directory.path().join("b"));
        write(&ours, b"").unwrap();
        std::fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn failures_name_the_file_and_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("nowhere").join("a.txt");
        let error = write(&missing, b"").unwrap_err().to_string();
        assert!(error.contains("a.txt: there is no directory ") && error.contains("help: make it first"), "{error}");
        let taken = directory.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        assert!(write(&taken, b"x").is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
