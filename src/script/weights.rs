//! Weights on the host: what a script reads of a model without any device, and a student that it makes of them.

use super::failure::Answer;
use super::host::Host;
use super::matrix::Matrix;
use super::numbers::Numbers;
use super::values::{Options, count, floats, to_data, to_field};
use crate::artifact;
use crate::error::{At, Error, Result, unknown};
use crate::linear_algebra;
use crate::model::student::{LayerPlan, StudentOptions, kept_pairs};
use crate::model::{self, Architecture, DataType, Model, OpenOptions, Tensor, WriteOptions};
use crate::terminal;
use rhai::plugin::*;
use rhai::{Array, INT, Map};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A model's weights, where they lie.
#[derive(Clone)]
pub struct Weights(Rc<Model>);

/// A model that is being put together.
#[derive(Clone)]
pub struct Student(Rc<RefCell<Draft>>);

pub(super) struct Draft {
    teacher: Rc<Model>,
    architecture: Architecture,
    tensors: BTreeMap<String, Tensor>,
    /// Where it was written.
    written: Option<PathBuf>,
}

impl Draft {
    /// Everything that the student has in common with its teacher is there already: what has the same name and the same shape, and the
    /// output projection, whose name differs.
    fn new(teacher: &Rc<Model>, architecture: Architecture) -> Draft {
        let mut tensors = BTreeMap::new();
        for (name, shape) in architecture.tensors() {
            let source = name.replace("self_attn.out_proj", "self_attn.o_proj");
            let source = if teacher.tensors.contains_key(&name) { &name } else { &source };
            if let Some(tensor) = teacher.tensors.get(source).filter(|tensor| tensor.shape == shape) {
                tensors.insert(name, tensor.clone());
            }
        }
        Draft { teacher: Rc::clone(teacher), architecture, tensors, written: None }
    }

    fn set(&mut self, name: &str, matrix: &linear_algebra::Matrix) -> Result<()> {
        let expected = self.architecture.tensors();
        let Some((_, shape)) = expected.iter().find(|(known, _)| known == name) else {
            return Err(unknown("tensor", name, expected.iter().map(|(name, _)| name.as_str())));
        };
        let mut tensor = matrix.to_tensor().at(name)?;
        // A vector is a matrix of one row.
        if let ([length], [1, columns]) = (&shape[..], &tensor.shape[..])
            && length == columns
        {
            tensor.shape = shape.clone();
        }
        if tensor.shape != *shape {
            return Err(Error::new(format!("the matrix is {:?}, expected {shape:?}", tensor.shape)).at(name));
        }
        self.tensors.insert(name.to_owned(), tensor);
        Ok(())
    }

    /// The path of a file in the directory that was written.
    fn file(&self, name: &str) -> Result<PathBuf> {
        match &self.written {
            Some(directory) => Ok(directory.join(name)),
            None => Err(Error::new("the student is not written yet").at(name).remedy("call write(directory) first")),
        }
    }
}

fn data_type(name: &str) -> Result<DataType> {
    const KINDS: [(&str, DataType); 3] = [("f16", DataType::F16), ("bf16", DataType::BF16), ("f32", DataType::F32)];
    let found = KINDS.iter().find(|(known, _)| *known == name);
    found.map(|(_, kind)| *kind).ok_or_else(|| unknown("kind of weights", name, KINDS.iter().map(|(known, _)| *known)))
}

