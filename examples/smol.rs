use caramba::gpu::*;
use caramba::model::*;
use caramba::runtime::*;
use std::time::Instant;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let t = Instant::now();
    let gpu = Gpu::open(&DeviceChoice::default()).unwrap();
    let model = std::sync::Arc::new(Model::open(std::path::Path::new(&args[1]), &OpenOptions::default()).unwrap());
    println!("open {:?}", t.elapsed());
    let kind = match args.get(2).map(|s| s.as_str()) {
        Some("q8") => WeightKind::Q8,
        Some("stored") => WeightKind::Stored,
        Some("f32") => WeightKind::F32,
        _ => WeightKind::F16,
    };
    let t = Instant::now();
    let network = Network::load(&gpu, model, &LoadOptions { weights: kind, progress: None }).unwrap();
    println!("load {:?} {} MB", t.elapsed(), network.weight_bytes() >> 20);
    let t = Instant::now();
    let n: usize = args.get(3).map_or(128, |s| s.parse().unwrap());
    let g: usize = args.get(4).map_or(16, |s| s.parse().unwrap());
    let cache = CacheKind::parse(args.get(5).map_or("fp16", |s| s)).unwrap();
    let mut s = Session::new(
        &network,
        &SessionOptions {
            context: 4096.min(network.model().architecture.context),
            sequences: 1,
            cache: CacheKinds::uniform(cache),
            chunk: None,
        },
    )
    .unwrap();
    println!("session {:?}", t.elapsed());
    let bytes = std::fs::read("/work/shared/data/prose_tokens.npy").unwrap();
    let toks: Vec<u32> = bytes[128..].chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()) as u32).collect();
    println!("tokens {} {:?}", toks.len(), &toks[..8]);
    for _ in 0..2 {
        s.truncate(0).unwrap();
        let t = Instant::now();
        s.prefill(&[toks[..n].to_vec()]).unwrap();
        let e = t.elapsed().as_secs_f64();
        println!("prefill {n}: {:.3} s = {:.1} tok/s", e, n as f64 / e);
    }
    let out = s.decode(g).unwrap();
    let mut ms = out.step_ms.clone();
    ms.sort_by(f64::total_cmp);
    println!("decode median {:.1} ms = {:.1} tok/s: {:?}", ms[ms.len() / 2], 1e3 / ms[ms.len() / 2], out.tokens[0]);
    let reference: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string("/work/shared/data/smollm2_reference.json").unwrap()).unwrap();
    let gr: Vec<u32> = reference["greedy"]["tokens"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect();
    println!("same {}", out.tokens[0].iter().zip(&gr).take_while(|(a, b)| a == b).count());
    s.truncate(0).unwrap();
    let t = Instant::now();
    let sc = s.score(&[toks[..513].to_vec()]).unwrap();
    let nll = -sc.log_probabilities[0].iter().map(|v| *v as f64).sum::<f64>() / 512.0;
    println!("score {:?} nll {nll} (3.506785)", t.elapsed());
}
