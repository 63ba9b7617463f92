//! Readers that can't be hurt: mutants of good files are opened in process, and none may panic, take long, or take more memory than 64 MB and four
//! times the file.
//!
//! `cargo test --test fuzz` tries some hundred of each kind; `CARAMBA_FUZZ_SECONDS=600 cargo test --test fuzz -- --nocapture` goes on for so long (all
//! kinds together), and `CARAMBA_FUZZ_SEED=7` begins elsewhere. What fails is written below target/fuzz/ and belongs, once it is mended, into
//! tests/fixtures/fuzz/KIND/: each file there is tried first.

mod common;

use caramba::cli::tokenize::Documents;
use caramba::limits::allocated;
use caramba::manifest::{Manifest, node};
use caramba::model::{Model, OpenOptions};
use caramba::script::token_count;
use caramba::source::Source;
use common::fixture;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The most that was ever allocated, looked at all the time by a thread of its own.
static PEAK: AtomicU64 = AtomicU64::new(0);

fn watch() {
    std::thread::spawn(|| {
        loop {
            PEAK.fetch_max(allocated(), Ordering::Relaxed);
            std::thread::sleep(Duration::from_micros(100));
        }
    });
}

const MEMORY: usize = 64 << 20;
/// A tenth of it when nothing else runs; others may.
const LONGEST: Duration = Duration::from_secs(20);
/// Mutants of each kind where nobody says a time.
const FEW: u64 = 150;

/// One reader.
struct Kind {
    name: &'static str,
    /// Good files, and what their names must end in.
    seeds: Vec<Vec<u8>>,
    extension: &'static str,
    /// Opens the file; a directory of its own is around it.
    open: fn(&Path),
}

