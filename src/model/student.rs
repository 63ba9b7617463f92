//! The architecture of a student with decoupled bottleneck attention, from that of its teacher. Its weights are a script's matter.

use super::architecture::{Architecture, Attention, Gate, OutputGate, QkNorm};
use super::rope::{Rope, RopeScaling};
use crate::error::{At, Error, Result};

/// What is chosen about a student.
#[derive(Debug, Clone, Copy)]
pub struct StudentOptions {
    /// Width of the semantic path over all query heads.
    pub sem_dim: usize,
    /// Width of the geometric path over all query heads.
    pub geo_dim: usize,
    /// Key/value heads are shared as in the teacher, and not one for each query head.
    pub grouped: bool,
    /// Whether there is a gate between the paths, one logit a head.
    pub gate: bool,
}

/// What is chosen about one layer of a student whose layers differ.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerPlan {
    pub kv_heads: usize,
    /// Widths of a head.
    pub sem: usize,
    pub geo: usize,
    pub value: usize,
    /// Radians a position, of each key/value head's rotary pairs: `[kv_heads][geo / 2]`. `None`: every n-th of the teacher's.
    pub frequencies: Option<Vec<Vec<f32>>>,
}

impl Architecture {
    /// A student whose layers each have their own plan (`None`: as the teacher's). Nothing but attention differs.
    ///
    /// # Errors
    /// Not one plan for each layer; widths that don't fit; a teacher whose attention the decoupled form can't hold.
    pub fn planned_student(&self, plans: &[Option<LayerPlan>], gate: bool) -> Result<Architecture> {
        if plans.len() != self.layers.len() {
            return Err(Error::new(format!("plans for {} layers, expected {}", plans.len(), self.layers.len())));
        }
        let mut student = self.clone();
        for (index, (layer, plan)) in student.layers.iter_mut().zip(plans).enumerate() {
            if let Some(plan) = plan {
                layer.attention = layer.attention.planned(plan, gate).at(format!("layer {index}"))?;
            }
        }
        student.check()?;
        Ok(student)
    }

    /// The student: every layer decoupled, everything else the teacher's. The width of a head's geometric path divides the teacher's head
    /// size, so that its rotary frequencies are every n-th of the teacher's (see [`kept_pairs`]).
    ///
    /// # Errors
    /// Widths that don't divide; a teacher whose attention the decoupled form can't hold.
    pub fn student(&self, options: &StudentOptions) -> Result<Architecture> {
        let mut student = self.clone();
        for (index, layer) in student.layers.iter_mut().enumerate() {
            layer.attention = layer.attention.student(options).at(format!("layer {index}"))?;
        }
        student.check()?;
        Ok(student)
    }
}

impl Attention {
    fn planned(&self, plan: &LayerPlan, gate: bool) -> Result<Attention> {
        self.check_teacher(plan.frequencies.is_some())?;
        let rope = match (&self.rope, &plan.frequencies) {
            // What stretches the teacher's frequencies is in them, and what it multiplies queries and keys by is in the weights.
            (Some(rope), Some(heads)) => Some(Rope::new(rope.base, RopeScaling::PerHead(heads.clone()))),
            (Some(_), None) if !self.geo.is_multiple_of(plan.geo.max(1)) || !plan.geo.is_multiple_of(2) => {
                return Err(Error::new(format!(
                    "a geometric width of {}: expected an even divisor of the head size {}",
                    plan.geo, self.geo
                ))
                .remedy("calibrate the student: its heads then keep the pairs that they need, as many as you like"));
            }
            (Some(rope), None) => Some(every_nth(rope, self.geo, self.geo / plan.geo)),
            (None, _) => None,
        };
        Ok(Attention {
            decoupled: true,
            kv_heads: plan.kv_heads,
            sem: plan.sem,
            geo: plan.geo,
            value: plan.value,
            // What multiplies the teacher's scores is in the weights.
            scale: None,
            rope,
            gate: if gate { Gate::Static } else { Gate::None },
            ..self.clone()
        })
    }

