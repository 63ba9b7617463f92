//! Text to tokens and back.

/// A tokenizer, from `tokenizer.json` or the vocabulary inside a GGUF.
pub struct Tokenizer {}