fn read(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a directory of fixtures that end so and are not large.
fn all(directory: &str, extension: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(fixture(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let small = |path: &PathBuf| path.extension().is_some_and(|found| found == extension) && path.metadata().unwrap().len() < 1 << 20;
    paths.iter().filter(|path| small(path)).map(|path| std::fs::read(path).unwrap()).collect()
}

/// Opens a model and looks at all of it that loading would look at.
fn model(path: &Path, options: &OpenOptions) {
    let Ok(model) = Model::open(path, options) else { return };
    for tensor in model.tensors.values().take(4) {
        if tensor.shape.iter().product::<usize>() < 1 << 16 {
            tensor.to_f32();
        }
    }
    if let Ok(tokenizer) = model.tokenizer()
        && let Ok(tokens) = tokenizer.encode("The sea was 42 naïve\n\n", true)
    {
        let _ = tokenizer.decode(&tokens);
    }
}

/// A small model of Hugging Face's form around the file that is meant.
fn beside(path: &Path, name: &str) {
    let directory = path.parent().unwrap().join("model");
    std::fs::create_dir_all(&directory).unwrap();
    let case = fixture("cases/st_config_bom");
    for file in ["config.json", "model.safetensors"] {
        if file != name && !(name.ends_with("index.json") && file == "model.safetensors") {
            std::fs::copy(case.join(file), directory.join(file)).unwrap();
        }
    }
    if name.ends_with("index.json") {
        std::fs::copy(case.join("model.safetensors"), directory.join("a.safetensors")).unwrap();
    }
    std::fs::copy(path, directory.join(name)).unwrap();
    model(&directory, &OpenOptions::default());
    std::fs::remove_dir_all(&directory).unwrap();
}

fn kinds() -> Vec<Kind> {
    let case = "tests/fixtures/cases/st_config_bom";
    let index = br#"{"metadata": {"total_size": 7}, "weight_map": {"lm_head.weight": "a.safetensors", "model.embed_tokens.weight": "a.safetensors"}}"#;
    let checkpoint = |path: &Path| {
        model(path, &OpenOptions::default());
        let section = std::fs::read_to_string(fixture("checkpoints/gate_null.yml")).unwrap();
        model(path, &OpenOptions { topology: Some(serde_yaml::from_str(&section).unwrap()), ..OpenOptions::default() });
    };
    let manifest = |path: &Path| {
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let Ok(manifest) = Manifest::parse(Source::new("m.yml", text), path.parent().unwrap()) else { return };
        if let Ok(targets) = manifest.targets() {
            for (name, _) in targets {
                let _ = manifest.experiment(Some(name));
            }
        }
        let _ = manifest.experiment(None);
    };
    let yaml = |path: &Path| {
        if let Ok(text) = std::fs::read_to_string(path) {
            let _ = node::value(&Source::new("b.yml", text));
        }
    };
    let parquet = |path: &Path| {
        if let Ok(mut documents) = Documents::open(&[path.to_owned()], None) {
            while documents.portion(1 << 16).is_ok_and(|portion| !portion.is_empty()) {}
        }
    };
    vec![
        Kind { name: "gguf", seeds: all("gguf", "gguf"), extension: "gguf", open: |path| model(path, &OpenOptions::default()) },
        Kind {
            name: "safetensors",
            seeds: vec![read(&format!("{case}/model.safetensors"))],
            extension: "safetensors",
            open: |path| beside(path, "model.safetensors"),
        },
        Kind { name: "index", seeds: vec![index.to_vec()], extension: "json", open: |path| beside(path, "model.safetensors.index.json") },
        Kind {
            name: "config",
            seeds: vec![
                read(&format!("{case}/config.json")),
                read("models/austen-dba/config.json"),
                read("tests/fixtures/cases/hfcfg_both_yarn_llama/config.json"),
            ],
            extension: "json",
            open: |path| beside(path, "config.json"),
        },
        Kind {
            name: "tokenizer",
            seeds: vec![read("models/austen/tokenizer.json"), read("tests/fixtures/cases/stream_first_space_llama2_json/tokenizer.json")],
            extension: "json",
            open: |path| beside(path, "tokenizer.json"),
        },
        Kind { name: "pt", seeds: all("checkpoints", "pt"), extension: "pt", open: checkpoint },
        Kind {
            name: "npy",
            seeds: vec![read("tests/fixtures/cases/tokens.npy")],
            extension: "npy",
            open: |path| {
                let _ = token_count(path, None);
                let _ = token_count(path, Some("uint16"));
            },
        },
        Kind { name: "parquet", seeds: all("parquet", "parquet"), extension: "parquet", open: parquet },
        Kind {
            name: "manifest",
            seeds: ["multi_checkpoint", "upcycle"].iter().map(|name| read(&format!("tests/fixtures/manifests/{name}.yml"))).collect(),
            extension: "yml",
            open: manifest,
        },
        Kind { name: "yaml", seeds: benchmarks(), extension: "yml", open: yaml },
    ]
}

/// The bundled files of benchmarks, and what YAML has that they don't.
fn benchmarks() -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/benchmarks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    seeds.push(
        b"a: &a {x: 1, y: [~, .nan, 0x1F, 1e-5]}\nb: {<<: *a, z: \"q\\u00e9\"}\nc: |\n  two\n  lines\nd: >-\n  one\n? e\n: !!str 7\n"
            .to_vec(),
    );
    seeds
}

/// xorshift64*, so that a failure can be made again from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Numbers at which sizes go wrong, and pieces that formats are made of.
const NUMBERS: [u64; 12] = [0, 1, 2, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 62, 1 << 63, u64::MAX];
const PIECES: [&str; 24] = [
    "[",
    "]",
    "{",
    "}",
    "\"",
    ",",
    ":",
    "null",
    "-1",
    "1e999",
    "18446744073709551615",
    "0",
    "true",
    "\\u0000",
    "&a ",
    "*a",
    "<<: ",
    "!include ",
    "- ",
    "\n",
    "${a}",
    "'",
    "(",
    "Infinity",
];

fn mutant(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        // What says how large things are stands at the beginning, or at the end of an archive.
        let near = match random.below(4) {
            0 => bytes.len(),
            1 => bytes.len().min(64),
            _ => bytes.len().min(2048),
        };
        let at = if random.below(5) == 0 { bytes.len().saturating_sub(1 + random.below(600)) } else { random.below(near) };
        match random.below(9) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            3 => {
                let number = NUMBERS[random.below(NUMBERS.len())].to_le_bytes();
                let length = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at.min(bytes.len()));
                bytes[at..at + length].copy_from_slice(&number[..length]);
            }
            4 => {
                let piece = PIECES[random.below(PIECES.len())].repeat([1, 1, 1, 3, 2000][random.below(5)]);
                bytes.splice(at..at, piece.into_bytes());
            }
            5 => {
                let end = (at + 1 + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            6 => {
                let end = (at + 1 + random.below(256)).min(bytes.len());
                let copied = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, copied);
            }
            7 if random.below(4) == 0 => bytes.truncate(at),
            8 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let copied = other[from..(from + random.below(512)).min(other.len())].to_vec();
                bytes.splice(at..at, copied);
            }
            _ => {}
        }
    }
    bytes
}

