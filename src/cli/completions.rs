//! `caramba completions`: what a shell needs to complete verbs and options.

use crate::error::Result;
use crate::terminal;
use clap::Args;
use clap_complete::{Shell, generate};

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caramba completions bash > ~/.local/share/bash-completion/completions/caramba
  caramba completions zsh > ~/.zfunc/_caramba
  caramba completions fish > ~/.config/fish/completions/caramba.fish")]
pub struct Completions {
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut super::command(), "caramba", &mut script);
        terminal::print(&String::from_utf8_lossy(&script))
    }
}
