//! What every script needs and the language has not: telling, failing, formatting, objects with methods.

use super::failure::Answer;
use super::host::Host;
use super::values::{self, described};
use crate::error::Error;
use crate::terminal;
use rhai::plugin::*;
use rhai::{Array, FLOAT, FnPtr, INT, Map};
use std::rc::Rc;

#[export_module]
pub(super) mod api {
    /// What went wrong: what `catch (error)` holds, whether a function of caramba has failed or the language itself. `${error}` is all of it.
    ///
    /// # Example
    /// ```rhai
    /// try { [1, 2][7] } catch (error) { print(`${error.at}: ${error.message}`); }
    /// try { 1 / 0 } catch (error) { assert(error.help.contains("floats"), error.help); }
    /// ```
    pub type Error = crate::error::Error;

    /// The sentence that says what is wrong.
    #[rhai_fn(get = "message", pure)]
    pub fn message(error: &mut Error) -> String {
        error.message().to_owned()
    }

    /// What to do about it, or `()`.
    #[rhai_fn(get = "help", pure)]
    pub fn help(error: &mut Error) -> Dynamic {
        error.help().map_or(Dynamic::UNIT, |help| help.to_owned().into())
    }

    /// Where: the place in a script, a file, a key; or `()`.
    #[rhai_fn(get = "at", pure)]
    pub fn place(error: &mut Error) -> Dynamic {
        let mut places: Vec<&str> = error.places().collect();
        places.reverse();
        if places.is_empty() { Dynamic::UNIT } else { places.join(": ").into() }
    }

