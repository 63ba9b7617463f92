//! A dataset of token ids: a mapped file, or several (shards) that are read one after the other as if they were one.
//!
//! Several are a directory, or a pattern (`shards/*.npy`). They are taken in the order of their names, numbers in them by value, so that `shard_10`
//! follows `shard_9`.

use super::sidecar::Sidecar;
use super::token_file::{self, Ids};
use super::tokens::{Tokens, hex};
use crate::error::{At, Error, Result};
use crate::interrupt;
use crate::mapped::Mapped;
use crate::model::Model;
use sha2::{Digest, Sha256};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Ids looked at between two looks for Ctrl-C.
const CHUNK: usize = 1 << 20;
/// What the names of shards in a directory end in.
const ENDINGS: [&str; 3] = ["npy", "npz", "bin"];
const WILDCARDS: [char; 3] = ['*', '?', '['];
const MAX_FILES: usize = 100_000;
/// Missing shards that are named.
const NAMED: usize = 3;

/// Token ids in files.
pub struct TokenDataset {
    /// As it was given, looked up: a file, a directory or a pattern.
    path: PathBuf,
    files: Vec<File>,
    /// The position of each file's first token in the whole.
    starts: Vec<usize>,
    count: usize,
    /// What a person should know of it.
    notes: Vec<String>,
}

/// How ids are stored, where files don't say it themselves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dtype<'a> {
    /// Said of these very files: those that say it themselves are refused.
    pub given: Option<&'a str>,
    /// For whichever files need it.
    pub otherwise: Option<&'a str>,
}

/// One file of ids.
struct File {
    path: PathBuf,
    mapped: Mapped,
    ids: Ids,
}

impl File {
    fn open(path: PathBuf, dtype: Dtype<'_>) -> Result<File> {
        let mapped = Mapped::open(&path)?;
        let mut said = None;
        if dtype.given.is_none() && token_file::is_bare(mapped.bytes()) {
            // What `caramba tokenize` wrote without a header it has described beside it.
            let sidecar = Sidecar::of(&path)?.map(|sidecar| sidecar.dtype).filter(|dtype| !dtype.is_empty());
            said = sidecar.or(dtype.otherwise.map(str::to_owned));
        }
        let ids = token_file::find(mapped.bytes(), dtype.given.or(said.as_deref())).at(path.display())?;
        Ok(File { path, mapped, ids })
    }

    fn id(&self, index: usize) -> i64 {
        let Ids { integer, offset, .. } = &self.ids;
        let at = offset + index * integer.size;
        (integer.read)(&self.mapped.bytes()[at..at + integer.size])
    }

    fn check(&self, vocab: usize, count: usize) -> Result<()> {
        let vocab = vocab as i64;
        for index in 0..count.min(self.ids.count) {
            if index % CHUNK == 0 {
                interrupt::check()?;
            }
            let id = self.id(index);
            if !(0..vocab).contains(&id) {
                let message = format!("token {id} at position {index} is beyond the vocabulary of {vocab} (ids 0 to {})", vocab - 1);
                return Err(Error::new(message)
                    .at(self.path.display())
                    .remedy("use a dataset that was made with this model's tokenizer: caramba tokenize makes one"));
            }
        }
        Ok(())
    }

    fn hash(&self) -> Result<[u8; 32]> {
        self.mapped.unchanged().at(self.path.display())?;
        let mut hasher = Sha256::new();
        for chunk in self.mapped.bytes().chunks(CHUNK) {
            interrupt::check()?;
            hasher.update(chunk);
        }
        Ok(hasher.finalize().into())
    }
}

impl TokenDataset {
    /// Opens the file at `path`, the files in that directory, or those that fit the pattern.
    ///
    /// # Errors
    /// A file that holds no token ids, or is damaged; a directory that holds several datasets; shards that different tokenizers made.
    pub fn open(path: &Path, dtype: Dtype<'_>) -> Result<TokenDataset> {
        Self::of_files(path, files(path)?, dtype)
    }

