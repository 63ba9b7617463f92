//! What a script may do to the machine that it runs on: read where its user works, write into its run directory, and nothing else, unless the
//! command line grants more.
//!
//! Paths are compared as the file system has them: `..`, symbolic links and absolute paths lead nowhere else. What is not there yet counts as lying in
//! the deepest directory of its path that is.

use super::{HostOptions, token_dataset};
use crate::error::{At, Error, Result};
use crate::gpu::memo;
use crate::manifest::{Command, Experiment};
use crate::model::hub_cache;
use crate::terminal;
use std::cell::Cell;
use std::io::IsTerminal;
use std::path::{Component, Path, PathBuf};

/// What the command line grants beyond the usual.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// Everything.
    pub all: bool,
    /// Files and directories that may be read.
    pub read: Vec<PathBuf>,
    /// Files and directories that may be written to (and read).
    pub write: Vec<PathBuf>,
    /// Whether other programs may be started.
    pub run: bool,
    /// Whether environment variables may be read.
    pub env: bool,
    /// Whether any model may be fetched from the hub.
    pub net: bool,
}

/// Where one script may read and write.
pub(super) struct Permissions {
    grants: Grants,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    /// Where run directories may be made.
    runs: Vec<PathBuf>,
    /// What was given on the command line and in the manifest: models of these names may be fetched.
    named: Vec<String>,
    /// The commands of the manifest, and whether its user has agreed to them.
    commands: Vec<Command>,
    agreed: Cell<bool>,
}

/// The parameter that says where results go: whoever sets it means it.
const OUTPUT: &str = "output";
/// Links that lead to links.
const MAX_LINKS: usize = 40;

impl Permissions {
    /// Of the script in `directory`, or of a built-in one, whose parameters are its user's own words.
    pub(super) fn of(options: &HostOptions, directory: Option<&Path>, is_built_in: bool) -> Permissions {
        let folder = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
        let here = PathBuf::from(".");
        let experiment = options.experiment.as_ref();
        let given: Vec<(&str, Vec<String>)> = options.set.iter().map(|(name, text)| (name.as_str(), texts_of(text))).collect();

        let mut read = vec![here.clone(), std::env::temp_dir().join("caramba")];
        read.extend(directory.map(folder));
        read.extend(memo::folder().into_iter().chain(hub_cache()));
        read.extend(given.iter().flat_map(|(_, texts)| texts).chain(&options.args).map(|text| folder(&beginning(text))));
        if let Some(experiment) = experiment {
            read.push(folder(&experiment.directory));
            read.extend(experiment.manifest.parent().map(folder));
            read.extend(named_by(experiment).iter().map(|path| experiment.resolve(&beginning(path).display().to_string())));
        }
        read.extend(options.grants.read.iter().cloned());

        let named = given.iter().flat_map(|(_, texts)| texts).chain(&options.args).cloned();
        let named = named.chain(experiment.iter().flat_map(|experiment| named_by(experiment))).collect();

        let mut write = options.grants.write.clone();
        write.extend(options.output.iter().chain(&options.resume).cloned());
        let outputs = given.iter().filter(|(name, _)| is_built_in || *name == OUTPUT);
        // What is made under a name lies beside it until it is whole.
        let beside = |text: &String| [text.clone(), format!("{}.partial", text.trim_end_matches(['/', '\\']))];
        write.extend(outputs.flat_map(|(_, texts)| texts).filter(|text| !text.is_empty()).flat_map(beside).map(PathBuf::from));
        let runs = [here].into_iter().chain(experiment.map(|experiment| folder(&experiment.directory))).collect::<Vec<_>>();
        let reals = |paths: Vec<PathBuf>| paths.iter().filter_map(|path| real(path)).collect::<Vec<_>>();
        let write = reals(write);
        // A file may be read again that was written.
        let read = [reals(read), write.clone()].concat();
        let commands = experiment.iter().flat_map(|experiment| &experiment.runs).filter_map(|run| run.command.clone()).collect();
        Permissions { grants: options.grants.clone(), read, write, runs: reals(runs), named, commands, agreed: Cell::new(false) }
    }

    /// Where `path` really lies, if it may be read.
    ///
    /// # Errors
    /// It lies elsewhere; the message names the flag that permits it.
    pub(super) fn read(&self, path: &Path) -> Result<PathBuf> {
        self.check(path, &[&self.read], || {
            let shown = path.display();
            Error::new(format!("reading {shown} is not permitted")).remedy(format!(
                "a script reads below its own folder, the working folder and what it was given: --allow-read {shown} adds this"
            ))
        })
    }

