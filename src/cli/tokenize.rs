//! `caramba tokenize`: a text becomes a dataset of token ids.

use super::model::ModelArgument;
use crate::artifact::{number, write_atomically};
use crate::error::{At, Error, Result};
use crate::terminal;
use clap::Args;
use ndarray::Array1;
use ndarray_npy::WriteNpyExt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Turn a text file into a dataset of token ids (.npy)
#[derive(Debug, Args)]
#[command(after_help = "\
Ids are stored as uint16 where the vocabulary allows it, else as uint32.

Example:
  caramba tokenize models/SmolLM2-135M book.txt -o book.npy")]
pub struct Tokenize {
    #[command(flatten)]
    model: ModelArgument,
    /// A UTF-8 text; `-` reads standard input
    file: PathBuf,
    /// Where the token ids go
    #[arg(short, long, value_name = "FILE.npy")]
    output: PathBuf,
    /// Begin with the model's begin-of-text token, if it has one
    #[arg(long)]
    special: bool,
}

impl Tokenize {
    pub fn run(self) -> Result<()> {
        let model = self.model.open()?;
        let tokenizer = model.tokenizer()?;
        let text = read(&self.file)?;
        let tokens = tokenizer.encode(&text, self.special).at(self.file.display())?;
        if tokens.is_empty() {
            return Err(Error::new("the text is empty").at(self.file.display()));
        }
        let bytes = npy(&tokens, tokenizer.vocab()).at(self.output.display())?;
        write_atomically(&self.output, &bytes)?;
        let ratio = text.len() as f64 / tokens.len() as f64;
        terminal::note(&format!(
            "{} tokens, {ratio:.2} bytes of text each, in {}",
            number::integer(tokens.len() as i64),
            self.output.display()
        ));
        Ok(())
    }
}

fn read(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).at("standard input")?;
    } else {
        bytes = std::fs::read(path).at(path.display())?;
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        Error::new(format!("line {line} is no UTF-8 text")).at(path.display()).remedy("convert the file to UTF-8")
    })
}

/// The file's bytes.
fn npy(tokens: &[u32], vocab: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let narrow: Option<Vec<u16>> = if vocab <= 1 << 16 { tokens.iter().map(|&token| u16::try_from(token).ok()).collect() } else { None };
    let written = match narrow {
        Some(narrow) => Array1::from_vec(narrow).write_npy(&mut bytes),
        None => Array1::from_vec(tokens.to_vec()).write_npy(&mut bytes),
    };
    written.map_err(|error| Error::new(format!("the token ids can't be written: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray_npy::ReadNpyExt;

    #[test]
    fn ids_are_as_wide_as_the_vocabulary_needs() {
        let narrow = npy(&[1, 65535], 65536).unwrap();
        assert_eq!(Array1::<u16>::read_npy(narrow.as_slice()).unwrap().to_vec(), [1, 65535]);
        let wide = npy(&[1, 65535], 65537).unwrap();
        assert_eq!(Array1::<u32>::read_npy(wide.as_slice()).unwrap().to_vec(), [1, 65535]);
    }
}
