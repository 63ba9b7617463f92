//! Kernels: WGSL templates made into pipelines, each variant once; and steps, a kernel with its buffers and its grid.
//!
//! A shader in `shaders/` is a minijinja template: widths and tile sizes are known when a model is loaded, so loops are unrolled and what
//! a device can't do is left out before the driver sees the source. All values that change from one token to the next lie in
//! buffers; a recorded step needs no other input, so a token is one sequence of dispatches.

use super::Gpu;
use crate::error::{Error, Result};
use crate::terminal;
use minijinja::Environment;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Every template: `{% import %}` and `{% include %}` find each other by these names.
pub const SHADERS: &[(&str, &str)] = &[
    ("attention_decode.wgsl", include_str!("../../shaders/attention_decode.wgsl")),
    ("attention_decode_bindings.wgsl", include_str!("../../shaders/attention_decode_bindings.wgsl")),
    ("attention_decode_incoming.wgsl", include_str!("../../shaders/attention_decode_incoming.wgsl")),
    ("attention_fetch.wgsl", include_str!("../../shaders/attention_fetch.wgsl")),
    ("attention_merge.wgsl", include_str!("../../shaders/attention_merge.wgsl")),
    ("attention_output.wgsl", include_str!("../../shaders/attention_output.wgsl")),
    ("attention_prefill.wgsl", include_str!("../../shaders/attention_prefill.wgsl")),
    ("attention_seam.wgsl", include_str!("../../shaders/attention_seam.wgsl")),
    ("attention_shared.wgsl", include_str!("../../shaders/attention_shared.wgsl")),
    ("attention_tiles.wgsl", include_str!("../../shaders/attention_tiles.wgsl")),
    ("attention_weights.wgsl", include_str!("../../shaders/attention_weights.wgsl")),
    ("cache.wgsl", include_str!("../../shaders/cache.wgsl")),
    ("cache_write.wgsl", include_str!("../../shaders/cache_write.wgsl")),
    ("call.wgsl", include_str!("../../shaders/call.wgsl")),
    ("copy_rows.wgsl", include_str!("../../shaders/copy_rows.wgsl")),
    ("differential.wgsl", include_str!("../../shaders/differential.wgsl")),
    ("embed.wgsl", include_str!("../../shaders/embed.wgsl")),
    ("gated.wgsl", include_str!("../../shaders/gated.wgsl")),
    ("hadamard.wgsl", include_str!("../../shaders/hadamard.wgsl")),
    ("linear_bindings.wgsl", include_str!("../../shaders/linear_bindings.wgsl")),
    ("linear_heads.wgsl", include_str!("../../shaders/linear_heads.wgsl")),
    ("linear_incoming.wgsl", include_str!("../../shaders/linear_incoming.wgsl")),
    ("linear_lanes.wgsl", include_str!("../../shaders/linear_lanes.wgsl")),
    ("linear_matrices.wgsl", include_str!("../../shaders/linear_matrices.wgsl")),
    ("linear_shared.wgsl", include_str!("../../shaders/linear_shared.wgsl")),
    ("linear_tiles.wgsl", include_str!("../../shaders/linear_tiles.wgsl")),
    ("logit_cap.wgsl", include_str!("../../shaders/logit_cap.wgsl")),
    ("loops.wgsl", include_str!("../../shaders/loops.wgsl")),
    ("output_gate.wgsl", include_str!("../../shaders/output_gate.wgsl")),
    ("penalty.wgsl", include_str!("../../shaders/penalty.wgsl")),
    ("probe_arithmetic.wgsl", include_str!("../../shaders/probe_arithmetic.wgsl")),
    ("probe_matrices.wgsl", include_str!("../../shaders/probe_matrices.wgsl")),
    ("probe_nothing.wgsl", include_str!("../../shaders/probe_nothing.wgsl")),
    ("probe_read.wgsl", include_str!("../../shaders/probe_read.wgsl")),
    ("residual_norm.wgsl", include_str!("../../shaders/residual_norm.wgsl")),
    ("sample.wgsl", include_str!("../../shaders/sample.wgsl")),
    ("score.wgsl", include_str!("../../shaders/score.wgsl")),
    ("weights.wgsl", include_str!("../../shaders/weights.wgsl")),
];

