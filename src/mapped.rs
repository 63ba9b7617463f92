//! Files mapped into memory: pages are read when they are looked at, and the system may drop them again.
//!
//! A page of a file that has been shortened meanwhile can't be read any more, and the system says so with a signal (`SIGBUS`), which
//! would end the process without a word. Here it ends with the file's name and what to do. (Windows refuses to shorten a mapped file.)

use crate::error::{At, Error, Result};
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

/// A file and its bytes. The file stays open, so that it can be asked whether it has changed.
pub struct Mapped {
    map: Mmap,
    file: File,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    slot: Option<usize>,
}

/// What Git leaves in the place of a large file where Git LFS is missing.
const LFS_POINTER: &[u8] = b"version https://git-lfs";
/// That a file is what it is called, and no pointer to it.
///
/// # Errors
/// It is one: it says so in its first bytes.
pub fn no_pointer(bytes: &[u8]) -> Result<()> {
    if !bytes.starts_with(LFS_POINTER) {
        return Ok(());
    }
    Err(Error::new("this is not the file but a pointer to it, as Git leaves it where Git LFS is missing")
        .remedy("run `git lfs pull` there"))
}

/// A link of the Hugging Face cache, as text: how it looks after a copy by a program that knows no links.
const LINK: &str = "../../blobs/";

impl Mapped {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// It can't be opened, isn't a file, is empty, or only points to the file that is meant.
    pub fn open(path: &Path) -> Result<Mapped> {
        let mapped = Self::attempt(path).at(path.display())?;
        // A name of 64 hexadecimal digits, or 40.
        let link = std::str::from_utf8(mapped.bytes().get(..LINK.len() + 65).unwrap_or(mapped.bytes())).ok();
        let target = link
            .map(str::trim_end)
            .and_then(|link| link.strip_prefix(LINK))
            .filter(|blob| blob.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match (target, path.parent()) {
            (Some(blob), Some(directory)) => Self::attempt(&directory.join(LINK).join(blob)).at(path.display()),
            _ => Ok(mapped),
        }
    }

    fn attempt(path: &Path) -> Result<Mapped> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Error::new("expected a file, found a directory or a device"));
        }
        if metadata.len() == 0 {
            return Err(Error::new("the file is empty").remedy("fetch or copy it again"));
        }
        // SAFETY: the map is read-only, and all reads go through bounds-checked slices of bytes, for which any content is valid. A file
        // that another process shortens is dealt with below. Nothing in caramba writes into files that it maps: new ones are written
        // beside and renamed.
        let map = unsafe { Mmap::map(&file) }?;
        no_pointer(&map)?;
        #[cfg(unix)]
        let slot = shortened::watch(&map, path);
        Ok(Mapped {
            map,
            file,
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            slot,
        })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// That the file still holds what it held when it was opened, as far as its length and the time of its last change say. Another file
    /// that was put in its place is none of its concern.
    ///
    /// # Errors
    /// It was written to meanwhile.
    pub fn unchanged(&self) -> Result<()> {
        let metadata = self.file.metadata()?;
        match metadata.len() == self.map.len() as u64 && metadata.modified().ok() == self.modified {
            true => Ok(()),
            false => Err(Error::new("the file was written to after it had been loaded").remedy("run it again, and let it be meanwhile")),
        }
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(unix)]
impl Drop for Mapped {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            shortened::forget(slot);
        }
    }
}

/// The handler of the signal, and the table in which it looks up the file. A handler may neither allocate nor lock.
#[cfg(unix)]
mod shortened {
    use std::path::Path;
    use std::sync::Once;
    use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

    /// Files that are mapped at once and can be named. Others end the process with the same message without their name.
    const SLOTS: usize = 256;
    /// Longest name that is shown.
    const NAME: usize = 4096;

    struct Slot {
        /// 0: free; 1: being written.
        start: AtomicUsize,
        length: AtomicUsize,
        /// The name, `name_length` bytes that live as long as the process: a handler may be looking at them at any time.
        name: AtomicPtr<u8>,
        name_length: AtomicUsize,
    }

