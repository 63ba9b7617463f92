//! (being written)

/// One target of a manifest.
#[derive(Debug, Clone)]
pub struct Experiment {}
