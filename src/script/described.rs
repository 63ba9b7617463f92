//! What a script describes by a map (a chart, a table), as the value it stands for; mistakes are said without the words of the library that reads it.

use super::values::to_data;
use crate::error::{At, Error, Result, unknown};
use regex::Regex;
use rhai::Dynamic;
use serde::de::DeserializeOwned;

/// The value that `map` describes; `what` it is, for messages.
///
/// # Errors
/// A key that nobody knows, a value of another type, one that is missing: with its place in the map.
pub(super) fn described<T: DeserializeOwned>(what: &str, map: &Dynamic) -> Result<T> {
    let data = to_data(map).at(what)?;
    serde_path_to_error::deserialize(data).map_err(|error| {
        let path = error.path().to_string();
        let said = plain(&error.into_inner().to_string());
        if path == "." { said.at(what) } else { said.at(format!("`{path}`")).at(what) }
    })
}

/// Serde's sentence as one for a script's author.
fn plain(said: &str) -> Error {
    let found = |pattern: &str| {
        Regex::new(pattern).ok().and_then(|regex| {
            let found = regex.captures(said)?;
            Some((1..found.len()).map(|index| found.get(index).map_or(String::new(), |part| part.as_str().to_owned())).collect::<Vec<_>>())
        })
    };
    let names = |list: &str| list.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    if let Some(parts) = found(r"^unknown (field|variant) `([^`]*)`, expected (.*)$") {
        let known = names(&parts[2]);
        let what = if parts[0] == "field" { "key" } else { "value" };
        return unknown(what, &parts[1], known.iter().map(String::as_str));
    }
    if let Some(parts) = found(r"^missing field `([^`]*)`$") {
        return Error::new(format!("`{}` is missing", parts[0]));
    }
    if let Some(parts) = found(r"^invalid (?:type|value): (.*), expected (.*)$") {
        return Error::new(format!("expected {}, and this is {}", expected(&parts[1]), given(&parts[0])));
    }
    Error::new(said.to_owned())
}

fn expected(said: &str) -> String {
    match said {
        said if said.starts_with("struct ") => "a map".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a string" => "text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "f64" | "f32" => "a number".to_owned(),
        "usize" | "u64" | "u32" | "i64" => "an integer".to_owned(),
        other => other.to_owned(),
    }
}

fn given(said: &str) -> String {
    match said.split_once(' ') {
        Some(("string", text)) => format!("text ({text})"),
        Some(("integer", number)) => format!("an integer ({})", number.trim_matches('`')),
        Some(("floating", number)) => format!("a float ({})", number.trim_start_matches("point ").trim_matches('`')),
        Some(("boolean", truth)) => truth.trim_matches('`').to_owned(),
        Some(("unit", _)) => "nothing".to_owned(),
        _ => match said {
            "sequence" => "a list".to_owned(),
            "map" => "a map".to_owned(),
            other => other.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{LineChart, Table};
    use rhai::Engine;

    fn wrong<T: DeserializeOwned>(map: &str) -> String {
        let value: Dynamic = Engine::new().eval(map).unwrap();
        described::<T>("a.png", &value).err().unwrap().to_string()
    }

    #[test]
    fn mistakes_are_said_in_plain_words() {
        assert_eq!(wrong::<LineChart>("#{ x: \"a\", y: #{}, series: [] }"), "a.png: `x`: expected a map, and this is text (\"a\")");
        let scale = wrong::<LineChart>("#{ x: #{ label: \"a\", scale: \"log\" }, y: #{ label: \"b\" }, series: [] }");
        assert!(scale.starts_with("a.png: `x.scale`: unknown value `log`\n  help: ") && scale.contains("log2"), "{scale}");
        assert!(wrong::<LineChart>("#{ x: #{ label: \"a\" }, series: [] }").contains("`y` is missing"));
        let key = wrong::<Table>("#{ columns: [\"a\"], rows: [], captoin: \"b\" }");
        assert!(key.contains("unknown key `captoin`") && key.contains("did you mean `caption`?"), "{key}");
    }
}
