//! A layer as a list of operations on the residual stream: what an architecture's file says of it, and what the runtime makes steps of.

use crate::error::{Error, Result};

/// A step of a layer. `x` is the residual stream, `h` what is on its way to it: `x` itself at first and after each [`Operation::Add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `h = rms_norm(h)`, by the weight `model.layers.N.NAME.weight` `[d_model]`
    Norm(&'static str),
    /// `h = attention(h)`
    Attention,
    /// `h = down(act(gate(h)) * up(h))`
    Mlp,
    /// `x += h`
    Add,
}

/// The activation of a gated MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x sigmoid(x)`
    Silu,
    /// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))` (Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016)
    GeluTanh,
}

impl Activation {
    /// The name of the gated unit that it makes, which kernels go by.
    pub fn unit(self) -> &'static str {
        match self {
            Activation::Silu => "swiglu",
            Activation::GeluTanh => "geglu",
        }
    }
}

/// What a [`Block`] computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    Attention,
    Mlp,
}

/// A stretch of a layer's list that ends at its [`Operation::Add`]: `x += after(kind(before(x)))`, the norms where there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    pub kind: BlockKind,
    pub before: Option<&'static str>,
    pub after: Option<&'static str>,
}

/// A norm before each block: Llama and most others.
pub const PRE_NORM: &[Operation] = &[
    Operation::Norm("input_layernorm"),
    Operation::Attention,
    Operation::Add,
    Operation::Norm("post_attention_layernorm"),
    Operation::Mlp,
    Operation::Add,
];

/// The blocks of a layer's list, in their order.
///
/// # Errors
/// A list that the runtime has no steps for.
pub fn blocks(operations: &[Operation]) -> Result<Vec<Block>> {
    let mut made = Vec::new();
    for stretch in operations.split_inclusive(|operation| *operation == Operation::Add) {
        use Operation::{Add, Norm};
        let (before, rest) = match stretch {
            [Norm(name), rest @ ..] => (Some(*name), rest),
            rest => (None, rest),
        };
        let (kind, rest) = match rest {
            [Operation::Attention, rest @ ..] => (BlockKind::Attention, rest),
            [Operation::Mlp, rest @ ..] => (BlockKind::Mlp, rest),
            _ => {
                return Err(Error::new(format!("a layer of {operations:?} is not supported: expected attention or an MLP in {stretch:?}")));
            }
        };
        let after = match rest {
            [Norm(name), Add] => Some(*name),
            [Add] => None,
            _ => return Err(Error::new(format!("a layer of {operations:?} is not supported: expected Add at the end of {stretch:?}"))),
        };
        made.push(Block { kind, before, after });
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_fall_into_blocks() {
        let block = |kind, before, after| Block { kind, before, after };
        let expected =
            [block(BlockKind::Attention, Some("input_layernorm"), None), block(BlockKind::Mlp, Some("post_attention_layernorm"), None)];
        assert_eq!(blocks(PRE_NORM).unwrap(), expected);
        let after = [Operation::Attention, Operation::Norm("post_attention_layernorm"), Operation::Add];
        assert_eq!(blocks(&after).unwrap(), [block(BlockKind::Attention, None, Some("post_attention_layernorm"))]);
        assert!(blocks(&[Operation::Attention]).unwrap_err().to_string().contains("expected Add"));
        assert!(blocks(&[Operation::Norm("x"), Operation::Add]).unwrap_err().to_string().contains("expected attention or an MLP"));
    }
}
