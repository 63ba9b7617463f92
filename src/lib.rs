//! caramba: a wgpu inference runtime with a quantised KV cache, exposed to Rhai scripts.
//!
//! A script asks, the runtime runs, the GPU computes, the rows come back, the script writes the paper.
//! Modules are floors: an upper one may use a lower one, never the other way.
//!
//! ```text
//! cli
//! script    assets                the only place that knows both a model and a chart
//! runtime   manifest   artifact   statistics   thresholds   calibration
//! linear_algebra
//! model
//! gpu
//! error     diagnostics source     interrupt   terminal   progress   mapped   yaml   parquet_file
//! ```

pub mod diagnostics;
pub mod error;
pub mod guard;
pub mod interrupt;
pub mod limits;
pub mod mapped;
pub mod parquet_file;
pub mod progress;
pub mod source;
pub mod terminal;
pub mod yaml;

pub mod gpu;
pub mod model;
pub mod quant;

pub mod artifact;
pub mod assets;
pub mod calibration;
pub mod linear_algebra;
pub mod manifest;
pub mod runtime;
pub mod statistics;
pub mod thresholds;

pub mod cli;
pub mod script;

pub use error::{Error, Result};
