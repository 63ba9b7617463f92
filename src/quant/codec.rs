//! The plain codec: what `shaders/cache_write.wgsl` makes of a block, and every kernel of attention reads out of it.

use super::{BLOCK, CacheKindEntry, FACTORS, Scale};
use half::f16;

/// A quantised block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    pub scale: f16,
    /// Codes of the elements; zero where there is none.
    pub codes: [i8; BLOCK],
}

/// The block of at most [`BLOCK`] elements, for a kind that has a scale. Codes are made with the exact scale, and read with the stored one.
pub fn encode(entry: &CacheKindEntry, values: &[f32]) -> Block {
    // The first of equals.
    let peak = values.iter().fold(0.0f32, |peak, &x| if x.abs() > peak.abs() { x } else { peak });
    // What is no number makes the whole block none: 0 times infinity. Nothing hides it.
    if !values.iter().map(|x| x.abs()).sum::<f32>().is_finite() {
        return Block { scale: f16::INFINITY, codes: [0; BLOCK] };
    }
    if peak == 0.0 {
        return Block { scale: f16::ZERO, codes: [0; BLOCK] };
    }
    let [lowest, highest] = entry.range.map(|code| code as f32);
    if entry.scale != Scale::Signed {
        return Block { codes: codes(entry, values, highest / peak.abs()), scale: f16::from_f32(peak.abs() / highest) };
    }
    let (mut best, mut most) = (Block { scale: f16::ZERO, codes: [0; BLOCK] }, 0.0f32);
    for factor in FACTORS {
        let codes = codes(entry, values, lowest * factor / peak);
        let pairs = || codes.iter().map(|&code| f32::from(code)).zip(values);
        let (products, squares): (f32, f32) = (pairs().map(|(code, x)| code * x).sum(), pairs().map(|(code, _)| code * code).sum());
        // With the scale `products / squares` the squared error is sum(x^2) less this.
        let gain = products * products / squares;
        if gain > most {
            (best, most) = (Block { scale: f16::from_f32(products / squares), codes }, gain);
        }
    }
    best
}

fn codes(entry: &CacheKindEntry, values: &[f32], inverse: f32) -> [i8; BLOCK] {
    let [lowest, highest] = entry.range.map(|code| code as f32);
    let mut codes = [0; BLOCK];
    for (code, x) in codes.iter_mut().zip(values) {
        *code = (x * inverse).round_ties_even().clamp(lowest, highest) as i8;
    }
    codes
}

/// What a block stands for.
pub fn decode(block: &Block) -> [f32; BLOCK] {
    block.codes.map(|code| f32::from(code) * block.scale.to_f32())
}

#[cfg(test)]
mod tests {
    use super::super::{CACHE_KINDS, CacheKind};
    use super::*;

    /// Sums of many uniform numbers are nearly Gaussian.
    fn gaussian(count: usize) -> Vec<f32> {
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / 16_777_216.0 - 0.5
        };
        (0..count).map(|_| (0..12).map(|_| uniform()).sum()).collect()
    }

    fn squared_error(entry: &CacheKindEntry, values: &[f32]) -> f32 {
        let error = |block: &[f32]| -> f32 { decode(&encode(entry, block)).iter().zip(block).map(|(a, b)| (a - b) * (a - b)).sum() };
        values.chunks(BLOCK).map(error).sum()
    }

    #[test]
    fn a_block_is_as_its_rule_says() {
        // The largest is negative: it becomes the lowest code, and nothing is lost.
        let block = encode(CacheKind::Q4.entry(), &[-8.0, 7.0, 0.0, 1.0, -3.0]);
        assert_eq!((block.scale.to_f32(), &block.codes[..6]), (1.0, &[-8i8, 7, 0, 1, -3, 0][..]));
        // The largest is positive: the scale is negative.
        let block = encode(CacheKind::Q4.entry(), &[4.0, -3.5, 0.5]);
        assert_eq!((block.scale.to_f32(), &block.codes[..3]), (-0.5, &[-8i8, 7, -1][..]));
        // The scale is refined: with any of those that are tried the codes are these, and the rest is least squares.
        let block = encode(CacheKind::Q3.entry(), &[-4.0, 0.1, 1.0, 2.1]);
        assert_eq!(block.codes[..4], [-4, 0, 1, 2]);
        assert_eq!(block.scale, f16::from_f32((16.0 + 1.0 + 4.2) / 21.0));
        let block = encode(CacheKind::Q8.entry(), &[127.0, -0.5, 1.5, 2.5]);
        assert_eq!((block.scale.to_f32(), &block.codes[..4]), (1.0, &[127i8, 0, 2, 2][..]));
        assert_eq!(encode(CacheKind::Q5.entry(), &[0.0; 32]), Block { scale: f16::ZERO, codes: [0; BLOCK] });
        for entry in CACHE_KINDS.iter().filter(|entry| entry.has_scale()) {
            for bad in [f32::NAN, f32::INFINITY] {
                assert!(decode(&encode(entry, &[0.0, bad, 1.0])).iter().all(|x| x.is_nan()), "{} hides {bad}", entry.name);
            }
        }
    }

    #[test]
    fn each_rule_brings_what_it_is_there_for() {
        let values = gaussian(BLOCK * 2000);
        let signed = CacheKind::Q4.entry();
        let plain = CacheKindEntry { scale: Scale::MaxAbs, range: [-7, 7], ..*signed_copy(signed) };
        // 29 % less squared error than with the largest magnitude / 7.
        let ratio = squared_error(signed, &values) / squared_error(&plain, &values);
        assert!((0.69..0.73).contains(&ratio), "{ratio}");
        // A bit more takes two thirds of the error and more.
        let errors: Vec<f32> = CACHE_KINDS.iter().filter(|entry| entry.has_scale()).map(|entry| squared_error(entry, &values)).collect();
        assert!(errors.is_sorted_by(|more, fewer| 3.0 * more < *fewer), "{errors:?}");
    }

    fn signed_copy(entry: &CacheKindEntry) -> Box<CacheKindEntry> {
        let CacheKindEntry { kind, name, aliases, planes, scale, range, is_rotated } = *entry;
        Box::new(CacheKindEntry { kind, name, aliases, planes, scale, range, is_rotated })
    }
}