fn shape_of(architecture: &Architecture) -> Map {
    let mut map = Map::new();
    let mut put = |name: &str, value: Dynamic| _ = map.insert(name.into(), value);
    put("family", architecture.family.as_str().into());
    put("d_model", (architecture.d_model as INT).into());
    put("vocab", (architecture.vocab as INT).into());
    put("context", (architecture.context as INT).into());
    put("tied_embeddings", architecture.tied_embeddings.into());
    let layers = architecture.layers.iter().map(|layer| {
        let attention = &layer.attention;
        let mut map = Map::new();
        let sizes = [
            ("heads", attention.heads),
            ("kv_heads", attention.kv_heads),
            ("sem", attention.sem),
            ("geo", attention.geo),
            ("value", attention.value),
            ("d_ff", layer.d_ff),
        ];
        for (name, size) in sizes {
            map.insert(name.into(), (size as INT).into());
        }
        map.insert("decoupled".into(), attention.decoupled.into());
        map.insert("gate".into(), (attention.gate != model::Gate::None).into());
        let frequencies = attention.rope.as_ref().map(|rope| rope.inverse_frequencies(attention.geo));
        map.insert("rope_factor".into(), attention.rope.as_ref().map_or(1.0, |rope| f64::from(rope.attention_factor)).into());
        let scale = attention.scale.map_or_else(|| 1.0 / (attention.geo as f64).sqrt(), f64::from);
        map.insert("scale".into(), scale.into());
        map.insert("window".into(), attention.window.map_or(Dynamic::UNIT, |window| Dynamic::from(window as INT)));
        map.insert("frequencies".into(), frequencies.map_or(Dynamic::UNIT, |list| Dynamic::from(Numbers::from(list))));
        Dynamic::from_map(map)
    });
    let layers = Dynamic::from_array(layers.collect());
    put("layers", layers);
    map
}

/// One layer of a student, as a script plans it.
fn plan(layer: &Dynamic) -> Answer<Option<LayerPlan>> {
    let Some(map) = layer.read_lock::<Map>() else { return Err(Error::new("a layer's plan is a map").into()) };
    let mut options = Options::new("part of a layer's plan", map.clone());
    if options.truth("standard")?.unwrap_or(false) {
        options.finish()?;
        return Ok(None);
    }
    let mut size = |name: &'static str| options.count(name)?.ok_or_else(|| Error::new(format!("`{name}` is missing")));
    let (kv_heads, sem, geo, value) = (size("kv_heads")?, size("sem")?, size("geo")?, size("value")?);
    let lists = options.take("frequencies").map(|lists| lists.try_cast::<Array>().ok_or_else(|| Error::new("`frequencies` is no array")));
    options.finish()?;
    let list = |list: &Dynamic| -> Answer<Vec<f32>> { Ok(floats(list)?.into_iter().map(|value| value as f32).collect()) };
    let frequencies = lists.transpose()?.map(|lists| lists.iter().map(list).collect::<Answer<Vec<_>>>()).transpose()?;
    Ok(Some(LayerPlan { kv_heads, sem, geo, value, frequencies }))
}

#[export_module]
pub(super) mod api {
    /// The weights of a model on the host: no device is needed, and nothing is read before it is asked for.
    pub type Weights = super::Weights;

    /// A student that is being made: its teacher's weights, but for those of its own that are set.
    pub type Student = super::Student;

    /// Opens a model (a directory, a `.gguf`, a checkpoint) to work on its weights.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let teacher = open_weights("models/SmolLM2-135M");
    /// let keys = teacher.tensor("model.layers.0.self_attn.k_proj.weight");
    /// print(`${keys}, norm ${keys.norm()}`);
    /// ```
    #[rhai_fn(name = "open_weights", name = "weights", return_raw, volatile)]
    pub fn open_weights(context: NativeCallContext, path: &str) -> Answer<Weights> {
        let path = Host::of(&context)?.resolve_model(path)?;
        let model = Model::open(&path, &OpenOptions::default())?;
        model.notes.iter().for_each(|note| terminal::warn(&format!("{}: {note}", path.display())));
        Ok(Weights(Rc::new(model)))
    }

    /// What the model is called in tables.
    #[rhai_fn(get = "name", pure)]
    pub fn name(weights: &mut Weights) -> String {
        weights.0.name.clone()
    }

    /// Where it was read from.
    #[rhai_fn(get = "path", pure)]
    pub fn path(weights: &mut Weights) -> String {
        weights.0.path.display().to_string()
    }

