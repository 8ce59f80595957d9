//! A question to one function, with the answers that are right.

use crate::course::Question;
use crate::failure::{Row, Rule, Wrong};
use crate::talk::{Players, Stop};

/// A call, and what it must return.
pub(crate) struct Ask {
    /// The call for people.
    pub(crate) shown: String,
    /// The call for the harness.
    pub(crate) line: String,
    /// The answer of the harness that is right.
    pub(crate) wanted: String,
    /// What another answer breaks.
    pub(crate) rule: &'static Rule,
}

impl Question for Ask {
    fn describe(&self) -> String {
        self.shown.clone()
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let seen = players.ask(&self.line)?;
        if seen == self.wanted {
            return Ok(());
        }
        let lines = [format!("expected  {}", self.wanted), format!("seen      {seen}")];
        Err(Wrong::new(self.rule, vec![Row::exact("First", lines)]).into())
    }
}
