//! Generation for scripts: its options, what hears of its tokens, and what it returns.

use super::numbers::Numbers;
use super::session::Session;
use super::tokens::Tokens;
use super::values::Options;
use crate::error::{Error, Result};
use crate::runtime::{CONTEXT_TOKENS, GenerateOptions, Generated, StopText, Stopped};
use crate::terminal;
use rhai::{Dynamic, FLOAT, INT, Map};
use std::sync::Arc;

/// What `generate` was asked for.
pub(super) struct Generation {
    options: GenerateOptions,
    stops: Vec<String>,
    stream: bool,
}

/// Hears of a token, and says whether its sequence goes on.
pub(super) type Heard<'a> = dyn FnMut(Map) -> Result<bool> + 'a;

impl Generation {
    /// From the options of a script, all checked.
    pub(super) fn of(session: &Session, options: Map) -> Result<Generation> {
        let generation = Generation::parse(options)?;
        if generation.stream && session.sequences() > 1 {
            return Err(Error::new("several sequences cannot be streamed").remedy("leave `stream` out, and print their texts"));
        }
        Ok(generation)
    }

    /// The same, whatever the session is.
    pub(super) fn parse(options: Map) -> Result<Generation> {
        let mut options = Options::new("generate option", options);
        let plain = GenerateOptions::default();
        let chosen = GenerateOptions {
            max_tokens: options.count("max_tokens")?.unwrap_or(plain.max_tokens),
            temperature: options.float("temperature")?.map_or(plain.temperature, |value| value as f32),
            top_k: options.count("top_k")?.unwrap_or(plain.top_k),
            top_p: options.float("top_p")?.map_or(plain.top_p, |value| value as f32),
            min_p: options.float("min_p")?.map_or(plain.min_p, |value| value as f32),
            repetition_penalty: options.float("repetition_penalty")?.map_or(plain.repetition_penalty, |value| value as f32),
            repetition_window: options.count("repetition_window")?.unwrap_or(plain.repetition_window),
            seed: options.integer("seed")?.map_or(plain.seed, |seed| seed as u64),
            stop_at_end: options.truth("stop_at_end")?.unwrap_or(plain.stop_at_end),
            likeliest: options.count("top_logprobs")?.unwrap_or(plain.likeliest),
        };
        let stops = options.texts("stop")?.unwrap_or_default();
        let stream = options.truth("stream")?.unwrap_or(false);
        options.finish()?;
        chosen.check()?;
        if stops.iter().any(String::is_empty) {
            return Err(Error::new("generate option `stop` has an empty text, which would stop nothing").remedy("leave it out"));
        }
        Ok(Generation { options: chosen, stops, stream })
    }