    /// Its sizes: `family`, `d_model`, `vocab`, `context`, `tied_embeddings`, and for each of `layers`: `heads`, `kv_heads`, the widths of a
    /// head `sem`, `geo` (the head size, of a standard layer) and `value`, `d_ff`, `decoupled`, `gate`, the sliding `window` (or `()`), the
    /// `scale` of the scores of a standard layer, and the    /// rotary `frequencies` in radians a position (`()` where nothing is rotated) with what rotated elements are multiplied by (`rope_factor`).
    #[rhai_fn(get = "shape", pure)]
    pub fn shape(weights: &mut Weights) -> Map {
        shape_of(&weights.0.architecture)
    }

    /// The names of all tensors.
    #[rhai_fn(pure)]
    pub fn tensors(weights: &mut Weights) -> Array {
        weights.0.architecture.tensors().into_iter().map(|(name, _)| name.into()).collect()
    }

    /// A tensor as a matrix; a vector is one row.
    #[rhai_fn(pure, return_raw)]
    pub fn tensor(weights: &mut Weights, name: &str) -> Answer<Matrix> {
        match weights.0.tensors.get(name) {
            Some(tensor) => Ok(linear_algebra::Matrix::from_tensor(tensor).at(name)?.into()),
            None => Err(unknown("tensor", name, weights.0.tensors.keys().map(String::as_str)).at(weights.0.path.display()).into()),
        }
    }