    /// That a decoupled layer can stand for this one; with frequencies of its own, whatever part of a head is rotated.
    fn check_teacher(&self, own_frequencies: bool) -> Result<()> {
        let obstacle = [
            (self.decoupled, "is decoupled already", "give the teacher that it was made of"),
            (
                self.qkv_bias,
                "has biases on its queries and keys",
                "a decoupled layer has none: choose a teacher without (Llama, Mistral, SmolLM2)",
            ),
            (
                self.qk_norm != QkNorm::None,
                "normalises its queries and keys",
                "no product of matrices does that: choose a teacher that does not (Llama, Mistral, SmolLM2)",
            ),
            (
                self.differential.is_some() || self.output_gate != OutputGate::None,
                "subtracts or gates its outputs",
                "choose a teacher without (Llama, Mistral, SmolLM2)",
            ),
            (self.latent.is_some(), "is latent (MLA)", "choose a teacher with keys of its own for each head (Llama, Mistral, SmolLM2)"),
            (
                // A calibrated student has the teacher's scale in its weights.
                (self.scale.is_some() && !own_frequencies) || self.score_cap.is_some(),
                "scales or caps its scores in its own way",
                "choose a teacher that multiplies them by 1/sqrt(head size) (Llama, Mistral, SmolLM2)",
            ),
            (
                self.rope.as_ref().is_some_and(Rope::depends_on_length),
                "is rotated by frequencies that depend on the length of the text (dynamic NTK, LongRoPE)",
                "choose a teacher whose rotation is fixed (plain, linear, llama3, yarn)",
            ),
            (
                !own_frequencies && self.rope.as_ref().is_some_and(|rope| rope.rotated.is_some()),
                "rotates a part of each head only",
                "choose a teacher that rotates all of it (Llama, Mistral, SmolLM2)",
            ),
        ];
        match obstacle.into_iter().find(|(there, ..)| *there) {
            None => Ok(()),
            Some((_, what, remedy)) => Err(Error::new(format!("the teacher's attention {what}")).remedy(remedy)),
        }
    }

    fn student(&self, options: &StudentOptions) -> Result<Attention> {
        self.check_teacher(false)?;
        let per_head = |name: &str, width: usize| -> Result<usize> {
            if width == 0 || !width.is_multiple_of(self.heads) {
                let near = (width / self.heads).max(1) * self.heads;
                return Err(Error::new(format!("{name} is {width}: expected a multiple of the {} heads", self.heads))
                    .remedy(format!("{near} gives each head {}", near / self.heads)));
            }
            Ok(width / self.heads)
        };
        let (sem, geo) = (per_head("sem_dim", options.sem_dim)?, per_head("geo_dim", options.geo_dim)?);
        let fits = |width: usize| self.geo.is_multiple_of(width) && (self.rope.is_none() || width.is_multiple_of(2));
        if !fits(geo) {
            let even = if geo.is_multiple_of(2) { "" } else { " (it is odd, and rotation needs pairs)" };
            let fitting: Vec<String> = (1..=self.geo).filter(|&width| fits(width)).map(|width| (width * self.heads).to_string()).collect();
            let message = format!("geo_dim gives each head {geo}{even}: expected an even divisor of the teacher's head size {}", self.geo);
            return Err(Error::new(message).remedy(format!("geo_dim may be {}", fitting.join(", "))));
        }
        let step = self.geo / geo;
        Ok(Attention {
            decoupled: true,
            kv_heads: if options.grouped { self.kv_heads } else { self.heads },
            sem,
            geo,
            rope: self.rope.as_ref().map(|rope| every_nth(rope, self.geo, step)),
            gate: if options.gate { Gate::Static } else { Gate::None },
            ..self.clone()
        })
    }
}

/// The rotation whose frequencies are every `step`-th of `rope`'s. The plain ones follow from the width alone, and so do those that are
/// scaled by frequency.
fn every_nth(rope: &Rope, width: usize, step: usize) -> Rope {
    let scaling = match &rope.scaling {
        RopeScaling::Factors(factors) => RopeScaling::Factors(factors.iter().copied().step_by(step).collect()),
        // Blended by the index of a pair, which is another one in a narrow head.
        RopeScaling::Yarn { .. } => {
            let plain = Rope::new(rope.base, RopeScaling::None).inverse_frequencies(width);
            let slowed = rope.inverse_frequencies(width);
            RopeScaling::Factors(plain.iter().zip(&slowed).map(|(plain, slowed)| plain / slowed).step_by(step).collect())
        }
        other => other.clone(),
    };
    Rope { scaling, ..rope.clone() }
}