/// A compiled variant of a shader.
pub struct Kernel {
    pub(crate) name: String,
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

/// Whoever waits for so many seconds wants to know for what.
const SLOW_S: f64 = 1.0;

/// The templates, and every variant made so far.
pub(super) struct Kernels {
    templates: Environment<'static>,
    made: Mutex<HashMap<String, Arc<Kernel>>>,
}

impl Kernels {
    pub(super) fn new() -> Kernels {
        Kernels { templates: templates(), made: Mutex::default() }
    }
}

fn templates() -> Environment<'static> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let mut syntax = minijinja::syntax::SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    // Default delimiters: there is nothing in them that could be wrong.
    if let Ok(syntax) = syntax.build() {
        templates.set_syntax(syntax);
    }
    for (name, source) in SHADERS {
        // A template that doesn't parse is found again, with its message, when a kernel is made of it.
        let _ = templates.add_template(name, source);
    }
    templates
}

/// The WGSL of `template` with `parameters`.
///
/// # Errors
/// A template that isn't there or a parameter that is missing: mistakes of this program.
pub fn render(template: &str, parameters: &serde_json::Value) -> Result<String> {
    render_with(&templates(), template, parameters)
}

fn render_with(templates: &Environment, template: &str, parameters: &serde_json::Value) -> Result<String> {
    let attempt = || templates.get_template(template)?.render(minijinja::value::Serde(parameters));
    attempt().map_err(|error| Error::new(format!("{error:#}")).at(template))
}

impl Gpu {
    /// The variant of a shader for `parameters`: compiled at its first use.
    ///
    /// # Errors
    /// A shader that this device does not take.
    pub fn kernel(&self, template: &str, parameters: &serde_json::Value) -> Result<Arc<Kernel>> {
        self.variant(template, parameters, false)
    }

    /// As [`Gpu::kernel`], with expressions of a script among the parameters: whatever they are, nothing outside a buffer is read.
    ///
    /// # Errors
    /// A shader that this device does not take.
    pub fn kernel_of_script(&self, template: &str, parameters: &serde_json::Value) -> Result<Arc<Kernel>> {
        self.variant(template, parameters, true)
    }

    fn variant(&self, template: &str, parameters: &serde_json::Value, of_script: bool) -> Result<Arc<Kernel>> {
        let key = format!("{template} {parameters}");
        let mut made = self.kernels.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = made.get(&key) {
            return Ok(kernel.clone());
        }
        let source = render_with(&self.kernels.templates, template, parameters)?;
        let begun = Instant::now();
        let kernel = Arc::new(self.compile(template.trim_end_matches(".wgsl"), &source, of_script)?);
        let seconds = begun.elapsed().as_secs_f64();
        if seconds >= SLOW_S {
            terminal::detail(|| format!("{} took the driver {seconds:.1} s to compile", kernel.name));
        }
        made.insert(key, kernel.clone());
        Ok(kernel)
    }

    /// Compiles one WGSL source with one entry point, `main`.
    fn compile(&self, name: &str, source: &str, of_script: bool) -> Result<Kernel> {
        // What a driver does not compile is an internal error to wgpu.
        let internal = self.device().push_error_scope(wgpu::ErrorFilter::Internal);
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(source.into()) };
        let module = if self.checked {
            self.device().create_shader_module(descriptor)
        } else if of_script {
            let checks = wgpu::ShaderRuntimeChecks { bounds_checks: true, ..wgpu::ShaderRuntimeChecks::unchecked() };
            // SAFETY: indices are checked, whatever a script has made of them. Loops are those of our templates alone, bounded by sizes that the host has
            // checked: expressions of scripts have none.
            unsafe { self.device().create_shader_module_trusted(descriptor, checks) }
        } else {
            // SAFETY: the sources are ours; every kernel is tested on odd shapes in the checked form too, with the same results, and its
            // loops are bounded by sizes that the host has checked. Bounds checks and loop counters cost up to a hundredfold.
            unsafe { self.device().create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let pipeline = self.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions { constants: &[], zero_initialize_workgroup_memory: false },
            cache: self.pipelines.cache(),
        });
        let refused = pollster::block_on(scope.pop());
        if let Some(error) = pollster::block_on(internal.pop()).or(refused) {
            return Err(Error::new(format!("the shader was refused: {error}"))
                .remedy("this is a fault of caramba or of the driver: please report it, with the output of `caramba devices`")
                .at(name));
        }
        self.pipelines.note();
        let layout = pipeline.get_bind_group_layout(0);
        Ok(Kernel { name: name.to_owned(), pipeline, layout })
    }
}