    /// The rotary pairs of a head of `head_size` that a narrower head keeps, when its frequencies are to be the wide head's: pair `i` of
    /// the one is pair `kept[i]` of the other. Pair `p` of a head of `n` are its rows `p` and `p + n / 2`.
    ///
    /// # Example
    /// ```rhai
    /// assert(kept_rotary_pairs(16, 8) == [0, 2, 4, 6], "every second one");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn kept_rotary_pairs(head_size: INT, width: INT) -> Answer<Array> {
        let (size, width) = (count("the head size", head_size)?, count("the width", width)?);
        if width == 0 || !size.is_multiple_of(width) || !width.is_multiple_of(2) {
            return Err(Error::new(format!("a head of {width} is no even part of a head of {size}")).into());
        }
        Ok(kept_pairs(size, width).into_iter().map(|pair| Dynamic::from(pair as INT)).collect())
    }

    /// Begins a student whose layers differ: `layers` is an array with a map for each, of `kv_heads` and the widths of a head `sem`, `geo` and `value`, and
    /// `frequencies` where its heads turn by lists of their own (an array of `geo / 2` numbers for each key head); or `standard: true`: as the teacher's.
    #[rhai_fn(name = "student", pure, return_raw)]
    pub fn planned_student(weights: &mut Weights, layers: Array, gate: bool) -> Answer<Student> {
        let plan = |(index, layer): (usize, &Dynamic)| {
            plan(layer).map_err(|error| super::super::failure::changed(error, |error| error.at(format!("layer {index}"))))
        };
        let plans: Vec<Option<LayerPlan>> = layers.iter().enumerate().map(plan).collect::<Answer<_>>()?;
        let architecture = weights.0.architecture.planned_student(&plans, gate).at(weights.0.path.display())?;
        Ok(Student(Rc::new(RefCell::new(Draft::new(&weights.0, architecture)))))
    }

    /// Begins a student with decoupled attention in every layer: a map with `sem_dim` and `geo_dim` (widths over all heads), `grouped` (key
    /// and value heads shared as in the teacher, or one for each query head; default: shared) and `gate` (default: true). What the two
    /// have in common is copied: embeddings, norms, MLPs, head, output projections, and grouped values. The rest is to be `set`.
    #[rhai_fn(pure, return_raw)]
    pub fn student(weights: &mut Weights, options: Map) -> Answer<Student> {
        let mut options = Options::new("option of a student", options);
        let missing = |name: &str| Error::new(format!("`{name}` is missing")).remedy("a student needs its widths sem_dim and geo_dim");
        let chosen = StudentOptions {
            sem_dim: options.count("sem_dim")?.ok_or_else(|| missing("sem_dim"))?,
            geo_dim: options.count("geo_dim")?.ok_or_else(|| missing("geo_dim"))?,
            grouped: options.truth("grouped")?.unwrap_or(true),
            gate: options.truth("gate")?.unwrap_or(true),
        };
        options.finish()?;
        let architecture = weights.0.architecture.student(&chosen).at(weights.0.path.display())?;
        Ok(Student(Rc::new(RefCell::new(Draft::new(&weights.0, architecture)))))
    }

    /// Its sizes, as those of weights.
    #[rhai_fn(name = "shape", get = "shape", pure)]
    pub fn student_shape(student: &mut Student) -> Map {
        shape_of(&student.0.borrow().architecture)
    }

    /// Sets a tensor.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn set(student: &mut Student, name: &str, matrix: Matrix) -> Answer<()> {
        Ok(student.0.borrow_mut().set(name, &matrix.0)?)
    }

    /// A tensor that was copied or set, as a matrix.
    #[rhai_fn(name = "tensor", pure, return_raw)]
    pub fn student_tensor(student: &mut Student, name: &str) -> Answer<Matrix> {
        let draft = student.0.borrow();
        match draft.tensors.get(name) {
            Some(tensor) => Ok(linear_algebra::Matrix::from_tensor(tensor).at(name)?.into()),
            None => Err(unknown("tensor", name, draft.tensors.keys().map(String::as_str)).into()),
        }
    }

    /// The names of the tensors that are neither copied nor set yet.
    #[rhai_fn(pure)]
    pub fn missing(student: &mut Student) -> Array {
        let draft = student.0.borrow();
        let names = draft.architecture.tensors().into_iter().map(|(name, _)| name);
        names.filter(|name| !draft.tensors.contains_key(name)).map(Into::into).collect()
    }

    /// Writes the student with the teacher's tokenizer as a directory, which appears when all of it is on the disk. A map may say `weights`
    /// (`"f16"`, `"bf16"`, `"f32"`; default f16) and `replace` (whether a directory that is there may be replaced; default false).
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn write(context: NativeCallContext, student: &mut Student, directory: &str, options: Map) -> Answer<()> {
        let host = Host::of(&context)?;
        host.acts("write")?;
        host.writable(directory)?;
        let mut options = Options::new("option of writing", options);
        let kind = options.text("weights")?;
        let replace = options.truth("replace")?.unwrap_or(false);
        options.finish()?;
        let data_type = kind.map_or(Ok(DataType::F16), |kind| super::data_type(&kind))?;
        let mut draft = student.0.borrow_mut();
        let teacher = Rc::clone(&draft.teacher);
        let options = WriteOptions { data_type, tokenizer: Some(&teacher), replace };
        model::write_directory(Path::new(directory), &draft.architecture, &draft.tensors, &options)?;
        draft.written = Some(PathBuf::from(directory));
        Ok(())
    }

    /// Writes a JSON file into the student's directory.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn json(student: &mut Student, name: &str, report: Dynamic) -> Answer<()> {
        let path = student.0.borrow().file(name)?;
        Ok(artifact::json::write(&path, &to_data(&report).at(name)?)?)
    }

    /// Writes a CSV file into the student's directory: its columns, and a map for each row.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn csv(student: &mut Student, name: &str, columns: Array, rows: Array) -> Answer<()> {
        let path = student.0.borrow().file(name)?;
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let mut file = artifact::CsvFile::create(&path, &columns)?;
        for (index, row) in rows.iter().enumerate() {
            let place = format!("row {}", index + 1);
            let Ok(row) = row.as_map_ref() else {
                return Err(Error::new("a row is a map with a value for every column").at(place).at(name).into());
            };
            let field = |(column, value): (&rhai::Identifier, &Dynamic)| {
                Ok((column.to_string(), to_field(value).at(format!("column `{column}`"))?))
            };
            let fields = row.iter().map(field).collect::<Result<Vec<_>>>().at(&place).at(name)?;
            file.add(fields)?;
        }
        Ok(())
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