    /// As [`TokenDataset::open`], of files that were found already (with [`files`]).
    ///
    /// # Errors
    /// As there.
    pub fn of_files(path: &Path, paths: Vec<PathBuf>, dtype: Dtype<'_>) -> Result<TokenDataset> {
        let notes =
            if paths.len() > 1 { gaps(&paths).map(|gap| format!("{}: {gap}", path.display())).into_iter().collect() } else { Vec::new() };
        let (mut found, mut starts, mut count) = (Vec::with_capacity(paths.len()), Vec::with_capacity(paths.len()), 0usize);
        for path in paths {
            interrupt::check()?;
            let file = File::open(path, dtype)?;
            starts.push(count);
            count = count.checked_add(file.ids.count).ok_or_else(|| Error::new("its files hold more tokens than can be counted"))?;
            found.push(file);
        }
        one_tokenizer(&found)?;
        Ok(TokenDataset { path: path.to_owned(), files: found, starts, count, notes })
    }

    /// What it was opened as.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its files, in order.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// What a person should know of it: shards that seem to be missing.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How many tokens it holds.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How an id is stored (`u16`); of files that differ, each kind once.
    pub fn stored_type(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for file in &self.files {
            if !names.contains(&file.ids.integer.name) {
                names.push(file.ids.integer.name);
            }
        }
        names.join(", ")
    }

    /// The smallest and the largest id.
    ///
    /// # Errors
    /// Ctrl-C.
    pub fn range(&self) -> Result<(i64, i64)> {
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for file in &self.files {
            for index in 0..file.ids.count {
                if index % CHUNK == 0 {
                    interrupt::check()?;
                }
                let id = file.id(index);
                (least, most) = (least.min(id), most.max(id));
            }
        }
        Ok((least, most))
    }

    /// `count` tokens from `start` on, which may lie in several files.
    ///
    /// # Errors
    /// They are not there; what is there is no token id.
    pub fn slice(&self, start: usize, count: usize) -> Result<Tokens> {
        let end = start.checked_add(count).filter(|end| *end <= self.count);
        let end = end.ok_or_else(|| Error::new(format!("{count} tokens from {start} on are not there: it holds {}", self.count)))?;
        let mut ids = Vec::with_capacity(count);
        let first = self.starts.partition_point(|begin| *begin <= start).saturating_sub(1);
        for (file, &begin) in self.files.iter().zip(&self.starts).skip(first).take_while(|(_, begin)| **begin < end) {
            for index in start.max(begin) - begin..file.ids.count.min(end - begin) {
                let id = file.id(index);
                let wrong = |_| Error::new(format!("position {index} holds {id}, which is no token id")).at(file.path.display());
                ids.push(u32::try_from(id).map_err(wrong)?);
            }
        }
        Ok(ids.into())
    }

    /// That the first `count` ids are in `0..vocab`.
    ///
    /// # Errors
    /// The first that isn't, with its file and its position there.
    pub fn check(&self, vocab: usize, count: usize) -> Result<()> {
        for (file, &begin) in self.files.iter().zip(&self.starts).take_while(|(_, begin)| **begin < count) {
            file.check(vocab, count - begin)?;
        }
        Ok(())
    }

    /// That it was made with the tokenizer of `model`, where both say it. What can't be told is returned as a sentence.
    ///
    /// # Errors
    /// It was made with another one: its ids mean other texts.
    pub fn check_tokenizer(&self, model: &Model) -> Result<Option<String>> {
        let mut unknown = None;
        for file in &self.files {
            if let Some(said) = Sidecar::check(&file.path, model).at(file.path.display())? {
                unknown = Some(format!("{}: {said}", self.path.display()));
            }
        }
        Ok(unknown)
    }

    /// What stands beside its first file, if something does.
    ///
    /// # Errors
    /// What stands there can't be read.
    pub fn sidecar(&self) -> Result<Option<Sidecar>> {
        self.files.first().map_or(Ok(None), |file| Sidecar::of(&file.path))
    }

    /// The SHA-256 of its file, in hexadecimal; of several files that of their hashes, one after the other.
    ///
    /// # Errors
    /// A file was written to meanwhile.
    pub fn hash(&self) -> Result<String> {
        if let [file] = self.files.as_slice() {
            return Ok(hex(&file.hash()?));
        }
        let mut hasher = Sha256::new();
        for file in &self.files {
            hasher.update(file.hash()?);
        }
        Ok(hex(&hasher.finalize()))
    }
}

