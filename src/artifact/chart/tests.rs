use super::*;
use serde_json::json;

/// Where `CARAMBA_CHART_GALLERY` names a directory, every chart of these tests is left there, to be looked at.
fn keep(name: &str, png: &[u8]) {
    if let Some(directory) = std::env::var_os("CARAMBA_CHART_GALLERY") {
        std::fs::write(Path::new(&directory).join(format!("{name}.png")), png).unwrap();
    }
}

fn line_chart(value: serde_json::Value) -> LineChart {
    serde_json::from_value(value).unwrap()
}

fn bar_panels(value: serde_json::Value) -> BarPanels {
    serde_json::from_value(value).unwrap()
}

fn latency() -> serde_json::Value {
    json!({
        "x": { "label": "Prompt length (tokens)", "scale": "log2", "ticks": [128, 512, 1024] },
        "y": { "label": "Throughput (tokens/s)" },
        "series": [
            { "name": "teacher", "points": [[128, 21.5, 20.9, 22.3], [512, 19.2, 18.8, 19.9], [1024, 16.0, 15.1, 16.6]] },
            { "name": "student", "points": [[128, 24.1, 23.5, 24.8], [512, 22.8, 22.1, 23.3], [1024, 20.9, 20.1, 21.2]] }
        ]
    })
}

fn memory() -> serde_json::Value {
    let lengths = [128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];
    let mut series = Vec::new();
    for (color, (model, width)) in [("teacher", 23040.0), ("student", 14400.0)].into_iter().enumerate() {
        for (dash, (kind, bytes)) in [("fp16", 2.0), ("q8", 1.0625), ("q4", 0.5625)].into_iter().enumerate() {
            let points: Vec<[f64; 2]> = lengths.iter().map(|length| [*length, length * width * bytes / 1048576.0]).collect();
            series.push(json!({ "name": format!("{model}, {kind}"), "points": points, "color": color, "dash": dash, "marker": dash }));
        }
    }
    json!({ "x": { "label": "Sequence length (tokens)", "scale": "log2" }, "y": { "label": "KV cache (MB)" }, "series": series })
}

fn summary() -> serde_json::Value {
    json!({ "panels": [
        { "title": "Perplexity", "note": "lower is better", "label": "Perplexity",
          "bars": [{ "name": "teacher", "value": 12.76, "low": 12.5, "high": 13.0 }, { "name": "student", "value": 13.53, "low": 13.2, "high": 13.9 }] },
        { "title": "Throughput", "note": "higher is better", "label": "Tokens/s",
          "bars": [{ "name": "teacher", "value": 74.05 }, { "name": "student", "value": 81.95 }] },
        { "title": "KV cache", "note": "lower is better", "label": "Bytes per token",
          "bars": [{ "name": "teacher", "value": 180_224 }, { "name": "student", "value": 112_640 }] }
    ] })
}

#[test]
fn gallery() {
    for (name, chart) in [("latency", latency()), ("memory", memory())] {
        keep(name, &line_chart(chart).png().unwrap());
    }
    keep("summary", &bar_panels(summary()).png().unwrap());
}