    /// Where `path` really lies, if it may be written to.
    ///
    /// # Errors
    /// As [`Permissions::read`].
    pub(super) fn write(&self, path: &Path, own: &[PathBuf]) -> Result<PathBuf> {
        let own: Vec<PathBuf> = own.iter().filter_map(|path| real(path)).collect();
        self.check(path, &[&self.write, &own], || {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Error::new(format!("writing {} is not permitted", path.display())).remedy(format!(
                "a script writes into its run directory, as in run_directory(\"name\").text(\"notes.txt\", \"...\"); --allow-write {} adds this folder",
                parent.display()
            ))
        })
    }

    /// Whether a run directory may be made in `parent`.
    ///
    /// # Errors
    /// As [`Permissions::read`].
    pub(super) fn run_parent(&self, parent: &Path) -> Result<PathBuf> {
        self.check(parent, &[&self.write, &self.runs], || {
            let shown = parent.display();
            Error::new(format!("making a run directory in {shown} is not permitted")).remedy(format!(
                "a run's directory lies below the working folder; --output {shown} or --allow-write {shown} permits this one"
            ))
        })
    }

    /// Whether a program may be started. Of those that a manifest lists, its user is asked once, on a terminal.
    ///
    /// # Errors
    /// It may not; the message names the flag that permits it.
    pub(super) fn run(&self, command: &Command) -> Result<()> {
        let is_listed = self.commands.contains(command);
        if self.grants.all || self.grants.run || (is_listed && self.agreed.get()) {
            return Ok(());
        }
        if is_listed && std::io::stdin().is_terminal() && terminal::interactive() {
            self.agreed.set(asked(&self.commands)?);
            if self.agreed.get() {
                return Ok(());
            }
        }
        Err(Error::new(format!("starting programs is not permitted: `{command}`"))
            .remedy("--allow-run permits it: for scripts that you trust"))
    }

    /// Whether environment variables may be read.
    ///
    /// # Errors
    /// As [`Permissions::run`].
    pub(super) fn env(&self, name: &str) -> Result<()> {
        if self.grants.all || self.grants.env {
            return Ok(());
        }
        Err(Error::new(format!("reading the environment is not permitted: {name}")).remedy("--allow-env permits it"))
    }

    /// Whether a model may be fetched from the hub: one that the user has named.
    ///
    /// # Errors
    /// As [`Permissions::run`].
    pub(super) fn fetch(&self, name: &str) -> Result<()> {
        if self.grants.all || self.grants.net || self.named.iter().any(|given| given == name) {
            return Ok(());
        }
        Err(Error::new(format!(
            "fetching {name} from the hub is not permitted: it is not in the cache, and it was not named on the command line"
        ))
        .remedy("--allow-net permits it; or give the model's name as a parameter: --set model=hf://ORG/NAME"))
    }

    fn check(&self, path: &Path, roots: &[&[PathBuf]], refusal: impl FnOnce() -> Error) -> Result<PathBuf> {
        if self.grants.all {
            return Ok(path.to_owned());
        }
        match real(path).filter(|real| roots.iter().flat_map(|roots| roots.iter()).any(|root| real.starts_with(root))) {
            Some(real) => Ok(real),
            None => Err(refusal()),
        }
    }
}

/// Asks whether a manifest's programs may be started.
fn asked(commands: &[Command]) -> Result<bool> {
    let listed: String = commands.iter().map(|command| format!("\n    {command}")).collect();
    terminal::note(&format!("the manifest starts programs:{listed}\nstart them? [y/N]"));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).at("standard input")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// The texts in a value of the command line, each of which may be a path.
fn texts_of(typed: &str) -> Vec<String> {
    let mut found = vec![typed.to_owned()];
    if let Ok(value) = serde_yaml::from_str(typed) {
        gather(&value, &mut found);
    }
    // Nothing is meant by nothing, and certainly not the current directory's parents.
    found.retain(|text| !text.trim().is_empty());
    found
}

fn gather(value: &serde_yaml::Value, found: &mut Vec<String>) {
    match value {
        serde_yaml::Value::String(text) => found.push(text.clone()),
        serde_yaml::Value::Sequence(values) => values.iter().for_each(|value| gather(value, found)),
        serde_yaml::Value::Mapping(entries) => entries.values().for_each(|value| gather(value, found)),
        serde_yaml::Value::Tagged(tagged) => gather(&tagged.value, found),
        _ => {}
    }
}

/// The models and files that a manifest names.
fn named_by(experiment: &Experiment) -> Vec<String> {
    let mut found: Vec<String> = experiment.models.iter().map(|model| model.path.clone()).collect();
    experiment.benchmarks.iter().for_each(|entry| gather(&entry.config, &mut found));
    experiment.verify.iter().for_each(|entry| gather(&entry.config, &mut found));
    let checkpoints = experiment.runs.iter().filter_map(|run| run.checkpoint.as_ref());
    found.extend(checkpoints.map(|path| path.display().to_string()));
    found.retain(|text| !text.trim().is_empty());
    found
}

