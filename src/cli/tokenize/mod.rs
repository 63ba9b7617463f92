//! `caramba tokenize`: texts become datasets of token ids.
//!
//! A text is read, made into tokens and written in portions, so a corpus may be larger than the memory; documents are kept apart by the
//! model's end-of-text token.

mod inputs;
mod output;
mod parquet;
mod split;

use super::model::ModelArgument;
use crate::artifact::number;
use crate::error::{At, Error, Result};
use crate::interrupt;
use crate::model::Tokenizer;
use crate::progress::{Progress, Unit};
use crate::script::Sidecar;
use crate::terminal;
use clap::{Args, ValueEnum};
pub use inputs::{Document, Documents};
use output::{Format, Output};
use rayon::prelude::*;
use split::Split;
use std::path::PathBuf;

/// Turn texts into datasets of token ids
#[derive(Debug, Args)]
#[command(after_help = "\
A text file is one document, and so is each line of JSON lines (.jsonl) and each row of a Parquet file. Ids are stored as
uint16 where the vocabulary allows it, else as uint32. DATA.npy.json beside a dataset says which tokenizer made it.

Examples:
  caramba tokenize models/SmolLM2-135M book.txt -o book.npy
  caramba tokenize models/SmolLM2-135M corpus/ --split train=0.95,val=0.05 -o corpus.npy
  caramba tokenize models/SmolLM2-135M dump.jsonl.zst --shard-tokens 100000000 -o dump.npy")]
pub struct Tokenize {
    #[command(flatten)]
    model: ModelArgument,
    /// Texts in UTF-8 and .jsonl files (.gz and .zst, too), .parquet files, directories of them; `-` reads standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where the token ids go: a .npy file, or a .bin file of nothing but ids
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The field of JSON lines, or the column of Parquet files, that holds the text; standard input is then JSON lines [default: text]
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
    /// Begin each document with the model's begin-of-text token, if it has one
    #[arg(long)]
    special: bool,
    /// What stands between documents
    #[arg(long, value_enum, default_value_t = Separator::Eos)]
    separator: Separator,
    /// Several datasets, and their shares of the tokens: train=0.9,val=0.1 makes FILE.train.npy and FILE.val.npy
    #[arg(long, value_name = "NAME=SHARE,...")]
    split: Option<Split>,
    /// Begin a new file after so many tokens: FILE.00000.npy, FILE.00001.npy, ...
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1024..))]
    shard_tokens: Option<u64>,
}

/// What stands between documents.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Separator {
    /// The model's end-of-text token
    Eos,
    /// Nothing
    None,
}

/// Texts that are made into tokens at once, by all cores.
const PORTION: usize = 4 << 20;

impl Tokenize {
    pub fn run(self) -> Result<()> {
        let format = Format::of(&self.output)?;
        let model = self.model.open()?;
        let tokenizer = model.tokenizer()?;
        let end = match (self.separator, model.architecture.eos.first()) {
            (Separator::None, _) => None,
            (Separator::Eos, Some(&end)) => Some(end),
            (Separator::Eos, None) => {
                terminal::note("the model has no end-of-text token: nothing stands between documents");
                None
            }
        };
        let mut documents = Documents::open(&self.files, self.field.as_deref())?;
        let sidecar = Sidecar { tokenizer: tokenizer.fingerprint()?, model: model.name.clone(), separator: end, ..Sidecar::default() };
        let mut output = Output::new(&self.output, format, tokenizer.vocab(), self.split, self.shard_tokens, sidecar);

        let progress = Progress::new("tokenizing", documents.bytes(), Unit::Bytes);
        let mut bytes = 0;
        loop {
            let portion = documents.portion(PORTION)?;
            if portion.is_empty() {
                break;
            }
            interrupt::check()?;
            let encoded: Vec<Vec<u32>> =
                portion.par_iter().map(|document| encode(tokenizer, document, self.special)).collect::<Result<_>>()?;
            for (document, tokens) in portion.iter().zip(&encoded) {
                output.add(document.begins, end, tokens)?;
                bytes += document.text.len() as u64;
            }
            progress.set(documents.read());
        }
        drop(progress);
        let written = output.finish()?;
        if written.iter().all(|file| file.tokens == 0) {
            let what = self.files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
            return Err(Error::new("there is no text to make tokens of").at(what));
        }
        let tokens: u64 = written.iter().map(|file| file.tokens).sum();
        let ratio = bytes as f64 / tokens as f64;
        let count = |value: u64| number::integer(i64::try_from(value).unwrap_or(i64::MAX));
        let of = match documents.count() {
            0 | 1 => String::new(),
            count => format!(" of {} documents", number::integer(count as i64)),
        };
        let names: Vec<String> = written.iter().map(|file| file.path.display().to_string()).collect();
        let places = match names.as_slice() {
            [first, .., last] if names.len() > 4 => format!("{} files from {first} to {last}", names.len()),
            _ => written
                .iter()
                .zip(&names)
                .map(|(file, name)| if names.len() > 1 { format!("{name} ({})", count(file.tokens)) } else { name.clone() })
                .collect::<Vec<_>>()
                .join(", "),
        };
        terminal::note(&format!("{} tokens{of}, {ratio:.2} bytes of text each, in {places}", count(tokens)));
        Ok(())
    }
}

/// The tokens of a document, or of a part of one that goes on from `before`.
fn encode(tokenizer: &Tokenizer, document: &Document, special: bool) -> Result<Vec<u32>> {
    let special = special && document.begins;
    if document.before.is_empty() {
        return tokenizer.encode(&document.text, special).at(&document.place);
    }
    // What a text begins with is made into tokens otherwise than what goes on: the end of the part before is its context.
    let around = tokenizer.encode(&document.before, false).at(&document.place)?;
    let whole = tokenizer.encode(&format!("{}{}", document.before, document.text), false).at(&document.place)?;
    match whole.strip_prefix(around.as_slice()) {
        Some(rest) => Ok(rest.to_vec()),
        // The tokens lie across the cut: this part by itself is as near as a text of its own would be.
        None => tokenizer.encode(&document.text, false).at(&document.place),
    }
}
