//! The transform that rotated kinds go through, for what is not made on the device (`shaders/hadamard.wgsl` is for what is).

use super::BLOCK;

/// The orthonormal Walsh-Hadamard transform of one head, in place; it is its own inverse.
///
/// A head is taken apart into pieces of 32 and what is left into powers of two, the largest first (88 is 32, 32, 16 and 8); each piece has a transform of its
/// own. On SmolLM2 larger pieces did worse: a channel's outliers harm the blocks of 32 elements that they are spread to.
pub fn transform(head: &mut [f32]) {
    let mut half = 1;
    while half < BLOCK && 2 * half <= head.len() {
        for pair in head.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (low, high) in low.iter_mut().zip(high) {
                (*low, *high) = ((*low + *high) * std::f32::consts::FRAC_1_SQRT_2, (*low - *high) * std::f32::consts::FRAC_1_SQRT_2);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::transform;

    #[test]
    fn an_outlier_is_spread_and_comes_back() {
        // 24 is 16 and 8: each outlier stays in its part.
        let mut head = [0.0; 24];
        (head[3], head[17]) = (8.0, 4.0);
        let before = head;
        transform(&mut head);
        assert!(head[..16].iter().all(|x| (x.abs() - 2.0).abs() < 1e-5), "{head:?}");
        assert!(head[16..].iter().all(|x| (x.abs() - 2.0f32.sqrt()).abs() < 1e-5), "{head:?}");
        transform(&mut head);
        assert!(head.iter().zip(&before).all(|(found, expected)| (found - expected).abs() < 1e-5), "{head:?}");
    }

    #[test]
    fn products_stay_what_they_are() {
        for width in [1, 2, 7, 12, 64, 80] {
            let of = |seed: usize| -> Vec<f32> { (0..width).map(|i| ((i * seed + 3) % 11) as f32 - 5.0).collect() };
            let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
            let (mut q, mut k) = (of(7), of(5));
            let expected = dot(&q, &k);
            transform(&mut q);
            transform(&mut k);
            assert!((dot(&q, &k) - expected).abs() < 1e-3, "width {width}");
        }
    }
}
