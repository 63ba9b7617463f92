//! `caramba generate`: a prompt is continued, and the text appears as it is made.

use super::columns::columns;
use super::device::DeviceOptions;
use super::model::ModelArgument;
use crate::error::{At, Error, Result};
use crate::gpu::DeviceChoice;
use crate::model::Model;
use crate::model::chat::ChatOptions;
use crate::progress::{Progress, Unit};
use crate::quant::CACHE_KINDS;
use crate::runtime::{CONTEXT_TOKENS, CacheKinds, GenerateOptions, LoadOptions, Network, Session, SessionOptions, StopText};
use crate::{script, terminal};
use clap::Args;
use serde_json::json;
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Continue a prompt; the text streams to standard output
#[derive(Debug, Args)]
#[command(after_help = after_help())]
pub struct Generate {
    #[command(flatten)]
    model: ModelArgument,
    /// The text to continue; `-` reads it from standard input
    prompt: String,
    /// Stop after so many tokens
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_tokens: usize,
    /// 0 takes the most likely token each time; higher values vary more
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = temperature)]
    temperature: f32,
    /// Choose among the K most likely tokens only; 0: all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Choose among the likeliest tokens that make up this share of the probability
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = share)]
    top_p: f32,
    /// Choose among tokens that are at least so many times as likely as the likeliest
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = proportion)]
    min_p: f32,
    /// Make tokens that the text has less likely; 1: no, 1.1: mildly
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Stop before this text; can be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// The prompt is what a user says to the model: the model's chat template is put around it
    #[arg(long)]
    chat: bool,
    /// With --chat: what the model is told before
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,
    /// The same seed gives the same text
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Go on after an end-of-text token
    #[arg(long)]
    ignore_end: bool,
    /// How keys and values are stored
    #[arg(long, value_name = "KIND", default_value = "fp16", value_parser = super::cache_kinds)]
    cache: CacheKinds,
    /// Room for so many tokens, prompt included [default: what the prompt and --max-tokens need]
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
    #[command(flatten)]
    device: DeviceOptions,
}

fn after_help() -> String {
    let kinds = CACHE_KINDS.iter().map(|entry| vec![format!("  {}", entry.name), entry.text()]).collect::<Vec<_>>();
    let examples = "\
Examples:
  caramba generate models/SmolLM2-135M \"The sea was\"
  caramba generate model.gguf \"The sea was\" --temperature 0.8 --top-p 0.95 --seed 7 --cache q8
  caramba generate instruct.gguf \"Name three rivers.\" --chat
  caramba generate model.gguf - < prompt.txt";
    format!("Cache kinds; q5/q4 is q5 for keys and q4 for values:\n{}\n{examples}", columns(&kinds, &[]))
}

fn temperature(typed: &str) -> Result<f32, String> {
    typed.parse().ok().filter(|value: &f32| value.is_finite() && *value >= 0.0).ok_or_else(|| "give a number from 0 up, such as 0.8".into())
}

fn proportion(typed: &str) -> Result<f32, String> {
    typed.parse().ok().filter(|value| (0.0..=1.0).contains(value)).ok_or_else(|| "give a number from 0 to 1".into())
}

fn share(typed: &str) -> Result<f32, String> {
    typed.parse().ok().filter(|value| *value > 0.0 && *value <= 1.0).ok_or_else(|| "give a number above 0, up to 1".into())
}

impl Generate {
    pub fn run(self) -> Result<()> {
        let prompt = self.prompt_text()?;
        let model = Arc::new(self.model.open()?);
        let (prompt, tokens) = self.tokens(prompt, &model)?;
        if tokens.is_empty() {
            return Err(Error::new("the prompt has no tokens").remedy("give at least one word to continue"));
        }
        let context = self.context(tokens.len(), model.architecture.context)?;
        let network = load(&self.device.choice(), &model)?;
        let options = SessionOptions { context, sequences: 1, cache: self.cache, chunk: None };
        let mut session = Session::new(&network, &options)?;

        terminal::print(&prompt)?;
        let clock = Instant::now();
        let count = tokens.len();
        session.prefill(&[tokens]).inspect_err(|_| _ = terminal::print_line(""))?;
        let prefill = clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        let made = self.stream(&mut session, &model)?;
        let decode = clock.elapsed().as_secs_f64();
        terminal::note(&format!("{}; {}", speed("prompt", count, prefill), speed("made", made, decode)));
        Ok(())
    }