    /// Everything about it.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn error_text(error: &mut Error) -> String {
        error.to_string()
    }

    /// Ends the script without success, with a sentence that says what is wrong.
    #[rhai_fn(name = "fail", return_raw, volatile)]
    pub fn fail(message: &str) -> Answer<()> {
        Err(Error::new(message).into())
    }

    /// Ends the script without success, with a sentence that says what is wrong and one that says what to do.
    ///
    /// # Example
    /// ```rhai,no_run
    /// fail("no model was given", "give one with --set model=PATH");
    /// ```
    #[rhai_fn(name = "fail", return_raw, volatile)]
    pub fn fail_with_help(message: &str, help: &str) -> Answer<()> {
        Err(Error::new(message).remedy(help).into())
    }

    /// As `fail`, and says which of a benchmark's parameters it is about: the mistake is then shown where that was given.
    ///
    /// # Example
    /// ```rhai,no_run
    /// fn check(model, cell, config) {
    ///     if config.block_size > model.context { invalid("block_size", "it is longer than the context", `set it to ${model.context} or less`); }
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn invalid(parameter: &str, message: &str, help: &str) -> Answer<()> {
        Err(Error::new(message).remedy(help).about(parameter).into())
    }

    /// Ends the script, with success.
    #[rhai_fn(name = "exit", return_raw, volatile)]
    pub fn exit(context: NativeCallContext) -> Answer<()> {
        ended(&context, 0)
    }

    /// Ends the script; `status` is the exit status of caramba: 0 says success, 1 to 255 what the script means by it.
    ///
    /// # Example
    /// ```rhai,no_run
    /// if !exists("book.npy") { exit(3); }
    /// ```
    #[rhai_fn(name = "exit", return_raw, volatile)]
    pub fn exit_with(context: NativeCallContext, status: Dynamic) -> Answer<()> {
        match status.as_int().ok().and_then(|status| u8::try_from(status).ok()) {
            Some(status) => ended(&context, status),
            None => {
                let error = Error::new(format!("the exit status is {}: expected an integer from 0 to 255", described(&status)));
                Err(error.remedy("print(...) shows a value; fail(...) ends a script with a sentence").into())
            }
        }
    }

    /// Ends the script without success unless `condition` holds.
    #[rhai_fn(return_raw, volatile)]
    pub fn assert(condition: bool, message: &str) -> Answer<()> {
        if condition { Ok(()) } else { Err(Error::new(format!("not as it should be: {message}")).into()) }
    }

    /// The same, without saying more.
    #[rhai_fn(name = "assert", return_raw, volatile)]
    pub fn assert_silently(condition: bool) -> Answer<()> {
        if condition {
            return Ok(());
        }
        Err(Error::new("what is asserted here does not hold").remedy("assert(condition, `${value}`) shows a value with it").into())
    }

    /// The integers from 0 up to `end`, which is not one of them: `0..end`.
    ///
    /// # Example
    /// ```rhai
    /// let total = 0;
    /// for index in range(4) { total += index; }
    /// assert(total == 6, "0, 1, 2, 3");
    /// ```
    #[rhai_fn(name = "range")]
    pub fn range_to(end: INT) -> std::ops::Range<INT> {
        0..end
    }

    /// Says something in passing, on standard error.
    #[rhai_fn(volatile)]
    pub fn note(text: &str) {
        terminal::note(text);
    }

    /// Warns, on standard error, that something is not as the user may think.
    #[rhai_fn(volatile)]
    pub fn warn(text: &str) {
        terminal::warn(text);
    }

    /// Prints without a line end.
    #[rhai_fn(return_raw, volatile)]
    pub fn write(context: NativeCallContext, text: &str) -> Answer<()> {
        Host::of(&context)?.print(text);
        Ok(())
    }

    /// Bytes as MB (2^20 bytes).
    #[rhai_fn(return_raw)]
    pub fn megabytes(bytes: INT) -> Answer<FLOAT> {
        Ok(values::count("the number of bytes", bytes)? as FLOAT / FLOAT::from(1 << 20))
    }

    /// `value` made to have this many characters at least, by spaces on its right (or its left, where `width` is negative).
    ///
    /// # Example
    /// ```rhai
    /// assert(padded("q8", 4) == "q8  " && padded(17, -4) == "  17", "four wide");
    /// ```
    pub fn padded(value: Dynamic, width: INT) -> String {
        let (text, wide) = (value.to_string(), width.unsigned_abs().min(1000) as usize);
        if width < 0 { format!("{text:>wide$}") } else { format!("{text:<wide$}") }
    }

    /// The keys of a map in a given order first, then the others alphabetically.
    ///
    /// # Example
    /// ```rhai
    /// assert(#{ a: 1, model: 2, b: 3 }.keys_first(["model"]) == ["model", "a", "b"], "model first");
    /// ```
    #[rhai_fn(pure)]
    pub fn keys_first(map: &mut Map, first: Array) -> Array {
        let first: Vec<String> = first.iter().map(ToString::to_string).filter(|key| map.contains_key(key.as_str())).collect();
        let others = map.keys().filter(|key| !first.iter().any(|name| name == key.as_str())).map(ToString::to_string);
        let mut keys = first.clone();
        keys.extend(others);
        keys.into_iter().map(Into::into).collect()
    }

    /// A map whose functions may leave the module that they were written in: each becomes a method that sees the module's other functions
    /// and has the map as `this`. Without it a closure works only where it was written.
    ///
    /// # Example
    /// ```rhai
    /// let counter = object(#{ count: 0, add: |n| { this.count += n; this.count } });
    /// counter.add(2);
    /// assert(counter.add(3) == 5, "it remembers");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn object(context: NativeCallContext, members: Map) -> Answer<Map> {
        let mut bound = Map::new();
        // One environment for all methods: the functions, imports and constants that are seen here.
        #[allow(deprecated)] // rhai's word for "may change between versions"; the version is pinned by Cargo.lock
        let environment = Rc::new(context.store_data());
        for (name, member) in members {
            let method = match member.clone().try_cast::<FnPtr>() {
                Some(function) => bind(function, &environment)?.into(),
                None => member,
            };
            bound.insert(name, method);
        }
        Ok(bound)
    }
}

/// Ends the script: nothing in it can catch this, however deep it is called.
fn ended(context: &NativeCallContext, status: u8) -> Answer<()> {
    Host::of(context)?.exit.set(Some(status));
    Err(Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, context.call_position())))
}

#[allow(deprecated)] // as above
fn bind(function: FnPtr, environment: &Rc<rhai::NativeCallContextStore>) -> Answer<FnPtr> {
    let environment = Rc::clone(environment);
    let name = function.fn_name().to_owned();
    FnPtr::from_fn("method", move |call: NativeCallContext, arguments: &mut [&mut Dynamic]| {
        let mut global = environment.global.clone();
        global.level = call.call_level();
        let inner = NativeCallContext::new_with_all_fields(call.engine(), &name, None, &global, call.call_position());
        let mut curried: Vec<Dynamic> = function.curry().to_vec();
        let Some((this, given)) = arguments.split_first_mut() else {
            return Err(Error::new(format!("the method `{name}` was called without its object")).into());
        };
        // A script function takes `this` first, then what its closure has captured, then what it is called with.
        let mut all: Vec<&mut Dynamic> = vec![&mut **this];
        all.extend(curried.iter_mut());
        all.extend(given.iter_mut().map(|argument| &mut **argument));
        inner.call_fn_raw(&name, true, true, &mut all)
    })
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
