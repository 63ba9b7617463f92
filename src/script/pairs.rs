//! `for (name, value) in map`: Rhai goes through no maps, and gives a loop's second variable the number of the turn. Here a map is gone
//! through as entries, and a loop with two variables over entries gets their names and values; over anything else it keeps the
//! number. It is done by two assignments at the begin of such a loop's body (see rewrite.rs).

use rhai::plugin::*;
use rhai::{INT, Map};

/// One entry of a map.
#[derive(Debug, Clone)]
pub struct Entry {
    name: String,
    value: Dynamic,
}

#[export_module]
pub(super) mod api {
    /// One entry of a map: what `for entry in map` goes through, in the order of the names. `for (name, value) in map` takes it apart.
    ///
    /// # Example
    /// ```rhai
    /// let models = #{ student: 1, teacher: 2 };
    /// let seen = "";
    /// for (name, value) in models { seen += `${name}=${value} `; }
    /// assert(seen == "student=1 teacher=2 ", seen);
    /// ```
    pub type Entry = super::Entry;

    /// What stands under a name, or `otherwise` where there is nothing.
    ///
    /// # Example
    /// ```rhai
    /// let options = #{ context: 512 };
    /// assert(options.get("context", 1024) == 512 && options.get("seed", 1) == 1, "given, and not");
    /// ```
    #[rhai_fn(name = "get", pure)]
    pub fn get_or(map: &mut Map, name: &str, otherwise: Dynamic) -> Dynamic {
        map.get(name).cloned().unwrap_or(otherwise)
    }

    /// Its name.
    #[rhai_fn(get = "name", pure)]
    pub fn name(entry: &mut Entry) -> String {
        entry.name.clone()
    }

    /// Its value.
    #[rhai_fn(get = "value", pure)]
    pub fn value(entry: &mut Entry) -> Dynamic {
        entry.value.clone()
    }
}

/// The two functions of the assignments: in no documentation, since nobody calls them by name.
#[export_module]
mod hidden {
    pub fn loop_counter(item: Dynamic, turn: INT) -> Dynamic {
        match item.read_lock::<Entry>() {
            Some(entry) => entry.value.clone(),
            None => turn.into(),
        }
    }

    pub fn loop_item(item: Dynamic) -> Dynamic {
        match item.read_lock::<Entry>() {
            Some(entry) => entry.name.clone().into(),
            None => item.clone(),
        }
    }
}

pub(super) fn module() -> rhai::Module {
    let mut module = exported_module!(api);
    module.set_iter(std::any::TypeId::of::<Map>(), |value| {
        let entry = |(name, value): (rhai::Identifier, Dynamic)| Dynamic::from(Entry { name: name.into(), value });
        let map = value.cast::<Map>();
        // What a benchmark's `run` returns is gone through row by row.
        match map.get("rows").filter(|_| map.contains_key("benchmark_id")).and_then(|rows| rows.clone().into_array().ok()) {
            Some(rows) => Box::new(rows.into_iter()) as Box<dyn Iterator<Item = Dynamic>>,
            None => Box::new(map.into_iter().map(entry)),
        }
    });
    module
}

pub(super) fn hidden_module() -> rhai::Module {
    exported_module!(hidden)
}
