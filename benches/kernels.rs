//! Every kernel of the runtime, as a session runs it: `cargo bench`, `cargo bench -- decode/attention`.
//!
//! The bundled model by default; `CARAMBA_BENCH_MODEL=path` measures another, in its shapes. Each kernel is timed on the device's own terms: many runs in
//! one submission, divided. Criterion compares with the last time; compare only what was measured in one run on one quiet machine.

use caramba::gpu::{Counts, DeviceChoice, Gpu, Step};
use caramba::model::Model;
use caramba::runtime::{CacheKind, CacheKinds, LoadOptions, Network, Prepared, Session, SessionOptions, WeightKind};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WEIGHTS: [(&str, WeightKind); 3] = [("f16", WeightKind::F16), ("q8", WeightKind::Q8), ("q4", WeightKind::Q4)];
const CACHES: [(&str, CacheKind); 3] = [("fp16", CacheKind::F16), ("q8", CacheKind::Q8), ("q4", CacheKind::Q4)];

fn kernels(criterion: &mut Criterion) {
    let gpu = Gpu::open(&DeviceChoice::default()).expect("an adapter");
    let path =
        std::env::var_os("CARAMBA_BENCH_MODEL").map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/models/austen").into(), PathBuf::from);
    let model = Arc::new(Model::open(&path, &Default::default()).expect("the model"));
    let context = model.architecture.context.min(1024);
    let prompt = context.min(128) - 1;
    for (weights_name, weights) in WEIGHTS {
        let options = LoadOptions { weights, ..LoadOptions::default() };
        let network = Network::load(&gpu, model.clone(), &options).expect("room for the weights");
        for (cache_name, cache) in CACHES {
            // Products know nothing of the cache: one kind of it is enough for them.
            let with_products = cache_name == "fp16";
            if !with_products && weights_name != "f16" {
                continue;
            }
            let options = SessionOptions { sequences: 1, context, cache: CacheKinds::uniform(cache), chunk: Some(128) };
            let mut session = Session::new(&network, &options).expect("room for the session");
            let tokens =
                |count: usize| vec![(0..count).map(|index| (index * 7919 % model.architecture.vocab) as u32).collect::<Vec<u32>>()];
            let name = format!("weights {weights_name}, cache {cache_name}");
            let steps = session.prepare_prefill(&tokens(prompt)).expect("a prompt that fits");
            measure(criterion, &gpu, &format!("prefill of {prompt}, {name}"), &steps, with_products);
            session.truncate(0).expect("an empty session");
            // Decoding is measured behind a full cache.
            session.prefill(&tokens(context - 1)).expect("a prompt that fits");
            let steps = session.prepare_decode().expect("room for a token");
            measure(criterion, &gpu, &format!("decode at {context}, {name}"), &steps, with_products);
        }
    }
}

/// The first of the kernels of each label.
fn measure(criterion: &mut Criterion, gpu: &Gpu, group: &str, steps: &[Prepared], with_products: bool) {
    let mut group = criterion.benchmark_group(group);
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    let mut seen = Vec::new();
    for &(step, counts) in steps {
        let is_product = step.work.multiply_adds_per_row > 0;
        if seen.contains(&step.label) || (is_product && !with_products) {
            continue;
        }
        seen.push(step.label);
        if is_product {
            group.throughput(Throughput::Elements(step.work.multiply_adds_per_row * u64::from(counts.rows)));
        }
        group.bench_function(step.label, |bencher| bencher.iter_custom(|runs| time(gpu, step, counts, runs)));
    }
    group.finish();
}

/// So many runs, in submissions that no watchdog minds.
fn time(gpu: &Gpu, step: &Step, counts: Counts, runs: u64) -> Duration {
    let begun = Instant::now();
    let mut left = runs as usize;
    while left > 0 {
        let together = left.min(64);
        gpu.run(&vec![step; together], counts).expect("a device that works");
        left -= together;
    }
    begun.elapsed()
}

criterion_group!(benches, kernels);
criterion_main!(benches);
