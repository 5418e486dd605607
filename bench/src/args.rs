//! Command lines of the form `--name value`, flags without a value included.

use crate::Result;
use std::collections::HashMap;
use std::str::FromStr;

/// The options of a command line.
#[derive(Debug)]
pub struct Args(HashMap<String, String>);

impl Args {
    /// Reads options; a word that starts with `--` after an option makes that option a flag.
    ///
    /// # Errors
    /// A word that belongs to no option, or an option that is not in `known`.
    pub fn parse(words: impl Iterator<Item = String>, known: &[&str]) -> Result<Self> {
        let mut options = HashMap::new();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("what is {word}?"))?;
            if !known.contains(&name) {
                return Err(format!("unknown option --{name}; there are: --{}", known.join(" --")));
            }
            let value = words.next_if(|next| !next.starts_with("--"));
            options.insert(name.to_owned(), value.unwrap_or_default());
        }
        Ok(Self(options))
    }

    /// Tells whether an option was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Gives the value of an option, or `default` where it was not given.
    ///
    /// # Errors
    /// A value that is not of the type asked for.
    pub fn get<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.0.get(name) {
            None => Ok(default),
            Some(value) => value.parse().map_err(|_| format!("--{name} {value}: not a valid value")),
        }
    }
}
