//! Which files of a repository a model is read from.

use crate::error::{Error, Result};
use crate::model::huggingface::{CONFIG, GENERATION, INDEX, TOKENIZER, TORCH_WEIGHTS, WEIGHTS, shards};
use crate::model::{ModelFile, parent};
use std::path::{Path, PathBuf};

/// The files of a repository that are needed, and whether the last of them is an index that names more.
#[derive(Debug, PartialEq)]
pub struct Wanted {
    pub files: Vec<String>,
    pub index: bool,
}

/// Chooses among the files of a repository; `file` is the only one that the user wants weights from, if it isn't empty.
///
/// # Errors
/// There is no model among them, or several.
pub fn of(all: &[String], file: &Path) -> Result<Wanted> {
    let has = |name: &str| all.iter().any(|known| known == name);
    let beside = |directory: &Path, names: &[&str]| -> Vec<String> {
        let path = |name: &&str| directory.join(name).to_string_lossy().into_owned();
        names.iter().map(path).filter(|name| has(name)).collect()
    };
    let descriptions = [CONFIG, GENERATION, TOKENIZER];
    if !file.as_os_str().is_empty() {
        let name = file.to_string_lossy().into_owned();
        if !has(&name) {
            return Err(crate::error::unknown("file of the repository", &name, all.iter().map(String::as_str)));
        }
        let gguf = file.extension().is_some_and(|extension| extension == "gguf");
        let mut files = if gguf { Vec::new() } else { beside(parent(file), &descriptions) };
        files.push(name);
        return Ok(Wanted { files, index: false });
    }
    let mut files = beside(Path::new(""), &descriptions);
    let ending = |extension: &str| -> Vec<&String> {
        let top = |name: &&String| !name.contains('/') && Path::new(name.as_str()).extension().is_some_and(|found| found == extension);
        all.iter().filter(top).collect()
    };
    let weights = if has(CONFIG) { [WEIGHTS, INDEX, TORCH_WEIGHTS].into_iter().find(|name| has(name)) } else { None };
    let only = ending("safetensors");
    match (weights, only.as_slice()) {
        (Some(INDEX), _) => {
            files.push(INDEX.to_owned());
            return Ok(Wanted { files, index: true });
        }
        (Some(TORCH_WEIGHTS), [file]) => files.push((*file).clone()),
        (Some(weights), _) => files.push(weights.to_owned()),
        (None, [file]) if has(CONFIG) => files.push((*file).clone()),
        (None, _) => match ending("gguf").as_slice() {
            [file] => return Ok(Wanted { files: vec![(*file).clone()], index: false }),
            [] => {
                return Err(Error::new(
                    "the repository holds no model that can be read: neither config.json with weights nor a .gguf file",
                ));
            }
            several => {
                let names: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
                return Err(Error::new(format!("the repository holds {} GGUF files: {}", names.len(), names.join(", ")))
                    .remedy(format!("say which: hf://ORG/NAME/{}", names[0])));
            }
        },
    }
    Ok(Wanted { files, index: false })
}

/// The shards that an index names.
///
/// # Errors
/// It is no index, or names what is no file of the repository.
pub fn shards_of(index: &Path) -> Result<Vec<String>> {
    let names = shards(&ModelFile::open(index)?)?;
    match names.iter().find(|name| !is_plain(name)) {
        Some(name) => Err(Error::new(format!("it names `{name}`, which is no file of a repository"))),
        None => Ok(names),
    }
}

/// Whether all that a model is read from lies in `directory`.
pub fn is_complete(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    let names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let Ok(wanted) = of(&names, Path::new("")) else {
        // Several GGUF files: the reader says what to do.
        return names.iter().any(|name| name.ends_with(".gguf"));
    };
    let present = |name: &String| directory.join(name).is_file();
    let shards = if wanted.index { shards_of(&directory.join(INDEX)).unwrap_or_default() } else { Vec::new() };
    wanted.files.iter().all(present) && shards.iter().all(present)
}

/// Whether it is a path that stays in the directory it is joined to.
pub fn is_plain(name: &str) -> bool {
    let path = PathBuf::from(name);
    !name.is_empty() && !name.contains(['\\', ':']) && path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(all: &[&str], file: &str) -> std::result::Result<Vec<String>, String> {
        let all: Vec<String> = all.iter().map(|name| (*name).to_owned()).collect();
        of(&all, Path::new(file)).map(|wanted| wanted.files).map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_is_needed_is_chosen() {
        let all = ["README.md", "config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "q8.gguf"];
        assert_eq!(chosen(&all, "").unwrap(), ["config.json", "tokenizer.json", "model.safetensors"]);
        assert_eq!(chosen(&all, "q8.gguf").unwrap(), ["q8.gguf"]);
        assert_eq!(
            chosen(&["config.json", "model.safetensors.index.json", "a.safetensors"], "").unwrap()[1],
            "model.safetensors.index.json"
        );
        assert_eq!(chosen(&["config.json", "pytorch_model.bin"], "").unwrap(), ["config.json", "pytorch_model.bin"]);
        assert_eq!(chosen(&["README.md", "q4.gguf"], "").unwrap(), ["q4.gguf"]);
        assert!(chosen(&["q4.gguf", "q8.gguf"], "").unwrap_err().contains("hf://ORG/NAME/q4.gguf"));
        assert!(chosen(&["q4.gguf"], "q5.gguf").unwrap_err().contains("did you mean `q4.gguf`?"));
        assert!(chosen(&["README.md"], "").unwrap_err().contains("holds no model"));
    }

    #[test]
    fn names_stay_in_their_directory() {
        assert!(is_plain("a.safetensors") && is_plain("sub/a.gguf"));
        assert!(!is_plain("../a") && !is_plain("/etc/a") && !is_plain("") && !is_plain("C:\\a"));
    }
}
