//! `caramba docs`: what a function does, and what there is.

use crate::error::Result;
use crate::{script, terminal};
use clap::Args;

/// Show what a function, type, script or word of the language is, or list all there is
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caramba docs                                        what there is, by subject
  caramba docs session                                a function, with its options and an example
  caramba docs Session                                a type: its properties and methods
  caramba docs benchmark                              what a benchmark of your own may have
  caramba docs for                                    a word of the language
  caramba docs bootstrap interval                     all that mentions both words
  caramba docs --all | less                           everything, as Markdown")]
pub struct Docs {
    /// A name, or words to search for
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The whole page, as Markdown
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

impl Docs {
    pub fn run(self) -> Result<()> {
        terminal::print(&match (self.all, self.names.as_slice()) {
            (true, _) => script::documentation()?,
            (false, []) => script::reference()?.overview(),
            (false, words) => script::reference()?.look_up(words)?,
        })
    }
}
