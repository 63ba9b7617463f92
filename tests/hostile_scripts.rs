//! Scripts that would hurt: each ends with its own message, within its limits, and leaves nothing behind.

mod common;

use common::cli::{caramba_in, shown};
use std::path::Path;

/// What each script is run with, and what it is told: its limit with its number, or the flag that permits what it wanted.
const SCRIPTS: &[(&str, &[&str], &[&str])] = &[
    ("endless_loop", &["--time-limit", "300ms"], &["the time limit of 0.3 s has passed (--time-limit)"]),
    ("sleep", &["--time-limit", "0.2s"], &["the time limit of 0.2 s has passed (--time-limit)"]),
    ("pattern_bomb", &["--time-limit", "1.5s"], &["the time limit of 1.5 s has passed (--time-limit)"]),
    ("many_operations", &["--max-operations", "20000"], &["the script has done more than 20000 operations (--max-operations)"]),
    ("deep_recursion", &[], &["calls are nested more than 100 deep"]),
    ("exponential_text", &["--memory-limit", "300M"], &["the limit of memory is 300 MB (--memory-limit)"]),
    ("array_doubled", &["--memory-limit", "300M"], &["the limit of memory is 300 MB (--memory-limit)"]),
    ("array_nested", &["--memory-limit", "300M"], &["the limit of memory is 300 MB (--memory-limit)"]),
    ("array_pushed", &["--memory-limit", "50M"], &["the limit of memory is 50 MB (--memory-limit)"]),
    ("array_padded", &[], &["would take", "(--memory-limit)"]),
    ("text_repeated", &[], &["would take", "(--memory-limit)"]),
    ("map_grown", &["--memory-limit", "50M"], &["the limit of memory is 50 MB (--memory-limit)"]),
    ("random_numbers", &[], &["would take", "(--memory-limit)"]),
    ("matrix_of_zeros", &["--memory-limit", "100M"], &["10000000"]),
    ("import_of_itself", &[], &["there is no script `import_of_itself` to import"]),
    ("import_outside", &[], &["reading ../outside.rhai is not permitted", "--allow-read"]),
    ("import_absolute", &[], &["/etc/passwd.rhai"]),
    ("dots", &[], &["reading ../secret.txt is not permitted", "--allow-read ../secret.txt"]),
    ("dots_inside", &[], &["reading nothing/../../secret.txt is not permitted"]),
    #[cfg(unix)]
    ("link", &[], &["reading link.txt is not permitted"]),
    #[cfg(unix)]
    ("link_of_directory", &[], &["reading folder/secret.txt is not permitted"]),
    ("absolute", &[], &["reading /etc/passwd is not permitted", "--allow-read /etc/passwd"]),
    ("password_data", &[], &["reading /etc/passwd is not permitted"]),
    ("password_hash", &[], &["reading /etc/passwd is not permitted"]),
    ("exists", &[], &["reading /root/.ssh/id_rsa is not permitted"]),
    ("list", &[], &["reading /etc is not permitted"]),
    ("glob", &[], &["reading .. is not permitted"]),
    ("model_outside", &[], &["reading ../ is not permitted"]),
    ("weights_outside", &[], &["reading ../ is not permitted"]),
    ("write_here", &[], &["writing written.txt is not permitted", "--allow-write ."]),
    ("write_outside", &[], &["writing ../written.json is not permitted", "--allow-write .."]),
    ("write_numbers", &[], &["writing written.npy is not permitted"]),
    ("write_by_name", &[], &["../../written.txt"]),
    ("run_outside", &[], &["making a run directory in ../written is not permitted", "--allow-write ../written"]),
    ("reopened", &[], &["writing .. is not permitted"]),
    ("run_command", &[], &["starting programs is not permitted: `touch written.txt`", "--allow-run"]),
    ("environment", &[], &["reading the environment is not permitted: PATH", "--allow-env"]),
];

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/hostile/scripts");

/// A folder with a script in it, and a secret outside of it.
fn folder(script: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("work");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(directory.path().join("secret.txt"), "the secret").unwrap();
    std::fs::write(directory.path().join("outside.rhai"), "print(\"the secret\");").unwrap();
    std::fs::copy(Path::new(FOLDER).join(format!("{script}.rhai")), inside.join(format!("{script}.rhai"))).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(directory.path().join("secret.txt"), inside.join("link.txt")).unwrap();
        std::os::unix::fs::symlink(directory.path(), inside.join("folder")).unwrap();
    }
    (directory, inside)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn each_ends_with_its_own_message() {
    let known = names(Path::new(FOLDER));
    assert_eq!(known.len(), SCRIPTS.len() + usize::from(cfg!(not(unix))) * 2, "every script is tried: {known:?}");
    let mut wrong = Vec::new();
    for (script, flags, expected) in SCRIPTS {
        let (outside, inside) = folder(script);
        let before = names(&inside);
        let file = format!("{script}.rhai");
        let output = caramba_in(&inside, &[&["script", file.as_str()], *flags].concat());
        let told = shown(&output);
        let is_told = expected.iter().all(|words| told.contains(words)) && output.status.code() == Some(1);
        if !is_told || told.contains("the secret") {
            wrong.push(format!("{script}: {told}\n  expected {expected:?}"));
        }
        let artifacts = |names: Vec<String>| names.into_iter().filter(|name| name != "artifacts").collect::<Vec<_>>();
        assert_eq!((artifacts(names(&inside)), names(outside.path()).len()), (before, 3), "{script} has left something");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What the message says permits it does permit it.
#[test]
fn a_flag_permits_what_it_names() {
    for (script, flags, expected) in [
        ("dots", &["--allow-read", "../secret.txt"][..], "the secret"),
        ("link", &["--allow-read", ".."], "the secret"),
        ("absolute", &["--allow-all"], "root"),
        ("write_here", &["--allow-write", "."], ""),
        ("write_outside", &["--allow-write", ".."], ""),
        ("run_command", &["--allow-run"], ""),
        ("environment", &["--allow-env"], ":"),
    ] {
        let (_outside, inside) = folder(script);
        let output = caramba_in(&inside, &[&["script", &format!("{script}.rhai")], flags].concat());
        let told = shown(&output);
        assert!(output.status.success() && told.contains(expected), "{script}: {told}");
    }
    let (_outside, inside) = folder("write_here");
    let told = shown(&caramba_in(&inside, &["script", "write_here.rhai", "--allow-write", "."]));
    assert_eq!((told.as_str(), std::fs::read_to_string(inside.join("written.txt")).unwrap().as_str()), ("exit code 0", "x"));
}

/// What is given on the command line may be read, wherever it is.
#[test]
fn what_a_script_is_given_it_may_read() {
    let (outside, inside) = folder("dots");
    std::fs::write(inside.join("reader.rhai"), "print(read_text(args.file));").unwrap();
    let secret = outside.path().join("secret.txt").display().to_string();
    for set in [format!("file={secret}"), "file=../secret.txt".to_owned()] {
        assert!(shown(&caramba_in(&inside, &["script", "reader.rhai", "--set", &set])).contains("the secret"), "{set}");
    }
    std::fs::write(inside.join("rest.rhai"), "print(read_text(args.rest[0]));").unwrap();
    assert!(shown(&caramba_in(&inside, &["script", "rest.rhai", "--", &secret])).contains("the secret"));
}
