//! `caramba repl`: scripts line by line, with history and completion.

use super::device::DeviceOptions;
use super::trust::Trust;
use crate::error::{At, Error, Result};
use crate::gpu::memo;
use crate::script::{HostOptions, Interactive, Reply};
use crate::terminal;
use clap::Args;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter};
use std::cell::RefCell;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::rc::Rc;

/// Type scripts line by line: values are shown, Tab completes, ?name shows documentation
#[derive(Debug, Args)]
#[command(after_help = "\
What lines declare stays. ?name shows the documentation of a function, a type or a variable's type. A line whose brackets are open goes on
in the next one. Ctrl-C ends what runs and returns to the prompt, Ctrl-D leaves.")]
pub struct Repl {
    /// A script whose functions and variables are there from the beginning
    file: Option<PathBuf>,
    /// A value for `args.KEY`
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::script::key_and_value)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    device: DeviceOptions,
}

const PROMPT: &str = "> ";
const HISTORY: &str = "history.txt";

impl Repl {
    pub fn run(self) -> Result<u8> {
        let first = self.file.as_ref().map(|file| std::fs::read_to_string(file).at(file.display())).transpose()?;
        let (grants, limits) = (self.trust.grants(), self.trust.limits());
        let options = HostOptions { device: self.device.choice(), set: self.set, grants, limits, ..HostOptions::default() };
        Interactive::with(&options, move |interactive| talk(interactive, first))
    }
}

fn talk(mut interactive: Interactive, first: Option<String>) -> Result<u8> {
    if let Some(text) = first
        && let Reply::Ended(status) = interactive.evaluate(&text)?
    {
        return Ok(status);
    }
    let typed = std::io::stdin().is_terminal();
    if typed {
        terminal::print_line(&format!(
            "caramba {}. ?name shows documentation, Tab completes, Ctrl-C ends what runs, Ctrl-D leaves.",
            env!("CARGO_PKG_VERSION")
        ))?;
    }
    let interactive = Rc::new(RefCell::new(interactive));
    let failed = |error: ReadlineError| Error::new(format!("the terminal cannot be read: {error}"));
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let mut editor: Editor<Line, DefaultHistory> = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Line(Rc::clone(&interactive))));
    let history = memo::folder().filter(|_| typed).map(|folder| folder.join(HISTORY));
    // Without a history there is none: that is no mistake.
    history.as_ref().and_then(|path| editor.load_history(path).ok());
    let status = loop {
        match editor.readline(PROMPT) {
            Ok(text) => match answer(&interactive, text.trim()) {
                Ok(Reply::Nothing) => {}
                Ok(Reply::Shown(text)) => terminal::print_line(&text)?,
                Ok(Reply::Ended(status)) => break status,
                Err(error) => terminal::show_error(&error),
            },
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break 0,
            Err(error) => return Err(failed(error)),
        }
    };
    if let Some(path) = history {
        let kept = path.parent().map_or(Ok(()), std::fs::create_dir_all).is_ok() && editor.save_history(&path).is_ok();
        if !kept {
            terminal::detail(|| format!("the history cannot be kept in {}", path.display()));
        }
    }
    Ok(status)
}

fn answer(interactive: &RefCell<Interactive>, text: &str) -> Result<Reply> {
    match text.strip_prefix('?') {
        Some(name) => {
            let said = interactive.borrow().documentation(name.trim())?;
            Ok(Reply::Shown(said.trim_end().to_owned()))
        }
        None if text.is_empty() => Ok(Reply::Nothing),
        None => interactive.borrow_mut().evaluate(text),
    }
}

/// What the line editor asks of the engine.
#[derive(Helper, Hinter, Highlighter)]
struct Line(Rc<RefCell<Interactive>>);

impl Completer for Line {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = &line[..position];
        // `?pre` is a name, too.
        let (skipped, begun) = begun.strip_prefix('?').map_or((0, begun), |rest| (1, rest));
        let (start, found) = self.0.borrow().complete(begun);
        Ok((start + skipped, found))
    }
}

impl Validator for Line {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        // An empty line ends an input whatever is open in it.
        let more = !text.ends_with("\n\n") && !text.starts_with('?') && self.0.borrow().is_incomplete(text);
        Ok(if more { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}
