//! Lists the files of `src/model/architectures`: a new architecture is one file there, named nowhere else.

use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let variable = |name| env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(format!("{name} is not set")));
    let folder = variable("CARGO_MANIFEST_DIR")?.join("src/model/architectures");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names: Vec<String> = fs::read_dir(&folder)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name != "mod")
        .collect();
    names.sort();
    let (mut modules, mut lists) = (String::new(), String::new());
    for name in names {
        let path = folder.join(format!("{name}.rs"));
        let _ = writeln!(modules, "#[path = {:?}]\npub mod {name};", path.display().to_string());
        let _ = writeln!(lists, "    {name}::FAMILIES,");
    }
    let list = format!("/// Of each file its families.\npub static FILES: &[&[super::Family]] = &[\n{lists}];\n");
    fs::write(variable("OUT_DIR")?.join("architectures.rs"), format!("{modules}\n{list}"))
}