/// How many token ids the dataset at `path` holds; `dtype` says how they are stored where the files don't.
///
/// # Errors
/// It is no file of token ids, or damaged.
pub fn token_count(path: &Path, dtype: Option<&str>) -> Result<usize> {
    TokenDataset::open(path, Dtype { given: dtype, otherwise: None }).map(|dataset| dataset.count())
}

/// Whether a path is a pattern, and not a file of that name.
pub fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(WILDCARDS) && !path.exists()
}

/// A pattern's part before its first wildcard, and the rest: `("shards", "part_*.npy")`.
pub fn parts_of_pattern(path: &Path) -> (PathBuf, PathBuf) {
    let is_plain = |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(WILDCARDS);
    let fixed: PathBuf = path.components().take_while(is_plain).collect();
    let rest: PathBuf = path.components().skip_while(is_plain).collect();
    (fixed, rest)
}

/// What a dataset is called where there is little room: the name of its file or directory, a pattern with its directory's.
pub fn name_of(path: &str) -> String {
    let path = Path::new(path);
    let name = |path: &Path| path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let is_pattern = |text: &str| text.contains(WILDCARDS);
    let own = name(path);
    match path.parent().map(name).filter(|parent| is_pattern(&own) && !parent.is_empty()) {
        Some(parent) => format!("{parent}/{own}"),
        None => own,
    }
}

/// The files that a dataset at `path` consists of, in order: that file, those in that directory, those that fit that pattern.
///
/// # Errors
/// There are none, or they are not those of one dataset.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if is_pattern(path) {
        return matching(path);
    }
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).at(path.display())? {
        let entry = entry.at(path.display())?.path();
        let hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let fits = entry.extension().is_some_and(|ending| ENDINGS.contains(&ending.to_string_lossy().to_lowercase().as_str()));
        if fits && !hidden && entry.is_file() {
            found.push(entry);
        }
        limited(found.len()).at(path.display())?;
    }
    if found.is_empty() {
        return Err(Error::new("there are no token ids in this directory: no file ends in .npy, .npz or .bin")
            .at(path.display())
            .remedy("caramba tokenize MODEL TEXT -o DATA.npy makes a dataset of a text"));
    }
    found.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
    // Files that differ in more than a number are not shards of one dataset: those for training and those held out, say.
    let mut sets: BTreeMap<String, usize> = BTreeMap::new();
    for file in &found {
        *sets.entry(without_numbers(file)).or_default() += 1;
    }
    if sets.len() > 1 {
        let shown: Vec<String> = sets.iter().take(NAMED).map(|(name, count)| format!("{name} ({count})")).collect();
        let more = if sets.len() > NAMED { ", ..." } else { "" };
        let first = sets.keys().next().map_or("*.npy", String::as_str);
        return Err(Error::new(format!("this directory holds {} datasets: {}{more}", sets.len(), shown.join(", ")))
            .at(path.display())
            .remedy(format!("give one of them: `{}`", path.join(first).display())));
    }
    Ok(found)
}

fn limited(count: usize) -> Result<()> {
    if count <= MAX_FILES { Ok(()) } else { Err(Error::new(format!("more than {MAX_FILES} files")).remedy("put them together into fewer")) }
}

fn matching(pattern: &Path) -> Result<Vec<PathBuf>> {
    let shown = pattern.display();
    let paths = glob::glob(&pattern.to_string_lossy())
        .map_err(|error| Error::new(format!("the pattern cannot be read: {error}")).at(shown.to_string()))?;
    let mut found = Vec::new();
    for path in paths {
        interrupt::check()?;
        let path = path.map_err(|error| Error::new(error.to_string()).at(shown.to_string()))?;
        // What describes a dataset fits `data.npy*`, too.
        if path.is_file() && path.extension().is_none_or(|ending| ending != "json") {
            found.push(path);
        }
        limited(found.len()).at(shown.to_string())?;
    }
    if found.is_empty() {
        return Err(Error::new("no file fits this pattern")
            .at(shown.to_string())
            .remedy("check the path; on the command line put quotes around it, so that the shell leaves it alone"));
    }
    found.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
    Ok(found)
}

/// `d.*.npy` of `d.00007.npy`
fn without_numbers(path: &Path) -> String {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, ""));
    let mut found = String::new();
    for letter in stem.chars() {
        match letter.is_ascii_digit() {
            true if found.ends_with('*') => {}
            true => found.push('*'),
            false => found.push(letter),
        }
    }
    format!("{found}.{ending}")
}

