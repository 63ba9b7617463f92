//! Layers that are done, kept beside what is being made: long work on a model goes on after Ctrl-C where it stopped.

use super::failure::Answer;
use super::host::Host;
use super::matrix::Matrix;
use super::values::{count, from_data, to_data};
use crate::artifact::write_atomically;
use crate::error::{At, Error, Result};
use crate::linear_algebra;
use ndarray_npy::{ReadNpyExt, WriteNpyExt};
use rhai::plugin::*;
use rhai::{INT, Map};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A directory of finished layers.
#[derive(Clone)]
pub struct LayerStore(Rc<PathBuf>);

/// What the layers were made with.
const PLAN: &str = "plan.json";

impl LayerStore {
    fn file(&self, layer: usize, extension: &str) -> PathBuf {
        self.0.join(format!("layer-{layer:03}.{extension}"))
    }

    /// Opens the store, and empties it where its layers were made with another plan.
    fn open(path: &Path, plan: &str) -> Result<LayerStore> {
        let store = LayerStore(Rc::new(path.to_owned()));
        if std::fs::read_to_string(path.join(PLAN)).is_ok_and(|kept| kept == plan) {
            return Ok(store);
        }
        if path.exists() {
            store.remove()?;
        }
        std::fs::create_dir_all(path).at(path.display())?;
        write_atomically(&path.join(PLAN), plan.as_bytes())?;
        Ok(store)
    }

    fn get(&self, layer: usize) -> Result<Option<(linear_algebra::Matrix, serde_yaml::Value)>> {
        // The notes are written last: with them, a layer is whole.
        let notes = self.file(layer, "json");
        let Ok(text) = std::fs::read_to_string(&notes) else { return Ok(None) };
        let notes = serde_yaml::from_str(&text).map_err(|error| Error::new(format!("not JSON: {error}"))).at(notes.display())?;
        let path = self.file(layer, "npy");
        let file = std::io::BufReader::new(std::fs::File::open(&path).at(path.display())?);
        let values =
            ndarray::Array2::<f32>::read_npy(file).map_err(|error| Error::new(format!("no matrix of f32: {error}"))).at(path.display())?;
        let matrix = linear_algebra::Matrix::from_fn(values.nrows(), values.ncols(), |row, column| f64::from(values[(row, column)]))?;
        Ok(Some((matrix, notes)))
    }

    fn put(&self, layer: usize, matrix: &linear_algebra::Matrix, notes: &serde_yaml::Value) -> Result<()> {
        let path = self.file(layer, "npy");
        let place = path.display().to_string();
        let values = ndarray::Array2::from_shape_vec((matrix.rows(), matrix.columns()), matrix.to_tensor().at(&place)?.to_f32());
        let mut bytes = Vec::new();
        let written =
            values.map_err(|error| error.to_string()).and_then(|values| values.write_npy(&mut bytes).map_err(|error| error.to_string()));
        written.map_err(Error::new).at(&place)?;
        write_atomically(&path, &bytes)?;
        let text = serde_json::to_string(notes).map_err(|error| Error::new(error.to_string()))?;
        write_atomically(&self.file(layer, "json"), text.as_bytes())
    }

    /// Removes what this store has written, and its directory if nothing else is in it.
    fn remove(&self) -> Result<()> {
        for entry in std::fs::read_dir(&*self.0).at(self.0.display())? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name == PLAN || (name.starts_with("layer-") && (name.ends_with(".npy") || name.ends_with(".json"))) {
                std::fs::remove_file(&path).at(path.display())?;
            }
        }
        // Somebody else's files keep it.
        _ = std::fs::remove_dir(&*self.0);
        Ok(())
    }
}

#[export_module]
pub(super) mod api {
    /// A directory of finished layers: each a matrix and notes.
    pub type LayerStore = super::LayerStore;

    /// Opens a directory of finished layers, which is made if it isn't there. `plan` is what they were made with (a map): layers of another plan are
    /// thrown away.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let done = layer_store("runs/student.partial", #{ rank: 16 });
    /// for layer in 0..30 {
    ///     if done.get(layer) == () { done.put(layer, identity(4), #{ error: 0.1 }); }      // after Ctrl-C, those that are there are not made again
    /// }
    /// done.remove();
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn layer_store(context: NativeCallContext, directory: &str, plan: Map) -> Answer<LayerStore> {
        let host = Host::of(&context)?;
        host.acts("layer_store")?;
        let place = host.writable(directory)?;
        let plan = to_data(&Dynamic::from_map(plan)).at("the plan")?;
        let plan = serde_json::to_string_pretty(&plan).map_err(|error| Error::new(error.to_string()))?;
        Ok(LayerStore::open(&place, &plan)?)
    }

    /// What is kept of a layer: a map with `matrix` and `notes`; `()` where it is not done.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn get(store: &mut LayerStore, layer: INT) -> Answer<Dynamic> {
        Ok(match store.get(count("a layer", layer)?)? {
            None => Dynamic::UNIT,
            Some((matrix, notes)) => {
                let parts = [("matrix".into(), Dynamic::from(Matrix::from(matrix))), ("notes".into(), from_data(&notes))];
                Dynamic::from_map(Map::from_iter(parts))
            }
        })
    }

    /// Keeps a layer: whole or not at all. The matrix is rounded to f32.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn put(store: &mut LayerStore, layer: INT, matrix: Matrix, notes: Map) -> Answer<()> {
        let notes = to_data(&Dynamic::from_map(notes)).at("the notes")?;
        Ok(store.put(count("a layer", layer)?, &matrix.0, &notes)?)
    }

    /// Removes the layers.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn remove(store: &mut LayerStore) -> Answer<()> {
        Ok(store.remove()?)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