    static TABLE: [Slot; SLOTS] = [const {
        Slot {
            start: AtomicUsize::new(0),
            length: AtomicUsize::new(0),
            name: AtomicPtr::new(std::ptr::null_mut()),
            name_length: AtomicUsize::new(0),
        }
    }; SLOTS];
    static INSTALLED: Once = Once::new();

    /// Remembers whose bytes these are.
    pub fn watch(bytes: &[u8], path: &Path) -> Option<usize> {
        INSTALLED.call_once(install);
        let index = TABLE.iter().position(|slot| slot.start.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok())?;
        let slot = &TABLE[index];
        let shown = path.display().to_string();
        let name: &'static mut [u8] = crate::terminal::visible(&shown).as_bytes().iter().take(NAME).copied().collect::<Vec<u8>>().leak();
        slot.length.store(bytes.len(), Ordering::Relaxed);
        slot.name_length.store(name.len(), Ordering::Relaxed);
        slot.name.store(name.as_mut_ptr(), Ordering::Relaxed);
        slot.start.store(bytes.as_ptr() as usize, Ordering::Release);
        Some(index)
    }

    pub fn forget(index: usize) {
        TABLE[index].start.store(0, Ordering::Release);
    }

    fn install() {
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = told;
        // SAFETY: an all-zero `sigaction` is a valid one; the handler has the signature that `SA_SIGINFO` asks for and calls nothing that
        // isn't allowed in a handler.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESETHAND;
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        }
    }

    fn write(bytes: &[u8]) {
        // SAFETY: `write` may be called in a handler, and the bytes are there.
        let _ = unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
    }

    extern "C" fn told(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the system gives a valid `siginfo_t` with SA_SIGINFO.
        let address = unsafe { (*info).si_addr() } as usize;
        write(b"\nerror: ");
        for slot in &TABLE {
            let start = slot.start.load(Ordering::Acquire);
            if start > 1 && (start..start + slot.length.load(Ordering::Relaxed)).contains(&address) {
                let (name, length) = (slot.name.load(Ordering::Relaxed), slot.name_length.load(Ordering::Relaxed));
                // SAFETY: leaked in `watch`, with this length.
                write(unsafe { std::slice::from_raw_parts(name, length) });
                write(b": ");
            }
        }
        write(b"the file was shortened while it was being read, or its disk can't be read\n");
        write(b"  help: let other programs finish with it (a download, a copy), and run it again\n");
        // SAFETY: may be called in a handler; nothing is unwound.
        unsafe { libc::_exit(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_another_is_not_the_one_that_was_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        std::fs::write(&path, b"first").unwrap();
        let mapped = Mapped::open(&path).unwrap();
        let other = directory.path().join("other");
        std::fs::write(&other, b"second").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(mapped.bytes(), b"first");
        mapped.unchanged().unwrap();
    }

    #[test]
    fn a_file_that_is_written_to_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        std::fs::write(&path, b"first").unwrap();
        let mapped = Mapped::open(&path).unwrap();
        let file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut &file, b"more").unwrap();
        assert!(mapped.unchanged().unwrap_err().to_string().contains("written to after it had been loaded"));
    }

    #[test]
    fn pointers_to_files_are_known() {
        let directory = tempfile::tempdir().unwrap();
        let snapshot = directory.path().join("snapshots/0");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir_all(directory.path().join("blobs")).unwrap();
        let path = snapshot.join("config.json");
        std::fs::write(&path, b"../../blobs/00ab").unwrap();
        let message = Mapped::open(&path).err().unwrap().to_string();
        assert!(message.contains("config.json: "), "{message}");
        std::fs::write(directory.path().join("blobs/00ab"), b"{}").unwrap();
        assert_eq!(Mapped::open(&path).unwrap().bytes(), b"{}");
        std::fs::write(&path, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n").unwrap();
        assert!(Mapped::open(&path).err().unwrap().to_string().contains("run `git lfs pull` there"));
    }
}