/// The rotary pairs of a head of `head_size` that a head of `width` keeps: pair `i` of the narrow head turns as pair `kept[i]` of the wide one.
pub fn kept_pairs(head_size: usize, width: usize) -> Vec<usize> {
    (0..width / 2).map(|pair| pair * (head_size / width)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn options() -> StudentOptions {
        StudentOptions { sem_dim: 6, geo_dim: 6, grouped: true, gate: true }
    }

    #[test]
    fn kept_pairs_turn_as_the_teachers() {
        let llama3 = RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 64 };
        let factors = RopeScaling::Factors((0..8u8).map(|factor| 1.0 + f32::from(factor)).collect());
        let yarn = RopeScaling::Yarn { factor: 8.0, beta_fast: 32.0, beta_slow: 1.0, original_context: 64, truncate: true };
        for scaling in [RopeScaling::None, RopeScaling::Linear { factor: 2.0 }, llama3, factors, yarn] {
            let rope = Rope::new(10_000.0, scaling);
            let teacher = rope.inverse_frequencies(16);
            for width in [2, 4, 8, 16] {
                let student = every_nth(&rope, 16, 16 / width).inverse_frequencies(width);
                let expected: Vec<f32> = kept_pairs(16, width).into_iter().map(|pair| teacher[pair]).collect();
                let same = student.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-6 * b);
                assert!(same && student.len() == expected.len(), "{:?} at {width}: {student:?}, expected {expected:?}", rope.scaling);
            }
        }
    }

    #[test]
    fn only_attention_differs() {
        let teacher = testing::standard();
        let student = teacher.student(&options()).unwrap();
        let attention = &student.layers[1].attention;
        assert_eq!((attention.sem, attention.geo, attention.value, attention.kv_heads, attention.gate), (2, 2, 4, 1, Gate::Static));
        let apart = teacher.student(&StudentOptions { grouped: false, gate: false, ..options() }).unwrap();
        assert_eq!((apart.layers[0].attention.kv_heads, apart.layers[0].attention.gate), (3, Gate::None));
        let mut back = student;
        back.layers = teacher.layers.clone();
        assert_eq!(back, teacher);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let told = |change: fn(&mut Attention), options: StudentOptions| {
            let mut teacher = testing::standard();
            teacher.layers.iter_mut().for_each(|layer| change(&mut layer.attention));
            teacher.student(&options).unwrap_err().to_string()
        };
        let nothing = |_: &mut Attention| {};
        insta::assert_snapshot!(
            [
                told(nothing, StudentOptions { sem_dim: 7, ..options() }),
                told(nothing, StudentOptions { sem_dim: 0, ..options() }),
                told(nothing, StudentOptions { geo_dim: 3, ..options() }),
                told(nothing, StudentOptions { geo_dim: 9, ..options() }),
                told(|attention| attention.qkv_bias = true, options()),
                told(|attention| attention.qk_norm = QkNorm::Head, options()),
                told(|attention| attention.decoupled = true, options()),
            ]
            .join("\n"),
            @r#"
            layer 0: sem_dim is 7: expected a multiple of the 3 heads
              help: 6 gives each head 2
            layer 0: sem_dim is 0: expected a multiple of the 3 heads
              help: 3 gives each head 1
            layer 0: geo_dim gives each head 1 (it is odd, and rotation needs pairs): expected an even divisor of the teacher's head size 4
              help: geo_dim may be 6, 12
            layer 0: geo_dim gives each head 3 (it is odd, and rotation needs pairs): expected an even divisor of the teacher's head size 4
              help: geo_dim may be 6, 12
            layer 0: the teacher's attention has biases on its queries and keys
              help: a decoupled layer has none: choose a teacher without (Llama, Mistral, SmolLM2)
            layer 0: the teacher's attention normalises its queries and keys
              help: no product of matrices does that: choose a teacher that does not (Llama, Mistral, SmolLM2)
            layer 0: the teacher's attention is decoupled already
              help: give the teacher that it was made of
            "#
        );
    }
}
