//! Which options stand on the command line itself: clap's structs do not tell a default from a wish.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// The options that were given, as they are written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(Vec<String>);

impl Given {
    /// The first of them that fits.
    pub(crate) fn find(&self, fits: impl Fn(&str) -> bool) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|name| fits(name))
    }
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let written = |id: &clap::Id| {
            let given = matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
            given.then(|| format!("--{}", id.as_str().replace('_', "-")))
        };
        Ok(Given(matches.ids().filter_map(written).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