/// Names in the order in which a person counts: digits compare as the number that they are.
fn natural(a: &str, b: &str) -> Ordering {
    let digits = |text: &str| text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let (mut left, mut right) = (a, b);
    loop {
        let (of_left, of_right) = (digits(left), digits(right));
        if of_left > 0 && of_right > 0 {
            let (number, other) = (left[..of_left].trim_start_matches('0'), right[..of_right].trim_start_matches('0'));
            match number.len().cmp(&other.len()).then_with(|| number.cmp(other)) {
                Ordering::Equal => (left, right) = (&left[of_left..], &right[of_right..]),
                unlike => return unlike,
            }
            continue;
        }
        let (mut letters, mut others) = (left.chars(), right.chars());
        match (letters.next(), others.next()) {
            (Some(letter), Some(other)) if letter == other => (left, right) = (letters.as_str(), others.as_str()),
            // Equal but for leading zeros: any order, but always the same.
            (None, None) => return a.cmp(b),
            (letter, other) => return letter.cmp(&other),
        }
    }
}

/// The numbers that the names of shards leave out, where few are: "shard 3 of 0 to 7 is missing".
fn gaps(paths: &[PathBuf]) -> Option<String> {
    let numbers: Vec<Vec<u64>> = paths
        .iter()
        .map(|path| {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            name.split(|letter: char| !letter.is_ascii_digit())
                .filter(|digits| !digits.is_empty())
                .filter_map(|digits| digits.parse().ok())
                .collect()
        })
        .collect();
    let first = numbers.first()?;
    if numbers.iter().any(|found| found.len() != first.len()) {
        return None;
    }
    // The one number in which they differ.
    let differing: Vec<usize> = (0..first.len()).filter(|&place| numbers.iter().any(|found| found[place] != first[place])).collect();
    let &[place] = differing.as_slice() else { return None };
    let mut found: Vec<u64> = numbers.iter().map(|found| found[place]).collect();
    found.sort_unstable();
    let (least, most) = (*found.first()?, *found.last()?);
    let absent = (most - least + 1).checked_sub(found.len() as u64).filter(|absent| *absent > 0 && *absent < found.len() as u64)?;
    let missing: Vec<String> =
        (least..=most).filter(|number| found.binary_search(number).is_err()).take(NAMED).map(|number| number.to_string()).collect();
    let more = if absent > NAMED as u64 { format!(" and {} more", absent - NAMED as u64) } else { String::new() };
    let verb = if absent == 1 { "is" } else { "are" };
    Some(format!("of the files from {least} to {most}, {}{more} {verb} missing", missing.join(", ")))
}