    /// Prints tokens as they arrive; how many there were.
    fn stream(&self, session: &mut Session, model: &Model) -> Result<usize> {
        let options = GenerateOptions {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
            stop_at_end: !self.ignore_end,
            ..GenerateOptions::default()
        };
        let mut text = StopText::new(model.tokenizer()?, session.last_tokens(0, CONTEXT_TOKENS), &self.stop);
        let mut printed = Ok(());
        let generated = session.generate_until(&options, &mut |_, tokens| {
            for (at, &token) in tokens.iter().enumerate() {
                let piece = text.push(token);
                if printed.is_ok() {
                    printed = terminal::print(&piece);
                }
                if text.stopped_by().is_some() {
                    return Ok(Some(at + 1));
                }
            }
            Ok(None)
        });
        // What was made is shown before what went wrong.
        terminal::print_line(&text.finish())?;
        printed?;
        Ok(generated?.tokens.iter().map(Vec::len).sum())
    }

    /// What is shown before the answer, and the tokens of the prompt: a conversation's are not shown, for its marks are no text.
    fn tokens(&self, prompt: String, model: &Model) -> Result<(String, Vec<u32>)> {
        if !self.chat {
            let tokens = model.tokenizer()?.encode(&prompt, true)?;
            return Ok((prompt, tokens));
        }
        let system = self.system.iter().map(|text| json!({ "role": "system", "content": text }));
        let messages: Vec<_> = system.chain([json!({ "role": "user", "content": prompt })]).collect();
        let text = model.chat_template()?.render(&messages.into(), &ChatOptions::default())?;
        Ok((String::new(), model.tokenizer()?.encode(&text, false)?))
    }

    fn prompt_text(&self) -> Result<String> {
        if self.prompt != "-" {
            return Ok(self.prompt.clone());
        }
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).at("standard input")?;
        Ok(text.trim_end_matches('\n').to_string())
    }

    /// Positions to make room for, checked before the model is loaded.
    fn context(&self, prompt: usize, longest: usize) -> Result<usize> {
        let wanted = prompt.saturating_add(self.max_tokens);
        let given = self.context.unwrap_or(wanted);
        if given < wanted {
            return Err(Error::new(format!(
                "the prompt has {prompt} tokens and --max-tokens asks for {}: together {wanted}, but --context is {given}",
                self.max_tokens
            ))
            .remedy("raise --context or lower --max-tokens"));
        }
        if given > longest {
            let error = Error::new(format!("{given} tokens are more than the model was made for ({longest})"));
            return Err(error.remedy(format!("shorten the prompt ({prompt} tokens) or lower --max-tokens")));
        }
        Ok(given)
    }
}

/// Puts the model on the chosen device, with progress.
fn load(device: &DeviceChoice, model: &Arc<Model>) -> Result<Rc<Network>> {
    let gpu = script::open_device(device)?;
    let total = model.tensors.values().map(|tensor| tensor.stored_bytes() as u64).sum();
    let progress = Progress::new(format!("loading {}", model.name), Some(total), Unit::Bytes);
    let report = |done: u64, _: u64| progress.set(done);
    Network::load(&gpu, Arc::clone(model), &LoadOptions { progress: Some(&report), ..LoadOptions::default() })
}

fn speed(what: &str, tokens: usize, seconds: f64) -> String {
    format!("{what}: {tokens} tokens in {seconds:.2} s ({:.1} tokens/s)", tokens as f64 / seconds.max(1e-9))
}