/// One side of a grid of workgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Of(u32),
    /// One workgroup for so many token rows.
    Rows(u32),
    /// One workgroup for so many positions of the cache.
    Splits(u32),
}

/// What differs from one submission to the next.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub rows: u32,
    /// Of the longest sequence, where steps depend on it.
    pub positions: u32,
}

impl Counts {
    /// A row, and a position.
    pub const ONE: Counts = Counts { rows: 1, positions: 1 };
}

impl Count {
    fn of(self, counts: Counts) -> u32 {
        match self {
            Count::Of(count) => count,
            Count::Rows(tile) => counts.rows.div_ceil(tile),
            Count::Splits(split) => counts.positions.div_ceil(split),
        }
    }
}

/// A kernel, its buffers and its grid: all there is to do at this point.
pub struct Step {
    kernel: Arc<Kernel>,
    /// What it is to the model (`attention`, `down`), for the profile.
    pub label: &'static str,
    bindings: wgpu::BindGroup,
    grid: [Count; 3],
    /// Bytes of weights that it streams, and multiply-adds that it does for one row: what a roofline is drawn from.
    pub work: Work,
}

/// How much there is to do in a step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    pub weight_bytes: u64,
    pub multiply_adds_per_row: u64,
}

impl Gpu {
    /// Binds `buffers` to a kernel, in the order of its bindings.
    ///
    /// # Errors
    /// Buffers that the kernel does not take, or more workgroups than the device: mistakes of this program.
    pub fn step(&self, label: &'static str, kernel: &Arc<Kernel>, buffers: Vec<wgpu::BindingResource>, grid: [Count; 3]) -> Result<Step> {
        let most = self.limits().max_compute_workgroups_per_dimension;
        if let Some(count) = grid.iter().find_map(|count| matches!(count, Count::Of(count) if *count > most).then(|| count.of(Counts::ONE)))
        {
            return Err(Error::new(format!("{label} has {count} workgroups side by side, and the device takes {most}")).at(&kernel.name));
        }
        let entries: Vec<wgpu::BindGroupEntry> =
            buffers.into_iter().zip(0..).map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource }).collect();
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let bindings =
            self.device().create_bind_group(&wgpu::BindGroupDescriptor { label: Some(label), layout: &kernel.layout, entries: &entries });
        match pollster::block_on(scope.pop()) {
            Some(error) => Err(Error::new(format!("cannot bind {label}: {error}")).at(&kernel.name)),
            None => Ok(Step { kernel: kernel.clone(), label, bindings, grid, work: Work::default() }),
        }
    }
}

impl Gpu {
    /// Runs `steps` one after the other in one submission and waits for them.
    ///
    /// # Errors
    /// A lost device.
    pub fn run(&self, steps: &[&Step], counts: Counts) -> Result<()> {
        let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("run") });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        steps.iter().for_each(|step| step.record(&mut pass, counts));
        drop(pass);
        let submission = self.queue().submit([encoder.finish()]);
        self.wait_for(Some(submission))
    }

    /// How many kernels it has made.
    pub fn kernel_count(&self) -> usize {
        self.kernels.made.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Every variant made so far: the template and its parameters.
    pub fn variants(&self) -> Vec<(String, serde_json::Value)> {
        let made = self.kernels.made.lock().unwrap_or_else(PoisonError::into_inner);
        let split = |key: &String| {
            let (template, parameters) = key.split_once(' ')?;
            Some((template.to_owned(), serde_json::from_str(parameters).ok()?))
        };
        made.keys().filter_map(split).collect()
    }
}

impl Step {
    /// The same step, with what it has to do noted for the profile.
    #[must_use]
    pub fn work(mut self, weight_bytes: u64, multiply_adds_per_row: u64) -> Step {
        self.work = Work { weight_bytes, multiply_adds_per_row };
        self
    }

    /// Adds this step to a pass.
    pub fn record(&self, pass: &mut wgpu::ComputePass, counts: Counts) {
        let [x, y, z] = self.grid.map(|count| count.of(counts));
        if x > 0 && y > 0 && z > 0 {
            pass.set_pipeline(&self.kernel.pipeline);
            pass.set_bind_group(0, &self.bindings, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
    }

    /// The shader's name.
    pub fn kernel_name(&self) -> &str {
        &self.kernel.name
    }
}
