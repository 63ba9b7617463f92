//! Two models' logits at the same positions, compared.

use super::failure::Answer;
use super::numbers::Numbers;
use super::tokens::Tokens;
use crate::error::{Error, Result};
use crate::interrupt;
use rayon::prelude::*;
use rhai::Map;
use rhai::plugin::*;

/// What is known of one position.
struct Compared {
    divergence: f64,
    losses: [f64; 2],
    right: [bool; 2],
    agree: bool,
}

/// `log sum exp`, and where the largest is.
fn normaliser(logits: &[f64]) -> (f64, usize) {
    let (best, largest) =
        logits.iter().enumerate().fold((0, f64::NEG_INFINITY), |best, (index, &logit)| if logit > best.1 { (index, logit) } else { best });
    (largest + logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln(), best)
}

fn compared(teacher: &[f64], student: &[f64], next: u32) -> Compared {
    let ((teacher_sum, teacher_best), (student_sum, student_best)) = (normaliser(teacher), normaliser(student));
    let term = |(teacher, student): (&f64, &f64)| {
        let log_p = teacher - teacher_sum;
        log_p.exp() * (log_p - (student - student_sum))
    };
    let next = next as usize;
    Compared {
        // Rounding may leave a little less than nothing.
        divergence: teacher.iter().zip(student).map(term).sum::<f64>().max(0.0),
        losses: [teacher_sum - teacher[next], student_sum - student[next]],
        right: [teacher_best == next, student_best == next],
        agree: teacher_best == student_best,
    }
}

fn compare(teacher: &[f64], student: &[f64], next: &[u32]) -> Result<Vec<Compared>> {
    let vocab = teacher.len().checked_div(next.len()).unwrap_or(0);
    if next.is_empty() || teacher.len() != student.len() || vocab * next.len() != teacher.len() {
        return Err(Error::new(format!("{} and {} logits for {} next tokens", teacher.len(), student.len(), next.len()))
            .remedy("give the logits of both models at the same positions, and the token that follows each"));
    }
    if let Some(token) = next.iter().find(|&&token| token as usize >= vocab) {
        return Err(Error::new(format!("token {token} is beyond the {vocab} logits of a position")));
    }
    interrupt::check()?;
    let position = |((teacher, student), &next): ((&[f64], &[f64]), &u32)| compared(teacher, student, next);
    Ok(teacher.par_chunks(vocab).zip(student.par_chunks(vocab)).zip(next).map(position).collect())
}

#[export_module]
pub(super) mod api {
    /// Compares the logits of two models at the same positions (`all_logits` of both), position by position: a map of numbers with `kl` (the divergence of the second model's
    /// next-token distribution from the first one's, in nats), `first_nll` and `second_nll` (of the token that does follow), `first_right` and `second_right` (1 where it is the
    /// likeliest one), and `agree` (1 where both have the same likeliest token).
    ///
    /// # Example
    /// ```rhai
    /// let found = compare_logits(numbers([0.0, 0.0, 1.0, 0.0]), numbers([0.0, 0.0, 1.0, 0.0]), tokens([0, 1]));
    /// assert(found.kl.sum() == 0.0 && found.second_right.to_array() == [1.0, 0.0], "equal distributions");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn compare_logits(first: Numbers, second: Numbers, next: Tokens) -> Answer<Map> {
        let rows = compare(&first.to_vec(), &second.to_vec(), next.as_slice())?;
        let truth = |value: bool| if value { 1.0 } else { 0.0 };
        let column = |value: &dyn Fn(&Compared) -> f64| Dynamic::from(Numbers::from(rows.iter().map(value).collect::<Vec<f64>>()));
        Ok(Map::from_iter([
            ("kl".into(), column(&|row| row.divergence)),
            ("first_nll".into(), column(&|row| row.losses[0])),
            ("second_nll".into(), column(&|row| row.losses[1])),
            ("first_right".into(), column(&|row| truth(row.right[0]))),
            ("second_right".into(), column(&|row| truth(row.right[1]))),
            ("agree".into(), column(&|row| truth(row.agree))),
        ]))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
