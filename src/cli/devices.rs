//! `caramba devices`: what each adapter is, and which one would be used.

use super::columns::{columns, facts};
use super::device::DeviceOptions;
use crate::artifact::number::bytes;
use crate::error::{Error, Result};
use crate::gpu::{AdapterSummary, Gpu, Memo, memo};
use crate::runtime::{Measured, attention_forms, forms};
use crate::terminal;
use clap::Args;
use std::fmt::Display;
use std::path::Path;

/// List the adapters, what they can do, and which one is used
#[derive(Debug, Args)]
pub struct Devices {
    /// A line of JSON for each adapter
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

impl Devices {
    pub fn run(self) -> Result<()> {
        let choice = &self.device.choice();
        let adapters = Gpu::list(choice)?;
        let used = Gpu::open(choice).map(|gpu| gpu.summary().clone());
        if self.json {
            for (index, adapter) in adapters.iter().enumerate() {
                let used = used.as_ref().is_ok_and(|used| same(used, adapter));
                let mut line = serde_json::json!({ "number": index, "used": used });
                let described = serde_json::to_value(adapter).map_err(|error| Error::new(error.to_string()).at("adapter"))?;
                if let (Some(line), serde_json::Value::Object(described)) = (line.as_object_mut(), described) {
                    line.extend(described);
                }
                terminal::print_line(&line.to_string())?;
            }
            return used.map(|_| ());
        }
        let mut out = String::new();
        for (index, adapter) in adapters.iter().enumerate() {
            let used = used.as_ref().is_ok_and(|used| same(used, adapter));
            out += &describe(index, adapter, used);
            let memo = Memo::open(memo::file(adapter, "json"));
            let rows = [described(forms::measured(&memo)), described(attention_forms::measured(&memo))].concat();
            out += &kernels(&rows, memo.path());
        }
        terminal::print(&out)?;
        used.map(|_| ())
    }
}

fn same(a: &AdapterSummary, b: &AdapterSummary) -> bool {
    (&a.name, &a.backend, &a.device_type) == (&b.name, &b.backend, &b.device_type)
}

fn describe(index: usize, adapter: &AdapterSummary, used: bool) -> String {
    let kind = if adapter.software { "software, on the CPU".to_string() } else { adapter.device_type.clone() };
    let features = if adapter.features.is_empty() { "none of the optional ones".to_string() } else { adapter.features.join(", ") };
    let [smallest, largest] = adapter.subgroup_sizes;
    let subgroups = if smallest == largest { smallest.to_string() } else { format!("{smallest} to {largest}") };
    let limits = facts(&[
        ("type", kind),
        ("driver", format!("{} {}", adapter.driver, adapter.driver_info).trim().to_string()),
        ("features", features),
        (
            "buffers",
            format!("up to {}, {} in one binding", bytes(adapter.max_buffer_bytes as f64), bytes(adapter.max_binding_bytes as f64)),
        ),
        (
            "workgroups",
            format!(
                "up to {} invocations, {} of storage, subgroups of {subgroups}",
                adapter.max_invocations_per_workgroup,
                bytes(f64::from(adapter.max_workgroup_storage_bytes)),
            ),
        ),
    ]);
    let mark = if used { "  <- used" } else { "" };
    format!("{index}  {}, {}{mark}\n{limits}", adapter.name, adapter.backend)
}

/// What was measured, in columns: job, form, time, and how much longer the next one takes.
fn described<Form: Display>(measured: Vec<(String, Measured<Form>)>) -> Vec<Vec<String>> {
    let row = |(job, Measured { form, ms, slower }): (String, Measured<Form>)| {
        let next = slower.first().map(|(form, other)| format!("{form} takes {:.2} times as long", other / ms)).unwrap_or_default();
        vec![format!("    {job}"), form.to_string(), format!("{ms:.3} ms"), next]
    };
    measured.into_iter().map(row).collect()
}

/// The forms of kernels that were measured on an adapter.
fn kernels(rows: &[Vec<String>], path: Option<&Path>) -> String {
    let Some(path) = path.filter(|_| !rows.is_empty()) else {
        return facts(&[("kernels   ", "chosen by a rule; nothing was measured yet".to_owned())]);
    };
    format!("{}{}", facts(&[("kernels   ", format!("measured, in {}", path.display()))]), columns(rows, &[2]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Form, Shape};

    #[test]
    fn an_adapter_is_described() {
        let adapter = AdapterSummary {
            name: "llvmpipe (LLVM 19.1.7, 256 bits)".into(),
            backend: "vulkan".into(),
            driver: "llvmpipe".into(),
            driver_info: "Mesa 25.0.7".into(),
            device_type: "cpu".into(),
            software: true,
            features: vec!["f16".into(), "subgroups".into()],
            max_buffer_bytes: 2 << 30,
            max_binding_bytes: 128 << 20,
            max_workgroup_storage_bytes: 32 << 10,
            max_invocations_per_workgroup: 1024,
            subgroup_sizes: [8, 8],
        };
        insta::assert_snapshot!(describe(0, &adapter, true), @r"
        0  llvmpipe (LLVM 19.1.7, 256 bits), vulkan  <- used
          type        software, on the CPU
          driver      llvmpipe Mesa 25.0.7
          features    f16, subgroups
          buffers     up to 2.00 GB, 128 MB in one binding
          workgroups  up to 1024 invocations, 32.0 KB of storage, subgroups of 8
        ");
        let form = |workgroup| Form { shape: Shape::Shared, tokens: 1, lane_rows: 2, workgroup, depth: 1 };
        let measured = Measured { form: form(64), ms: 0.42, slower: vec![(form(128), 0.63)] };
        let measured = vec![("f16 1536x576 gate and up, 1 token".to_owned(), measured)];
        insta::assert_snapshot!(kernels(&described(measured), Some(Path::new("forms.json"))), @r"
          kernels     measured, in forms.json
            f16 1536x576 gate and up, 1 token  shared 1x2 of 64  0.420 ms  shared 1x2 of 128 takes 1.50 times as long
        ");
        insta::assert_snapshot!(kernels(&[], Some(Path::new("forms.json"))), @"  kernels     chosen by a rule; nothing was measured yet");
    }
}
