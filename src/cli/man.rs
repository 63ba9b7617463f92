//! `caramba man`: the manual, a page for each verb.

use crate::artifact::write_atomically;
use crate::error::{At, Result};
use crate::terminal;
use clap::Args;
use clap_mangen::Man as Page;
use std::path::PathBuf;

/// Write man pages, one for each verb
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  caramba man ~/.local/share/man/man1")]
pub struct Man {
    /// The directory that they are written into
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl Man {
    pub fn run(self) -> Result<()> {
        std::fs::create_dir_all(&self.directory).at(self.directory.display())?;
        let mut command = super::command();
        command.build();
        let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
        let pages: Vec<clap::Command> = std::iter::once(command.clone()).chain(verbs).collect();
        for page in pages {
            let name = if page.get_name() == "caramba" { "caramba".to_owned() } else { format!("caramba-{}", page.get_name()) };
            let mut text = Vec::new();
            let path = self.directory.join(format!("{name}.1"));
            Page::new(page.display_name(name.clone())).title(name).render(&mut text).at(path.display())?;
            write_atomically(&path, &text)?;
            terminal::print_line(&path.display().to_string())?;
        }
        Ok(())
    }
}