/// Ids of two tokenizers make no text.
fn one_tokenizer(files: &[File]) -> Result<()> {
    if files.len() < 2 {
        return Ok(());
    }
    let mut first: Option<(&File, Sidecar)> = None;
    for file in files {
        let Some(sidecar) = Sidecar::of(&file.path)?.filter(|sidecar| !sidecar.tokenizer.is_empty()) else { continue };
        match &first {
            Some((other, known)) if known.tokenizer != sidecar.tokenizer => {
                return Err(Error::new(format!(
                    "it was made with another tokenizer ({}) than {} ({})",
                    sidecar.model,
                    other.path.display(),
                    known.model
                ))
                .at(file.path.display())
                .remedy("shards of one dataset have one tokenizer: make them again with caramba tokenize"));
            }
            Some(_) => {}
            None => first = Some((file, sidecar)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of two bytes for each id.
    fn shards(files: &[(&str, &[u16])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, ids) in files {
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        directory
    }

    fn open(path: &Path) -> Result<TokenDataset> {
        TokenDataset::open(path, Dtype { given: Some("uint16"), otherwise: None })
    }

    #[test]
    fn shards_are_one_dataset_in_the_order_in_which_a_person_counts() {
        let directory = shards(&[("s_10.bin", &[7, 8, 9]), ("s_2.bin", &[4, 5, 6]), ("s_1.bin", &[1, 2, 3])]);
        std::fs::write(directory.path().join("s_1.bin.json"), "{}").unwrap();
        for path in [directory.path().to_owned(), directory.path().join("s_*.bin"), directory.path().join("s_*")] {
            let data = open(&path).unwrap();
            assert_eq!((data.count(), data.files().len()), (9, 3));
            assert_eq!(data.slice(0, 9).unwrap().as_slice(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
            for (start, count) in [(0, 3), (2, 2), (1, 7), (3, 3), (8, 1), (9, 0), (0, 0)] {
                let expected: Vec<u32> = (start as u32 + 1..=(start + count) as u32).collect();
                assert_eq!(data.slice(start, count).unwrap().as_slice(), expected, "{start} {count}");
            }
            assert!(data.slice(8, 2).unwrap_err().to_string().contains("it holds 9"));
            assert_eq!(data.range().unwrap(), (1, 9));
            // The first id beyond a vocabulary of 8 is the second of the third file.
            assert!(data.check(8, 7).is_ok());
            let message = data.check(8, 8).unwrap_err().to_string();
            assert!(message.contains("s_10.bin: token 8 at position 1 is beyond"), "{message}");
        }
        let one = open(&directory.path().join("s_2.bin")).unwrap();
        assert_eq!((one.count(), one.hash().unwrap()), (3, crate::script::files::hash(&directory.path().join("s_2.bin")).unwrap()));
    }

    #[test]
    fn what_is_no_single_dataset_is_said() {
        let directory = shards(&[("d.train.0.bin", &[1]), ("d.train.1.bin", &[1]), ("d.val.0.bin", &[1])]);
        let message = open(directory.path()).err().unwrap().to_string();
        assert!(message.contains("this directory holds 2 datasets: d.train.*.bin (2), d.val.*.bin (1)"), "{message}");
        assert_eq!(open(&directory.path().join("d.train.*.bin")).unwrap().count(), 2);
        let message = open(&directory.path().join("e*.bin")).err().unwrap().to_string();
        assert!(message.contains("no file fits this pattern"), "{message}");
        let empty = tempfile::tempdir().unwrap();
        assert!(open(empty.path()).err().unwrap().to_string().contains("no token ids in this directory"));
        // A file may be called as a pattern is.
        let odd = shards(&[("a[1].bin", &[1, 2])]);
        assert_eq!(open(&odd.path().join("a[1].bin")).unwrap().count(), 2);
        let said = |name: &str, tokenizer: &str| {
            std::fs::write(directory.path().join(name), format!("{{\"tokenizer\": \"{tokenizer}\"}}")).unwrap()
        };
        said("d.train.0.bin.json", "aa");
        said("d.train.1.bin.json", "bb");
        let message = open(&directory.path().join("d.train.*.bin")).err().unwrap().to_string();
        assert!(message.contains("d.train.1.bin: it was made with another tokenizer"), "{message}");
    }

    #[test]
    fn missing_shards_are_noticed() {
        let told = |names: &[&str]| gaps(&names.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(told(&["v2_0.npy", "v2_1.npy", "v2_3.npy"]).as_deref(), Some("of the files from 0 to 3, 2 is missing"));
        for names in [&["a_00.npy", "a_01.npy"][..], &["a.npy", "b.npy"], &["a_0.npy", "a_1000.npy"], &["a_1_0.npy", "a_2_1.npy"]] {
            assert_eq!(told(names), None);
        }
        assert_eq!(
            (name_of("a/b/*.npy"), name_of("a/held.npy"), name_of("shards/")),
            ("b/*.npy".into(), "held.npy".into(), "shards".into())
        );
    }

    #[test]
    fn a_file_without_a_header_is_what_its_sidecar_says() {
        let directory = shards(&[("d.bin", &[1, 0, 2])]);
        let path = directory.path().join("d.bin");
        assert!(TokenDataset::open(&path, Dtype::default()).is_err());
        let wide = directory.path().join("wide.bin");
        std::fs::copy(&path, &wide).unwrap();
        assert_eq!(TokenDataset::open(&wide, Dtype { given: None, otherwise: Some("uint16") }).unwrap().count(), 3);
        std::fs::write(directory.path().join("d.bin.json"), "{\"tokenizer\": \"aa\", \"dtype\": \"uint16\"}").unwrap();
        assert_eq!(TokenDataset::open(&path, Dtype { given: None, otherwise: Some("uint8") }).unwrap().count(), 3);
    }
}