    /// Generates; `heard` is told of each token as it arrives.
    pub(super) fn run(&self, session: &Session, heard: &mut Heard) -> Result<Map> {
        // The model is held apart from the session, which is busy while tokens arrive.
        let model = Arc::clone(session.look()?.network().model());
        let befores: Vec<Vec<u32>> = {
            let session = session.look()?;
            (0..session.lengths().len()).map(|sequence| session.last_tokens(sequence, CONTEXT_TOKENS).to_vec()).collect()
        };
        let mut texts: Vec<Option<StopText>> = match model.tokenizer() {
            Ok(tokenizer) => befores.iter().map(|before| Some(StopText::new(tokenizer, before, &self.stops))).collect(),
            Err(error) if self.stream || !self.stops.is_empty() => return Err(error),
            Err(_) => befores.iter().map(|_| None).collect(),
        };
        let mut printed = Ok(());
        let mut counts = vec![0; befores.len()];
        let result = session.open()?.generate_until(&self.options, &mut |sequence, tokens| {
            for (at, &token) in tokens.iter().enumerate() {
                let text = texts[sequence].as_mut();
                let piece = text.map(|text| (text.push(token), text.stopped_by().is_some()));
                if let Some((piece, _)) = piece.as_ref().filter(|_| self.stream && printed.is_ok()) {
                    printed = terminal::print(piece);
                }
                let stopped = piece.as_ref().is_some_and(|(_, stopped)| *stopped);
                let goes_on = heard(Map::from_iter([
                    ("token".into(), INT::from(token).into()),
                    ("text".into(), piece.map_or(Dynamic::UNIT, |(piece, _)| piece.into())),
                    ("index".into(), (counts[sequence] as INT).into()),
                    ("sequence".into(), (sequence as INT).into()),
                ]))?;
                counts[sequence] += 1;
                if stopped || !goes_on {
                    return Ok(Some(at + 1));
                }
            }
            Ok(None)
        });
        let rest: Vec<String> = texts.iter_mut().map(|text| text.as_mut().map_or_else(String::new, StopText::finish)).collect();
        if self.stream {
            terminal::print_line(&rest.concat())?;
        }
        printed?;
        let generated = result?;
        let reasons = generated.stopped.iter().zip(&texts).map(|(stopped, text)| {
            let by_text = text.as_ref().is_some_and(|text| text.stopped_by().is_some());
            Dynamic::from(reason(*stopped, by_text))
        });
        let mut map = Map::new();
        map.insert("stop_reason".into(), session.per_sequence(reasons.collect()));
        map.insert("ended".into(), session.per_sequence(generated.ended.iter().map(|&ended| ended.into()).collect()));
        if self.options.likeliest > 0 {
            let of_sequence = |steps: &Vec<Vec<(u32, f32)>>| -> Result<Dynamic> {
                Ok(Dynamic::from_array(steps.iter().map(|tokens| listed(session, tokens)).collect::<Result<_>>()?))
            };
            let all = generated.likeliest.iter().map(of_sequence).collect::<Result<_>>()?;
            map.insert("top_logprobs".into(), session.per_sequence(all));
        }
        let whole = |(index, text): (usize, &Option<StopText>)| match text {
            None => Dynamic::UNIT,
            Some(text) if text.stopped_by().is_some() => text.text().to_owned().into(),
            // Bytes that are no characters were told as such while they came.
            Some(text) => {
                let tokenizer =
                    model.tokenizer().and_then(|tokenizer| tokenizer.decode_after(&generated.before[index], &generated.tokens[index]));
                tokenizer.unwrap_or_else(|_| text.text().to_owned()).into()
            }
        };
        map.insert("text".into(), session.per_sequence(texts.iter().enumerate().map(whole).collect()));
        map.extend(map_of(session, generated));
        Ok(map)
    }
}

/// `length`, `eos`, `stop` or `callback`.
fn reason(stopped: Stopped, by_text: bool) -> &'static str {
    match stopped {
        Stopped::Length => "length",
        Stopped::EndOfText => "eos",
        Stopped::Asked if by_text => "stop",
        Stopped::Asked => "callback",
    }
}

/// The tokens that were made, and how long their steps took.
pub(super) fn map_of(session: &Session, generated: Generated) -> Map {
    let tokens = generated.tokens.into_iter().map(|tokens| Dynamic::from(Tokens::from(tokens))).collect();
    Map::from_iter([
        ("tokens".into(), session.per_sequence(tokens)),
        ("step_ms".into(), Dynamic::from(Numbers::from(generated.step_ms))),
        ("record_ms".into(), generated.record_ms.into()),
    ])
}

/// Tokens with their probabilities, as maps.
pub(super) fn listed(session: &Session, tokens: &[(u32, f32)]) -> Result<Dynamic> {
    let model = Arc::clone(session.look()?.network().model());
    let tokenizer = model.tokenizer().ok();
    let text = |token: u32| {
        let tokenizer = tokenizer?;
        // Special tokens have no text, and are shown as they are spelt.
        let text = if tokenizer.is_special(token) { tokenizer.token_text(token) } else { tokenizer.piece(token) };
        text.map(Dynamic::from)
    };
    let entry = |&(token, logprob): &(u32, f32)| {
        Dynamic::from_map(Map::from_iter([
            ("token".into(), INT::from(token).into()),
            ("text".into(), text(token).unwrap_or(Dynamic::UNIT)),
            ("probability".into(), FLOAT::from(logprob).exp().into()),
            ("logprob".into(), FLOAT::from(logprob).into()),
        ]))
    };
    Ok(Dynamic::from_array(tokens.iter().map(entry).collect()))
}