/// What is wrong with how a reader took a file, if something is.
fn trial(kind: &Kind, bytes: &[u8], directory: &Path) -> Option<String> {
    let path = directory.join(format!("file.{}", kind.extension));
    std::fs::write(&path, bytes).unwrap();
    let (begun, before) = (Instant::now(), allocated());
    PEAK.store(before, Ordering::Relaxed);
    let done = panic::catch_unwind(AssertUnwindSafe(|| (kind.open)(&path)));
    let taken = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    let most = (MEMORY + 4 * bytes.len()) as u64;
    if let Err(panic) = done {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        return Some(format!("panicked: {}", text.unwrap_or_default()));
    }
    if taken > most {
        return Some(format!("took {} MB for a file of {} bytes", taken >> 20, bytes.len()));
    }
    (begun.elapsed() > LONGEST).then(|| format!("took {:.1} s", begun.elapsed().as_secs_f64()))
}

/// One test: memory is counted for the whole process.
#[test]
fn mutants_hurt_no_reader() {
    let setting = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number")));
    let (seconds, seed) = (setting("CARAMBA_FUZZ_SECONDS"), setting("CARAMBA_FUZZ_SEED").unwrap_or(1));
    let only = std::env::var("CARAMBA_FUZZ_KIND").ok();
    let kinds: Vec<Kind> = kinds().into_iter().filter(|kind| only.as_ref().is_none_or(|only| only == kind.name)).collect();
    watch();
    let directory = tempfile::tempdir().unwrap();
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    let mut failures = Vec::new();
    let mut told = Vec::new();
    for kind in &kinds {
        assert!(!kind.seeds.is_empty(), "{} has no seeds", kind.name);
        let mut fail = |name: String, wrong: String, bytes: &[u8]| {
            std::fs::create_dir_all(&found).unwrap();
            let path = found.join(format!("{}-{name}.{}", kind.name, kind.extension));
            std::fs::write(&path, bytes).unwrap();
            failures.push(format!("{}: {wrong}: {}", kind.name, path.display()));
        };
        let kept = fixture("fuzz").join(kind.name);
        let mut kept: Vec<PathBuf> = std::fs::read_dir(kept).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        kept.sort();
        for path in kept {
            let bytes = std::fs::read(&path).unwrap();
            if let Some(wrong) = trial(kind, &bytes, directory.path()) {
                fail(path.file_stem().unwrap().to_string_lossy().into_owned(), wrong, &bytes);
            }
        }
        let (begun, mut tried, mut number) = (Instant::now(), 0, 0);
        let share = seconds.map(|seconds| Duration::from_secs(seconds) / kinds.len() as u32);
        while share.map_or(tried < FEW, |share| begun.elapsed() < share) && number < 20 {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (tried + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1);
            let bytes = mutant(&kind.seeds, &mut random);
            if let Some(wrong) = trial(kind, &bytes, directory.path()) {
                number += 1;
                fail(format!("{seed}-{tried}"), wrong, &bytes);
            }
            tried += 1;
        }
        told.push(format!("{}: {tried} in {:.1} s", kind.name, begun.elapsed().as_secs_f64()));
    }
    println!("{}", told.join("\n"));
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}
