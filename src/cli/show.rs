//! `caramba show`: what is inside the binary is printed, to be read, copied and changed.

use super::columns::columns;
use crate::assets::{self, Asset};
use crate::error::{Error, Result, unknown};
use crate::terminal;
use clap::Args;

/// Print a bundled script, preset or benchmark
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caramba show                                        what there is
  caramba show latency.rhai > mine.rhai               a benchmark to change
  caramba show quick_validation > paper.yml           a manifest to change")]
pub struct Show {
    /// Its name; all are listed where none is given
    name: Option<String>,
}

impl Show {
    pub fn run(self) -> Result<()> {
        let Some(name) = self.name else { return terminal::print(&list()) };
        terminal::print(find(&name)?.text)
    }
}

/// Whichever has this name, with or without its ending.
fn find(name: &str) -> Result<&'static Asset> {
    let plain = name.rsplit('/').next().unwrap_or(name);
    let all = || assets::texts();
    if let Some(exact) = all().find(|asset| asset.file() == plain) {
        return Ok(exact);
    }
    let found: Vec<&Asset> = all().filter(|asset| asset.name == plain).collect();
    match found[..] {
        [only] => Ok(only),
        [] => Err(unknown("name", plain, all().map(|asset| asset.name)).remedy("`caramba show` lists what there is")),
        _ => {
            let files: Vec<String> = found.iter().map(|asset| asset.file()).collect();
            Err(Error::new(format!("there are several called `{plain}`")).remedy(format!("say which: {}", files.join(", "))))
        }
    }
}

/// By kind, each with the first sentence of its own comment.
fn list() -> String {
    let mut out = String::new();
    for (kind, title) in assets::KINDS {
        out += &format!("{title}\n");
        let rows = assets::texts().filter(|asset| asset.kind == *kind).map(|asset| vec![format!("  {}", asset.file()), asset.about()]);
        out += &columns(&rows.collect::<Vec<_>>(), &[]);
        out.push('\n');
    }
    out + "`caramba show NAME > FILE` makes a copy to change.\n"
}
