//! The date, and the environment of the program.

use super::failure::Answer;
use super::host::Host;
use crate::error::Error;
use jiff::{Timestamp, ZonedDateTime};
use rhai::plugin::*;
use rhai::{FLOAT, ImmutableString};
use std::time::{SystemTime, UNIX_EPOCH};

fn shown(time: impl std::fmt::Display, format: &str) -> Answer<String> {
    use std::fmt::Write;
    let mut text = String::new();
    // A format that the library does not know is an error of writing.
    match write!(text, "{time}") {
        Ok(()) => Ok(text),
        Err(_) => Err(Error::new(format!("the format `{format}` of a date cannot be read"))
            .remedy("as in strftime: \"%Y-%m-%d %H:%M:%S\"; %% is a percent sign")
            .into()),
    }
}

#[export_module]
pub(super) mod api {
    /// Today's date, here: `2026-11-26`.
    ///
    /// # Example
    /// ```rhai
    /// assert(date().len == 10, date());
    /// ```
    #[rhai_fn(name = "date", return_raw, volatile)]
    pub fn date() -> Answer<String> {
        date_as("%Y-%m-%d")
    }

    /// The date and time, here, in a format of `strftime`.
    ///
    /// # Example
    /// ```rhai
    /// assert(date("%H:%M").len == 5 && date("%Y-%m-%d") == date(), "the time");
    /// ```
    #[rhai_fn(name = "date", return_raw, volatile)]
    pub fn date_as(format: &str) -> Answer<String> {
        shown(ZonedDateTime::now().strftime(format), format)
    }

    /// The date and time in UTC that is `seconds` after the beginning of 1970, in a format of `strftime`.
    ///
    /// # Example
    /// ```rhai
    /// assert(date("%Y-%m-%d %H:%M:%S", 86400.0) == "1970-01-02 00:00:00", "a day later");
    /// ```
    #[rhai_fn(name = "date", return_raw)]
    pub fn date_of(format: &str, seconds: FLOAT) -> Answer<String> {
        let time = Timestamp::from_millisecond((seconds * 1e3) as i64);
        let time = time.map_err(|_| Error::new(format!("{seconds} seconds after 1970 is no date that can be written")))?;
        shown(time.strftime(format), format)
    }

    /// Seconds since the beginning of 1970, in UTC.
    ///
    /// # Example
    /// ```rhai
    /// assert(unix_time() > 1.7e9, "long ago");
    /// ```
    #[rhai_fn(name = "unix_time", volatile)]
    pub fn unix_time() -> FLOAT {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
    }

    /// An environment variable, or `()` where it is not set. Needs `--allow-env`.
    ///
    /// # Example
    /// ```rhai
    /// assert(env("A_NAME_THAT_NOBODY_SETS") == (), "not set");
    /// ```
    #[rhai_fn(name = "env", return_raw, volatile)]
    pub fn env(context: NativeCallContext, name: &str) -> Answer<Dynamic> {
        let host = Host::of(&context)?;
        host.permissions.env(name)?;
        Ok(std::env::var_os(name).map_or(Dynamic::UNIT, |value| value.to_string_lossy().into_owned().into()))
    }

    /// An environment variable, or `otherwise` where it is not set. Needs `--allow-env`.
    ///
    /// # Example
    /// ```rhai
    /// assert(env("A_NAME_THAT_NOBODY_SETS", "none") == "none", "not set");
    /// ```
    #[rhai_fn(name = "env", return_raw, volatile)]
    pub fn env_or(context: NativeCallContext, name: &str, otherwise: ImmutableString) -> Answer<Dynamic> {
        let found = env(context, name)?;
        Ok(if found.is_unit() { otherwise.into() } else { found })
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
