//! The experiments that come with caramba: the files of `config/presets/`, inside the binary too.

use super::Manifest;
use crate::error::{Error, Result, unknown};
use crate::source::Source;
use std::path::{Path, PathBuf};

/// Name and text.
pub const PRESETS: &[(&str, &str)] = &[
    ("quick_validation", include_str!("../../config/presets/quick_validation.yml")),
    ("full_paper", include_str!("../../config/presets/full_paper.yml")),
    ("evaluation", include_str!("../../config/presets/evaluation.yml")),
    ("llama32_1b_dba", include_str!("../../config/presets/llama32_1b_dba.yml")),
];

/// Manifests are written by hand; what is larger is something else.
const MAX_BYTES: u64 = 16 << 20;

/// The manifest at `path`. Where no such file is, a preset of that name (`full_paper`, or its path in the repository).
///
/// # Errors
/// No such file or preset; it can't be read; it is no manifest.
pub fn open(path: &Path) -> Result<Manifest> {
    let shown = path.display().to_string();
    if !path.exists() {
        if let Some((name, text)) = preset(path) {
            return Manifest::parse(Source::new(format!("config/presets/{name}.yml"), *text), Path::new(""));
        }
        let plain_name = path.components().count() == 1 && path.extension().is_none();
        if plain_name {
            return Err(unknown("preset", &shown, PRESETS.iter().map(|(name, _)| *name)));
        }
        let names = PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let error = Error::new("there is no such file");
        return Err(error.remedy(format!("give the path of a manifest, or the name of a preset: {names}")).at(shown));
    }
    let text = read(path).map_err(|error| error.at(&shown))?;
    let directory = path.parent().map(PathBuf::from).unwrap_or_default();
    Manifest::parse(Source::new(shown, text), &directory)
}

/// The text of a manifest, or of a part of one.
pub fn read(path: &Path) -> Result<String> {
    let file = std::fs::metadata(path)?;
    if !file.is_file() {
        let what = if file.is_dir() { "a directory" } else { "no plain file" };
        return Err(Error::new(format!("this is {what}, expected a YAML file")));
    }
    if file.len() > MAX_BYTES {
        return Err(Error::new(format!("the file has {} MB: that is no manifest", file.len() >> 20)));
    }
    let bytes = std::fs::read(path)?;
    crate::mapped::no_pointer(&bytes)?;
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        Error::new(format!("line {line} is no UTF-8 text")).remedy("save the file as UTF-8")
    })
}

fn preset(path: &Path) -> Option<&'static (&'static str, &'static str)> {
    let stem = path.file_stem()?.to_str()?;
    let yaml = path.extension().is_none_or(|extension| extension == "yml");
    let parent = path.parent()?;
    let ours = parent == Path::new("") || parent.ends_with("config/presets") || parent == Path::new("presets");
    PRESETS.iter().find(|(name, _)| *name == stem && yaml && ours)
}