/// The path itself; of a pattern (`shards/*.npy`), the directory in which it begins.
fn beginning(text: &str) -> PathBuf {
    let path = PathBuf::from(text);
    if token_dataset::is_pattern(&path) { token_dataset::parts_of_pattern(&path).0 } else { path }
}

/// Where a path leads: absolute, without links and `..`. `None` for a link that leads nowhere: what is written there would be anywhere.
fn real(path: &Path) -> Option<PathBuf> {
    let absolute = std::env::current_dir().ok()?.join(path);
    let mut place = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => _ = place.pop(),
            Component::CurDir => {}
            other => {
                place.push(other);
                let mut links = 0;
                // Nothing is there, or something that may not be looked at: it counts as what it is called.
                while place.symlink_metadata().is_ok_and(|data| data.is_symlink()) {
                    links += 1;
                    place = place.canonicalize().ok().filter(|_| links < MAX_LINKS)?;
                }
            }
        }
    }
    // Names that differ in case only, or in their short forms, are one where the file system says so.
    Some(place.canonicalize().unwrap_or(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(directory: &Path) -> Permissions {
        Permissions::of(
            &HostOptions { set: vec![("data".into(), "[/etc/hostname]".into())], ..HostOptions::default() },
            Some(directory),
            false,
        )
    }

    #[test]
    fn nothing_leads_out_of_where_a_script_may_read() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("in")).unwrap();
        std::fs::write(path("in/a.txt"), "").unwrap();
        let permissions = permissions(directory.path());
        let secret = outside.path().join("secret").display().to_string();
        for inside in ["in/a.txt", "in/../in/a.txt", "not/there", "not/../in/a.txt"] {
            assert!(permissions.read(&path(inside)).is_ok(), "{inside}");
        }
        for outside in ["..", "in/../../x", "not/there/../../../x", &secret, "/etc/passwd", "/proc/self/environ"] {
            let error = permissions.read(&path(outside)).unwrap_err().to_string();
            assert!(error.contains("is not permitted") && error.contains("--allow-read "), "{outside}: {error}");
        }
        assert!(permissions.read(Path::new("/etc/hostname")).is_ok(), "it was given");
        #[cfg(unix)]
        {
            let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, path(name)).unwrap();
            link(outside.path(), "link");
            link(Path::new("in/a.txt"), "inner");
            link(Path::new("/nowhere/at/all"), "dangling");
            link(Path::new("round"), "round");
            for name in ["link", "link/secret", "in/../link/secret", "dangling", "round", "link/../in/a.txt"] {
                assert!(permissions.read(&path(name)).is_err(), "{name}");
            }
            assert_eq!(permissions.read(&path("inner")).unwrap(), path("in/a.txt").canonicalize().unwrap());
        }
    }

    #[test]
    fn only_what_is_granted_is_written_and_run() {
        let directory = tempfile::tempdir().unwrap();
        let plain = permissions(directory.path());
        let file = directory.path().join("a.txt");
        assert!(plain.write(&file, &[]).unwrap_err().to_string().contains("--allow-write "));
        assert!(plain.write(&file, &[directory.path().to_owned()]).is_ok(), "the run's own directory");
        assert!(plain.run(&Command::Shell("true".into())).unwrap_err().to_string().contains("--allow-run"));
        assert!(plain.env("HOME").unwrap_err().to_string().contains("--allow-env"));
        assert!(plain.fetch("hf://org/name").unwrap_err().to_string().contains("--allow-net"));
        let set = vec![("models".to_owned(), "{teacher: hf://org/name, student: org/other}".to_owned())];
        let given = Permissions::of(&HostOptions { set, ..HostOptions::default() }, None, false);
        assert!(given.fetch("hf://org/name").is_ok() && given.fetch("org/other").is_ok() && given.fetch("hf://org/third").is_err());
        let grants = Grants { write: vec![directory.path().to_owned()], run: true, ..Grants::default() };
        let granted = Permissions::of(&HostOptions { grants, ..HostOptions::default() }, None, false);
        assert!(granted.write(&file, &[]).is_ok() && granted.read(&file).is_ok() && granted.run(&Command::Shell("true".into())).is_ok());
        assert!(granted.write(&directory.path().join("../b.txt"), &[]).is_err());
        let set = vec![("student".to_owned(), directory.path().join("student").display().to_string())];
        let built_in = Permissions::of(&HostOptions { set, ..HostOptions::default() }, None, true);
        for (name, permitted) in [("student", true), ("student.partial", true), ("student.partial/layer", true), ("student2", false)] {
            assert_eq!(built_in.write(&directory.path().join(name), &[]).is_ok(), permitted, "{name}");
        }
        let all =
            Permissions::of(&HostOptions { grants: Grants { all: true, ..Grants::default() }, ..HostOptions::default() }, None, false);
        assert!(all.read(Path::new("/etc/passwd")).is_ok() && all.env("HOME").is_ok());
    }
}
