//! The rotations of RoPE, worked out on the host: cosines and sines of every position.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Purpose};
use crate::model::Rope;
use std::ops::Range;

/// Cosines and sines of all positions, for one rotation: `[context, heads, width / 2]` pairs, one head where all turn alike.
pub(super) struct Turns {
    rope: Rope,
    width: usize,
    pub buffer: Buffer,
}

/// Cosines and sines at some positions of a text of `length` tokens.
fn turns(rope: &Rope, width: usize, length: usize, positions: Range<usize>) -> Vec<[f32; 2]> {
    let heads = 0..rope.heads().unwrap_or(1);
    let frequencies: Vec<f32> = heads.flat_map(|head| rope.inverse_frequencies_of(head, width, length)).collect();
    let factor = f64::from(rope.attention_factor);
    let rotated = rope.rotated.unwrap_or(width) / 2;
    // In f64: at position 100 000 an f32 angle is off by hundredths.
    let turn = |position: usize, i: usize, frequency: f32| {
        // What isn't rotated isn't multiplied either.
        let factor = if i % (width / 2).max(1) < rotated { factor } else { 1.0 };
        let (sine, cosine) = (position as f64 * f64::from(frequency)).sin_cos();
        [(factor * cosine) as f32, (factor * sine) as f32]
    };
    let row = |position: usize| {
        let frequencies = frequencies.iter().enumerate();
        frequencies.map(move |(i, &frequency)| turn(position, i, frequency)).collect::<Vec<_>>()
    };
    positions.flat_map(row).collect()
}

/// The tables of a session: layers that rotate alike share one.
#[derive(Default)]
pub(super) struct TurnTables(Vec<Turns>);

impl TurnTables {
    /// Makes the table for `rope` over `width` elements, unless it is there.
    ///
    /// # Errors
    /// No room on the device.
    pub fn add(&mut self, gpu: &Gpu, rope: &Rope, width: usize, context: usize) -> Result<()> {
        if self.0.iter().any(|turns| turns.rope == *rope && turns.width == width) {
            return Ok(());
        }
        let table: Vec<[f32; 2]> = if rope.depends_on_length() {
            (0..context).flat_map(|position| turns(rope, width, position + 1, position..position + 1)).collect()
        } else {
            turns(rope, width, 0, 0..context)
        };
        let buffer = gpu.buffer_of("the rotations", &table, Purpose::Activations)?;
        self.0.push(Turns { rope: rope.clone(), width, buffer });
        Ok(())
    }

    /// Makes the rotations of `positions` those of a text of `length` tokens, where they depend on it: what `transformers` does for tokens
    /// that are computed together.
    pub fn set(&self, gpu: &Gpu, length: usize, positions: Range<usize>) {
        for Turns { rope, width, buffer } in self.0.iter().filter(|turns| turns.rope.depends_on_length()) {
            let table = turns(rope, *width, length, positions.clone());
            if !table.is_empty() {
                gpu.write(buffer, (positions.start * width / 2 * 8) as u64, bytemuck::cast_slice(&table));
            }
        }
    }

    /// As [`TurnTables::set`], for tokens that are computed one after the other: each is the last of its text.
    pub fn set_each(&self, gpu: &Gpu, positions: Range<usize>) {
        if self.0.iter().any(|turns| turns.rope.depends_on_length()) {
            positions.for_each(|position| self.set(gpu, position + 1, position..position + 1));
        }
    }

    /// The table for `rope` over `width` elements, if there is one.
    pub fn get(&self, rope: &Rope, width: usize) -> Option<&Buffer> {
        self.0.iter().find(|turns| turns.rope == *rope && turns.width == width).map(|turns| &turns.buffer)
    }
}
