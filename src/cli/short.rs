//! What may be typed shortly: `caramba paper.yml`, `caramba mine.rhai`, `caramba -`, `caramba -e CODE`, and options before the verb.

use super::is_manifest;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

/// The command line with its verb in front. `command` knows the verbs and which options take a value.
pub fn with_verb(mut typed: Vec<OsString>, command: &clap::Command) -> Vec<OsString> {
    let Some(at) = first_word(&typed, command) else { return typed };
    let first = typed[at].to_string_lossy().into_owned();
    if command.find_subcommand(&first).is_some() {
        // `caramba --device 0 run paper.yml`: what stands before the verb is the verb's.
        let verb = typed.remove(at);
        typed.insert(1, verb);
    } else if is_manifest(&first) {
        // The cases of a benchmark are measured as a script is: `--set model=PATH` says by which model.
        typed.insert(1, if crate::script::is_suite(Path::new(&first)) { "script".into() } else { "run".into() });
    } else if is_script(&first) {
        typed.insert(1, "script".into());
    }
    typed
}

/// Where the first word is that is no option nor an option's value (`-` and `-e` begin a script).
fn first_word(typed: &[OsString], command: &clap::Command) -> Option<usize> {
    let all = || command.get_subcommands().flat_map(clap::Command::get_arguments).chain(command.get_arguments());
    let takes_value = |option: &str| {
        all().any(|argument| {
            argument.get_long().is_some_and(|long| option.strip_prefix("--") == Some(long)) && argument.get_action().takes_values()
        })
    };
    let mut words = typed.iter().enumerate().skip(1);
    while let Some((at, word)) = words.next() {
        let word = word.to_string_lossy();
        match word.as_ref() {
            "--" | "-V" | "--version" => return None,
            "-" | "-e" | "--eval" => return Some(at),
            option if takes_value(option) => _ = words.next(),
            option if option.starts_with('-') => {}
            _ => return Some(at),
        }
    }
    None
}

/// Whether this begins what `caramba script` takes. A file that begins with `#!` is a script whatever its name is.
fn is_script(first: &str) -> bool {
    let begins_with_mark = || {
        let mut bytes = [0; 2];
        let read = std::fs::File::open(first).and_then(|mut file| file.read_exact(&mut bytes));
        read.is_ok() && &bytes == b"#!"
    };
    ["-", "-e", "--eval"].contains(&first)
        || Path::new(first).extension().is_some_and(|extension| extension == "rhai")
        || (first.contains(std::path::MAIN_SEPARATOR) && begins_with_mark())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(typed: &str) -> String {
        let words = with_verb(typed.split(' ').map(OsString::from).collect(), &super::super::command());
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_manifest_or_a_script_alone_is_run() {
        assert_eq!(meant("caramba a.yml --target paper"), "caramba run a.yml --target paper");
        assert_eq!(meant("caramba --target paper a.yaml"), "caramba run --target paper a.yaml");
        assert_eq!(meant("caramba --device 0 --dry-run full_paper"), "caramba run --device 0 --dry-run full_paper");
        assert_eq!(meant("caramba a.rhai --set n=1"), "caramba script a.rhai --set n=1");
        assert_eq!(meant("caramba -"), "caramba script -");
        assert_eq!(meant("caramba -q -e 1+1"), "caramba script -q -e 1+1");
        for untouched in ["caramba", "caramba run a.yml", "caramba x", "caramba -- a.yml", "caramba check a.yml", "caramba --version a.yml"]
        {
            assert_eq!(meant(untouched), untouched);
        }
    }

    #[test]
    fn options_may_stand_before_the_verb() {
        assert_eq!(meant("caramba --device 0 run a.yml"), "caramba run --device 0 a.yml");
        assert_eq!(meant("caramba --device a.yml devices"), "caramba devices --device a.yml");
        assert_eq!(meant("caramba -q check a.rhai"), "caramba check -q a.rhai");
    }
}
